/* The seam between lwIP and the board: the interface's driver. */
#ifndef BOARD_NETIF_H
#define BOARD_NETIF_H

#include "lwip/err.h"
#include "lwip/netif.h"

/* Initialise the board's network interface; for netif_add, in lwIP's thread. Sets the
 * hardware address; reports link changes through netif_set_link_up and _down. Returns
 * ERR_MEM when the heap is exhausted, ERR_IF when there is no network hardware. */
err_t board_netif_init(struct netif *netif);

#endif
