/* What lwIP's configuration needs of the rest of the firmware, and the few lwIP macros
 * that callers outside C need as functions. */
#ifndef FW_NET_HOOKS_H
#define FW_NET_HOOKS_H

#include <stdint.h>

/* UDP ports of the DNS and NTP servers, 53 and 123 unless the identity names others (a
 * local cloud answers on free ports). Set them before the first query. */
extern uint16_t net_dns_port;
extern uint16_t net_sntp_port;

/* A random number for ports, query ids and sequence numbers (from fw_random). */
uint32_t net_random(void);

/* lwIP's one lock, for its functions that must not be called without it (sntp_*, dns_*,
 * netif_*, dhcp_*). Take it in a task, never in an interrupt; it does not nest. */
void net_core_lock(void);
void net_core_unlock(void);

/* Free the calling task's socket semaphore. A task that has used sockets calls this
 * before it deletes itself; it must use no socket afterwards. */
void net_thread_cleanup(void);

/* The time of an SNTP answer: seconds since 1970-01-01 UTC and microseconds. Called in
 * the tcpip task with lwIP's lock held. Implemented by crates/net. */
void net_sntp_set_time(uint32_t seconds, uint32_t microseconds);

#endif
