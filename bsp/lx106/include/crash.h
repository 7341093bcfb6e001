/* The crash report: one format and one way out for everything that cannot go on.
 *
 * A CPU exception, a failed assertion, an exhausted heap, a stack overflow and a Rust
 * panic all print the same report through fw_console_write, note their kind in RAM
 * that survives the reset, and end in board_reset. Every function may be called from a
 * task, from an interrupt, inside a critical section and before the scheduler runs.
 *
 * A crash that comes back at every boot must not fill a console, wear out a server or flicker
 * a relay at full speed: from the third crash in a row on, the next boot first waits. */
#ifndef CRASH_H
#define CRASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why the CPU was last reset. The values are stored across the reset: do not renumber. */
enum lx106_reset_reason {
    LX106_RESET_POWER_ON = 0,  /* RAM held no valid note: the power was off */
    LX106_RESET_EXTERNAL = 1,  /* reset from outside (button, debugger, watchdog) */
    LX106_RESET_SOFTWARE = 2,  /* lx106_restart() */
    LX106_RESET_EXCEPTION = 3, /* CPU exception */
    LX106_RESET_ASSERT = 4,    /* configASSERT, assert, abort */
    LX106_RESET_OUT_OF_MEMORY = 5,
    LX106_RESET_STACK_OVERFLOW = 6,
    LX106_RESET_PANIC = 7,     /* Rust panic */
    LX106_RESET_WATCHDOG = 8,  /* a task, or all of them, showed no life for too long */
    LX106_RESET_GAVE_UP = 9,   /* lx106_give_up() */
    LX106_RESET_DEEP_SLEEP = 10, /* lx106_note_sleep() */
};

/* Most characters of the crash record, which lx106_crash_record copies. */
#define CRASH_RECORD_MAX 96

/* Whether an interrupt handler runs. The port keeps it: the report may not have to ask anybody. */
extern volatile bool crash_in_interrupt;

/* Crash because `condition` (its source text) does not hold. */
_Noreturn void crash_assert(const char *condition, const char *file, int line);

/* Crash because `size` bytes could not be allocated and the caller cannot go on. */
_Noreturn void crash_out_of_memory(size_t size);

/* Crash with a Rust panic's message (with its location; no terminating NUL needed). */
_Noreturn void crash_panic(const char *message, size_t length);

/* Crash because `task_name`, the task that just ran, overflowed its stack. */
_Noreturn void crash_stack_overflow(const char *task_name);

/* Crash because of what `task` (a TaskHandle_t, not running just now) `did` for `seconds`. The
 * report shows where it was interrupted or waits. */
_Noreturn void crash_watchdog(void *task, const char *did, unsigned seconds);

/* Note that the reset which follows is intended, then reset the board. */
_Noreturn void lx106_restart(void);

/* Reset the board because it cannot do its work and a fresh start may help. `why` (`length`
 * characters, one line) becomes the crash record; it counts as a crash. */
_Noreturn void lx106_give_up(const char *why, size_t length);

/* Note that the reset which follows ends a deep sleep. */
void lx106_note_sleep(void);

/* Why the CPU was last reset; the same answer until the next reset. */
enum lx106_reset_reason lx106_reset_reason(void);

/* The reason as a word, such as "power-on" or "stack-overflow". */
const char *lx106_reset_reason_name(enum lx106_reset_reason reason);

/* Boots, counted through all resets; it begins anywhere when power comes on. */
uint32_t lx106_boot_count(void);

/* Crashes since power-on, the last one included (saturates at UINT32_MAX). */
uint32_t lx106_crash_count(void);

/* Crashes in a row: each came within CRASH_SETTLED_S of the boot before it, and nobody reset
 * the board or cut its power in between. */
uint32_t lx106_crashes_in_a_row(void);
/* Seconds after which a boot counts as good; the watchdog then calls crash_settled. */
#define CRASH_SETTLED_S 600
void crash_settled(void);

/* The record of the last crash, as one line such as
 * "exception: LoadStoreAlignment (9), address 0x3ffe8001, task link, pc 0x40212345":
 * copied to `record`, without a terminating NUL. Returns its length, 0 when there is
 * none. It stays until lx106_forget_crash, through resets, while power is on. */
size_t lx106_crash_record(char record[CRASH_RECORD_MAX]);
void lx106_forget_crash(void);

/* Read and re-arm the note that survives a reset. The board calls it once, first, with
 * what its hardware knows: it counts when no note of ours explains the reset. When that
 * is the watchdog, `task_name` is the task that ran last, or NULL if that is not known.
 * Waits, and says so, when crashes have become a habit. */
void crash_boot(enum lx106_reset_reason hardware, const char *task_name);

#endif
