/* lwIP's resolver under its POSIX names; see sys/socket.h for the detour. */
#ifndef FW_PAHO_NETDB_H
#define FW_PAHO_NETDB_H

#include "lwip/netdb.h"

int paho_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **result);

#undef getaddrinfo
#define getaddrinfo paho_getaddrinfo
#undef freeaddrinfo
#define freeaddrinfo(result) ((void)(result))

#endif
