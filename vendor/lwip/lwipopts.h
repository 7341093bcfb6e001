/* lwIP 2.2.1 as this firmware uses it: one TLS connection, DHCP and DNS over IPv4,
 * threaded, in about 10 KB of RAM. Everything that is dynamic comes from the one heap. */
#ifndef FW_LWIPOPTS_H
#define FW_LWIPOPTS_H

#include "net_hooks.h"

/* -- Operating system ------------------------------------------------------------- */
#define NO_SYS 0
#define SYS_LIGHTWEIGHT_PROT 1
/* API calls run in the caller's task under one lock instead of crossing to the tcpip
 * task and back: no message box round trip per send and receive. */
#define LWIP_TCPIP_CORE_LOCKING 1
/* One task polls and reads a socket, others write to it and shut it down. This needs a
 * semaphore per task, kept in the task's thread-local pointer 0 (see arch/sys_arch.h). */
#define LWIP_NETCONN_FULLDUPLEX 1
#define LWIP_NETCONN_SEM_PER_THREAD 1

#define TCPIP_THREAD_NAME "tcpip"
#define TCPIP_THREAD_STACKSIZE 1792 /* bytes; the deepest is a log line of crates/net */
#define TCPIP_THREAD_PRIO 5
#define TCPIP_MBOX_SIZE 8
#define DEFAULT_TCP_RECVMBOX_SIZE 6
#define DEFAULT_UDP_RECVMBOX_SIZE 4
#define DEFAULT_ACCEPTMBOX_SIZE 1

/* -- Memory: the C heap for everything -------------------------------------------- */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 4
/* Also the size of the socket table. One for MQTT, one that is still closing, one for a
 * test, one spare. */
#define MEMP_NUM_NETCONN 4
/* Room in front of every outgoing frame for the header of the chip's radio driver. */
#define PBUF_LINK_ENCAPSULATION_HLEN 36

/* -- Protocols -------------------------------------------------------------------- */
#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define ARP_TABLE_SIZE 4
/* Seconds until a host's hardware address is looked up anew: the gateway may have been
 * replaced (RFC 1122 section 2.3.2.1). */
#define ARP_MAXAGE 60
#define ARP_QUEUEING 0
#define ETH_PAD_SIZE 0
#define LWIP_SUPPORT_CUSTOM_PBUF 1 /* the radio's frames stay where they were received */
#define IP_FORWARD 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define LWIP_ICMP 1
#define LWIP_RAW 0
#define LWIP_UDP 1
#define LWIP_TCP 1
#define LWIP_AUTOIP 0
#define LWIP_ACD 1 /* its times: lwip/prot/acd.h */
#define LWIP_IGMP 0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0

/* -- TCP -------------------------------------------------------------------------- */
#define TCP_MSS 1460
/* A handshake flight of 6.5 KB flows through two segments of window; a larger one would
 * queue in the heap at the moment when the handshake needs it most. */
#define TCP_WND (2 * TCP_MSS)
#define TCP_SND_BUF (2 * TCP_MSS)
#define TCP_SND_QUEUELEN 8
#define TCP_SNDLOWAT 512
#define TCP_SNDQUEUELOWAT 4
/* MQTT's writes are small: do not reserve a whole segment for each. */
#define TCP_OVERSIZE 0
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_PBUFS 2
#define TCP_SYNMAXRTX 4
#define TCP_MAXRTX 8
/* Control blocks come from the heap without a limit, so TIME_WAIT (2 x MSL) must be short
 * where a reconnect may come every second. Sequence numbers and ports are random. */
#define TCP_MSL 2000
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) net_random()
#define LWIP_TCP_KEEPALIVE 1

/* -- DHCP and DNS ----------------------------------------------------------------- */
#define LWIP_DHCP 1
/* An address that another host answers for is declined (RFC 2131 section 4.4.1). */
#define LWIP_DHCP_DOES_ACD_CHECK 1
/* Seconds: lwIP's minute would let a lease of 89 s run out before it is renewed. */
#define DHCP_COARSE_TIMER_SECS 1
#define DHCP_TIMEOUT_SIZE_T u32_t
#define DHCP_DEFINE_CUSTOM_TIMEOUTS
/* A lease that is shorter than this is renewed no more often. */
#define DHCP_SHORTEST_S 20
#define DHCP_AT_LEAST(offered, least) ((offered) > (least) ? (offered) : (least))
#define DHCP_SET_TIMEOUT_FROM_OFFERED_T0_LEASE(res, dhcp) \
    ((res) = DHCP_AT_LEAST((dhcp)->offered_t0_lease, DHCP_SHORTEST_S))
#define DHCP_SET_TIMEOUT_FROM_OFFERED_T1_RENEW(res, dhcp) \
    ((res) = DHCP_AT_LEAST((dhcp)->offered_t1_renew, DHCP_SHORTEST_S / 2))
#define DHCP_SET_TIMEOUT_FROM_OFFERED_T2_REBIND(res, dhcp) \
    ((res) = DHCP_AT_LEAST((dhcp)->offered_t2_rebind, DHCP_SHORTEST_S * 7 / 8))
/* Seconds between two requests for one lease at least. */
#define DHCP_NEXT_TIMEOUT_THRESHOLD 10
/* Milliseconds until the next try: doubling from 2 s to 64 s, spread over a second (RFC 2131
 * section 4.1). */
#define DHCP_REQUEST_BACKOFF_SEQUENCE(tries) \
    (u16_t)(((tries) < 6 ? 1000U << (tries) : 64000U) + net_random() % 1000U)
#define LWIP_DNS 1
#define DNS_TABLE_SIZE 2
#define DNS_MAX_NAME_LENGTH 128
#define DNS_MAX_SERVERS NET_DNS_SERVERS
#define DNS_MAX_RETRIES 3 /* questions to one server, over 4 s */
/* Each server has a port of its own: dns_send(), the only place that uses this, knows by
 * `entry` whom it asks. */
#define DNS_SERVER_PORT net_dns_ports[entry->server_idx]

/* -- Interfaces and API ----------------------------------------------------------- */
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LINK_CALLBACK 1
#define LWIP_NETIF_EXT_STATUS_CALLBACK 1
#define LWIP_NETIF_API 1
#define LWIP_SINGLE_NETIF 1
#define LWIP_NETCONN 1
#define LWIP_SOCKET 1
/* paho takes descriptor 0 for "no socket". */
#define LWIP_SOCKET_OFFSET 1
#define LWIP_SOCKET_POLL 1
#define LWIP_SOCKET_SELECT 0
#define LWIP_COMPAT_SOCKETS 1
#define LWIP_POSIX_SOCKETS_IO_NAMES 1
#define LWIP_SO_RCVTIMEO 1
#define LWIP_SO_SNDTIMEO 1
#define LWIP_SO_LINGER 1
#define SO_REUSE 0

#define LWIP_STATS 0
#define LWIP_DEBUG 0

#endif
