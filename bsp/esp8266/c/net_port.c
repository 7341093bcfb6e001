/* lwIP's driver of the virtual NodeMCU's network port: the network of firmware that was built
 * without the radio's libraries. */
#include <stdbool.h>
#include <string.h>

#include "lwip/err.h"
#include "lwip/etharp.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/snmp.h"
#include "lwip/stats.h"
#include "lwip/tcpip.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#include "FreeRTOS.h"
#include "task.h"

#include "board_netif.h"
#include "fw_hooks.h"
#include "lx106.h"
#include "net_filter.h"
#include "net_port.h"

#if ETH_PAD_SIZE != 0
#error "net_port.c copies frames without padding"
#endif

#define FRAME_MIN 60U     /* without FCS */
#define FRAME_HEADER 14U
#define FRAME_MAX 1514U
#define INTERRUPTS (NET_PORT_RECEIVED | NET_PORT_LINK_CHANGED)
/* Mends what a full message queue of lwIP's lost. */
#define POLL_MS 1000U

static struct netif *interface;
static struct tcpip_callback_msg *service_message;

/* A frame's beginning, for the filter; the port gives each byte once. */
static uint8_t beginning[NET_FILTER_LENGTH];

/* Take the frame whose turn it is, of `length` bytes, `begun` of them in `beginning`. */
static void receive_frame(uint32_t length, uint32_t begun)
{
    struct pbuf *p = net_buffer(interface, length);
    if (p == NULL) {
        return;
    }
    memcpy(p->payload, beginning, begun);
    NET_PORT.dma_address = (uint32_t)p->payload + begun;
    NET_PORT.rx_copy = length - begun;
    net_received(interface, p);
}

/* Take the frame whose turn it is, if lwIP wants it. Returns its cost. */
static unsigned serve_frame(void)
{
    uint32_t length = NET_PORT.rx_length;
    uint32_t begun = LWIP_MIN(length, sizeof beginning);

    if (length < FRAME_HEADER || length > FRAME_MAX) {
        LINK_STATS_INC(link.lenerr);
        LINK_STATS_INC(link.drop);
        MIB2_STATS_NETIF_INC(interface, ifinerrors);
        return NET_COST_DROPPED;
    }
    NET_PORT.dma_address = (uint32_t)beginning;
    NET_PORT.rx_copy = begun;
    if (!net_wants(interface, beginning, begun)) {
        return NET_COST_DROPPED;
    }
    receive_frame(length, begun);
    return NET_COST_TAKEN;
}

static void follow_link(void)
{
    NET_PORT.int_clear = NET_PORT_LINK_CHANGED;
    if ((NET_PORT.status & NET_PORT_LINK_UP) != 0) {
        netif_set_link_up(interface); /* both do nothing without a change */
    } else {
        netif_set_link_down(interface);
    }
}

/* In lwIP's thread, after an interrupt, which stays off meanwhile. A flood is served within a
 * budget a tick, so that timers, messages and the tasks below get their turn. */
static void service(void *arg)
{
    unsigned *spent = net_spent();
    (void)arg;

    follow_link();
    while ((NET_PORT.status & NET_PORT_RECEIVED) != 0) {
        if (*spent >= NET_BUDGET) {
            /* poll() may have come here as well. */
            sys_untimeout(service, NULL);
            sys_timeout(NET_PAUSE_MS, service, NULL);
            return;
        }
        *spent += serve_frame();
        NET_PORT.rx_done = 1;
    }
    /* What comes now raises the interrupt again. */
    NET_PORT.int_enable = INTERRUPTS;
}

static void on_interrupt(void *arg)
{
    (void)arg;
    NET_PORT.int_enable = 0;
    /* When lwIP's queue is full, poll() makes up for it. */
    if (tcpip_callbackmsg_trycallback_fromisr(service_message) == ERR_NEED_SCHED) {
        portYIELD_FROM_ISR(pdTRUE);
    }
}

static void poll(void *arg)
{
    (void)arg;
    if (NET_PORT.int_enable == 0) {
        service(NULL);
    }
    sys_timeout(POLL_MS, poll, NULL);
}

extern uint8_t _dram_start[], _dram_end[];

static bool in_dram(const struct pbuf *p)
{
    const uint8_t *bytes = p->payload;
    return bytes >= _dram_start && bytes <= _dram_end &&
           p->len <= (size_t)(_dram_end - bytes);
}

static err_t transmit(struct netif *netif, struct pbuf *p)
{
    (void)netif;
    static uint32_t zeros[FRAME_MIN / 4]; /* in RAM, where the port can read them */

    if (p->tot_len > FRAME_MAX) {
        LINK_STATS_INC(link.lenerr);
        return ERR_ARG;
    }
    for (const struct pbuf *part = p; part != NULL; part = part->next) {
        if (!in_dram(part)) {
            /* Constants in flash, which the port cannot read. */
            struct pbuf *copy = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
            if (copy == NULL) {
                LINK_STATS_INC(link.memerr);
                return ERR_MEM;
            }
            err_t result = transmit(netif, copy);
            (void)pbuf_free(copy);
            return result;
        }
    }
    for (const struct pbuf *part = p; part != NULL; part = part->next) {
        NET_PORT.dma_address = (uint32_t)part->payload;
        NET_PORT.tx_copy = part->len;
    }
    if (p->tot_len < FRAME_MIN) {
        NET_PORT.dma_address = (uint32_t)zeros;
        NET_PORT.tx_copy = FRAME_MIN - p->tot_len;
    }
    NET_PORT.tx_send = 1;
    LINK_STATS_INC(link.xmit);
    MIB2_STATS_NETIF_ADD(interface, ifoutoctets, p->tot_len);
    return ERR_OK;
}

err_t board_netif_init(struct netif *netif)
{
    LWIP_ASSERT("one interface", interface == NULL);
    if (NET_PORT.id != NET_PORT_ID) {
        fw_log(FW_LOG_ERROR, "net",
               "no network port: this firmware was built without the radio's libraries "
               "(`make sdk`, then `make flash`)");
        return ERR_IF;
    }
    service_message = tcpip_callbackmsg_new(service, NULL);
    if (service_message == NULL) {
        return ERR_MEM;
    }
    interface = netif;

    net_ethernet_interface(netif, transmit);
    uint32_t low = NET_PORT.mac_low;
    uint32_t high = NET_PORT.mac_high;
    for (unsigned i = 0; i < 4; i++) {
        netif->hwaddr[i] = (uint8_t)(low >> (8 * i));
    }
    netif->hwaddr[4] = (uint8_t)high;
    netif->hwaddr[5] = (uint8_t)(high >> 8);

    if ((NET_PORT.status & NET_PORT_LINK_UP) != 0) {
        netif->flags |= NETIF_FLAG_LINK_UP;
    }
    lx106_irq_attach(NET_PORT_IRQ, on_interrupt, NULL);
    NET_PORT.int_enable = INTERRUPTS;
    sys_timeout(POLL_MS, poll, NULL);
    return ERR_OK;
}
