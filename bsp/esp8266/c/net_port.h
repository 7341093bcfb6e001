/* The network port of the virtual NodeMCU: registers that no ESP8266 has. The port moves
 * data between frames and DRAM itself, any length at any address, piece by piece. */
#ifndef NET_PORT_H
#define NET_PORT_H

#include "esp8266.h"

struct net_port_registers {
    reg32 id;
    reg32 mac_low;     /* bytes 0-3 of the address, byte 0 lowest */
    reg32 mac_high;    /* bytes 4 and 5 */
    reg32 status;
    reg32 int_enable;  /* RECEIVED and LINK_CHANGED of status raise the interrupt */
    reg32 int_clear;   /* LINK_CHANGED */
    reg32 rx_length;   /* of the oldest frame, what has not been copied yet */
    reg32 dma_address; /* of the next copy; moves on by what was copied */
    reg32 rx_copy;     /* copy so many bytes to memory */
    reg32 rx_done;     /* forget the oldest frame */
    reg32 tx_copy;     /* append so many bytes of memory to the frame in the making */
    reg32 tx_send;     /* 1 sends it, 0 throws it away */
    reg32 errors;
};
#define NET_PORT (*(struct net_port_registers *)0x6FF00000U)
#define NET_PORT_ID 0x434E4956U
#define NET_PORT_LINK_UP (1U << 0)
#define NET_PORT_RECEIVED (1U << 1)
#define NET_PORT_LINK_CHANGED (1U << 2)
/* Level-triggered. */
#define NET_PORT_IRQ 1U

#endif
