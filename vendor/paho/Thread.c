/* paho's Thread.h without threads: one task makes every call of paho, no callbacks are set,
 * and so paho starts no thread of its own and never waits for one. */
#include "Thread.h"

#include <errno.h>
#include <stdlib.h>

#include "crash.h"

void Paho_thread_start(thread_fn function, void *argument)
{
    (void)function;
    (void)argument;
    crash_assert("paho starts no thread", "Thread.c", __LINE__);
}

int Thread_set_name(const char *name)
{
    (void)name;
    return 0;
}

/* Never compared with anything but the id of a thread that does not run. */
thread_id_type Paho_thread_getid(void)
{
    return NULL;
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
    if (mutex->locked) {
        return EDEADLK;
    }
    mutex->locked = true;
    return 0;
}

int Paho_thread_unlock_mutex(mutex_type mutex)
{
    if (!mutex->locked) {
        return EPERM;
    }
    mutex->locked = false;
    return 0;
}

int Paho_thread_destroy_mutex(mutex_type mutex)
{
    free(mutex);
    return 0;
}

/* -- Events: made and destroyed with each client, never used ------------------------ */

evt_type Thread_create_evt(int *rc)
{
    static evt_type_struct event;

    *rc = 0;
    return &event;
}

int Thread_signal_evt(evt_type event)
{
    (void)event;
    return 0;
}

int Thread_wait_evt(evt_type event, int timeout_ms)
{
    (void)event;
    (void)timeout_ms;
    return ETIMEDOUT;
}

int Thread_destroy_evt(evt_type event)
{
    (void)event;
    return 0;
}
