/* paho.mqtt.c on this firmware: what its own API does not offer, and the rules for its use.
 *
 * Rules
 * - URIs are ssl://host:port. Nothing unencrypted, no proxies, no WebSockets.
 * - The TLS profile travels in MQTTClient_SSLOptions: struct_version 3, ssl_error_context =
 *   a `struct tls_profile *` that outlives the client. All its other fields are ignored and
 *   must stay 0 (paho would free `protos` itself).
 * - One task makes all calls, those below included. No callbacks: with MQTTClient_setCallbacks
 *   paho would start a thread, and then frees a message twice that is in a callback when the
 *   connection ends. Messages are taken by MQTTClient_receive with a time-out of 0, which
 *   handles one packet.
 * - One client for one connection, destroyed with it: what a client holds of messages that were
 *   not acknowledged, it sends again on its next connection, and it waits for ever when there
 *   are ten.
 * - One unanswered PUBLISH or SUBSCRIBE at a time (paho_unanswered).
 * - MQTTClient_connectOptions.MQTTVersion = 4, or paho tries a failed connect again as 3.1.
 * - paho_connect_to comes before MQTTClient_connect, which does the TLS handshake in the
 *   calling task (TLS_HANDSHAKE_STACK). Why a call failed: tls_last_error(), and when that has
 *   nothing, paho_closed_by_server(). */
#ifndef PAHO_PORT_H
#define PAHO_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fw_hooks.h"

/* Largest MQTT packet (without its fixed header) that is accepted, bytes: MAX_PACKET of
 * crates/packets. A larger PUBLISH is read and thrown away, acknowledged if it is QoS 1,
 * logged and counted; any other packet of that size ends the connection. */
#define PAHO_MAX_PACKET 2048

/* How long a TLS handshake may take at most, ms: computing is 3 s on the chip at 80 MHz. */
#define PAHO_HANDSHAKE_TIMEOUT_MS 20000

/* How long a packet may take to fit into the TCP send buffer before the connection counts
 * as broken, ms. */
#define PAHO_WRITE_TIMEOUT_MS 10000

/* Most bytes of heap, about, of the messages that come while paho waits for a SUBACK: only then
 * does it hold more than one. The first is held in any case. */
#define PAHO_MAX_HELD 2048
/* ... and what one takes besides its own length. */
#define PAHO_MESSAGE_OVERHEAD 128

/* How long a PUBLISH or SUBSCRIBE waits for its answer before it is sent again, ms. AWS's
 * Device Advisor expects that within 15 s. */
#define PAHO_REPEAT_MS 6000

/* tls_error.code at TLS_STAGE_PACKET: 0x100 + MQTT packet type of an oversized packet. */
#define PAHO_ERROR_OVERSIZED 0x100
/* ... the remaining length had more than four bytes. */
#define PAHO_ERROR_BAD_LENGTH 0x200
/* ... no memory for the packet. */
#define PAHO_ERROR_NO_MEMORY TLS_ERROR_NO_MEMORY
/* ... + type: a packet that the server must not send, or not now. */
#define PAHO_ERROR_UNEXPECTED 0x400
/* ... + type: a packet with wrong flags, length, packet id or text. */
#define PAHO_ERROR_MALFORMED 0x500
/* ... the server kept a session though it was told to start a clean one. */
#define PAHO_ERROR_SESSION_PRESENT 0x600
/* ... more messages at once than can be acknowledged. */
#define PAHO_ERROR_FLOOD 0x700

/* The server's addresses (network byte order), tried in this order, and how long TCP and the
 * TLS handshake may take together from now, ms. paho itself looks nothing up, and would try
 * only one. */
#define PAHO_MAX_ADDRESSES 8
void paho_connect_to(const uint32_t *addresses, size_t count, uint16_t port,
                     uint32_t timeout_ms);

/* Call `event` with `context`, in lwIP's task, whenever there may be something to receive. */
typedef void paho_event(void *context);
void paho_on_event(paho_event *event, void *context);

/* Before a connection: whether a message at QoS 1 for which there is no room is left
 * unacknowledged, because the server will bring it again on the next one; otherwise it is
 * acknowledged and dropped, as one at QoS 0 is. paho_withheld tells whether one was. */
void paho_withhold(bool withhold);
bool paho_withheld(void);

/* Whether paho holds a message that is not taken. */
bool paho_holds(void);

/* Whether MQTTClient_receive would find something now. */
bool paho_has_more(void);

/* A message was taken from MQTTClient_receive. When it is stored, the server is told so by its
 * packet id (0 at QoS 0); when not, it is not, and delivers the message again later. */
void paho_message_taken(uint16_t id, bool stored);

/* Whether a PUBLISH at QoS 1 or a SUBSCRIBE has no answer yet. */
bool paho_unanswered(void);

/* Send it again, if it has waited for PAHO_REPEAT_MS. paho does so when it polls. */
void paho_repeat(void);

/* What guards the connection (fw_hooks.h); NULL without one. */
struct fw_packets *paho_packets(void);

/* Whether there is a connection that can still send. */
bool paho_usable(void);

/* Whether the server ended the last connection in an orderly way. */
bool paho_closed_by_server(void);

/* Messages dropped because they were larger than PAHO_MAX_PACKET, since boot. */
uint32_t paho_oversized_count(void);

/* Milliseconds since boot (tls_now_ms) at which bytes last arrived on the connection; the
 * time of the call when there is none. paho notices a dead peer after up to 2.5 times the
 * keep-alive; with this the caller can do so after 1.5. */
uint32_t paho_last_receive_ms(void);

/* Break the connection at once, without the peer's help: nothing more is sent, not even
 * DISCONNECT, and the peer may get a RST: it will publish the last will. Does nothing without
 * a connection. */
void paho_tls_abort(void);

/* Say DISCONNECT to the server, which then does not publish the last will, and end the connection as
 * paho_tls_abort does. */
void paho_tls_goodbye(void);

#endif
