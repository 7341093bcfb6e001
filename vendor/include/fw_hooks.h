/* The only calls that C below the Rust wrappers makes upward, and who answers them.
 *
 * Everything in vendor/ and bsp/lx106/ that needs something of the board or of the
 * Rust side goes through this list; nothing else points up. */
#ifndef FW_HOOKS_H
#define FW_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fw_log_level {
    FW_LOG_ERROR = 1,
    FW_LOG_WARN = 2,
    FW_LOG_INFO = 3,
    FW_LOG_DEBUG = 4,
    FW_LOG_TRACE = 5,
};

/* Log one line from C. `module` is a short lower-case name ("mqtt"), `format` is
 * printf's without floating point; lines are cut at 160 bytes, which
 * shows.
 * Implemented in bsp/lx106/c/log.c, which formats and calls fw_log_line. */
void fw_log(enum fw_log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Hand one finished line (no newline) to the logger. Implemented by crates/rtos. */
void fw_log_line(int level, const char *module, const char *text, size_t length);

/* Fill `buffer` with `length` unpredictable bytes. Returns 0, or -1 when the source
 * failed; then nothing in the buffer may be used. Implemented by the board. */
int fw_random(uint8_t *buffer, size_t length);

/* What tells this board and this boot from others. None of it is secret: it keeps a random source
 * that repeats itself from making the same numbers twice. */
struct fw_unique {
    uint32_t serial[2]; /* as board_serial fills it */
    uint32_t boots;     /* lx106_boot_count */
    uint32_t zero;
    uint64_t cycles;    /* of the CPU, since boot */
};

/* Fill in all of it. Implemented in bsp/lx106/c/unique.c. */
void fw_unique(struct fw_unique *out);

/* Fill in what no other board has: its station address. Implemented by the board. */
void board_serial(uint32_t serial[2]);

/* Seconds since 1970-01-01 UTC, never earlier than the firmware's build.
 * Implemented by crates/net (SNTP). */
int64_t fw_unix_time(void);

/* The elliptic curve P-256: numbers of 32 bytes, the highest first, points x and y, signatures r and
 * s. Those that take a secret key run in constant time, and those that take `random` bytes hide
 * with them what the computation looks like. Each returns 0, or -1 when an argument is no secret
 * key, no point, or not the signature. Implemented by crates/tls over crates/p256. */
enum { FW_P256_NUMBER = 32, FW_P256_POINT = 64 };
/* Memory for a multiplication, which the stack has not: uninitialised, and of no use after. */
struct fw_p256_workspace {
    uint32_t words[336];
};
bool fw_p256_is_secret_key(const uint8_t key[FW_P256_NUMBER]);
bool fw_p256_is_public_key(const uint8_t key[FW_P256_POINT]);
int fw_p256_public_key(const uint8_t secret[FW_P256_NUMBER], const uint8_t random[FW_P256_NUMBER],
                       uint8_t public_key[FW_P256_POINT]);
int fw_p256_shared_secret(const uint8_t secret[FW_P256_NUMBER],
                          const uint8_t public_key[FW_P256_POINT],
                          const uint8_t random[FW_P256_NUMBER],
                          struct fw_p256_workspace *workspace, uint8_t shared[FW_P256_NUMBER]);
/* `fresh` bytes that repeat do not give the key away: RFC 6979, 3.6. */
int fw_p256_sign(const uint8_t secret[FW_P256_NUMBER], const uint8_t *hash, size_t hash_length,
                 const uint8_t fresh[FW_P256_NUMBER], uint8_t signature[FW_P256_POINT]);
int fw_p256_verify(const uint8_t public_key[FW_P256_POINT], const uint8_t *hash,
                   size_t hash_length, const uint8_t signature[FW_P256_POINT],
                   struct fw_p256_workspace *workspace);

/* RSA signatures of PKCS#1 v1.5, verified. Implemented by crates/tls over crates/rsa. */
struct fw_rsa_key {
    const uint8_t *modulus; /* the highest byte first, which is not 0 */
    size_t length;
    uint32_t exponent;
};
/* Bytes of memory, aligned for words, that a verification needs, whatever is in it. 0: this is no
 * key of 1024 to 4096 bits. */
size_t fw_rsa_workspace(const struct fw_rsa_key *key);
/* Returns 0, or -1 when the signature, as long as the modulus, is not that of the key over this
 * hash: SHA-256, SHA-384 or SHA-512 by its length. */
int fw_rsa_verify(const struct fw_rsa_key *key, const uint8_t *hash, size_t hash_length,
                  const uint8_t *signature, uint32_t *workspace);

/* Whether a time server has told that, so that it is exact as far as anybody knows; it is a
 * lower bound until then. Implemented by crates/net. */
bool fw_time_is_exact(void);

/* A moment as the calendar has it, UTC; months and days count from 1. */
struct fw_date {
    uint16_t year;
    uint8_t month, day, hour, minute, second;
};

/* The date of so many seconds since 1970. Implemented by crates/net over crates/clock. */
void fw_date(uint32_t seconds, struct fw_date *out);

/* Write bytes to the console, from anywhere. They go into a ring, which the board empties; when it
 * is full, a task waits 50 ms at most, then the bytes are dropped, counted and told.
 * Implemented in bsp/lx106/c/console.c. */
void fw_console_write(const char *bytes, size_t length);

/* From now on bytes are sent at once, by polling, and what the ring holds first: for a system that
 * has crashed or is about to be reset. With interrupts masked. Implemented there too. */
void fw_console_direct(void);

/* Lines dropped since boot. Implemented there too. */
uint32_t fw_console_lost(void);

/* The same for bytes that stay as they are, at most 512, all or none; whether there was room. After
 * the scheduler has started. Implemented there too. */
bool fw_console_try_raw(const char *bytes, size_t length);

/* Bytes that the board has not taken yet. Implemented there too. */
size_t fw_console_waiting(void);

/* The next byte of the ring, or -1: for the board, with interrupts masked. Implemented there too. */
int fw_console_next(void);

/* There are bytes in the ring: take them, now or by interrupt. Interrupts are masked. Implemented
 * by the board. */
void board_console_start(void);

/* Send one byte, by polling. Implemented by the board. */
void board_console_put(char c);

/* Make code and constants in flash reachable, whatever was being done to the flash. The
 * crash report calls it first; it must lie in RAM itself. Implemented by the board. */
void board_crash_begin(void);

/* The calling task shows life and promises to do so again within `seconds`: longer than any
 * of its waits until then. 0 promises nothing more. A broken promise ends in the crash
 * report. Implemented in bsp/lx106/c/watchdog.c. */
void fw_alive(uint16_t seconds);

/* The calling task shows life within what it promised last, if it has promised anything. */
void fw_renew(void);

/* Feed the board's own watchdog, if it has one: no task has broken its promise. Called
 * every second. Implemented by the board. */
void board_watchdog_feed(void);

/* AES and AES-GCM. Implemented by crates/tls over crates/gcm, which says more of each. A key
 * and a message are kept where the caller has room for them, in whole words, and hold
 * secrets: the caller wipes them. */
#define FW_AES_WORDS 61
#define FW_GCM_KEY_WORDS 125
#define FW_GCM_MESSAGE_WORDS 20

/* Make a key of 16, 24 or 32 bytes usable. False for another size. */
bool fw_aes_set_key(uint32_t aes[FW_AES_WORDS], const uint8_t *key, size_t size);
bool fw_gcm_set_key(uint32_t key[FW_GCM_KEY_WORDS], const uint8_t *bytes, size_t size);

/* Encrypt one block, which may lie where it was. */
void fw_aes_encrypt(const uint32_t aes[FW_AES_WORDS], const uint8_t in[16], uint8_t out[16]);

/* A message: begin, at most one call for the additional data, then the data in pieces, in
 * place, then the tag. */
void fw_gcm_begin(uint32_t message[FW_GCM_MESSAGE_WORDS], const uint32_t key[FW_GCM_KEY_WORDS],
                  bool encrypt, const uint8_t *nonce, size_t size);
void fw_gcm_additional(uint32_t message[FW_GCM_MESSAGE_WORDS],
                       const uint32_t key[FW_GCM_KEY_WORDS], const uint8_t *data, size_t size);
void fw_gcm_update(uint32_t message[FW_GCM_MESSAGE_WORDS], const uint32_t key[FW_GCM_KEY_WORDS],
                   uint8_t *data, size_t size);
void fw_gcm_tag(uint32_t message[FW_GCM_MESSAGE_WORDS], const uint32_t key[FW_GCM_KEY_WORDS],
                uint8_t tag[16]);

/* What the server sends on one MQTT connection, checked and bounded before paho sees it.
 * Implemented by crates/mqtt over crates/packets, which says more of each. */
struct fw_packets;

enum fw_packet_kind {
    FW_PACKET_WHOLE = 1,      /* a packet for paho */
    FW_PACKET_OVERSIZED = 2,  /* a PUBLISH was too large: acknowledge it */
    FW_PACKET_PUSHED_OUT = 3, /* a PUBLISH had to make room: acknowledge it */
    FW_PACKET_REFUSED = 4,    /* no memory for a PUBLISH: do not acknowledge it */
    FW_PACKET_ASIDE = 5,      /* a PUBLISH past paho, whose owner takes it first */
};

struct fw_packet {
    const uint8_t *data; /* the packet; of an oversized one the beginning of its topic */
    uint32_t length;     /* bytes of `data` */
    uint32_t payload;    /* of an oversized one: bytes of its payload */
    uint16_t id;         /* to acknowledge; 0: none */
    uint8_t kind;        /* enum fw_packet_kind */
};

/* For one connection; NULL without memory. Freed by fw_packets_free, which takes NULL. */
struct fw_packets *fw_packets_new(void);
void fw_packets_free(struct fw_packets *packets);

/* Note a whole packet of ours: what it asks for may come. */
void fw_packets_sent(struct fw_packets *packets, const uint8_t *packet, size_t length);

/* Check and keep bytes of the server. fw_packets_commit makes visible what was offered since
 * the last one: 0, or the code of a fault that ends the connection (PAHO_ERROR_*);
 * fw_packets_discard forgets it, and all that follows: a record was forged. */
void fw_packets_offer(struct fw_packets *packets, const uint8_t *bytes, size_t length);
int32_t fw_packets_commit(struct fw_packets *packets);
void fw_packets_discard(struct fw_packets *packets);

/* Hand out the next; one for another owner again and again, until he has it. Its data stays where it is until the next call of this function or of
 * fw_packets_offer. */
bool fw_packets_take(struct fw_packets *packets, struct fw_packet *out);
bool fw_packets_waiting(const struct fw_packets *packets);

/* Records of TLS 1.2 with AES-GCM on one connection. Implemented by crates/tls over
 * crates/records, which says more of each. */
struct fw_records;

#define FW_RECORD_PREFIX 13                   /* in front of a record's content */
#define FW_RECORD_OVERHEAD 29                 /* besides its content */
#define FW_RECORD_ALERT (FW_RECORD_OVERHEAD + 2) /* a whole record with an alert */

/* Takes the data of records. What is offered is not verified yet: it may decide what is kept,
 * and nothing else. commit: what was offered since the last one is genuine. discard: it is
 * not, and nothing follows. */
struct fw_record_sink {
    void *context;
    void (*offer)(void *context, const uint8_t *bytes, size_t length);
    void (*commit)(void *context);
    void (*discard)(void *context);
};

/* What came of bytes. */
enum fw_record_progress {
    FW_RECORD_MORE = 0,    /* the record wants more */
    FW_RECORD_DATA = 1,    /* data was committed */
    FW_RECORD_NOTHING = 2, /* a record without data is over */
    FW_RECORD_REFUSE = 3,  /* send the alert no_renegotiation */
    FW_RECORD_CLOSED = 4,  /* the peer sent close_notify */
    FW_RECORD_FAULT = 5,   /* the connection is over: see the fault */
};

enum fw_record_fault_kind {
    FW_RECORD_VERSION = 0,
    FW_RECORD_LENGTH = 1,
    FW_RECORD_TAG = 2,
    FW_RECORD_UNEXPECTED = 3,
    FW_RECORD_MALFORMED = 4,
    FW_RECORD_ALERTED = 5,
    FW_RECORD_TRUNCATED = 6,
    FW_RECORD_EXHAUSTED = 7,
    FW_RECORD_OVER = 8,
};

struct fw_record_fault {
    uint8_t kind;     /* enum fw_record_fault_kind */
    uint8_t answer;   /* alert to send; 0: none */
    uint8_t received; /* alert that the peer sent; 0: none */
};

/* The client's side, with the handshake's key block (client's key, server's key, client's
 * salt, server's salt) for keys of `key_size` bytes, and the numbers of the next records.
 * NULL without memory or for other sizes than 16 and 32. fw_records_free takes NULL. */
struct fw_records *fw_records_new(const uint8_t *key_block, size_t key_size, uint64_t sent,
                                  uint64_t received);
void fw_records_free(struct fw_records *records);

/* How many bytes to read from the stream at most. */
size_t fw_records_wanted(const struct fw_records *records);

/* Take so many bytes at most, decrypted in place. Returns enum fw_record_progress. */
uint8_t fw_records_take(struct fw_records *records, uint8_t *bytes, size_t length,
                        const struct fw_record_sink *sink, struct fw_record_fault *fault);

/* The stream has ended. False: within a record, see the fault. */
bool fw_records_end(struct fw_records *records, const struct fw_record_sink *sink,
                    struct fw_record_fault *fault);

/* Make a record of data in place: its content stands behind FW_RECORD_PREFIX bytes, `length`
 * is that of the whole record. False: the numbers of records are used up. */
bool fw_records_seal(struct fw_records *records, uint8_t *record, size_t length);

/* Make a record with an alert. False: as above. */
bool fw_records_alert(struct fw_records *records, uint8_t description,
                      uint8_t record[FW_RECORD_ALERT]);

/* Reset the board. Implemented by the board. */
_Noreturn void board_reset(void);

#endif
