/* A TLS 1.2 client session over a connected lwIP socket. mbedTLS makes the handshake; then
 * its session is freed and the records are ours (crates/records).
 *
 * Always verified: the chain up to a given root, the host name, and every date against
 * fw_unix_time(); "not valid yet" only once that is exact (fw_time_is_exact). Nothing here
 * can switch that off.
 *
 * One session belongs to one task at a time: the caller serialises tls_receive, tls_write
 * and tls_close of a session. Sessions share nothing that changes: each handshake has its
 * own random generator, seeded from fw_random. */
#ifndef TLS_CLIENT_H
#define TLS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fw_hooks.h"

/* Results of tls_receive and tls_write below zero. */
enum tls_result {
    TLS_AGAIN = -1,  /* nothing now: wait until the socket is readable, then call again */
    TLS_CLOSED = -2, /* the peer ended the connection in an orderly way */
    TLS_FAILED = -3, /* broken: tls_last_error() says why; close the session */
};

/* What was being done when an error happened. */
enum tls_stage {
    TLS_STAGE_NONE = 0,
    TLS_STAGE_PROFILE = 1,   /* parsing the certificates and the key */
    TLS_STAGE_RESOLVE = 2,   /* looking up the host name */
    TLS_STAGE_CONNECT = 3,   /* opening the TCP connection */
    TLS_STAGE_HANDSHAKE = 4, /* TLS handshake */
    TLS_STAGE_READ = 5,
    TLS_STAGE_WRITE = 6,
    TLS_STAGE_PACKET = 7,    /* the bytes were no acceptable MQTT (code: see paho_port.h) */
};

/* What a certificate of the server's chain uses that this device cannot. */
enum tls_unsupported {
    TLS_SUPPORTED = 0,
    TLS_UNSUPPORTED_CURVE = 1,     /* a key on another elliptic curve than P-256 */
    TLS_UNSUPPORTED_KEY = 2,       /* a key of another kind than RSA and elliptic curve */
    TLS_UNSUPPORTED_SIGNATURE = 3, /* a signature of another kind */
};

/* The last failure, kept until the next one or until tls_error_clear(). */
struct tls_error {
    int32_t code;          /* mbedTLS error (negative), or the one named at the stage */
    uint32_t verify_flags; /* MBEDTLS_X509_BADCERT_*: what is wrong with the certificate */
    int32_t sys_errno;     /* errno of the socket call that failed, 0 if none did */
    uint8_t stage;         /* enum tls_stage */
    uint8_t alert;         /* TLS alert the peer sent, 0 if none */
    bool out_of_memory;    /* the heap refused an allocation on the way */
    bool timed_out;        /* a deadline of ours passed */
    uint8_t unsupported;   /* enum tls_unsupported: of a certificate that the server sent */
    uint8_t item;          /* TLS_STAGE_PROFILE: index of the bad certificate, in order
                              roots, chain; or one of TLS_ITEM_* */
};
#define TLS_ITEM_KEY 255    /* the private key */
#define TLS_ITEM_RANDOM 254 /* the random source */

/* One DER document. */
struct tls_der {
    const uint8_t *data;
    size_t length;
};

/* Most bytes of the message in which the own chain is sent: 7, and 3 with each certificate. */
#define TLS_CHAIN_MESSAGE 2048

struct tls_profile_config {
    struct tls_der *roots;       /* certificates to trust */
    size_t root_count;           /* at least 1 */
    const struct tls_der *chain; /* own certificate first, then its issuers */
    size_t chain_count;          /* at least 1 */
    struct tls_der key;          /* own private key, SEC1 or PKCS#8 */
    const char *alpn;            /* protocol to ask for, or NULL */
};

struct tls_profile;
struct tls_session;

/* Check and note what all connections share. Nothing is copied: both arrays, all DER bytes
 * and the ALPN string must outlive the profile. They may lie in flash; they are parsed anew
 * for each handshake, so that a connection does not hold 3 KB that it never uses.
 * Checks that the first certificate of the chain and the key parse and belong together, and that
 * the chain can be sent: NULL on failure, and tls_last_error(). Roots that do not parse are left out
 * of the array; tls_last_error() tells of the last of them. */
struct tls_profile *tls_profile_new(const struct tls_profile_config *config);

/* Free a profile that no session uses. NULL is allowed. */
void tls_profile_free(struct tls_profile *profile);

/* The signatures of certificates that were found good with this profile, in words for memory that
 * survives a deep sleep. They are sealed: what was changed there, or is of another key or of other
 * roots, is refused (verified.h). False without memory. */
#define TLS_KEPT_WORDS 41
bool tls_keep_verified(const struct tls_profile *profile, uint32_t words[TLS_KEPT_WORDS]);
/* Trust them again, before the first session. False when they are refused. */
bool tls_recall_verified(const struct tls_profile *profile, const uint32_t words[TLS_KEPT_WORDS]);

/* Do a handshake over the connected socket `fd`, for the server called `host` (sent as
 * SNI and checked against its certificate). Blocks the calling task, which needs
 * TLS_HANDSHAKE_STACK bytes of stack, for at most `timeout_ms` counted over the whole of it
 * plus one elliptic curve operation.
 * NULL on failure: tls_last_error(). The socket stays open either way. */
struct tls_session *tls_open(int fd, const char *host, const struct tls_profile *profile,
                             uint32_t timeout_ms);
#define TLS_HANDSHAKE_STACK 3328 /* used by the C code: 2.9 KB at most */

/* Take what the socket has, without waiting: until one record of data is committed to `sink`,
 * nothing is left, or `budget` bytes were read. A record of any legal size is decrypted as it
 * arrives: its bytes are offered, and committed or discarded when its tag has come. Returns
 * how many bytes were read (> 0), or enum tls_result. */
int tls_receive(struct tls_session *session, const struct fw_record_sink *sink, size_t budget);

/* Write all of `size` bytes, waiting at most `timeout_ms` in all for room. Returns 0 or
 * enum tls_result (never TLS_AGAIN: a session that could not send in time is broken). */
int tls_write(struct tls_session *session, const void *data, size_t size,
              uint32_t timeout_ms);

/* Send close_notify if the socket takes it at once, and free the session. Does not close
 * the socket. NULL is allowed. */
void tls_close(struct tls_session *session);

/* Milliseconds since boot at which the session last received bytes of any kind. */
uint32_t tls_last_receive_ms(const struct tls_session *session);

/* IANA number of the agreed cipher suite, 0 if none. */
uint16_t tls_cipher_suite(const struct tls_session *session);

/* Copy out, or clear, the record of the last failure. */
void tls_last_error(struct tls_error *out);
void tls_error_clear(void);

/* Record a failure that other C glue met on the way to or in a TLS connection. One code means the
 * same to everybody: there was no memory. */
#define TLS_ERROR_NO_MEMORY 0x300
void tls_error_set(enum tls_stage stage, int32_t code, int32_t sys_errno);

/* Milliseconds since boot, wrapping. */
uint32_t tls_now_ms(void);

#endif
