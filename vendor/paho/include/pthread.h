/* As much of POSIX threads as paho's headers and MQTTClient.c name. There is one task
 * (Thread.c), so a mutex is a flag and an event nothing. */
#ifndef FW_PAHO_PTHREAD_H
#define FW_PAHO_PTHREAD_H

#include <stdbool.h>

typedef void *pthread_t;

typedef struct {
    bool locked;
} pthread_mutex_t;
#define PTHREAD_MUTEX_INITIALIZER {false}

typedef char pthread_cond_t; /* of an event, which nobody waits for */

/* Every mutex of ours detects that it is locked again, so there is no type to set. */
typedef int pthread_mutexattr_t;
#define PTHREAD_MUTEX_ERRORCHECK 1
#define pthread_mutexattr_init(attributes) (*(attributes) = 0)
#define pthread_mutexattr_settype(attributes, type) (*(attributes) = (type))

static inline int pthread_mutex_init(pthread_mutex_t *mutex,
                                     const pthread_mutexattr_t *attributes)
{
    (void)attributes;
    mutex->locked = false;
    return 0;
}

#endif
