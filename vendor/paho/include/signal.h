/* There are no signals: a write to a closed socket just fails. Socket.c asks to ignore
 * SIGPIPE, which would otherwise link the C library's signal table. */
#ifndef FW_PAHO_SIGNAL_H
#define FW_PAHO_SIGNAL_H

#define SIGPIPE 13
#define SIG_IGN ((void *)1)
#define SIG_ERR ((void *)-1)
#define signal(number, action) ((void)(number), (action))

#endif
