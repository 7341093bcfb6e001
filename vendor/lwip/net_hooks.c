#include "net_hooks.h"

#include "FreeRTOS.h"
#include "task.h"

#include "board_netif.h"
#include "fw_hooks.h"
#include "lwip/etharp.h"
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
