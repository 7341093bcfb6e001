#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fw_hooks.h"
#include "irq_source.h"
#include "lx106.h"

#define LINE_LENGTH 160
#define TASK_STACK_WORDS 512

static void say_list(const char *format, va_list arguments)
{
    char line[LINE_LENGTH];
    int length = vsnprintf(line, sizeof(line) - 1, format, arguments);
    if (length > (int)sizeof(line) - 2) {
        length = sizeof(line) - 2;
    }
    line[length] = '\n';
    fw_console_write(line, (size_t)length + 1);
}

void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_list(format, arguments);
    va_end(arguments);
}

/* For tests of the log: more than a line of C's may have. */
void log_long_line(void);
void log_long_line(void)
{
    fw_log(FW_LOG_INFO, "test", "%0200d", 0);
}

_Noreturn static void fail(const char *format, ...)
{
    irq_source_stop(); /* it may hold the console */
    va_list arguments;
    va_start(arguments, format);
    say_list(format, arguments);
    va_end(arguments);
    test_exit(1);
}

void check_failed(const char *file, int line, const char *condition)
{
    fail("FAILED %s:%d: %s", file, line, condition);
}

void check_between(const char *file, int line, const char *text, int64_t actual, int64_t low,
                   int64_t high)
{
    if (actual < low || actual > high) {
        fail("FAILED %s:%d: %s is %ld, wanted %ld to %ld", file, line, text, (long)actual,
             (long)low, (long)high);
    }
}

TaskHandle_t start_task(TaskFunction_t function, const char *name, void *argument,
                        UBaseType_t priority)
{
    TaskHandle_t task;
    CHECK(xTaskCreate(function, name, TASK_STACK_WORDS, argument, priority, &task) == pdPASS);
    return task;
}

void align_to_tick(void)
{
    TickType_t now = xTaskGetTickCount();
    while (xTaskGetTickCount() == now) {
    }
}

void spin(uint32_t cycles)
{
    uint32_t start = lx106_ccount();
    while (lx106_ccount() - start < cycles) {
    }
}

uint32_t random_next(uint32_t *seed)
{
    uint32_t value = *seed;
    value ^= value << 13;
    value ^= value >> 17;
    value ^= value << 5;
    *seed = value;
    return value;
}
