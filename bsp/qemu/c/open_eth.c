/* lwIP driver of the OpenCores 10/100 Ethernet MAC that QEMU's machine has.
 *
 * Registers and descriptors: OpenCores "Ethernet IP Core Specification" (eth_speci.pdf),
 * chapters 3 and 4.2; QEMU's hw/net/opencores_eth.c implements a subset.
 *
 * Receive: the interrupt posts one callback to lwIP's thread, which empties the ring into
 * pbufs, within a budget a tick. Transmit: copies a frame into the MAC's own buffer memory, so a
 * pbuf is never owned by the hardware. All but the interrupt runs under lwIP's core lock:
 * in its thread, or in a task that sends. */
#include <stdbool.h>
#include <string.h>

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

#include "board.h"
#include "board_netif.h"
#include "lx106.h"
#include "net_filter.h"

#if ETH_PAD_SIZE != 0
#error "open_eth.c copies frames without padding"
#endif

/* --- Hardware --------------------------------------------------------------------- */

static volatile uint32_t *const eth = (volatile uint32_t *)BOARD_ETH_REGISTERS;

enum {
    MODER = 0,
    INT_SOURCE = 1,
    INT_MASK = 2,
    PACKETLEN = 6,
    TX_BD_NUM = 8,
    MIICOMMAND = 11,
    MIIADDRESS = 12,
    MIIRX_DATA = 14,
    MIISTATUS = 15,
    MAC_ADDR0 = 16,
    MAC_ADDR1 = 17,
};

/* MODER. Bit 3, "BRO", rejects broadcasts when set, so it stays clear. */
#define MODER_RXEN 0x0001U
#define MODER_TXEN 0x0002U
#define MODER_RST 0x0800U
#define MODER_CRCEN 0x2000U
#define MODER_PAD 0x8000U
/* INT_SOURCE, INT_MASK; writing 1 to INT_SOURCE clears. */
#define INT_TXB 0x01U  /* frame sent */
#define INT_RXB 0x04U  /* frame received */
#define INT_RXE 0x08U  /* receive error */
#define INT_BUSY 0x10U /* frame dropped: no free descriptor */
#define INT_ALL 0x7FU

#define MIICOMMAND_RSTAT 0x2U
#define MIISTATUS_BUSY 0x2U
#define PHY_ADDRESS 1U /* the machine's DP83848C */
#define PHY_BMSR 1U
#define BMSR_LINK 0x0004U

struct descriptor {
    uint32_t flags; /* length in the upper half */
    uint32_t buffer;
};
static volatile struct descriptor *const descriptors =
    (volatile struct descriptor *)BOARD_ETH_DESCRIPTORS;

#define TXD_READY 0x8000U
#define TXD_IRQ 0x4000U
#define TXD_WRAP 0x2000U
#define TXD_PAD 0x1000U
#define TXD_CRC 0x0800U
#define RXD_EMPTY 0x8000U
#define RXD_IRQ 0x4000U
#define RXD_WRAP 0x2000U
/* Any of these spoils a frame: overrun, invalid symbol, dribble nibble, too long, short
 * frame, CRC error, late collision. */
#define RXD_ERRORS 0x007FU

/* The 16 KB of buffer memory hold ten frames of the longest kind. */
#define BUFFER_SIZE 1536U
#define TX_COUNT 2U
#define RX_COUNT 8U
_Static_assert((TX_COUNT + RX_COUNT) * BUFFER_SIZE <= BOARD_ETH_BUFFERS_SIZE, "buffers");

#define FCS_LENGTH 4U     /* the MAC counts the frame check sequence as received */
#define FRAME_MIN 60U     /* without FCS */
#define FRAME_MAX 1514U   /* without FCS: 14 bytes of header, 1500 of payload */

#define LINK_POLL_MS 1000U

/* --- State: there is one MAC ------------------------------------------------------ */

static struct netif *interface;
static struct tcpip_callback_msg *receive_message;
static volatile bool receive_posted; /* receive_message is in lwIP's queue */
static unsigned tx_next;
static unsigned rx_next; /* 0 .. RX_COUNT - 1 */

static void *buffer_address(unsigned index)
{
    return (void *)(BOARD_ETH_BUFFERS + index * BUFFER_SIZE);
}

/* --- Receive ---------------------------------------------------------------------- */

static void receive_frame(const void *frame, size_t length)
{
    struct pbuf *p = net_buffer(interface, length);
    if (p != NULL) {
        (void)pbuf_take(p, frame, (u16_t)length);
        net_received(interface, p);
    }
}

/* Hand the received frames that lwIP wants to it, in its thread. A flood is served within a
 * budget a tick, so that timers, messages and the tasks below get their turn. */
static void receive_all(void *arg)
{
    unsigned *spent = net_spent();
    (void)arg;

    /* Cleared first: a frame that arrives from here on posts again. */
    receive_posted = false;
    for (;;) {
        volatile struct descriptor *d = &descriptors[TX_COUNT + rx_next];
        uint32_t flags = d->flags;
        if ((flags & RXD_EMPTY) != 0) {
            return;
        }
        if (*spent >= NET_BUDGET) {
            break;
        }
        size_t length = flags >> 16;
        const uint8_t *frame = buffer_address(TX_COUNT + rx_next);
        *spent += NET_COST_DROPPED;
        if ((flags & RXD_ERRORS) != 0 || length < 14 + FCS_LENGTH ||
            length > FRAME_MAX + FCS_LENGTH) {
            LINK_STATS_INC(link.err);
            LINK_STATS_INC(link.drop);
            MIB2_STATS_NETIF_INC(interface, ifinerrors);
        } else if (net_wants(interface, frame, LWIP_MIN(length - FCS_LENGTH, NET_FILTER_LENGTH))) {
            *spent += NET_COST_TAKEN - NET_COST_DROPPED;
            receive_frame(frame, length - FCS_LENGTH);
        }
        /* Give the buffer back to the MAC. */
        d->flags = RXD_EMPTY | RXD_IRQ | (rx_next == RX_COUNT - 1 ? RXD_WRAP : 0);
        rx_next = (rx_next + 1) % RX_COUNT;
    }
    /* Interrupts only note that there are frames until then. One may have posted since the
     * flag was cleared, and brought us here before the pause was over. */
    receive_posted = true;
    sys_untimeout(receive_all, NULL);
    sys_timeout(NET_PAUSE_MS, receive_all, NULL);
}

static void on_interrupt(void *arg)
{
    (void)arg;
    uint32_t source = eth[INT_SOURCE];
    eth[INT_SOURCE] = source;
    if ((source & INT_BUSY) != 0) {
        LINK_STATS_INC(link.drop);
    }
    if (!receive_posted) {
        receive_posted = true;
        err_t result = tcpip_callbackmsg_trycallback_fromisr(receive_message);
        if (result == ERR_NEED_SCHED) {
            portYIELD_FROM_ISR(pdTRUE);
        } else if (result != ERR_OK) {
            receive_posted = false; /* lwIP's queue is full: the next frame tries again */
        }
    }
}

/* --- Transmit --------------------------------------------------------------------- */

static err_t transmit(struct netif *netif, struct pbuf *p)
{
    (void)netif;
    volatile struct descriptor *d = &descriptors[tx_next];

    if (p->tot_len > FRAME_MAX) {
        LINK_STATS_INC(link.lenerr);
        return ERR_ARG;
    }
    if ((d->flags & TXD_READY) != 0) {
        /* Both buffers wait for the wire. */
        LINK_STATS_INC(link.drop);
        MIB2_STATS_NETIF_INC(interface, ifoutdiscards);
        return ERR_MEM;
    }
    uint8_t *buffer = buffer_address(tx_next);
    uint16_t length = pbuf_copy_partial(p, buffer, p->tot_len, 0);
    if (length < FRAME_MIN) {
        /* The MAC pads by itself; zeros here keep old frames from leaking. */
        memset(buffer + length, 0, FRAME_MIN - length);
        length = FRAME_MIN;
    }
    d->flags = (uint32_t)length << 16 | TXD_READY | TXD_PAD | TXD_CRC |
               (tx_next == TX_COUNT - 1 ? TXD_WRAP : 0);
    tx_next = (tx_next + 1) % TX_COUNT;

    LINK_STATS_INC(link.xmit);
    MIB2_STATS_NETIF_ADD(interface, ifoutoctets, length);
    return ERR_OK;
}

/* --- Link ------------------------------------------------------------------------- */

static bool link_is_up(void)
{
    eth[MIIADDRESS] = PHY_BMSR << 8 | PHY_ADDRESS;
    eth[MIICOMMAND] = MIICOMMAND_RSTAT;
    while ((eth[MIISTATUS] & MIISTATUS_BUSY) != 0) {
    }
    eth[MIICOMMAND] = 0;
    return (eth[MIIRX_DATA] & BMSR_LINK) != 0;
}

/* The MAC raises no interrupt for the PHY, so look once a second. */
static void poll_link(void *arg)
{
    (void)arg;
    if (link_is_up()) {
        netif_set_link_up(interface); /* both do nothing without a change */
    } else {
        netif_set_link_down(interface);
    }
    /* Also serves frames whose interrupt met a full queue. */
    if (!receive_posted) {
        receive_all(NULL);
    }
    sys_timeout(LINK_POLL_MS, poll_link, NULL);
}

/* --- Start ------------------------------------------------------------------------ */

/* The address that QEMU gives its first network card when it is not told otherwise; the
 * core's registers are zero after reset unless a loader wrote them. */
static const uint8_t default_mac[ETH_HWADDR_LEN] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

static void set_mac_address(uint8_t mac[ETH_HWADDR_LEN])
{
    uint32_t low = eth[MAC_ADDR0];  /* bytes 2..5, byte 5 lowest */
    uint32_t high = eth[MAC_ADDR1]; /* bytes 0, 1 */
    if ((low | high) == 0) {
        memcpy(mac, default_mac, ETH_HWADDR_LEN);
    } else {
        mac[0] = (uint8_t)(high >> 8);
        mac[1] = (uint8_t)high;
        mac[2] = (uint8_t)(low >> 24);
        mac[3] = (uint8_t)(low >> 16);
        mac[4] = (uint8_t)(low >> 8);
        mac[5] = (uint8_t)low;
    }
}

/* Reset the MAC's registers, and with them what it remembers of descriptors. */
static void reset_registers(void)
{
    eth[MODER] = MODER_RST;
    eth[MODER] = 0;
}

/* Lower the interrupt line. QEMU changes it only when INT_SOURCE & INT_MASK becomes zero or
 * not, and a reset clears both registers without looking at the line: a board that is reset
 * while a frame waits would come up with the line high for ever. So raise the interrupt once
 * more, by sending a frame to nobody, and clear it. */
static void release_interrupt_line(void)
{
    void *frame = buffer_address(0);

    memset(frame, 0, FRAME_MIN);
    descriptors[0].buffer = (uint32_t)frame;
    descriptors[0].flags = 0;
    eth[TX_BD_NUM] = TX_COUNT;
    eth[INT_MASK] = INT_TXB;
    eth[MODER] = MODER_TXEN;
    descriptors[0].flags = FRAME_MIN << 16 | TXD_READY | TXD_IRQ | TXD_WRAP;
    eth[INT_SOURCE] = INT_ALL;
}

err_t board_netif_init(struct netif *netif)
{
    LWIP_ASSERT("one interface", interface == NULL);
    receive_message = tcpip_callbackmsg_new(receive_all, NULL);
    if (receive_message == NULL) {
        return ERR_MEM;
    }
    interface = netif;

    net_ethernet_interface(netif, transmit);
    set_mac_address(netif->hwaddr);

    reset_registers();
    release_interrupt_line();
    /* A reset clears the address too. */
    reset_registers();
    const uint8_t *mac = netif->hwaddr;
    eth[MAC_ADDR0] = (uint32_t)mac[2] << 24 | (uint32_t)mac[3] << 16 |
                     (uint32_t)mac[4] << 8 | mac[5];
    eth[MAC_ADDR1] = (uint32_t)mac[0] << 8 | mac[1];
    eth[PACKETLEN] = (FRAME_MIN + FCS_LENGTH) << 16 | BUFFER_SIZE;
    eth[TX_BD_NUM] = TX_COUNT;
    for (unsigned i = 0; i < TX_COUNT; i++) {
        descriptors[i].flags = i == TX_COUNT - 1 ? TXD_WRAP : 0;
        descriptors[i].buffer = (uint32_t)buffer_address(i);
    }
    for (unsigned i = 0; i < RX_COUNT; i++) {
        volatile struct descriptor *d = &descriptors[TX_COUNT + i];
        d->buffer = (uint32_t)buffer_address(TX_COUNT + i);
        d->flags = RXD_EMPTY | RXD_IRQ | (i == RX_COUNT - 1 ? RXD_WRAP : 0);
    }
    eth[INT_SOURCE] = INT_ALL;
    eth[INT_MASK] = INT_RXB | INT_RXE | INT_BUSY;
    lx106_irq_attach(BOARD_IRQ_ETH, on_interrupt, NULL);
    eth[MODER] = MODER_PAD | MODER_CRCEN | MODER_TXEN | MODER_RXEN;

    if (link_is_up()) {
        netif->flags |= NETIF_FLAG_LINK_UP;
    }
    sys_timeout(LINK_POLL_MS, poll_link, NULL);
    return ERR_OK;
}
