/* lwIP's calls as paho makes them. It asks for the server's address, a socket and a connection,
 * one after the other; here its socket is connected from the start, to the first address that
 * takes the connection within the time that there is, or there is a record of why none did. It
 * closes a socket in several steps; here in one. */
#include <errno.h>
#include <netdb.h>
#include <sys/socket.h>

#include "lwip/api.h"
#include "lwip/priv/sockets_priv.h"
#include "lwip/tcp.h"

#include "paho_net.h"
#include "paho_port.h"
#include "tls_client.h"

/* -- Time -------------------------------------------------------------------------- */

static uint32_t deadline_ms;
static struct sockaddr_in servers[PAHO_MAX_ADDRESSES];
static size_t server_count;

void paho_connect_to(const uint32_t *addresses, size_t count, uint16_t port,
                     uint32_t timeout_ms)
{
    deadline_ms = tls_now_ms() + timeout_ms;
    server_count = count < PAHO_MAX_ADDRESSES ? count : PAHO_MAX_ADDRESSES;
    for (size_t i = 0; i < server_count; i++) {
        servers[i] = (struct sockaddr_in){
            .sin_len = sizeof servers[i],
            .sin_family = AF_INET,
            .sin_port = lwip_htons(port),
            .sin_addr = {.s_addr = addresses[i]},
        };
    }
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

bool paho_net_readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return lwip_poll(&poll_fd, 1, 0) != 0;
}

/* -- paho's calls ------------------------------------------------------------------ */

/* Any address does: paho_socket knows better. */
int paho_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                     struct addrinfo **result)
{
    static struct addrinfo any = {
        .ai_family = AF_INET,
        .ai_addr = (struct sockaddr *)servers,
    };

    (void)node;
    (void)service;
    (void)hints;
    *result = &any;
    return 0;
}

/* A SYN is sent again after 3 s, then 6 s later. Where there are other addresses left, one that
 * does not answer the second is given up; what TCP takes must leave time for TLS. */
#define ONE_OF_MANY_MS 4500U
#define LAST_MS 12000U
#define FOR_TLS_MS 8000U

/* Connect the socket. Returns 0 or the errno. */
static int connect_within(int fd, const struct sockaddr_in *server, uint32_t timeout_ms)
{
    struct netconn *const conn = lwip_socket_dbg_get_socket(fd)->conn;
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

    netconn_set_nonblocking(conn, 1);
    if (lwip_connect(fd, (const struct sockaddr *)server, sizeof *server) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return errno;
    }
    if (lwip_poll(&poll_fd, 1, (int)timeout_ms) == 0) {
        return ETIMEDOUT;
    }
    return err_to_errno(netconn_err(conn));
}

/* Hear of the socket's events: whoever waits for several things cannot wait in a poll. Send
 * what is written at once: it is a whole packet. */
static void make_ready(int fd)
{
    struct netconn *const conn = lwip_socket_dbg_get_socket(fd)->conn;

    net_core_lock();
    note_event = conn->callback;
    conn->callback = on_event;
    if (conn->pcb.tcp != NULL) {
        tcp_nagle_disable(conn->pcb.tcp);
    }
    net_core_unlock();
}

void paho_net_drop_unsent(int fd)
{
    lwip_socket_dbg_get_socket(fd)->conn->linger = 0;
    (void)lwip_shutdown(fd, SHUT_RDWR);
}

int paho_socket(int domain, int type, int protocol)
{
    int error = ETIMEDOUT;

    for (size_t i = 0; i < server_count; i++) {
        const uint32_t left = paho_net_time_left();
        const uint32_t most = i + 1 < server_count ? ONE_OF_MANY_MS : LAST_MS;
        if (left <= FOR_TLS_MS) {
            break;
        }
        const int fd = lwip_socket(domain, type, protocol);
        if (fd < 0) {
            error = errno;
            break;
        }
        error = connect_within(fd, &servers[i],
                               left - FOR_TLS_MS < most ? left - FOR_TLS_MS : most);
        if (error == 0) {
            make_ready(fd);
            return fd;
        }
        (void)lwip_close(fd);
    }
    tls_error_set(TLS_STAGE_CONNECT, 0, error);
    errno = error;
    return -1;
}

int paho_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    (void)fd;
    (void)address;
    (void)length;
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
