/* Between paho and lwIP's sockets: when a connection must stand, and what its socket does. */
#ifndef PAHO_NET_H
#define PAHO_NET_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds that are left of paho_connect_to()'s. */
uint32_t paho_net_time_left(void);

/* Whether reading the socket would find something: bytes, its end, an error. */
bool paho_net_readable(int fd);

/* End the connection of the socket at once: what is not sent is dropped, the peer may get a
 * RST. */
void paho_net_drop_unsent(int fd);

#endif
