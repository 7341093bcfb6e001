/* paho's SSLSocket.h, the seam between its MQTT engine and TLS, over tls_client.
 *
 * Everything but SSLSocket_getPendingRead is called with paho's client mutex held, so a
 * connection's state has one user at a time; nothing more is locked here.
 *
 * paho reads a packet as: first byte and length bytes (getch, one at a time), then the rest
 * (getdata), and starts over from the first byte whenever one of them says "interrupted". The
 * bytes so far are kept here and served again. paho's own way would allocate 1000 bytes for
 * each interruption and a buffer as large as the packet says it is; here a packet that is
 * too large never gets one.
 *
 * Writes are bounded and complete, or the connection is broken: paho's list of unfinished
 * writes stays empty, and with it its polling for them. */
#include "SSLSocket.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "FreeRTOS.h"
#include "task.h"

#include "MQTTClient.h"
#include "MQTTPacket.h"
#include "fw_hooks.h"
#include "paho_port.h"
#include "tls_client.h"

#define HEADER_SIZE 5 /* packet type and up to four length bytes */
#define DISCARD_CHUNK 128
/* Bytes thrown away per call before other tasks may use the client again. */
#define DISCARD_PER_CALL 2048
#define TOPIC_SHOWN 64

struct paho_tls {
    struct tls_session *session; /* NULL until the handshake is done */
    const struct tls_profile *profile;
    int fd;
    bool broken; /* a write failed: nothing more is sent */
    bool connack_due;
    bool suback_due;

    /* The packet being received. */
    uint8_t header[HEADER_SIZE];
    uint8_t header_length; /* bytes received */
    uint8_t header_served; /* bytes handed to paho since it last started over */
    size_t body_length;    /* bytes received */
    char *body;            /* `small` or allocated; paho uses it until it asks for more */
    char small[32];

    /* The oversized PUBLISH being thrown away. */
    size_t discard_size; /* its remaining length; 0: none */
    size_t discarded;
    uint8_t discard_head[4]; /* topic length, packet id */
    char discard_topic[TOPIC_SHOWN + 1];

    char host[]; /* what the server's certificate must be for */
};

/* The connection that paho_tls_abort and paho_last_receive_ms mean. Changed in critical
 * sections, because those two are called without paho's mutex. */
static SSL *current;
/* The socket on which decrypted bytes wait, or -1. */
static volatile SOCKET pending_socket = -1;
static uint32_t oversized;

uint32_t paho_oversized_count(void)
{
    return oversized;
}

uint32_t paho_last_receive_ms(void)
{
    uint32_t at = tls_now_ms();

    taskENTER_CRITICAL();
    if (current != NULL && current->session != NULL) {
        at = tls_last_receive_ms(current->session);
    }
    taskEXIT_CRITICAL();
    return at;
}

void paho_tls_abort(void)
{
    const struct linger drop_unsent = {.l_onoff = 1, .l_linger = 0};
    int fd = -1;

    taskENTER_CRITICAL();
    if (current != NULL) {
        fd = current->fd;
    }
    taskEXIT_CRITICAL();
    if (fd >= 0) {
        (void)lwip_setsockopt(fd, SOL_SOCKET, SO_LINGER, &drop_unsent, sizeof drop_unsent);
        (void)lwip_shutdown(fd, SHUT_RDWR);
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
    if (current != NULL || options == NULL || options->struct_version < 3
        || options->ssl_error_context == NULL) {
        return SOCKET_ERROR;
    }
    SSL *ssl = calloc(1, sizeof *ssl + hostname_len + 1);
    if (ssl == NULL) {
        return SOCKET_ERROR;
    }
    memcpy(ssl->host, hostname, hostname_len);
    ssl->profile = options->ssl_error_context;
    ssl->fd = net->socket;
    net->ssl = ssl;
    taskENTER_CRITICAL();
    current = ssl;
    taskEXIT_CRITICAL();
    return 1;
}

/* Do the whole handshake here, in the task that called MQTTClient_connect. Returns 1 or
 * SSL_FATAL, never "interrupted". */
int SSLSocket_connect(SSL *ssl, SOCKET sock, const char *hostname, int verify,
                      int (*cb)(const char *str, size_t len, void *u), void *u)
{
    (void)hostname;
    (void)verify; /* always */
    (void)cb;
    (void)u;
    struct tls_session *session = tls_open(sock, ssl->host, ssl->profile);
    if (session == NULL) {
        return SSL_FATAL;
    }
    taskENTER_CRITICAL();
    ssl->session = session;
    taskEXIT_CRITICAL();
    tls_error_clear();
    return 1;
}

static void free_body(SSL *ssl)
{
    if (ssl->body != ssl->small) {
        free(ssl->body);
    }
    ssl->body = NULL;
    ssl->body_length = 0;
}

int SSLSocket_close(networkHandles *net)
{
    SSL *ssl = net->ssl;

    pending_socket = -1;
    if (ssl == NULL) {
        return 1;
    }
    taskENTER_CRITICAL();
    current = NULL;
    taskEXIT_CRITICAL();
    tls_close(ssl->session);
    free_body(ssl);
    free(ssl);
    net->ssl = NULL;
    return 1;
}

/* -- Receiving --------------------------------------------------------------------- */

/* A read's result in paho's terms. */
static int paho_result(int result)
{
    return result == TLS_AGAIN ? TCPSOCKET_INTERRUPTED : SOCKET_ERROR;
}

/* Polling the socket does not show what mbedTLS has decrypted but not handed out. */
static void note_pending(const SSL *ssl)
{
    if (tls_pending(ssl->session)) {
        pending_socket = ssl->fd;
    }
}

SOCKET SSLSocket_getPendingRead(void)
{
    const SOCKET socket = pending_socket;

    pending_socket = -1;
    return socket;
}

static bool header_complete(const SSL *ssl)
{
    return ssl->header_length >= 2 && (ssl->header[ssl->header_length - 1] & 0x80) == 0;
}

static size_t remaining_length(const SSL *ssl)
{
    size_t length = 0;

    for (unsigned i = ssl->header_length - 1U; i > 0; i--) {
        length = length << 7 | (ssl->header[i] & 0x7F);
    }
    return length;
}

static unsigned qos(const SSL *ssl)
{
    return ssl->header[0] >> 1 & 3;
}

static unsigned big_endian_16(const uint8_t *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

/* Whether the server may send the packet that starts. paho does not ask: it hands any
 * CONNACK, SUBACK or UNSUBACK to the task that waits for one of them, which takes it for its
 * own kind. Nothing of QoS 2 or of UNSUBSCRIBE is ever asked for. */
static bool is_expected(SSL *ssl)
{
    bool *due;

    switch (ssl->header[0] >> 4) {
    case CONNACK:
        due = &ssl->connack_due;
        break;
    case SUBACK:
        due = &ssl->suback_due;
        break;
    case PUBLISH:
        return !ssl->connack_due && qos(ssl) <= 1;
    case PUBACK:
    case PINGRESP:
        return !ssl->connack_due;
    default:
        return false;
    }
    const bool expected = *due;
    *due = false;
    return expected;
}

/* Note which answer a packet asks for. */
static void expect_answer(SSL *ssl, char first_byte)
{
    const unsigned type = (uint8_t)first_byte >> 4;

    if (type == CONNECT) {
        ssl->connack_due = true;
    } else if (type == SUBSCRIBE) {
        ssl->suback_due = true;
    }
}

/* Keep what is needed of the thrown away bytes: topic length, topic, packet id. */
static void note_discarded(SSL *ssl, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const size_t offset = ssl->discarded + i;
        /* Unknown while the first two bytes come in, and not used then. */
        const size_t id_offset = 2 + big_endian_16(ssl->discard_head);

        if (offset < 2) {
            ssl->discard_head[offset] = bytes[i];
        } else if (offset < id_offset) {
            if (offset - 2 < TOPIC_SHOWN) {
                const uint8_t c = bytes[i];
                ssl->discard_topic[offset - 2] = c >= ' ' && c < 0x7F ? (char)c : '?';
            }
        } else if (offset < id_offset + 2) {
            ssl->discard_head[2 + offset - id_offset] = bytes[i];
        } else {
            break;
        }
    }
    ssl->discarded += length;
}

static int write_all(SSL *ssl, const void *data, size_t length)
{
    if (ssl->broken || tls_write(ssl->session, data, length, PAHO_WRITE_TIMEOUT_MS) != 0) {
        ssl->broken = true;
        return SOCKET_ERROR;
    }
    return TCPSOCKET_COMPLETE;
}

static int finish_discard(SSL *ssl)
{
    const unsigned head = 2 + big_endian_16(ssl->discard_head) + (qos(ssl) > 0 ? 2U : 0U);
    const size_t payload = ssl->discard_size > head ? ssl->discard_size - head : 0;
    int rc = TCPSOCKET_INTERRUPTED;

    fw_log(FW_LOG_WARN, "mqtt", "message of %u bytes on %s dropped: larger than %u",
           (unsigned)payload, ssl->discard_topic, PAHO_MAX_PACKET);
    oversized++;
    if (qos(ssl) == 1) {
        /* Without it the server would send the message again, for ever. */
        const uint8_t puback[] = {PUBACK << 4, 2, ssl->discard_head[2], ssl->discard_head[3]};
        if (write_all(ssl, puback, sizeof puback) != TCPSOCKET_COMPLETE) {
            rc = SOCKET_ERROR;
        }
    }
    ssl->discard_size = 0;
    ssl->header_length = 0;
    return rc;
}

/* Throw away some of an oversized PUBLISH. paho is told "interrupted" and never sees it. */
static int discard(SSL *ssl)
{
    uint8_t chunk[DISCARD_CHUNK];

    for (size_t budget = DISCARD_PER_CALL; budget >= sizeof chunk; budget -= sizeof chunk) {
        const size_t left = ssl->discard_size - ssl->discarded;
        const int got =
            tls_read(ssl->session, chunk, left < sizeof chunk ? left : sizeof chunk);
        if (got < 0) {
            return paho_result(got);
        }
        note_discarded(ssl, chunk, (size_t)got);
        if (ssl->discarded == ssl->discard_size) {
            const int rc = finish_discard(ssl);
            note_pending(ssl);
            return rc;
        }
    }
    note_pending(ssl);
    return TCPSOCKET_INTERRUPTED;
}

/* A packet larger than PAHO_MAX_PACKET starts. */
static int start_oversized(SSL *ssl, size_t length)
{
    const unsigned type = ssl->header[0] >> 4;

    if (type != PUBLISH) {
        fw_log(FW_LOG_ERROR, "mqtt", "packet of type %u with %u bytes: closing", type,
               (unsigned)length);
        tls_error_set(TLS_STAGE_PACKET, (int32_t)(PAHO_ERROR_OVERSIZED + type), 0);
        return SOCKET_ERROR;
    }
    ssl->discard_size = length;
    ssl->discarded = 0;
    memset(ssl->discard_head, 0, sizeof ssl->discard_head);
    memset(ssl->discard_topic, 0, sizeof ssl->discard_topic);
    return discard(ssl);
}

/* The next byte of a packet's fixed header. */
int SSLSocket_getch(SSL *ssl, SOCKET socket, char *c)
{
    (void)socket;
    if (ssl->session == NULL) {
        return SOCKET_ERROR;
    }
    if (ssl->discard_size > 0) {
        return discard(ssl);
    }
    if (ssl->header_served < ssl->header_length) {
        *c = (char)ssl->header[ssl->header_served++];
        return TCPSOCKET_COMPLETE;
    }
    if (ssl->header_length == 0) {
        free_body(ssl); /* of the packet before, with which paho is done */
    } else if (ssl->header_length == HEADER_SIZE) {
        tls_error_set(TLS_STAGE_PACKET, PAHO_ERROR_BAD_LENGTH, 0);
        return SOCKET_ERROR;
    }

    const int got = tls_read(ssl->session, &ssl->header[ssl->header_length], 1);
    if (got < 0) {
        ssl->header_served = 0;
        return paho_result(got);
    }
    ssl->header_length++;
    if (header_complete(ssl)) {
        const size_t length = remaining_length(ssl);
        if (!is_expected(ssl)) {
            const unsigned type = ssl->header[0] >> 4;
            fw_log(FW_LOG_ERROR, "mqtt", "unexpected packet of type %u: closing", type);
            tls_error_set(TLS_STAGE_PACKET, (int32_t)(PAHO_ERROR_UNEXPECTED + type), 0);
            return SOCKET_ERROR;
        }
        if (length > PAHO_MAX_PACKET) {
            ssl->header_served = 0;
            return start_oversized(ssl, length);
        }
    }
    *c = (char)ssl->header[ssl->header_served++];
    return TCPSOCKET_COMPLETE;
}

/* The rest of the packet. Returns where its bytes are, `*actual_len` of them so far, or NULL
 * when the connection is broken. */
char *SSLSocket_getdata(SSL *ssl, SOCKET socket, size_t bytes, size_t *actual_len, int *rc)
{
    (void)socket;
    *rc = 0;
    ssl->header_served = 0;
    if (ssl->body == NULL) {
        ssl->body = bytes <= sizeof ssl->small ? ssl->small : malloc(bytes);
        if (ssl->body == NULL) {
            fw_log(FW_LOG_ERROR, "mqtt", "no memory for a packet of %u bytes: closing",
                   (unsigned)bytes);
            tls_error_set(TLS_STAGE_PACKET, PAHO_ERROR_NO_MEMORY, 0);
            *rc = SOCKET_ERROR;
            return NULL;
        }
    }
    if (ssl->body_length < bytes) {
        const int got =
            tls_read(ssl->session, ssl->body + ssl->body_length, bytes - ssl->body_length);
        if (got > 0) {
            ssl->body_length += (size_t)got;
        } else if (got != TLS_AGAIN) {
            *rc = SOCKET_ERROR;
            return NULL;
        }
    }
    *actual_len = ssl->body_length;
    if (ssl->body_length == bytes) {
        ssl->header_length = 0;
    }
    note_pending(ssl);
    return ssl->body;
}

/* -- Sending ----------------------------------------------------------------------- */

/* Send the pieces as one TLS record. The caller frees them. */
int SSLSocket_putdatas(SSL *ssl, SOCKET socket, char *buf0, size_t buf0len,
                       PacketBuffers bufs)
{
    char small[64]; /* every packet but CONNECT, SUBSCRIBE and PUBLISH */
    size_t total = buf0len;

    (void)socket;
    if (ssl->session == NULL) {
        return SOCKET_ERROR;
    }
    for (int i = 0; i < bufs.count; i++) {
        total += bufs.buflens[i];
    }
    char *packet = total <= sizeof small ? small : malloc(total);
    if (packet == NULL) {
        /* A broken connection: on the next one paho sends what was not acknowledged. */
        tls_error_set(TLS_STAGE_PACKET, PAHO_ERROR_NO_MEMORY, 0);
        ssl->broken = true;
        return SOCKET_ERROR;
    }
    char *end = packet;
    memcpy(end, buf0, buf0len);
    end += buf0len;
    for (int i = 0; i < bufs.count; i++) {
        if (bufs.buflens[i] > 0) {
            memcpy(end, bufs.buffers[i], bufs.buflens[i]);
            end += bufs.buflens[i];
        }
    }
    expect_answer(ssl, packet[0]);
    const int rc = write_all(ssl, packet, total);
    if (packet != small) {
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
