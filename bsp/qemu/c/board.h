/* The emulated board: QEMU's kc705-nommu machine with the lx106 core (xtfpga.c). */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

/* I/O of the machine lies at 0x90000000 + 0x0D000000 for a core without MMU. */
#define BOARD_FPGA_BASE 0x9D020000U
#define BOARD_ETH_REGISTERS 0x9D030000U
#define BOARD_ETH_DESCRIPTORS 0x9D030400U
#define BOARD_UART_BASE 0x9D050020U
#define BOARD_ETH_BUFFERS 0x9D800000U
#define BOARD_ETH_BUFFERS_SIZE 16384U

/* External interrupt pins of the core. */
#define BOARD_IRQ_ETH 1U

/* Prepare the console. Called before everything else. */
void board_console_init(void);

/* Drive the pin of the board's LED (board.toml). The machine has no such pin, so the change is
 * shown on the console. */
void board_led_write(bool level);

#endif
