/* The crash report and the note that survives the reset. See crash.h.
 *
 * The report uses nothing that a crash may have broken: no heap, no printf, no locks; it
 * reads the kernel's bookkeeping only after checking the pointers. A crash inside the
 * report resets at once. */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "FreeRTOS.h"
#include "task.h"

#include "crash.h"
#include "fw_hooks.h"
#include "lx106.h"
#include "port_frame.h"

/* Saved by the crash entries in portasm.S, which names the offsets in port_frame.h. */
struct crash_registers {
    uint32_t a[16];
    uint32_t pc, ps, sar, exccause, excvaddr, epc1;
};
_Static_assert(sizeof(struct crash_registers) == CRASH_FRAME_SIZE, "port_frame.h");
_Static_assert(offsetof(struct crash_registers, pc) == CRASH_PC, "port_frame.h");
_Static_assert(offsetof(struct crash_registers, epc1) == CRASH_EPC1, "port_frame.h");
extern struct crash_registers crash_frame;

_Noreturn void crash_software(uint32_t kind, const char *text, uint32_t number, uint32_t pc,
                              const char *file);

/* Linker script: all RAM and all code that addresses may point at. */
extern uint32_t _dram_start[], _dram_end[];
extern uint32_t _iram_start[], _iram_end[];
extern uint32_t _text_start[], _text_end[];

/* The kernel's current task; NULL before the first task exists. */
extern void *volatile pxCurrentTCB;

/* --- The note --------------------------------------------------------------------- */

/* Words only, and volatile so that the compiler does not make memcpy of them: a board may
 * keep the note in memory that knows no bytes. */
struct reset_note {
    uint32_t magic;
    uint32_t reason;
    uint32_t boots;
    uint32_t crashes;
    uint32_t in_a_row;                     /* of those, see lx106_crashes_in_a_row */
    uint32_t length;                       /* of the record, in characters */
    uint32_t record[CRASH_RECORD_MAX / 4]; /* four characters a word, the first lowest */
    uint32_t checksum;
};
#define NOTE_MAGIC 0x4E4F5434U /* "NOT4" */

/* In RAM that neither the loader nor the start code touches. */
/* The linker scripts put it first: the next firmware, which may keep other things there as well,
 * must find it where this one left it. */
static volatile struct reset_note note __attribute__((section(".noinit.first")));

static enum lx106_reset_reason boot_reason;

volatile bool crash_in_interrupt;

static uint32_t note_checksum(void)
{
    /* Tells a note from the random content of RAM after power-on. */
    uint32_t sum = note.magic;
    sum = 31 * sum + note.reason;
    sum = 31 * sum + note.boots;
    sum = 31 * sum + note.crashes;
    sum = 31 * sum + note.in_a_row;
    sum = 31 * sum + note.length;
    for (unsigned i = 0; i < CRASH_RECORD_MAX / 4; i++) {
        sum = 31 * sum + note.record[i];
    }
    return ~sum;
}

static bool note_valid(void)
{
    return note.magic == NOTE_MAGIC && note.reason <= LX106_RESET_DEEP_SLEEP &&
           note.length <= CRASH_RECORD_MAX && note.checksum == note_checksum();
}

static void note_write(enum lx106_reset_reason reason)
{
    note.magic = NOTE_MAGIC;
    note.reason = reason;
    note.checksum = note_checksum();
}

static void record_clear(void)
{
    note.length = 0;
    for (unsigned i = 0; i < CRASH_RECORD_MAX / 4; i++) {
        note.record[i] = 0;
    }
}

/* What no longer fits is dropped; line ends are not part of the record. */
static void record_append(const char *text, size_t length)
{
    for (size_t i = 0; i < length && note.length < CRASH_RECORD_MAX; i++) {
        if (text[i] != '\n') {
            uint32_t at = note.length;
            note.record[at / 4] |= (uint32_t)(uint8_t)text[i] << (8 * (at % 4));
            note.length = at + 1;
        }
    }
}

size_t lx106_crash_record(char record[CRASH_RECORD_MAX])
{
    uint32_t length = note.length;
    for (uint32_t i = 0; i < length; i++) {
        record[i] = (char)(note.record[i / 4] >> (8 * (i % 4)));
    }
    return length;
}

void lx106_forget_crash(void)
{
    uint32_t ps = lx106_mask_interrupts();
    record_clear();
    note_write((enum lx106_reset_reason)note.reason);
    lx106_restore_interrupts(ps);
}

/* Before anything else of the note is changed: a stack that ran away may have written over it, and
 * then its counts are no counts. */
static void count_crash(void)
{
    if (!note_valid()) {
        note.crashes = 0;
        note.in_a_row = 0;
    }
    if (note.crashes != UINT32_MAX) {
        note.crashes++;
    }
    if (note.in_a_row != UINT32_MAX) {
        note.in_a_row++;
    }
}

/* The first crashes may be bad luck and are worth a quick boot. The wait doubles up to ten
 * minutes: long enough to spare whatever suffers from the loop, short enough for a device whose
 * cause has gone away to be back soon. */
#define PATIENT_CRASHES 3U
#define FIRST_WAIT_S 30U
#define LONGEST_WAIT_S 600U

static void put_text(const char *text);
static void put_decimal(uint32_t value);

static void wait_after_crashes(void)
{
    if (note.in_a_row < PATIENT_CRASHES) {
        return;
    }
    uint32_t seconds = FIRST_WAIT_S;
    for (uint32_t i = PATIENT_CRASHES; i < note.in_a_row && seconds < LONGEST_WAIT_S; i++) {
        seconds *= 2;
    }
    seconds = seconds < LONGEST_WAIT_S ? seconds : LONGEST_WAIT_S;
    put_text("*** ");
    put_decimal(note.in_a_row);
    put_text(" crashes in a row: waiting ");
    put_decimal(seconds);
    put_text(" s before the next start\n");
    while (seconds-- > 0) {
        board_watchdog_feed();
        uint32_t start = lx106_ccount();
        while (lx106_ccount() - start < board_cpu_hz) {
        }
    }
}

void crash_boot(enum lx106_reset_reason hardware, const char *task_name)
{
    boot_reason = LX106_RESET_POWER_ON;
    if (note_valid()) {
        boot_reason = (enum lx106_reset_reason)note.reason;
        if (boot_reason == LX106_RESET_EXTERNAL) {
            boot_reason = hardware;
        }
        if (boot_reason == LX106_RESET_WATCHDOG && note.reason != LX106_RESET_WATCHDOG) {
            /* Nothing could be noted while the hardware waited in vain. */
            static const char text[] = "watchdog: interrupts masked or starved, task ";
            count_crash();
            record_clear();
            record_append(text, sizeof(text) - 1);
            const char *name = task_name != NULL ? task_name : "not known";
            record_append(name, strlen(name));
        }
    } else {
        /* Not 0: what the memory holds when power comes on differs from time to time. */
        note.boots = note_checksum();
        note.crashes = 0;
        record_clear();
    }
    note.boots++;
    if (boot_reason <= LX106_RESET_SOFTWARE || boot_reason == LX106_RESET_DEEP_SLEEP) {
        note.in_a_row = 0;
    }
    note_write(LX106_RESET_EXTERNAL);
    wait_after_crashes();
}

uint32_t lx106_crashes_in_a_row(void)
{
    return note.in_a_row;
}

void crash_settled(void)
{
    uint32_t ps = lx106_mask_interrupts();
    note.in_a_row = 0;
    note_write((enum lx106_reset_reason)note.reason);
    lx106_restore_interrupts(ps);
}

enum lx106_reset_reason lx106_reset_reason(void)
{
    return boot_reason;
}

uint32_t lx106_boot_count(void)
{
    return note.boots;
}

uint32_t lx106_crash_count(void)
{
    return note.crashes;
}

const char *lx106_reset_reason_name(enum lx106_reset_reason reason)
{
    switch (reason) {
    case LX106_RESET_POWER_ON:
        return "power-on";
    case LX106_RESET_EXTERNAL:
        return "external";
    case LX106_RESET_SOFTWARE:
        return "software";
    case LX106_RESET_EXCEPTION:
        return "exception";
    case LX106_RESET_ASSERT:
        return "assert";
    case LX106_RESET_OUT_OF_MEMORY:
        return "out-of-memory";
    case LX106_RESET_STACK_OVERFLOW:
        return "stack-overflow";
    case LX106_RESET_PANIC:
        return "panic";
    case LX106_RESET_WATCHDOG:
        return "watchdog";
    case LX106_RESET_GAVE_UP:
        return "gave-up";
    case LX106_RESET_DEEP_SLEEP:
        return "deep-sleep";
    }
    return "unknown";
}

void lx106_restart(void)
{
    (void)lx106_mask_interrupts();
    fw_console_direct();
    note_write(LX106_RESET_SOFTWARE);
    board_reset();
}

void lx106_note_sleep(void)
{
    note_write(LX106_RESET_DEEP_SLEEP);
}

void lx106_give_up(const char *why, size_t length)
{
    (void)lx106_mask_interrupts();
    fw_console_direct();
    count_crash();
    fw_console_write("\n*** ", 5);
    record_clear();
    record_append(why, length);
    note_write(LX106_RESET_GAVE_UP);
    fw_console_write(why, length);
    static const char end[] = "\n*** reset\n";
    fw_console_write(end, sizeof(end) - 1);
    board_reset();
}

/* --- Printing --------------------------------------------------------------------- */

/* Whether what is printed goes into the record too. */
static bool recording;

static void put(const char *text, size_t length)
{
    fw_console_write(text, length);
    if (recording) {
        record_append(text, length);
    }
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

static void put_hex(uint32_t value)
{
    char digits[10] = "0x";
    for (int i = 0; i < 8; i++) {
        digits[2 + i] = "0123456789abcdef"[(value >> (28 - 4 * i)) & 15];
    }
    put(digits, sizeof(digits));
}

static void put_decimal(uint32_t value)
{
    char digits[10];
    size_t length = 0;
    do {
        digits[sizeof(digits) - ++length] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    put(digits + sizeof(digits) - length, length);
}

/* The name of a task, whose control block may have been written over. */
static void put_task_name(const char *name)
{
    char text[configMAX_TASK_NAME_LEN];
    size_t length = 0;
    while (length < sizeof(text) && name[length] != '\0') {
        char c = name[length];
        text[length++] = c >= ' ' && c <= '~' ? c : '?';
    }
    put(text, length);
}

static void put_register(const char *name, uint32_t value)
{
    put_text(" ");
    put_text(name);
    put_text(" ");
    put_hex(value);
}

/* EXCCAUSE by name (ISA manual, "Exception Causes"): those that this core, or the emulator's,
 * can raise. The number stands beside it. */
static const char *exception_name(uint32_t cause)
{
    switch (cause) {
    case 0:
        return "IllegalInstruction";
    case 1:
        return "Syscall";
    case 2:
        return "InstructionFetchError";
    case 3:
        return "LoadStoreError";
    case 9:
        return "LoadStoreAlignment";
    case 14:
        return "InstPIFAddrError";
    case 15:
        return "LoadStorePIFAddrError";
    case 20:
        return "InstFetchProhibited";
    case 28:
        return "LoadProhibited";
    case 29:
        return "StoreProhibited";
    default:
        return "unknown";
    }
}

/* --- The stack -------------------------------------------------------------------- */

static bool in_dram(uint32_t address)
{
    return (address & 3) == 0 && address >= (uint32_t)_dram_start &&
           address < (uint32_t)_dram_end;
}

static bool in_code(uint32_t address)
{
    return (address >= (uint32_t)_iram_start && address < (uint32_t)_iram_end) ||
           (address >= (uint32_t)_text_start && address < (uint32_t)_text_end);
}

/* One byte of code, by an aligned load: on the chip, flash and IRAM allow no other. */
static uint32_t code_byte(uint32_t address)
{
    return *(const uint32_t *)(address & ~3U) >> (8 * (address & 3)) & 0xFF;
}

/* Bytes of a call instruction. */
#define CALL_LENGTH 3U

/* True when the instruction in front of `address` is a call: it may be a return address.
 * CALL0 has the low six bits 000101, CALLX0 is c0 0s 00 (ISA manual, "CALL0, CALLX0"). */
static bool is_return_address(uint32_t address)
{
    uint32_t call = address - CALL_LENGTH;
    if (!in_code(address) || !in_code(call)) {
        return false;
    }
    return (code_byte(call) & 0x3F) == 0x05 ||
           (code_byte(call) == 0xC0 && code_byte(call + 1) < 16 && code_byte(call + 2) == 0);
}

/* Call0 code keeps no chain of frames, so print every word of the stack that looks like
 * a return address; old ones that later frames have not overwritten may be among them. */
static void put_backtrace(uint32_t pc, uint32_t a0, uint32_t sp)
{
    enum { SHOWN_MAX = 24, WORDS_MAX = 1024 };

    put_text("Backtrace: ");
    put_hex(pc);
    if (a0 != pc + CALL_LENGTH && is_return_address(a0)) {
        put_text(" ");
        put_hex(a0);
    }
    unsigned shown = 0;
    uint32_t last = a0;
    for (unsigned i = 0; i < WORDS_MAX && in_dram(sp); i++, sp += 4) {
        uint32_t word = *(const uint32_t *)sp;
        if (word == PORT_STACK_END_MARK && in_dram(sp + 4) &&
            *(const uint32_t *)(sp + 4) == sp) {
            break;
        }
        if (word != last && is_return_address(word)) {
            if (++shown > SHOWN_MAX) {
                put_text(" ...");
                break;
            }
            put_text(" ");
            put_hex(word);
            last = word;
        }
    }
    put_text("\n");
}

/* --- The report ------------------------------------------------------------------- */

static enum lx106_reset_reason put_cause(uint32_t kind, const char *text, uint32_t number,
                                         const char *file)
{
    switch (kind) {
    case CRASH_KIND_ASSERT:
        put_text("assert: ");
        put_text(text);
        put_text(" (");
        put_text(file);
        put_text(":");
        put_decimal(number);
        put_text(")\n");
        return LX106_RESET_ASSERT;
    case CRASH_KIND_OUT_OF_MEMORY:
        put_text("out-of-memory: ");
        put_decimal(number);
        put_text(" bytes wanted\n");
        return LX106_RESET_OUT_OF_MEMORY;
    case CRASH_KIND_STACK_OVERFLOW:
        put_text("stack-overflow: task ");
        put_task_name(text);
        put_text("\n");
        return LX106_RESET_STACK_OVERFLOW;
    case CRASH_KIND_PANIC:
        put_text("panic: ");
        put(text, number);
        put_text("\n");
        return LX106_RESET_PANIC;
    case CRASH_KIND_WATCHDOG:
        put_text("watchdog: task ");
        put_task_name(text);
        put_text(" ");
        put_text(file);
        put_text(" ");
        put_decimal(number);
        put_text(" s\n");
        return LX106_RESET_WATCHDOG;
    case CRASH_KIND_DEBUG:
        put_text("exception: Debug (break instruction)\n");
        return LX106_RESET_EXCEPTION;
    case CRASH_KIND_NMI:
        put_text("exception: NMI (nothing enables one)\n");
        return LX106_RESET_EXCEPTION;
    default:
        put_text("exception: ");
        put_text(exception_name(crash_frame.exccause));
        put_text(" (");
        put_decimal(crash_frame.exccause);
        put_text(kind == CRASH_KIND_DOUBLE_EXCEPTION
                     ? ") while entering an interrupt, address "
                     : "), address ");
        put_hex(crash_frame.excvaddr);
        put_text("\n");
        return LX106_RESET_EXCEPTION;
    }
}

/* Where it happened: in `handle`, or NULL for the current task; `sp` is the stack pointer
 * of the crashed code. */
static void put_context(TaskHandle_t handle, uint32_t sp, bool interrupt)
{
    put_text(interrupt ? "Context: interrupt, over task " : "Context: task ");
    TaskStatus_t task;
    vTaskGetInfo(handle, &task, pdTRUE, eRunning);
    put_task_name(task.pcTaskName);
    put_text(", stack left ");
    uint32_t base = (uint32_t)task.pxStackBase;
    uint32_t left = sp > base ? sp - base : 0;
    /* The kernel finds the lowest by looking for bytes that were never written; a part of
     * the stack may be in use and not yet written. */
    uint32_t lowest = task.usStackHighWaterMark * sizeof(StackType_t);
    lowest = lowest < left ? lowest : left;
    put_decimal(left);
    put_text(" bytes, lowest ");
    put_decimal(lowest);
    /* The kernel looks only when it switches tasks; a crash may come first. */
    put_text(lowest == 0 ? " (OVERFLOWED)" : "");
    put_text(", uptime ");
    put_decimal(xTaskGetTickCountFromISR() * portTICK_PERIOD_MS);
    put_text(" ms\n");
}

/* The end of the record: task and address. */
static void record_context(TaskHandle_t task, uint32_t pc)
{
    static const char task_text[] = ", task ", pc_text[] = ", pc 0x";
    if (task != NULL) {
        const char *name = pcTaskGetName(task);
        record_append(task_text, sizeof(task_text) - 1);
        record_append(name, strnlen(name, configMAX_TASK_NAME_LEN));
    }
    record_append(pc_text, sizeof(pc_text) - 1);
    for (int i = 28; i >= 0; i -= 4) {
        record_append(&"0123456789abcdef"[(pc >> i) & 15], 1);
    }
}

/* Called by the crash entries in portasm.S, interrupts masked. The arguments after
 * `kind` mean something only for the kinds that crash_software passes. */
_Noreturn void crash_main(uint32_t kind, const char *text, uint32_t number, uint32_t pc,
                          const char *file);
void crash_main(uint32_t kind, const char *text, uint32_t number, uint32_t pc,
                const char *file)
{
    /* A word, not a flag: a stack that ran away may have written over it, and then this is
     * still the first report. */
    static volatile uint32_t state;
    enum { CRASHING = 0x43525348 };

    if (state == CRASHING) {
        put_text("\n*** crash inside the crash report, reset\n");
        board_reset();
    }
    state = CRASHING;

    fw_console_direct();
    count_crash();
    put_text("\n*** CRASH ");
    record_clear();
    recording = true;
    enum lx106_reset_reason reason = put_cause(kind, text, number, file);
    recording = false;
    note_write(reason);

    struct crash_registers registers = crash_frame;
    if (kind == CRASH_KIND_DOUBLE_EXCEPTION) {
        registers.a[1] += FRAME_SIZE; /* port_interrupt had made room for its frame */
    }
    bool in_task = in_dram((uint32_t)pxCurrentTCB) &&
                   xTaskGetSchedulerState() != taskSCHEDULER_NOT_STARTED;
    /* The watchdog's report is about a task that is switched away: `pc` is its handle. */
    bool watchdog = kind == CRASH_KIND_WATCHDOG && in_dram(pc);
    uint32_t task = watchdog ? pc : (uint32_t)pxCurrentTCB;
    /* The first member of a task control block is its saved stack pointer. */
    uint32_t frame = in_task ? *(const uint32_t *)task : 0;
    bool interrupt = in_task && crash_in_interrupt;

    if ((watchdog || (kind == CRASH_KIND_STACK_OVERFLOW && interrupt)) && in_dram(frame)) {
        /* Show the task, not the watchdog, nor the kernel that noticed the overflow in the
         * context switch. */
        const uint32_t *saved = (const uint32_t *)frame;
        registers.pc = saved[FRAME_PC / 4];
        registers.ps = saved[FRAME_PS / 4];
        registers.sar = saved[FRAME_SAR / 4];
        registers.a[0] = saved[FRAME_A0 / 4];
        registers.a[1] = frame + FRAME_SIZE;
        memcpy(&registers.a[2], &saved[FRAME_A2 / 4], 14 * 4);
        interrupt = false;
    }

    record_context(in_task ? (TaskHandle_t)task : NULL, registers.pc);
    note_write(reason);
    if (in_task) {
        put_context((TaskHandle_t)task, interrupt ? frame + FRAME_SIZE : registers.a[1],
                    interrupt);
    } else {
        put_text("Context: before the scheduler\n");
    }
    put_text("Heap: free ");
    put_decimal(xPortGetFreeHeapSize());
    put_text(", lowest ");
    put_decimal(xPortGetMinimumEverFreeHeapSize());
    put_text(" bytes\nRegisters:");
    put_register("pc ", registers.pc);
    put_register("ps ", registers.ps);
    put_register("sar", registers.sar);
    put_register("epc1", registers.epc1);
    for (unsigned i = 0; i < 16; i++) {
        char name[4] = {'a', (char)('0' + i), ' ', '\0'};
        if (i >= 10) {
            name[1] = '1';
            name[2] = (char)('0' + i - 10);
        }
        put_text(i % 4 == 0 ? "\n          " : "");
        put_register(name, registers.a[i]);
    }
    put_text("\n");
    /* In a crash that software raised, a0 only leads back into crash_assert and such, and
     * the PC is the call of those. */
    bool software = kind >= CRASH_KIND_ASSERT && kind != CRASH_KIND_STACK_OVERFLOW &&
                    kind != CRASH_KIND_WATCHDOG;
    put_backtrace(registers.pc, software ? registers.pc + CALL_LENGTH : registers.a[0],
                  registers.a[1]);
    if (interrupt && in_dram(frame)) {
        put_text("Interrupted: ");
        put_backtrace(*(const uint32_t *)(frame + FRAME_PC),
                      *(const uint32_t *)(frame + FRAME_A0), frame + FRAME_SIZE);
    }
    put_text("*** reset\n");
    board_reset();
}

/* --- What C and Rust call --------------------------------------------------------- */

/* The call itself, so that the report's PC points at the cause. Where it returns to is
 * another line or, because it never returns, another function. */
#define CALLER ((uint32_t)__builtin_return_address(0) - CALL_LENGTH)

void crash_assert(const char *condition, const char *file, int line)
{
    crash_software(CRASH_KIND_ASSERT, condition, (uint32_t)line, CALLER, file);
}

void crash_out_of_memory(size_t size)
{
    crash_software(CRASH_KIND_OUT_OF_MEMORY, NULL, size, CALLER, NULL);
}

void crash_panic(const char *message, size_t length)
{
    crash_software(CRASH_KIND_PANIC, message, length, CALLER, NULL);
}

void crash_stack_overflow(const char *task_name)
{
    crash_software(CRASH_KIND_STACK_OVERFLOW, task_name, 0, CALLER, NULL);
}

void crash_watchdog(void *task, const char *did, unsigned seconds)
{
    crash_software(CRASH_KIND_WATCHDOG, pcTaskGetName(task), seconds, (uint32_t)task, did);
}

/* What picolibc's assert() calls; only the file's name is shown, not its folders. */
void __assert_func(const char *file, int line, const char *function, const char *condition)
{
    (void)function;
    const char *slash = strrchr(file, '/');
    crash_software(CRASH_KIND_ASSERT, condition, (uint32_t)line, CALLER,
                   slash != NULL ? slash + 1 : file);
}

/* picolibc's own raises a signal, which nobody would see. */
void abort(void)
{
    crash_software(CRASH_KIND_ASSERT, "abort()", 0, CALLER, "-");
}
