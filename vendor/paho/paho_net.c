/* lwIP's calls as paho makes them: those that open a connection leave a record of why they
 * failed, and a socket is not closed while paho's task polls it. */
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "FreeRTOS.h"
#include "task.h"

#include "thread_events.h"
#include "tls_client.h"

int paho_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **result)
{
    const int code = lwip_getaddrinfo(node, service, hints, result);

    if (code != 0) {
        tls_error_set(TLS_STAGE_RESOLVE, code, 0);
    }
    return code;
}

int paho_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    Thread_reset_events();
    /* What holds if nothing more is heard: paho waits for the connection, then gives up. */
    tls_error_set(TLS_STAGE_CONNECT, 0, ETIMEDOUT);

    const int result = lwip_connect(fd, address, length);
    const int error = errno;
    if (result != 0 && error != EINPROGRESS) {
        tls_error_set(TLS_STAGE_CONNECT, 0, error);
        errno = error;
    }
    return result;
}

int paho_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    const int result = lwip_getsockopt(fd, level, name, value, length);

    if (result == 0 && level == SOL_SOCKET && name == SO_ERROR && *(int *)value != 0) {
        tls_error_set(TLS_STAGE_CONNECT, 0, *(int *)value);
    }
    return result;
}

/* The task that waits in lwip_poll, or NULL. */
static volatile TaskHandle_t poller;

int paho_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (timeout_ms == 0) {
        return lwip_poll(fds, count, 0);
    }
    poller = xTaskGetCurrentTaskHandle();
    const int result = lwip_poll(fds, count, timeout_ms);
    poller = NULL;
    return result;
}

/* paho closes a socket by shutdown(SHUT_WR), an empty recv() and close(). Between these, lwIP
 * 2.2.1 may free the connection and keep its address (FIN received, FIN sent, FIN read, FIN
 * acknowledged: tcp_input_delayed_close tells nobody), and close() then frees it again. So all
 * of it happens in paho_close. */
int paho_shutdown(int fd, int how)
{
    (void)fd;
    (void)how;
    return 0;
}

ssize_t paho_recv(int fd, void *buffer, size_t size, int flags)
{
    return size > 0 ? lwip_recv(fd, buffer, size, flags) : 0;
}

int paho_close(int fd)
{
    /* With the FIN sent first, the last bytes (DISCONNECT) arrive. lwip_close alone would drop
     * them and send a RST if there is data that nobody has read. */
    (void)lwip_shutdown(fd, SHUT_WR);
    /* lwIP 2.2.1 never takes back the mark "polled" from a socket that is closed under the
     * poll (lwip_pollscan, LWIP_POLLSCAN_DEC_WAIT), and the next socket() stops on it. So send
     * the poller away first: shutting the socket down wakes it, if not, its time-out does. */
    if (poller != NULL && poller != xTaskGetCurrentTaskHandle()) {
        (void)lwip_shutdown(fd, SHUT_RDWR);
        while (poller != NULL) {
            vTaskDelay(1);
        }
    }
    return lwip_close(fd);
}

/* paho wakes its polling task through a pair of sockets. lwIP has none; paho carries on
 * without and its task looks for new sockets every 100 ms instead. */
int paho_socketpair(int domain, int type, int protocol, int fds[2])
{
    (void)domain;
    (void)type;
    (void)protocol;
    fds[0] = -1;
    fds[1] = -1;
    errno = EAFNOSUPPORT;
    return -1;
}
