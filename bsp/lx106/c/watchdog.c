/* The watchdog in software. See watchdog.h. */
#include "watchdog.h"

#include "FreeRTOS.h"
#include "task.h"
#include "timers.h"

#include "fw_hooks.h"
#include "lx106.h"

#define CHECK_MS 1000U
#define CHECK_TICKS pdMS_TO_TICKS(CHECK_MS)

/* Tasks that may have promised something at the same time. The runtime has four; what is left is an
 * application's (crates/rtos/src/watchdog.rs). */
#define PROMISES_MAX 16U

unsigned lx106_watchdog_idle_s = 30;

/* Seconds are counted down by the watchdog itself, not read from a clock: an emulator that was
 * stopped for an hour must not find every promise broken. */
static struct promise {
    TaskHandle_t task; /* NULL: free */
    uint16_t left, given;
} promises[PROMISES_MAX];

static struct promise *promise_of(TaskHandle_t task)
{
    for (unsigned i = 0; i < PROMISES_MAX; i++) {
        if (promises[i].task == task) {
            return &promises[i];
        }
    }
    return NULL;
}

void fw_alive(uint16_t seconds)
{
    TaskHandle_t task = xTaskGetCurrentTaskHandle();
    taskENTER_CRITICAL();
    struct promise *promise = promise_of(task);
    if (promise == NULL && seconds > 0) {
        promise = promise_of(NULL);
        if (promise == NULL) {
            crash_assert("more than 16 tasks under watch", "watchdog.c", __LINE__);
        }
    }
    if (promise != NULL) {
        promise->task = seconds > 0 ? task : NULL;
        promise->given = seconds;
        /* One more, since the next check may come at once. */
        promise->left = seconds + 1;
    }
    taskEXIT_CRITICAL();
}

void fw_renew(void)
{
    taskENTER_CRITICAL();
    struct promise *promise = promise_of(xTaskGetCurrentTaskHandle());
    if (promise != NULL) {
        promise->left = promise->given + 1;
    }
    taskEXIT_CRITICAL();
}

static void check_promises(void)
{
    for (unsigned i = 0; i < PROMISES_MAX; i++) {
        struct promise *promise = &promises[i];
        taskENTER_CRITICAL();
        TaskHandle_t broken_by = NULL;
        if (promise->task != NULL && --promise->left == 0) {
            broken_by = promise->task;
        }
        taskEXIT_CRITICAL();
        if (broken_by != NULL) {
            crash_watchdog(broken_by, "showed no life for", promise->given);
        }
    }
}

/* The task that keeps the CPU: of those that want to run, the one of highest priority; of
 * equals, which share it, the one that had most of it. The timer task itself is running.
 * NULL when memory does not suffice to look. */
static TaskHandle_t find_culprit(void)
{
    UBaseType_t count = uxTaskGetNumberOfTasks();
    TaskStatus_t *tasks = pvPortMalloc(count * sizeof(*tasks));
    if (tasks == NULL) {
        return NULL;
    }
    count = uxTaskGetSystemState(tasks, count, NULL);
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

static void check_idle(void)
{
    static configRUN_TIME_COUNTER_TYPE idle_last;
    static unsigned silence_s;

    configRUN_TIME_COUNTER_TYPE idle = ulTaskGetIdleRunTimeCounter();
    if (idle != idle_last) {
        idle_last = idle;
        silence_s = 0;
    } else if (++silence_s >= lx106_watchdog_idle_s) {
        TaskHandle_t culprit = find_culprit();
        if (culprit == NULL) {
            crash_assert("the idle task did not run", "watchdog.c", __LINE__);
        }
        crash_watchdog(culprit, "let no other run for", silence_s);
    }
}

/* The timer repeats by itself: to start it anew here would take a place in the timer task's
 * queue, which others may have filled. But a timer that repeats makes up for checks that it
 * missed, all at once, with no turn for the tasks in between: those are skipped. */
static void on_check(TimerHandle_t timer)
{
    static TickType_t last;
    static unsigned seconds;

    (void)timer;
    TickType_t now = xTaskGetTickCount();
    if (now - last < CHECK_TICKS / 2) {
        return;
    }
    last = now;
    if (seconds < CRASH_SETTLED_S && ++seconds == CRASH_SETTLED_S) {
        crash_settled();
    }
    /* First: who keeps the CPU keeps others from their promises. */
    check_idle();
    check_promises();
    board_watchdog_feed();
}

void lx106_watchdog_start(void)
{
    static StaticTimer_t memory;
    TimerHandle_t timer =
        xTimerCreateStatic("watchdog", CHECK_TICKS, pdTRUE, NULL, on_check, &memory);
    /* The queue of the timer task is empty before the scheduler runs. */
    configASSERT(xTimerStart(timer, 0) == pdPASS);
}
