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

/* Feed the board's own watchdog, if it has one: no task has broken its promise. Called
 * every second. Implemented by the board. */
void board_watchdog_feed(void);

/* What the server sends on one MQTT connection, checked and bounded before paho sees it.
 * Implemented by crates/mqtt over crates/packets, which says more of each. */
struct fw_packets;

enum fw_packet_kind {
    FW_PACKET_WHOLE = 1,      /* a packet for paho */
    FW_PACKET_OVERSIZED = 2,  /* a PUBLISH was too large: acknowledge it */
    FW_PACKET_PUSHED_OUT = 3, /* a PUBLISH had to make room: acknowledge it */
    FW_PACKET_REFUSED = 4,    /* no memory for a PUBLISH: do not acknowledge it */
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

/* How many bytes the packet that is coming in wants at least: read no more than that, and
 * take what is whole before reading on, and nothing is pushed out. */
size_t fw_packets_wanted(const struct fw_packets *packets);

/* Check and keep bytes of the server. fw_packets_commit makes visible what was offered since
 * the last one: 0, or the code of a fault that ends the connection (PAHO_ERROR_*);
 * fw_packets_discard forgets it, and all that follows: a record was forged. */
void fw_packets_offer(struct fw_packets *packets, const uint8_t *bytes, size_t length);
int32_t fw_packets_commit(struct fw_packets *packets);
void fw_packets_discard(struct fw_packets *packets);

/* Hand out the next. Its data stays where it is until the next call of this function or of
 * fw_packets_offer. */
bool fw_packets_take(struct fw_packets *packets, struct fw_packet *out);
bool fw_packets_waiting(const struct fw_packets *packets);

/* Reset the board. Implemented by the board. */
_Noreturn void board_reset(void);

#endif
