/* How paho closes a connection: against lwIP itself, whose packets this file hands back to it,
 * so that both ends of a connection are on this one CPU. */
#include <string.h>

#include "check.h"

#include "lwip/netif.h"
#include "lwip/tcpip.h"
#include "sys/socket.h"

#define PORT 7

static struct netif wire;
/* Packets that wait for let_through(), while `holding`. */
static struct pbuf *held[8];
static unsigned held_count;
static bool holding;

static err_t hand_back(struct netif *netif, struct pbuf *packet, const ip4_addr_t *to)
{
    struct pbuf *copy = pbuf_clone(PBUF_LINK, PBUF_RAM, packet);

    (void)to;
    CHECK(copy != NULL);
    if (holding) {
        CHECK(held_count < LWIP_ARRAYSIZE(held));
        held[held_count++] = copy;
    } else {
        CHECK_EQUAL(netif->input(copy, netif), ERR_OK);
    }
    return ERR_OK;
}

static void hold(void)
{
    LOCK_TCPIP_CORE();
    holding = true;
    UNLOCK_TCPIP_CORE();
}

/* Returns when what was held and the answers to it have arrived. */
static void let_through(void)
{
    LOCK_TCPIP_CORE();
    holding = false;
    for (unsigned i = 0; i < held_count; i++) {
        CHECK_EQUAL(wire.input(held[i], &wire), ERR_OK);
    }
    held_count = 0;
    UNLOCK_TCPIP_CORE();
    vTaskDelay(2);
}

static err_t wire_init(struct netif *netif)
{
    netif->name[0] = 'w';
    netif->name[1] = 'i';
    netif->mtu = 1500;
    netif->output = hand_back;
    netif_set_link_up(netif);
    return ERR_OK;
}

/* A connection from `near` to `far`. */
static void join(int *near, int *far)
{
    ip4_addr_t address, mask;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = lwip_htons(PORT)};

    IP4_ADDR(&address, 10, 9, 8, 7);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    tcpip_init(NULL, NULL);
    LOCK_TCPIP_CORE();
    CHECK(netif_add(&wire, &address, &mask, &address, NULL, wire_init, tcpip_input) == &wire);
    netif_set_default(&wire);
    netif_set_up(&wire);
    UNLOCK_TCPIP_CORE();

    const int listener = lwip_socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0);
    CHECK_EQUAL(lwip_bind(listener, (struct sockaddr *)&to, sizeof to), 0);
    CHECK_EQUAL(lwip_listen(listener, 1), 0);
    *near = lwip_socket(AF_INET, SOCK_STREAM, 0);
    CHECK(*near >= 0);
    to.sin_addr.s_addr = address.addr;
    CHECK_EQUAL(lwip_connect(*near, (struct sockaddr *)&to, sizeof to), 0);
    *far = lwip_accept(listener, NULL, NULL);
    CHECK(*far >= 0);
}

static void wait_readable(int socket)
{
    struct pollfd poll_fd = {.fd = socket, .events = POLLIN};

    CHECK_EQUAL(lwip_poll(&poll_fd, 1, 5000), 1);
}

/* What paho's Socket_close_only does. The peer's answer is late: lwIP 2.2.1 frees a control
 * block twice when the socket's own FIN is acknowledged after the peer's was read and before
 * the socket is closed. */
static void close_like_paho(int socket)
{
    hold();
    CHECK_EQUAL(shutdown(socket, SHUT_WR), 0);
    (void)recv(socket, NULL, 0, 0);
    let_through();
    CHECK_EQUAL(close(socket), 0);
}

/* The peer hangs up first. */
void test_close_after_peer(void)
{
    int near, far;
    uint8_t byte;

    join(&near, &far);
    CHECK_EQUAL(lwip_close(far), 0);
    wait_readable(near);
    close_like_paho(near);
    CHECK_EQUAL(lwip_recv(near, &byte, 1, 0), -1);
}

/* The peer has hung up, and our side has read that before it closes. */
void test_close_after_end_was_read(void)
{
    int near, far;
    uint8_t byte;

    join(&near, &far);
    CHECK_EQUAL(lwip_close(far), 0);
    CHECK_EQUAL(lwip_recv(near, &byte, 1, 0), 0);
    close_like_paho(near);
}

/* The last words (paho's DISCONNECT) reach the peer, although ours leaves data unread:
 * lwIP's close alone would throw them away and send a RST. */
void test_close_with_unread_data(void)
{
    static const char greeting[] = "unread", farewell[] = "last words";
    char heard[sizeof farewell];
    int near, far;

    join(&near, &far);
    CHECK_EQUAL(lwip_send(far, greeting, sizeof greeting, 0), sizeof greeting);
    wait_readable(near);
    CHECK_EQUAL(lwip_send(near, farewell, sizeof farewell, 0), sizeof farewell);
    close_like_paho(near);
    CHECK_EQUAL(lwip_recv(far, heard, sizeof heard, 0), sizeof heard);
    CHECK_EQUAL(memcmp(heard, farewell, sizeof heard), 0);
    CHECK_EQUAL(lwip_recv(far, heard, sizeof heard, 0), 0);
    CHECK_EQUAL(lwip_close(far), 0);
}
