/* lwIP's sockets.h, and the one type that Socket.c uses without IPv6 too. */
#ifndef FW_PAHO_NETINET_IN_H
#define FW_PAHO_NETINET_IN_H

#include <sys/socket.h>

/* Socket.c declares variables of this type in every configuration and fills them in only
 * for an address of family AF_INET6, which lwIP without IPv6 never returns. */
struct sockaddr_in6 {
    sa_family_t sin6_family;
    in_port_t sin6_port;
    uint32_t sin6_flowinfo;
    struct in6_addr sin6_addr;
    uint32_t sin6_scope_id;
};
#undef AF_INET6
#define AF_INET6 10

#endif
