#ifndef FW_PAHO_THREAD_EVENTS_H
#define FW_PAHO_THREAD_EVENTS_H

/* Forget every signal that nobody has waited for. paho signals an event twice when a refused
 * CONNACK is followed by the end of the connection, and takes the second one for an answer
 * to its next CONNECT. Called before each new connection, when none can be outstanding. */
void Thread_reset_events(void);

#endif
