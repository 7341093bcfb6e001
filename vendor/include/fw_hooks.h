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
 * printf's without floating point; lines are cut at 160 bytes.
 * Implemented in bsp/lx106/c/log.c, which formats and calls fw_log_line. */
void fw_log(enum fw_log_level level, const char *module, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Hand one finished line (no newline) to the logger. Implemented by crates/rtos. */
void fw_log_line(int level, const char *module, const char *text, size_t length);

/* Fill `buffer` with `length` unpredictable bytes. Returns 0, or -1 when the source
 * failed; then nothing in the buffer may be used. Implemented by the board. */
int fw_random(uint8_t *buffer, size_t length);

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

/* Whether a time server has told that, so that it is exact as far as anybody knows; it is a
 * lower bound until then. Implemented by crates/net. */
bool fw_time_is_exact(void);

/* Write bytes to the console at once, by polling: usable with interrupts off and
 * from a crashed system. Implemented in bsp/lx106/c/console.c. */
void fw_console_write(const char *bytes, size_t length);

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

/* Reset the board. Implemented by the board. */
_Noreturn void board_reset(void);

#endif
