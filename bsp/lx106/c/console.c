/* Text on the console, in pieces that nothing comes between.
 *
 * A UART takes 87 us a byte, so nobody waits for it: a line goes into a ring, from which the board
 * takes it, by interrupt. A ring that is full makes a task wait a little; then the line is
 * dropped, and the next that finds room tells how many were. Before the scheduler and for the crash
 * report, which can rely on nothing, bytes are sent by polling instead. */
#include <stdbool.h>

#include "FreeRTOS.h"
#include "task.h"

#include "fw_hooks.h"
#include "lx106.h"

/* Bytes; a power of two. Two long lines. */
#define RING 512U
/* Ticks that a task waits for room: 50 ms, in which the ring empties once. */
#define PATIENCE (configTICK_RATE_HZ / 20)

static char ring[RING];
static volatile uint32_t written, taken; /* count on, and wrap */
static volatile uint32_t lost, untold;   /* lines */
static volatile bool direct;

int fw_console_next(void)
{
    if (written == taken) {
        return -1;
    }
    char c = ring[taken % RING];
    taken++;
    return (unsigned char)c;
}

uint32_t fw_console_lost(void)
{
    return lost;
}

static void put_direct(char c)
{
    if (c == '\n') {
        board_console_put('\r');
    }
    board_console_put(c);
}

void fw_console_direct(void)
{
    direct = true;
    /* At most a ring, whatever a crash has written over its counts. */
    for (uint32_t i = 0; i < RING; i++) {
        int c = fw_console_next();
        if (c < 0) {
            break;
        }
        board_console_put((char)c);
    }
}

static void put_ring(char c)
{
    ring[written % RING] = c;
    written++;
}

/* Bytes that the text takes in the ring. */
static size_t length_in_ring(const char *bytes, size_t length)
{
    size_t ends = 0;
    for (size_t i = 0; i < length; i++) {
        ends += bytes[i] == '\n';
    }
    return length + ends;
}

/* Interrupts are masked. False when there is no room for all of it. */
static bool write_ring(const char *bytes, size_t length, size_t needed)
{
    if (needed > RING - (written - taken)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\n') {
            put_ring('\r');
        }
        put_ring(bytes[i]);
    }
    return true;
}

/* The same, and before it how many lines were dropped since the last that was not. */
static bool write_after_loss(const char *bytes, size_t length, size_t needed)
{
    if (untold > 0) {
        char told[] = "*** the console was too slow: 4294967295 lines dropped\n";
        char *digit = told + sizeof("*** the console was too slow: 4294967295") - 2;
        uint32_t count = untold;
        for (unsigned i = 0; i < 10; i++, count /= 10) {
            *digit-- = count > 0 ? (char)('0' + count % 10) : ' ';
        }
        size_t room = RING - (written - taken);
        if (needed + sizeof(told) > room || !write_ring(told, sizeof(told) - 1, sizeof(told))) {
            return false;
        }
        untold = 0;
    }
    return write_ring(bytes, length, needed);
}

static bool try_write(const char *bytes, size_t length, size_t needed)
{
    uint32_t ps = lx106_mask_interrupts();
    bool done = write_after_loss(bytes, length, needed);
    if (done) {
        board_console_start();
    }
    lx106_restore_interrupts(ps);
    return done;
}

bool fw_console_try_raw(const char *bytes, size_t length)
{
    uint32_t ps = lx106_mask_interrupts();
    bool done = length <= RING - (written - taken);
    for (size_t i = 0; done && i < length; i++) {
        put_ring(bytes[i]);
    }
    if (done) {
        board_console_start();
    }
    lx106_restore_interrupts(ps);
    return done;
}

size_t fw_console_waiting(void)
{
    return written - taken;
}

static bool may_wait(void)
{
    return (lx106_ps() & LX106_PS_INTLEVEL) == 0 &&
           xTaskGetSchedulerState() == taskSCHEDULER_RUNNING;
}

static void write_piece(const char *bytes, size_t length)
{
    size_t needed = length_in_ring(bytes, length);
    /* In a flood only the first line waits: the others would hold up their tasks for nothing. */
    for (unsigned waited = 0; !try_write(bytes, length, needed); waited++) {
        if (untold > 0 || waited == PATIENCE || !may_wait()) {
            uint32_t ps = lx106_mask_interrupts();
            lost++;
            untold++;
            lx106_restore_interrupts(ps);
            return;
        }
        vTaskDelay(1);
    }
}

void fw_console_write(const char *bytes, size_t length)
{
    if (direct || xTaskGetSchedulerState() == taskSCHEDULER_NOT_STARTED) {
        for (size_t i = 0; i < length; i++) {
            put_direct(bytes[i]);
        }
        return;
    }
    /* What fits in no ring comes in pieces, between which another task's lines may come. */
    while (length > 0) {
        size_t piece = length < RING / 4 ? length : RING / 4;
        if (length <= RING / 2) {
            piece = length;
        }
        write_piece(bytes, piece);
        bytes += piece;
        length -= piece;
    }
}
