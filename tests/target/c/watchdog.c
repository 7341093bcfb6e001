/* Promises to show life, kept and broken. */
#include "watchdog.h"

#include "check.h"
#include "fw_hooks.h"
#include "irq_source.h"
#include "semphr.h"
#include "timers.h"

#define VICTIM __attribute__((noinline, noclone)) void

static void patient(void *argument)
{
    /* Kept three times, at the last moment. */
    for (unsigned i = 0; i < 3; i++) {
        fw_alive(2);
        vTaskDelay(2 * configTICK_RATE_HZ - 1);
    }
    fw_alive(0);
    (void)xTaskNotifyGive(argument);
    vTaskSuspend(NULL);
}

/* Of two promises the later counts, one that was taken back binds nobody, and twelve
 * tasks of an application may have one each at the same time. */
#define PATIENTS 12U

void test_promises(void);
void test_promises(void)
{
    for (unsigned i = 0; i < PATIENTS; i++) {
        (void)start_task(patient, "patient", xTaskGetCurrentTaskHandle(), TEST_PRIORITY + 1);
    }
    fw_alive(1);
    fw_alive(30);
    for (unsigned i = 0; i < PATIENTS; i++) {
        CHECK(ulTaskNotifyTake(pdFALSE, 10 * configTICK_RATE_HZ) != 0);
    }
    vTaskDelay(5 * configTICK_RATE_HZ);
    fw_alive(0);
}

/* --- A timer task whose queue is full ---------------------------------------------- */

static volatile uint32_t refusals;

static void nothing(void *first, uint32_t second)
{
    (void)first;
    (void)second;
}

/* Fills the timer task's queue, at moments that have nothing to do with it. */
static void fill_queue(void *argument)
{
    (void)argument;
    while (xTimerPendFunctionCallFromISR(nothing, NULL, 0, NULL) == pdPASS) {
    }
    refusals++;
}

/* The watchdog's checks go on, 40 of them, some of which meet a full queue. */
void test_full_timer_queue(void);
void test_full_timer_queue(void)
{
    irq_source_start(fill_queue, NULL);
    for (unsigned i = 0; i < 4; i++) {
        fw_alive(12);
        vTaskDelay(10 * configTICK_RATE_HZ);
    }
    irq_source_stop();
    CHECK(refusals > 10000);
    fw_alive(0);
}

/* --- Two tasks that wait for each other ------------------------------------------- */

static SemaphoreHandle_t first, second;

VICTIM wait_for_ever(SemaphoreHandle_t mutex)
{
    (void)xSemaphoreTake(mutex, portMAX_DELAY);
    say("not reached");
}

static void entangled(void *argument)
{
    (void)argument;
    fw_alive(3);
    CHECK(xSemaphoreTake(second, 0) == pdTRUE);
    wait_for_ever(first);
}

void victim_deadlock(void);
void victim_deadlock(void)
{
    first = xSemaphoreCreateMutex();
    second = xSemaphoreCreateMutex();
    CHECK(first != NULL && second != NULL);
    CHECK(xSemaphoreTake(first, 0) == pdTRUE);
    (void)start_task(entangled, "entangled", NULL, TEST_PRIORITY + 1);
    fw_alive(20);
    wait_for_ever(second);
}

/* --- A task that keeps the CPU ---------------------------------------------------- */

VICTIM hog(void)
{
    for (volatile unsigned i = 0;; i++) {
    }
}

static void greedy(void *argument)
{
    (void)argument;
    hog();
}

static void sleeper(void *argument)
{
    (void)argument;
    vTaskSuspend(NULL);
}

/* It is found among 13. */
void victim_hog(void);
void victim_hog(void)
{
    lx106_watchdog_idle_s = 2;
    for (unsigned i = 0; i < 8; i++) {
        (void)start_task(sleeper, "sleeper", NULL, TEST_PRIORITY + 1);
    }
    (void)start_task(greedy, "greedy", NULL, TEST_PRIORITY + 1);
    vTaskDelay(20 * configTICK_RATE_HZ);
}
