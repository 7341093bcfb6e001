/* paho.mqtt.c on this firmware: what its own API does not offer, and the rules for its use.
 *
 * Rules
 * - URIs are ssl://host:port. Nothing unencrypted, no proxies, no WebSockets.
 * - The TLS profile travels in MQTTClient_SSLOptions: struct_version 3, ssl_error_context =
 *   a `struct tls_profile *` that outlives the client. All its other fields are ignored and
 *   must stay 0 (paho would free `protos` itself).
 * - One connection at a time.
 * - MQTTClient_setCallbacks with connectionLost = NULL: there is one background task, and it
 *   would wait for itself. No MQTTClient call from inside a callback.
 * - MQTTClient_connectOptions.MQTTVersion = 4, or paho tries a failed connect again as 3.1.
 * - MQTTClient_connect does the TLS handshake in the calling task (TLS_HANDSHAKE_STACK) and
 *   is bounded by the DNS time-out, connectTimeout and the profile's handshake time-out
 *   together. Why it failed: tls_last_error(). */
#ifndef PAHO_PORT_H
#define PAHO_PORT_H

#include <stdint.h>

/* Largest MQTT packet (without its fixed header) that is accepted, bytes. A larger PUBLISH
 * is read and thrown away, acknowledged if it is QoS 1, logged and counted; any other packet
 * of that size ends the connection. */
#define PAHO_MAX_PACKET 2048

/* The background task that receives and runs the callbacks: stack in bytes. */
#define PAHO_TASK_STACK 2304
#define PAHO_TASK_PRIORITY 2

/* How long a packet may take to fit into the TCP send buffer before the connection counts
 * as broken, ms. */
#define PAHO_WRITE_TIMEOUT_MS 10000

/* tls_error.code at TLS_STAGE_PACKET: 0x100 + MQTT packet type of an oversized packet. */
#define PAHO_ERROR_OVERSIZED 0x100
/* ... the remaining length had more than four bytes. */
#define PAHO_ERROR_BAD_LENGTH 0x200
/* ... + type: a packet that the server must not send, or not now. */
#define PAHO_ERROR_UNEXPECTED 0x400
/* ... no memory for the packet. */
#define PAHO_ERROR_NO_MEMORY 0x300

/* Messages dropped because they were larger than PAHO_MAX_PACKET, since boot. */
uint32_t paho_oversized_count(void);

/* Milliseconds since boot (tls_now_ms) at which bytes last arrived on the connection; the
 * time of the call when there is none. paho notices a dead peer after up to 2.5 times the
 * keep-alive; with this the caller can do so after 1.5. */
uint32_t paho_last_receive_ms(void);

/* Break the connection at once, without the peer's help, and let paho's task find it broken.
 * Unsent data is dropped and the peer may get a RST: it will publish the last will. Call it
 * from the task that connects. Does nothing without a connection. */
void paho_tls_abort(void);

#endif
