/* What the chip does for the boards and for Rust (bsp/esp8266/src). */
#ifndef CHIP_H
#define CHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "esp8266.h"

/* Code that must run while the flash cannot be read. `thing iram` proves from the ELF that
 * nothing it reaches lies in flash. */
#define IN_IRAM(part) __attribute__((noinline, section(".iram.text." part)))

/* Make GPIO `pin` (0, 2, 4, 5, 12-15) an output at `level`. */
void chip_gpio_output(unsigned pin, bool level);
/* Set the level of an output. */
void chip_gpio_write(unsigned pin, bool level);

/* Read, write and erase flash by offset. Each returns 0, or -1 when the arguments are
 * wrong or the flash reports an error.
 * - Offset, length and address are multiples of 4; the memory lies in DRAM, because flash
 *   cannot be read meanwhile.
 * - A write only turns ones into zeros: erase the sector (4096 bytes, offset a multiple of
 *   that) first.
 * - Interrupts wait until it is done: at most 4 KB are read or written at once, an erase
 *   may take 400 ms. */
int chip_flash_read(uint32_t offset, void *to, size_t length);
int chip_flash_write(uint32_t offset, const void *from, size_t length);
int chip_flash_erase_sector(uint32_t offset);

/* The slot that this firmware runs from: 0 or 1, in the first or the second MiB of flash. */
extern uint32_t chip_slot;

/* Let the cache show that MiB. */
static inline void chip_cache_on(void)
{
    Cache_Read_Enable(chip_slot, 0, 1);
}

/* The chip's own MAC address, from its eFuses. */
void chip_mac_address(uint8_t mac[6]);

/* Keep the radio's NMI out, from IRAM too; what comes waits. Returns what chip_nmi_release
 * takes. One that is on its way opens the gate again when it leaves: hence the loop. */
static inline uint32_t chip_nmi_hold(void)
{
    uint32_t gate = NMI_GATE;
    do {
        NMI_GATE = 0;
    } while (NMI_GATE != 0);
    return gate;
}

static inline void chip_nmi_release(uint32_t gate)
{
    NMI_GATE = gate;
}

/* Start the chip's watchdog. Once, before the scheduler. */
void chip_watchdog_start(void);

#endif
