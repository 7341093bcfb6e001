#include "net_filter.h"

#include <string.h>

#include "FreeRTOS.h"
#include "lwip/netif.h"
#include "lwip/snmp.h"
#include "lwip/stats.h"
#include "lwip/sys.h"
#include "netif/ethernet.h"
#include "task.h"

/* So many at once, and then one in so many milliseconds. */
struct bucket {
    const uint8_t size;
    const uint16_t refill_ms;
    uint8_t left;
    uint32_t since_ms;
};

/* A storm of ARP for this device is an attack or a loop: the neighbours ask again. */
static struct bucket arp = {.size = 20, .refill_ms = 50, .left = 20};
/* lwIP starts anew without a pause when a server refuses what it has offered (DHCPNAK): four
 * rounds, and then one in eight seconds. */
static struct bucket dhcp = {.size = 8, .refill_ms = 4000, .left = 8};

static bool take(struct bucket *bucket)
{
    uint32_t now = sys_now();
    uint32_t fresh = (now - bucket->since_ms) / bucket->refill_ms;

    if (fresh >= (uint32_t)(bucket->size - bucket->left)) {
        bucket->left = bucket->size;
        bucket->since_ms = now;
    } else {
        bucket->left = (uint8_t)(bucket->left + fresh);
        bucket->since_ms += fresh * bucket->refill_ms;
    }
    if (bucket->left == 0) {
        return false;
    }
    bucket->left--;
    return true;
}

/* Offsets in an Ethernet frame, in ARP (RFC 826), IPv4, UDP and DHCP (RFC 2131). */
#define ETHER_TYPE 12U
#define ETHER_SIZE 14U
#define ARP_SENDER (ETHER_SIZE + 14U)
#define ARP_TARGET (ETHER_SIZE + 24U)
#define ARP_SIZE (ETHER_SIZE + 28U)
#define IP_PROTOCOL 9U
#define IP_UDP 17U
#define UDP_DESTINATION 2U
#define UDP_SIZE 8U
#define DHCP_HARDWARE 28U
#define DHCP_CLIENT_PORT 68U

static uint32_t half(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static bool same_address(const uint8_t *bytes, const ip4_addr_t *address)
{
    return memcmp(bytes, &address->addr, sizeof address->addr) == 0;
}

static bool arp_concerns(const struct netif *netif, const uint8_t *frame)
{
    const ip4_addr_t *own = netif_ip4_addr(netif);

    /* Without an address, any may be the one that is about to be taken. */
    return ip4_addr_isany(own) || same_address(frame + ARP_SENDER, own) ||
           same_address(frame + ARP_TARGET, own) ||
           same_address(frame + ARP_SENDER, netif_ip4_gw(netif));
}

enum kind { OTHER, DHCP_FOR_US, DHCP_FOR_OTHERS };

static enum kind kind_of(const struct netif *netif, const uint8_t *frame, size_t length)
{
    const uint8_t *ip = frame + ETHER_SIZE;
    const size_t header = (ip[0] & 15U) * 4U;

    if (length < ETHER_SIZE + header + UDP_SIZE || ip[IP_PROTOCOL] != IP_UDP ||
        half(ip + header + UDP_DESTINATION) != DHCP_CLIENT_PORT) {
        return OTHER;
    }
    if (length < ETHER_SIZE + header + UDP_SIZE + DHCP_HARDWARE + netif->hwaddr_len) {
        return DHCP_FOR_OTHERS;
    }
    return memcmp(ip + header + UDP_SIZE + DHCP_HARDWARE, netif->hwaddr,
                  netif->hwaddr_len) == 0
               ? DHCP_FOR_US
               : DHCP_FOR_OTHERS;
}

bool net_wants(const struct netif *netif, const uint8_t *frame, size_t length)
{
    /* The lowest bit of the first byte: broadcast and multicast. */
    const bool to_all = (frame[0] & 1U) != 0;

    if (length < ARP_SIZE) {
        return !to_all;
    }
    switch (half(frame + ETHER_TYPE)) {
    case 0x0806:
        return !to_all || (arp_concerns(netif, frame) && take(&arp));
    case 0x0800:
        switch (kind_of(netif, frame, length)) {
        case DHCP_FOR_US:
            return take(&dhcp);
        case DHCP_FOR_OTHERS:
            return false;
        case OTHER:
            break;
        }
        return !to_all;
    default:
        return !to_all;
    }
}

unsigned *net_spent(void)
{
    static uint32_t tick;
    static unsigned spent;

    if (tick != xTaskGetTickCount()) {
        tick = xTaskGetTickCount();
        spent = 0;
    }
    return &spent;
}

struct pbuf *net_buffer(struct netif *netif, size_t length)
{
    /* Not PBUF_POOL: every pool buffer is a 1.5 KB block of the one heap, however small the
     * frame is. */
    struct pbuf *frame = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM);

    if (frame == NULL) {
        /* No memory: drop the frame, as a full network does; TCP sends it again. */
        LINK_STATS_INC(link.memerr);
        LINK_STATS_INC(link.drop);
        MIB2_STATS_NETIF_INC(netif, ifindiscards);
    }
    return frame;
}

void net_received(struct netif *netif, struct pbuf *frame)
{
    LINK_STATS_INC(link.recv);
    MIB2_STATS_NETIF_ADD(netif, ifinoctets, frame->tot_len);
    if (ethernet_input(frame, netif) != ERR_OK) {
        (void)pbuf_free(frame);
    }
}
