/* What a test in C needs: checks that end the test, output, and tasks.
 *
 * A test is a function without arguments that returns when it passed. It runs in a task of
 * priority TEST_PRIORITY unless the table in src/ says otherwise. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "FreeRTOS.h"
#include "task.h"

/* Priority of the task that runs the test; helpers are placed around it. */
#define TEST_PRIORITY 3

/* CPU cycles in a tick, exactly: the board's clock is a multiple of the tick rate. */
#define TICK_CYCLES (board_cpu_hz / configTICK_RATE_HZ)

/* End the test as failed unless the condition holds. From tasks and interrupts. */
#define CHECK(condition) \
    ((condition) ? (void)0 : check_failed(__FILE_NAME__, __LINE__, #condition))

/* The same with the values in the message. */
#define CHECK_EQUAL(actual, expected) \
    check_between(__FILE_NAME__, __LINE__, #actual, (actual), (expected), (expected))
#define CHECK_BETWEEN(actual, low, high) \
    check_between(__FILE_NAME__, __LINE__, #actual, (actual), (low), (high))

/* End the test: 0 is success. Implemented for each board. */
_Noreturn void test_exit(int status);

_Noreturn void check_failed(const char *file, int line, const char *condition);
void check_between(const char *file, int line, const char *text, int64_t actual, int64_t low,
                   int64_t high);

/* Print one line of a test's findings (the newline is added). */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Create a task with 2 KB of stack. */
TaskHandle_t start_task(TaskFunction_t function, const char *name, void *argument,
                        UBaseType_t priority);

/* Wait for the tick interrupt by spinning, so that what follows has a whole tick. */
void align_to_tick(void);

/* Spin for this many CPU cycles. */
void spin(uint32_t cycles);

/* The next of a sequence of numbers that looks random (xorshift32); the seed is not 0. */
uint32_t random_next(uint32_t *seed);

#endif
