/* What lwIP's configuration needs of the rest of the firmware, and the few lwIP macros
 * that callers outside C need as functions. */
#ifndef FW_NET_HOOKS_H
#define FW_NET_HOOKS_H

#include <stdint.h>

/* UDP ports of the name servers, by number: 53 unless the identity names others (a local
 * cloud answers on free ports). Set them with the lock below held. */
#define NET_DNS_SERVERS 4
extern uint16_t net_dns_ports[NET_DNS_SERVERS];

/* A random number for ports, query ids and sequence numbers (from fw_random). */
uint32_t net_random(void);

/* lwIP's one lock, for its functions that must not be called without it (udp_*, dns_*,
 * netif_*, dhcp_*). Take it in a task, never in an interrupt; it does not nest. */
void net_core_lock(void);
void net_core_unlock(void);

struct netif;
/* Start DHCP, as dhcp_start does, by asking for an address that the network has lent before (RFC
 * 2131, 3.2): one question instead of two, and none to the others. Who gave it says whether it is
 * still ours. In network byte order; 0 or another host's: as dhcp_start. With the lock held. */
int8_t net_dhcp_start_with(struct netif *netif, uint32_t address);

/* Free the calling task's socket semaphore. A task that has used sockets calls this
 * before it deletes itself; it must use no socket afterwards. */
void net_thread_cleanup(void);

#endif
