/* Two watchdogs.
 *
 * The first is software: once a second the kernel's timer task, which runs above all others,
 * looks whether the idle task has run. It runs only when every other task has blocked, so a
 * task that never blocks again shows here, whatever it is doing; then the crash report tells
 * which one it was and where, and resets.
 *
 * The second is the chip's. It is fed by the first, so it bites when that one can no longer
 * run: interrupts masked for good, a handler that does not return, a task of the timer
 * task's own priority. The next boot finds its mark in the RTC and, in RAM, which task ran. */
#include "chip.h"

#include "FreeRTOS.h"
#include "task.h"
#include "timers.h"

#include "esp8266.h"
#include "fw_hooks.h"
#include "lx106.h"

#define CHECK_MS 1000U
/* Longest time without the idle task. A TLS handshake computes for some seconds without a
 * pause (100 million instructions, more with cache misses); three times that. */
#define SILENCE_MAX_S 20U

/* 2^15 * 0.8 ms = 26.2 s, longer than the software's, and 2^11 * 0.8 ms = 1.6 s. Interrupt 8,
 * which tells of the first stage, stays masked: with interrupts at work the software
 * watchdog would have been first. */
#define FIRST_STAGE 15U
#define SECOND_STAGE 11U

/* Most tasks that are looked at. */
#define TASKS_MAX 12U

/* The task that keeps the CPU: of those that want to run, the one of highest priority; of
 * equals, which share it, the one that had most of it. The timer task itself is running.
 * NULL when memory does not suffice to look. */
static TaskHandle_t find_culprit(void)
{
    TaskStatus_t *tasks = pvPortMalloc(TASKS_MAX * sizeof(*tasks));
    if (tasks == NULL) {
        return NULL;
    }
    UBaseType_t count = uxTaskGetSystemState(tasks, TASKS_MAX, NULL);
    const TaskStatus_t *worst = NULL;
    for (UBaseType_t i = 0; i < count; i++) {
        const TaskStatus_t *task = &tasks[i];
        if (task->eCurrentState == eReady &&
            (worst == NULL || task->uxCurrentPriority > worst->uxCurrentPriority ||
             (task->uxCurrentPriority == worst->uxCurrentPriority &&
              task->ulRunTimeCounter > worst->ulRunTimeCounter))) {
            worst = task;
        }
    }
    TaskHandle_t culprit = worst != NULL ? worst->xHandle : NULL;
    vPortFree(tasks);
    return culprit;
}

static void on_check(TimerHandle_t timer)
{
    (void)timer;
    static configRUN_TIME_COUNTER_TYPE idle_last;
    static unsigned silence_s;

    configRUN_TIME_COUNTER_TYPE idle = ulTaskGetIdleRunTimeCounter();
    if (idle != idle_last) {
        idle_last = idle;
        silence_s = 0;
    } else if (++silence_s >= SILENCE_MAX_S) {
        TaskHandle_t culprit = find_culprit();
        if (culprit == NULL) {
            crash_assert("the idle task did not run", "watchdog.c", __LINE__);
        }
        crash_watchdog(culprit, silence_s);
    }
    WATCHDOG.feed = WATCHDOG_FEED;
}

void chip_watchdog_start(void)
{
    static StaticTimer_t memory;
    TimerHandle_t timer = xTimerCreateStatic("watchdog", pdMS_TO_TICKS(CHECK_MS), pdTRUE, NULL,
                                             on_check, &memory);
    /* The queue of the timer task is empty before the scheduler runs. */
    configASSERT(xTimerStart(timer, 0) == pdPASS);

    WATCHDOG.control = WATCHDOG_RESET_LENGTH_MAX;
    WATCHDOG.first_stage = FIRST_STAGE;
    WATCHDOG.second_stage = SECOND_STAGE;
    WATCHDOG.control = WATCHDOG_RESET_LENGTH_MAX | WATCHDOG_ENABLE;
    WATCHDOG.feed = WATCHDOG_FEED;
}
