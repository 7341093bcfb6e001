/* As much of POSIX threads as paho's headers and MQTTClient.c name. Thread.c, which is
 * ours, does the work on FreeRTOS. */
#ifndef FW_PAHO_PTHREAD_H
#define FW_PAHO_PTHREAD_H

typedef void *pthread_t; /* TaskHandle_t */

typedef struct {
    void *handle; /* SemaphoreHandle_t, made when the mutex is first locked */
} pthread_mutex_t;
#define PTHREAD_MUTEX_INITIALIZER {0}

/* One end of an event: Thread.c waits for a semaphore, not for a condition. */
typedef struct pthread_cond {
    void *semaphore;            /* SemaphoreHandle_t */
    struct pthread_cond *next;  /* all events, for Thread_reset_events */
} pthread_cond_t;

/* Every mutex of ours detects that its owner locks it again, so there is no type to set,
 * and a mutex of static storage needs no initialisation. */
typedef int pthread_mutexattr_t;
#define PTHREAD_MUTEX_ERRORCHECK 1
#define pthread_mutexattr_init(attributes) (*(attributes) = 0)
#define pthread_mutexattr_settype(attributes, type) (*(attributes) = (type))

static inline int pthread_mutex_init(pthread_mutex_t *mutex,
                                     const pthread_mutexattr_t *attributes)
{
    (void)attributes;
    mutex->handle = 0;
    return 0;
}

#endif
