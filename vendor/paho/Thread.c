/* paho's Thread.h on FreeRTOS.
 *
 * paho starts a thread per connection (MQTTClient_run) that ends with it. Here one task is
 * made at the first start and then runs one such function after another, so that a reconnect
 * neither allocates a stack nor depends on the idle task to free one. The next function waits
 * until the last has returned: with connectionLost = NULL paho never needs two at a time. */
#include "Thread.h"

#include <errno.h>
#include <stdlib.h>

#include "FreeRTOS.h"
#include "semphr.h"
#include "task.h"

#include "crash.h"
#include "fw_hooks.h"
#include "paho_port.h"
#include "thread_events.h"

/* -- Threads ---------------------------------------------------------------------- */

struct job {
    thread_fn function;
    void *argument;
};

static QueueHandle_t jobs;
static TaskHandle_t worker_task;

/* The task shows life when it asks for a job and, while it has one, each time that it holds
 * one of paho's mutexes: once in a turn of MQTTClient_run, which waits 100 ms for the socket.
 * The longest that it must wait for a mutex is while the other side connects. */
#define WAIT_S 10
#define LIFE_S 180

static void worker(void *unused)
{
    struct job job;

    (void)unused;
    for (;;) {
        fw_alive(LIFE_S);
        if (xQueueReceive(jobs, &job, pdMS_TO_TICKS(WAIT_S * 1000)) == pdTRUE) {
            (void)job.function(job.argument);
        }
    }
}

/* Called with paho's client mutex held, so never twice at a time. */
void Paho_thread_start(thread_fn function, void *argument)
{
    const struct job job = {function, argument};

    if (jobs == NULL) {
        jobs = xQueueCreate(1, sizeof job);
        if (jobs == NULL
            || xTaskCreate(worker, "paho", PAHO_TASK_STACK / sizeof(StackType_t), NULL,
                           PAHO_TASK_PRIORITY, &worker_task) != pdPASS) {
            crash_out_of_memory(PAHO_TASK_STACK);
        }
    }
    /* paho starts its thread only when it has seen the last one end. */
    if (xQueueSend(jobs, &job, 0) != pdTRUE) {
        crash_assert("paho: one thread at a time", "Thread.c", __LINE__);
    }
}

int Thread_set_name(const char *name)
{
    (void)name;
    return 0;
}

thread_id_type Paho_thread_getid(void)
{
    return xTaskGetCurrentTaskHandle();
}

/* -- Mutexes: not recursive; locking one's own returns EDEADLK --------------------- */

mutex_type Paho_thread_create_mutex(int *rc)
{
    mutex_type mutex = calloc(1, sizeof *mutex);

    *rc = mutex != NULL ? 0 : ENOMEM;
    return mutex;
}

int Paho_thread_lock_mutex(mutex_type mutex)
{
    if (mutex->handle == NULL) {
        vTaskSuspendAll(); /* two tasks may come here first at the same time */
        if (mutex->handle == NULL) {
            mutex->handle = xSemaphoreCreateMutex();
        }
        (void)xTaskResumeAll();
        if (mutex->handle == NULL) {
            crash_out_of_memory(sizeof(StaticSemaphore_t)); /* paho ignores a failed lock */
        }
    }
    if (xSemaphoreGetMutexHolder(mutex->handle) == xTaskGetCurrentTaskHandle()) {
        return EDEADLK;
    }
    if (xSemaphoreTake(mutex->handle, portMAX_DELAY) != pdTRUE) {
        return EINVAL;
    }
    if (xTaskGetCurrentTaskHandle() == worker_task) {
        fw_alive(LIFE_S);
    }
    return 0;
}

int Paho_thread_unlock_mutex(mutex_type mutex)
{
    if (mutex->handle == NULL
        || xSemaphoreGetMutexHolder(mutex->handle) != xTaskGetCurrentTaskHandle()) {
        return EPERM;
    }
    return xSemaphoreGive(mutex->handle) == pdTRUE ? 0 : EINVAL;
}

int Paho_thread_destroy_mutex(mutex_type mutex)
{
    if (mutex->handle != NULL) {
        vSemaphoreDelete(mutex->handle);
    }
    free(mutex);
    return 0;
}

/* -- Events: a binary semaphore each ----------------------------------------------- */

static pthread_cond_t *events;

evt_type Thread_create_evt(int *rc)
{
    evt_type event = calloc(1, sizeof *event);

    *rc = ENOMEM;
    if (event == NULL) {
        return NULL;
    }
    event->cond.semaphore = xSemaphoreCreateBinary();
    if (event->cond.semaphore == NULL) {
        free(event);
        return NULL;
    }
    taskENTER_CRITICAL();
    event->cond.next = events;
    events = &event->cond;
    taskEXIT_CRITICAL();
    *rc = 0;
    return event;
}

int Thread_signal_evt(evt_type event)
{
    /* Already signalled is as good. */
    (void)xSemaphoreGive(event->cond.semaphore);
    return 0;
}

int Thread_wait_evt(evt_type event, int timeout_ms)
{
    const TickType_t ticks = timeout_ms > 0 ? pdMS_TO_TICKS((uint64_t)timeout_ms) : 0;

    return xSemaphoreTake(event->cond.semaphore, ticks) == pdTRUE ? 0 : ETIMEDOUT;
}

int Thread_destroy_evt(evt_type event)
{
    taskENTER_CRITICAL();
    for (pthread_cond_t **link = &events; *link != NULL; link = &(*link)->next) {
        if (*link == &event->cond) {
            *link = event->cond.next;
            break;
        }
    }
    taskEXIT_CRITICAL();
    vSemaphoreDelete(event->cond.semaphore);
    free(event);
    return 0;
}

void Thread_reset_events(void)
{
    for (pthread_cond_t *event = events; event != NULL; event = event->next) {
        (void)xSemaphoreTake(event->semaphore, 0);
    }
}
