/* lwIP's sockets under their POSIX names. The calls that open and close a connection go through
 * paho_net.c. */
#ifndef FW_PAHO_SYS_SOCKET_H
#define FW_PAHO_SYS_SOCKET_H

#include "lwip/sockets.h"

#define AF_LOCAL 1

int paho_socket(int domain, int type, int protocol);
int paho_connect(int fd, const struct sockaddr *address, socklen_t length);
int paho_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int paho_shutdown(int fd, int how);
ssize_t paho_recv(int fd, void *buffer, size_t size, int flags);
int paho_close(int fd);
int paho_socketpair(int domain, int type, int protocol, int fds[2]);

/* Its socket is connected, does not wait and does not delay: there is nothing to set or ask. */
#undef setsockopt
#define setsockopt(fd, level, name, value, length) 0
#undef getsockopt
#define getsockopt(fd, level, name, value, length) ((void)(length), -1)
#undef fcntl
#define fcntl(fd, command, value) 0
#undef socket
#define socket paho_socket
#undef connect
#define connect paho_connect
#undef poll
#define poll(fds, count, timeout_ms) paho_poll((fds), (count), (timeout_ms))
#undef shutdown
#define shutdown paho_shutdown
#undef recv
#define recv paho_recv
#undef close
#define close(fd) paho_close(fd)
#define socketpair paho_socketpair

#endif
