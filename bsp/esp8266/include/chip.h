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

/* Compute for so many cycles at least. */
void chip_spin(uint32_t cycles);

/* Pins: GPIO 0, 2, 4, 5 and 12 to 15, and no others. */

/* Make a pin an output at `level`. */
void chip_gpio_output(unsigned pin, bool level);
/* Set the level of an output. */
void chip_gpio_write(unsigned pin, bool level);
/* Make a pin an input, with the chip's pull-up (30 to 100 kohm) or without. */
void chip_gpio_input(unsigned pin, bool pull_up);
/* Make a pin an open-drain output that is let go, with the pull-up or without. */
void chip_gpio_open_drain(unsigned pin, bool pull_up);
/* Let an open-drain output go, or pull it low. */
void chip_gpio_let_go(unsigned pin, bool go);
/* The level at a pin, whoever drives it. */
bool chip_gpio_read(unsigned pin);

/* What to wait for at a pin; the numbers are the register's. */
enum chip_gpio_event {
    CHIP_GPIO_RISING = 1,
    CHIP_GPIO_FALLING = 2,
    CHIP_GPIO_ANY_EDGE = 3,
    CHIP_GPIO_LOW = 4,
    CHIP_GPIO_HIGH = 5,
};
/* Block the calling task until that happens at the pin; whether it did, within so many
 * milliseconds (UINT32_MAX: for ever). One task a pin at a time. */
bool chip_gpio_wait(unsigned pin, enum chip_gpio_event event, uint32_t milliseconds);

/* HSPI on GPIO12 (MISO), 13 (MOSI) and 14 (clock). `clock` is the register's value, `mode` 0 to 3. */
void chip_spi_start(uint32_t clock, unsigned mode);
/* Send `out` (NULL: zeros) and receive as many bytes to `in` (NULL: nowhere). */
void chip_spi_exchange(const uint8_t *out, uint8_t *in, size_t length);

/* The level at TOUT (A0): 0 (0 V) to 1023 (1 V); -1 when the converter does not answer. */
int chip_adc_read(void);

/* Pulses. Times are in ticks of 0.2 us. */
#define CHIP_PWM_CHANNELS 8U
/* Start the timer with this period, the first time; whether it was the first. */
bool chip_pwm_start(uint32_t ticks);
/* An output more, low; its channel, or -1. */
int chip_pwm_add(unsigned pin);
/* How long it is high in each period, from the next one on. */
void chip_pwm_set(unsigned channel, uint32_t high);

/* Listen at UART0. */
void chip_uart_listen(void);
/* Received bytes to read. */
size_t chip_uart_waiting(void);
/* Whether bytes were lost since the last call, because nobody read them. */
bool chip_uart_lost(void);
/* Read bytes; waits for the first. */
size_t chip_uart_read(uint8_t *to, size_t length);
/* Send at UART1, GPIO2. */
void chip_uart1_start(uint32_t divider);
/* How many of the bytes it takes. */
size_t chip_uart1_write(const uint8_t *from, size_t length);
size_t chip_uart1_unsent(void);

/* Periods of the RTC's clock in so many microseconds, which are less than 2^46; 0 when they are too
 * many for its timer, or it stands. */
uint32_t chip_sleep_periods(uint64_t microseconds);
/* Sleep deeply: so many periods, or, with 0, until the next reset. */
_Noreturn void chip_sleep(uint32_t periods);

/* Bytes of the console that the line has not taken yet. */
size_t chip_console_unsent(void);
/* Wait until all that the UART was given has left. */
void chip_console_drain(void);
/* The console's share of the UART's interrupt. */
void chip_console_interrupt(void *arg);

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

/* The only way to switch the cache off (proved by `thing iram`), with level 1 masked, and back on.
 * In IRAM. */
void chip_cache_off(void);
void chip_cache_on(void);

/* Let the cache show that MiB. */
static inline void chip_map_flash(void)
{
    Cache_Read_Enable(chip_slot, 0, 1);
}

/* The chip's own MAC address, from its eFuses. */
void chip_mac_address(uint8_t mac[6]);

/* Keep the radio's NMI out; what comes waits. Returns what chip_nmi_release takes. In IRAM. */
uint32_t chip_nmi_hold(void);
void chip_nmi_release(uint32_t gate);

/* Start the chip's watchdog. Once, before the scheduler. */
void chip_watchdog_start(void);

#endif
