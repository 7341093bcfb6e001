/* The seam between lwIP and the board: the interface's driver. */
#ifndef BOARD_NETIF_H
#define BOARD_NETIF_H

#include "lwip/err.h"
#include "lwip/netif.h"

/* Initialise the board's network interface; for netif_add, in lwIP's thread. Sets the
 * hardware address; reports link changes through netif_set_link_up and _down. Returns
 * ERR_MEM when the heap is exhausted, ERR_IF when there is no network hardware.
 * Implemented by the board. */
err_t board_netif_init(struct netif *netif);

/* For that: make `netif` an Ethernet interface whose driver sends frames by `transmit`. What is
 * left to the driver is the hardware address and NETIF_FLAG_LINK_UP. */
void net_ethernet_interface(struct netif *netif, netif_linkoutput_fn transmit);

#endif
