/* The chip's watchdog. The one in software (bsp/lx106/c/watchdog.c) feeds it each second, so it
 * bites when that one can no longer run: interrupts masked for good, a handler that does not
 * return. The next boot finds its mark in the RTC and, in RAM, which task ran. */
#include "chip.h"

#include "esp8266.h"
#include "fw_hooks.h"

/* 2^13 * 0.8 ms = 6.6 s, longer than anything masks interrupts (erasing a sector, 0.4 s), and
 * 2^11 * 0.8 ms = 1.6 s. Interrupt 8, which tells of the first stage, stays masked: with
 * interrupts at work the software would have fed. */
#define FIRST_STAGE 13U
#define SECOND_STAGE 11U

void board_watchdog_feed(void)
{
    WATCHDOG.feed = WATCHDOG_FEED;
}

void chip_watchdog_start(void)
{
    WATCHDOG.control = WATCHDOG_RESET_LENGTH_MAX;
    WATCHDOG.first_stage = FIRST_STAGE;
    WATCHDOG.second_stage = SECOND_STAGE;
    WATCHDOG.control = WATCHDOG_RESET_LENGTH_MAX | WATCHDOG_ENABLE;
    board_watchdog_feed();
}
