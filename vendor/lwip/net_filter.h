/* Which of the frames that everybody on the network gets are worth a buffer and a walk through
 * lwIP. Drivers ask before they allocate, so that a broadcast storm costs a look a frame. */
#ifndef FW_NET_FILTER_H
#define FW_NET_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netif;
struct pbuf;

/* Bytes at a frame's beginning that net_wants looks at. */
#define NET_FILTER_LENGTH 80U

/* Cost of a frame in instructions, roughly, and what a driver may spend in one tick of the
 * kernel (5 ms): what is left then waits for the next, so that no flood takes more than a
 * quarter of the CPU from the tasks below lwIP. A frame that is not wanted is cheap, so that
 * even in a storm there is room for those that are. */
#define NET_BUDGET 50000U
#define NET_COST_DROPPED 200U
#define NET_COST_TAKEN 5000U
/* Milliseconds to wait when the budget is spent: a tick. */
#define NET_PAUSE_MS portTICK_PERIOD_MS
/* What has been spent since the tick began: a driver adds to it. Called in lwIP's thread. */
unsigned *net_spent(void);

/* Whether `netif` needs the frame, of which the first `length` bytes, NET_FILTER_LENGTH at
 * most, are at `frame`. Of what goes to everybody it needs ARP that concerns it; of DHCP,
 * answers to itself. Of both it takes only so many a second. Called in lwIP's thread. */
bool net_wants(const struct netif *netif, const uint8_t *frame, size_t length);

/* A buffer for a received frame of `length` bytes; NULL, and counted, without memory. */
struct pbuf *net_buffer(struct netif *netif, size_t length);
/* Hands it, filled, to lwIP. */
void net_received(struct netif *netif, struct pbuf *frame);

#endif
