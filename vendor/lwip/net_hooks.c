#include "net_hooks.h"

#include <stdbool.h>

#include "FreeRTOS.h"
#include "task.h"

#include "board_netif.h"
#include "fw_hooks.h"
#include "lwip/dhcp.h"
#include "lwip/etharp.h"
#include "lwip/prot/dhcp.h"
#include "lwip/opt.h"
#include "lwip/snmp.h"
#include "lwip/tcpip.h"

#define DNS_PORT 53
uint16_t net_dns_ports[NET_DNS_SERVERS] = {
    DNS_PORT, DNS_PORT, DNS_PORT, DNS_PORT,
};

uint32_t net_random(void)
{
    uint32_t value;

    if (fw_random((uint8_t *)&value, sizeof value) != 0) {
        /* A guessable query id is an open door, and lwIP has no way to be told "no". */
        LWIP_PLATFORM_ASSERT("random source failed");
    }
    return value;
}

void net_core_lock(void)
{
    LOCK_TCPIP_CORE();
}

void net_core_unlock(void)
{
    UNLOCK_TCPIP_CORE();
}

int8_t net_dhcp_start_with(struct netif *netif, uint32_t address)
{
    if (address == 0) {
        return dhcp_start(netif);
    }
    /* Where there is no link it waits, and goes on from its state when there is one. */
    bool up = netif_is_link_up(netif);
    netif_clear_flags(netif, NETIF_FLAG_LINK_UP);
    err_t error = dhcp_start(netif);
    if (error == ERR_OK) {
        struct dhcp *dhcp = netif_dhcp_data(netif);
        dhcp->state = DHCP_STATE_REBOOTING;
        dhcp->offered_ip_addr.addr = address;
    }
    if (up) {
        netif_set_link_up(netif);
    }
    return error;
}

sys_sem_t *net_thread_semaphore(void)
{
    sys_sem_t *semaphore = sys_arch_netconn_sem_get();

    if (semaphore == NULL) {
        sys_arch_netconn_sem_alloc();
        semaphore = sys_arch_netconn_sem_get();
    }
    return semaphore;
}

void net_thread_cleanup(void)
{
    sys_arch_netconn_sem_free();
}

void net_ethernet_interface(struct netif *netif, netif_linkoutput_fn transmit)
{
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->mtu = 1500;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    netif->hwaddr_len = ETH_HWADDR_LEN;
    netif->output = etharp_output;
    netif->linkoutput = transmit;
    MIB2_INIT_NETIF(netif, snmp_ifType_ethernet_csmacd, 100000000);
}
