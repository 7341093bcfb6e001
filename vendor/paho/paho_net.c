/* lwIP's calls as paho makes them: one that opens a connection waits for it, within the time
 * that there is, and leaves a record of why it failed; one that closes does so in one step. */
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "lwip/api.h"
#include "lwip/priv/sockets_priv.h"

#include "paho_net.h"
#include "paho_port.h"
#include "tls_client.h"

/* -- Time -------------------------------------------------------------------------- */

static uint32_t deadline_ms;

void paho_connect_within(uint32_t milliseconds)
{
    deadline_ms = tls_now_ms() + milliseconds;
}

uint32_t paho_net_time_left(void)
{
    const int32_t left = (int32_t)(deadline_ms - tls_now_ms());

    return left > 0 ? (uint32_t)left : 0;
}

/* -- Events ------------------------------------------------------------------------ */

static paho_event *listener;
static void *listener_context;
static netconn_callback note_event; /* the socket layer's own */

void paho_on_event(paho_event *event, void *context)
{
    listener_context = context;
    listener = event;
}

/* lwIP tells that data, an error or the end came. Runs with its core locked. */
static void on_event(struct netconn *conn, enum netconn_evt event, u16_t length)
{
    note_event(conn, event, length);
    if (listener != NULL && (event == NETCONN_EVT_RCVPLUS || event == NETCONN_EVT_ERROR)) {
        listener(listener_context);
    }
}

/* Hear of the socket's events: whoever waits for several things cannot wait in a poll. */
static void listen_to(int fd)
{
    struct lwip_sock *const socket = lwip_socket_dbg_get_socket(fd);

    if (socket != NULL) {
        net_core_lock();
        note_event = socket->conn->callback;
        socket->conn->callback = on_event;
        net_core_unlock();
    }
}

bool paho_net_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return lwip_poll(&poll_fd, 1, 0) != 0;
}

/* -- paho's calls ------------------------------------------------------------------ */

int paho_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **result)
{
    const int code = lwip_getaddrinfo(node, service, hints, result);

    if (code != 0) {
        tls_error_set(TLS_STAGE_RESOLVE, code, 0);
    }
    return code;
}

/* Connect the non-blocking socket. Returns 0 or the errno. */
static int connect_socket(int fd, const struct sockaddr *address, socklen_t length)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t size = sizeof error;

    if (lwip_connect(fd, address, length) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return errno;
    }
    if (lwip_poll(&poll_fd, 1, (int)paho_net_time_left()) == 0) {
        return ETIMEDOUT;
    }
    return lwip_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

int paho_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    const int error = connect_socket(fd, address, length);

    if (error != 0) {
        tls_error_set(TLS_STAGE_CONNECT, 0, error);
        errno = error;
        return -1;
    }
    listen_to(fd);
    return 0;
}

int paho_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    paho_repeat();
    return lwip_poll(fds, count, timeout_ms);
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
    return lwip_close(fd);
}

/* paho wakes a polling thread through a pair of sockets. There is no such thread. */
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
