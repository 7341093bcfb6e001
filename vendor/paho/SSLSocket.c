/* paho's SSLSocket.h, the seam between its MQTT engine and TLS, over tls_client.
 *
 * What the server sends goes through fw_packets first: paho gets whole packets only, each
 * one that was asked for and that is well-formed. What is left of the others (too large, no
 * room) is answered here.
 *
 * Two things that paho does too early or not at all are done here as well. Its PUBACK for a
 * message is held back until whoever takes the message says that it is stored
 * (paho_message_taken). A PUBLISH or SUBSCRIBE is kept until it is answered, and repeated.
 *
 * Writes are bounded and complete, or the connection is broken: paho's list of unfinished
 * writes stays empty, and with it its polling for them. One task does all of it. */
#include "SSLSocket.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "MQTTClient.h"
#include "MQTTPacket.h"
#include "fw_hooks.h"
#include "paho_net.h"
#include "paho_port.h"
#include "tls_client.h"

/* Bytes read per call before the caller may do something else. */
#define READ_PER_CALL 2048
/* Bytes of heap that paho takes for a packet besides its own length, list entries included,
 * with something to spare for other tasks. */
#define PAHO_OVERHEAD 768

struct paho_tls {
    struct tls_session *session; /* NULL until the handshake is done */
    struct fw_packets *packets;
    const struct tls_profile *profile;
    int fd;
    bool broken; /* a write failed, or it was aborted: nothing more is sent */
    int32_t fault; /* of what the server sent, or 0 */

    /* The packet that paho reads: its first bytes by getch, the rest by getdata. */
    const uint8_t *packet;
    size_t packet_length;
    size_t served;

    unsigned messages; /* that paho holds */
    size_t held;       /* bytes of heap that they take, about */
    bool withheld;     /* a message was not acknowledged, for there was no room */

    /* The PUBLISH or SUBSCRIBE that is not answered, or NULL. */
    uint8_t *request;
    size_t request_length;
    uint32_t request_sent_ms;

    char host[]; /* what the server's certificate must be for */
};

/* The one connection, or NULL. */
static SSL *current;
/* The socket on which more waits than polling it shows, or -1. */
static SOCKET pending_socket = -1;
/* The server ended the last connection in an orderly way. */
static bool closed_by_server;
static bool withhold;
static uint32_t oversized;

uint32_t paho_oversized_count(void)
{
    return oversized;
}

bool paho_closed_by_server(void)
{
    return closed_by_server;
}

bool paho_usable(void)
{
    return current != NULL && current->session != NULL && !current->broken;
}

bool paho_unanswered(void)
{
    return current != NULL && current->request != NULL;
}

void paho_withhold(bool on)
{
    withhold = on;
}

bool paho_withheld(void)
{
    return current != NULL && current->withheld;
}

bool paho_holds(void)
{
    return current != NULL && current->messages > 0;
}

struct fw_packets *paho_packets(void)
{
    return current != NULL ? current->packets : NULL;
}

uint32_t paho_last_receive_ms(void)
{
    return current != NULL && current->session != NULL
               ? tls_last_receive_ms(current->session)
               : tls_now_ms();
}

bool paho_has_more(void)
{
    return current != NULL
           && (current->messages > 0 || pending_socket >= 0 || paho_net_readable(current->fd));
}

void paho_tls_abort(void)
{
    if (current != NULL) {
        current->broken = true;
        paho_net_drop_unsent(current->fd);
    }
}

/* -- Life of a connection ---------------------------------------------------------- */

void SSLSocket_handleOpensslInit(int bool_value)
{
    (void)bool_value;
}

int SSLSocket_initialize(void)
{
    return 0;
}

void SSLSocket_terminate(void)
{
}

/* Returns 1 when ready for SSLSocket_connect. */
int SSLSocket_setSocketForSSL(networkHandles *net, MQTTClient_SSLOptions *options,
                              const char *hostname, size_t hostname_len)
{
    closed_by_server = false;
    if (current != NULL || options == NULL || options->struct_version < 3
        || options->ssl_error_context == NULL) {
        return SOCKET_ERROR;
    }
    SSL *ssl = calloc(1, sizeof *ssl + hostname_len + 1);
    if (ssl == NULL) {
        tls_error_set(TLS_STAGE_PACKET, PAHO_ERROR_NO_MEMORY, 0);
        return SOCKET_ERROR;
    }
    memcpy(ssl->host, hostname, hostname_len);
    ssl->profile = options->ssl_error_context;
    ssl->fd = net->socket;
    net->ssl = ssl;
    current = ssl;
    return 1;
}

/* Do the whole handshake here. Returns 1 or SSL_FATAL, never "interrupted". */
int SSLSocket_connect(SSL *ssl, SOCKET sock, const char *hostname, int verify,
                      int (*cb)(const char *str, size_t len, void *u), void *u)
{
    (void)hostname;
    (void)verify; /* always */
    (void)cb;
    (void)u;
    const uint32_t left = paho_net_time_left();
    ssl->session = tls_open(sock, ssl->host, ssl->profile,
                            left < PAHO_HANDSHAKE_TIMEOUT_MS ? left : PAHO_HANDSHAKE_TIMEOUT_MS);
    if (ssl->session == NULL) {
        return SSL_FATAL;
    }
    tls_error_clear();
    ssl->packets = fw_packets_new();
    if (ssl->packets == NULL) {
        tls_error_set(TLS_STAGE_PACKET, PAHO_ERROR_NO_MEMORY, 0);
        return SSL_FATAL;
    }
    return 1;
}

int SSLSocket_close(networkHandles *net)
{
    SSL *ssl = net->ssl;

    pending_socket = -1;
    if (ssl == NULL) {
        return 1;
    }
    current = NULL;
    tls_close(ssl->session);
    fw_packets_free(ssl->packets);
    free(ssl->request);
    free(ssl);
    net->ssl = NULL;
    return 1;
}

/* -- Sending ----------------------------------------------------------------------- */

static int write_all(SSL *ssl, const void *data, size_t length)
{
    if (ssl->broken || tls_write(ssl->session, data, length, PAHO_WRITE_TIMEOUT_MS) != 0) {
        ssl->broken = true;
        return SOCKET_ERROR;
    }
    return TCPSOCKET_COMPLETE;
}

void paho_tls_goodbye(void)
{
    static const uint8_t disconnect[] = {DISCONNECT << 4, 0};
    if (current != NULL && current->session != NULL) {
        (void)write_all(current, disconnect, sizeof disconnect);
        current->broken = true;
    }
}

static int write_puback(SSL *ssl, uint16_t id)
{
    const uint8_t puback[] = {PUBACK << 4, 2, (uint8_t)(id >> 8), (uint8_t)id};

    return id == 0 ? TCPSOCKET_COMPLETE : write_all(ssl, puback, sizeof puback);
}

void paho_message_taken(uint16_t id, bool stored)
{
    if (current == NULL) {
        return;
    }
    if (current->messages > 0 && --current->messages == 0) {
        current->held = 0;
    }
    if (stored && paho_usable()) {
        (void)write_puback(current, id);
    }
}

void paho_repeat(void)
{
    SSL *const ssl = current;

    if (!paho_unanswered() || ssl->broken
        || tls_now_ms() - ssl->request_sent_ms < PAHO_REPEAT_MS) {
        return;
    }
    if (ssl->request[0] >> 4 == PUBLISH) {
        ssl->request[0] |= 1 << 3; /* DUP; a SUBSCRIBE has no such flag */
    }
    fw_log(FW_LOG_INFO, "mqtt", "no answer for %u s: sent again",
           (unsigned)(PAHO_REPEAT_MS / 1000));
    ssl->request_sent_ms = tls_now_ms();
    (void)write_all(ssl, ssl->request, ssl->request_length);
}

/* Keep `packet` until its answer comes. */
static void keep_request(SSL *ssl, uint8_t *packet, size_t length)
{
    free(ssl->request);
    ssl->request = packet;
    ssl->request_length = length;
    ssl->request_sent_ms = tls_now_ms();
}

/* Whether a server answers the packet that begins with this byte by a packet id. */
static bool is_request(uint8_t first)
{
    return first >> 4 == SUBSCRIBE || (first >> 4 == PUBLISH && (first >> 1 & 3) > 0);
}

/* Send the pieces as one TLS record. The caller frees them. */
int SSLSocket_putdatas(SSL *ssl, SOCKET socket, char *buf0, size_t buf0len,
                       PacketBuffers bufs)
{
    uint8_t small[64]; /* every packet but CONNECT, SUBSCRIBE and PUBLISH */
    const uint8_t first = (uint8_t)buf0[0];
    size_t total = buf0len;

    (void)socket;
    if (ssl->session == NULL) {
        return SOCKET_ERROR;
    }
    if (first >> 4 == PUBACK) {
        return TCPSOCKET_COMPLETE; /* when the message is stored: paho_message_taken */
    }
    for (int i = 0; i < bufs.count; i++) {
        total += bufs.buflens[i];
    }
    const bool kept = is_request(first);
    uint8_t *packet = total <= sizeof small && !kept ? small : malloc(total);
    if (packet == NULL) {
        tls_error_set(TLS_STAGE_PACKET, PAHO_ERROR_NO_MEMORY, 0);
        ssl->broken = true;
        return SOCKET_ERROR;
    }
    uint8_t *end = packet;
    memcpy(end, buf0, buf0len);
    end += buf0len;
    for (int i = 0; i < bufs.count; i++) {
        if (bufs.buflens[i] > 0) {
            memcpy(end, bufs.buffers[i], bufs.buflens[i]);
            end += bufs.buflens[i];
        }
    }
    fw_packets_sent(ssl->packets, packet, total);
    const int rc = write_all(ssl, packet, total);
    if (kept) {
        keep_request(ssl, packet, total);
    } else if (packet != small) {
        free(packet);
    }
    return rc;
}

/* Writes are never left unfinished, so there is nothing to continue or to abort. */
int SSLSocket_continueWrite(pending_writes *pw)
{
    (void)pw;
    return SOCKET_ERROR;
}

int SSLSocket_abortWrite(pending_writes *pw)
{
    (void)pw;
    return 0;
}

/* -- Receiving --------------------------------------------------------------------- */

/* Polling the socket does not show what was read from it and not handed out. */
static void note_pending(const SSL *ssl)
{
    if (fw_packets_waiting(ssl->packets)) {
        pending_socket = ssl->fd;
    }
}

SOCKET SSLSocket_getPendingRead(void)
{
    const SOCKET socket = pending_socket;

    pending_socket = -1;
    return socket;
}

/* Whether paho waits for a SUBACK, and has to read on for it whatever comes before. */
static bool subscribing(const SSL *ssl)
{
    return ssl->request != NULL && ssl->request[0] >> 4 == SUBSCRIBE;
}

/* Begin to hand `item` to paho. */
static void begin(SSL *ssl, const struct fw_packet *item)
{
    const unsigned type = item->data[0] >> 4;

    if (type == PUBLISH) {
        ssl->messages++;
        ssl->held += item->length + PAHO_MESSAGE_OVERHEAD;
    }
    ssl->packet = item->data;
    ssl->packet_length = item->length;
    ssl->served = 0;
    if (ssl->request != NULL && type == (subscribing(ssl) ? SUBACK : PUBACK)) {
        free(ssl->request);
        ssl->request = NULL;
    }
}

/* Whether the heap has what paho takes for a packet, in one piece: it does not survive every
 * refused allocation, and a message that it could not store it drops without a word. */
static bool has_memory(size_t packet_length)
{
    void *const probe = malloc(packet_length + PAHO_OVERHEAD);

    free(probe);
    return probe != NULL;
}

/* Answer what is left of a packet that paho does not get. False: the connection is over. */
static bool answer(SSL *ssl, const struct fw_packet *item)
{
    if (item->kind == FW_PACKET_PUSHED_OUT) {
        fw_log(FW_LOG_WARN, "mqtt", "a message was dropped: newer ones are waiting");
    }
    if (item->kind == FW_PACKET_WHOLE || item->kind == FW_PACKET_REFUSED) {
        fw_log(FW_LOG_ERROR, "mqtt", "no memory for a packet: closing, so that it comes again");
        tls_error_set(TLS_STAGE_PACKET, PAHO_ERROR_NO_MEMORY, 0);
        return false;
    }
    if (item->kind == FW_PACKET_OVERSIZED) {
        char topic[64 + 1];
        size_t length = 0;

        for (; length < item->length && length < sizeof topic - 1; length++) {
            const uint8_t c = item->data[length];
            topic[length] = c >= ' ' && c < 0x7F ? (char)c : '?';
        }
        topic[length] = '\0';
        oversized++;
        fw_log(FW_LOG_WARN, "mqtt", "message of %u bytes on %s dropped: larger than %u",
               (unsigned)item->payload, topic, PAHO_MAX_PACKET);
    }
    return write_puback(ssl, item->id) == TCPSOCKET_COMPLETE;
}

/* Pass a message over when paho holds as much as it may. What follows one that is not
 * acknowledged is not either: it would come before it. */
static void pass_over(SSL *ssl, struct fw_packet *item)
{
    if (item->kind != FW_PACKET_WHOLE || item->data[0] >> 4 != PUBLISH || ssl->messages == 0
        || (!ssl->withheld
            && ssl->held + item->length + PAHO_MESSAGE_OVERHEAD <= PAHO_MAX_HELD)) {
        return;
    }
    const bool acknowledged = (item->data[0] >> 1 & 3) > 0;
    item->kind = 0;
    item->id = 0;
    if (acknowledged && withhold) {
        if (!ssl->withheld) {
            fw_log(FW_LOG_INFO, "mqtt", "too many messages before SUBACK: they will come again");
            ssl->withheld = true;
        }
        return;
    }
    fw_log(FW_LOG_WARN, "mqtt", "a message was dropped: too many came before SUBACK");
    if (acknowledged) {
        /* Behind the fixed header: topic with its length, then the packet id. */
        const uint8_t *body = item->data + 1;
        while ((*body++ & 0x80) != 0) {
        }
        const uint8_t *const id = body + 2 + (body[0] << 8 | body[1]);
        item->id = (uint16_t)(id[0] << 8 | id[1]);
    }
}

static void offer(void *context, const uint8_t *bytes, size_t length)
{
    SSL *const ssl = context;

    fw_packets_offer(ssl->packets, bytes, length);
}

static void commit(void *context)
{
    SSL *const ssl = context;

    ssl->fault = fw_packets_commit(ssl->packets);
}

static void discard(void *context)
{
    SSL *const ssl = context;

    fw_packets_discard(ssl->packets);
}

/* Read until a packet is whole: TCPSOCKET_COMPLETE, TCPSOCKET_INTERRUPTED or SOCKET_ERROR. */
static int next_packet(SSL *ssl)
{
    const struct fw_record_sink sink = {ssl, offer, commit, discard};
    size_t budget = READ_PER_CALL;

    if (ssl->messages > 0 && !subscribing(ssl)) {
        note_pending(ssl);
        return TCPSOCKET_INTERRUPTED; /* until they are taken */
    }
    for (;;) {
        struct fw_packet item;
        while (fw_packets_take(ssl->packets, &item)) {
            if (item.kind == FW_PACKET_ASIDE) {
                note_pending(ssl);
                return TCPSOCKET_INTERRUPTED;
            }
            pass_over(ssl, &item);
            if (item.kind == FW_PACKET_WHOLE && has_memory(item.length)) {
                begin(ssl, &item);
                return TCPSOCKET_COMPLETE;
            }
            if (!answer(ssl, &item)) {
                return SOCKET_ERROR;
            }
        }
        if (budget == 0) {
            note_pending(ssl);
            return TCPSOCKET_INTERRUPTED;
        }
        const int got = tls_receive(ssl->session, &sink, budget);
        if (got == TLS_AGAIN) {
            return TCPSOCKET_INTERRUPTED;
        }
        if (got < 0) {
            closed_by_server = got == TLS_CLOSED;
            return SOCKET_ERROR;
        }
        if (ssl->fault != 0) {
            tls_error_set(TLS_STAGE_PACKET, ssl->fault, 0);
            return SOCKET_ERROR;
        }
        budget -= (size_t)got;
    }
}

/* The next byte of a packet's fixed header. */
int SSLSocket_getch(SSL *ssl, SOCKET socket, char *c)
{
    (void)socket;
    if (ssl->session == NULL || ssl->broken) {
        return SOCKET_ERROR;
    }
    if (ssl->packet == NULL) {
        const int rc = next_packet(ssl);
        if (rc != TCPSOCKET_COMPLETE) {
            return rc;
        }
    }
    if (ssl->served == ssl->packet_length) {
        return SOCKET_ERROR; /* not with a checked packet */
    }
    *c = (char)ssl->packet[ssl->served++];
    return TCPSOCKET_COMPLETE;
}

/* The rest of the packet: `bytes` of it, which are all there. */
char *SSLSocket_getdata(SSL *ssl, SOCKET socket, size_t bytes, size_t *actual_len, int *rc)
{
    const uint8_t *const rest = ssl->packet + ssl->served;

    (void)socket;
    *rc = 0;
    if (ssl->packet == NULL || ssl->packet_length - ssl->served != bytes) {
        *rc = SOCKET_ERROR;
        return NULL;
    }
    ssl->packet = NULL;
    *actual_len = bytes;
    note_pending(ssl);
    return (char *)rest; /* paho only reads it */
}
