/* Start, console, LED and reset of the emulated board. */
#include "board.h"

#include <stddef.h>
#include <string.h>

#include "FreeRTOS.h"

#include "board_facts.h"
#include "fw_hooks.h"
#include "lx106.h"
#include "watchdog.h"

/* QEMU's clock of the lx106 core (clock_freq_khz = 40000); the FPGA's register +4 says
 * the same. */
const uint32_t board_cpu_hz = 40000000;

int main(void);

/* Called by start.S on the boot stack; interrupts are masked. */
_Noreturn void board_start(void);
void board_start(void)
{
    board_console_init();
    crash_boot(LX106_RESET_EXTERNAL, NULL);
    lx106_heap_init();
    lx106_watchdog_start();
    (void)main();
    crash_assert("main must start the scheduler", "board.c", __LINE__);
}

/* --- Console: a 16550 UART, polled ------------------------------------------------ */

static volatile uint32_t *const uart = (volatile uint32_t *)BOARD_UART_BASE;

/* 16550 registers, in words (the machine's stride is 4 bytes). */
enum { UART_THR = 0, UART_DLL = 0, UART_DLM = 1, UART_FCR = 2, UART_LCR = 3, UART_LSR = 5 };
#define LCR_8N1 0x03U
#define LCR_DLAB 0x80U
#define FCR_ENABLE_AND_CLEAR 0x07U
#define LSR_THR_EMPTY 0x20U
#define BAUD 115200U

void board_console_init(void)
{
    uint32_t divisor = board_cpu_hz / (16 * BAUD);
    uart[UART_LCR] = LCR_8N1 | LCR_DLAB;
    uart[UART_DLL] = divisor & 0xFF;
    uart[UART_DLM] = divisor >> 8;
    uart[UART_LCR] = LCR_8N1;
    uart[UART_FCR] = FCR_ENABLE_AND_CLEAR;
}

void board_console_put(char c)
{
    while ((uart[UART_LSR] & LSR_THR_EMPTY) == 0) {
    }
    uart[UART_THR] = (uint8_t)c;
}

void board_console_start(void)
{
    /* The emulator takes any byte at once: its UART needs no interrupt. */
    for (int c = fw_console_next(); c >= 0; c = fw_console_next()) {
        board_console_put((char)c);
    }
}

/* --- LED -------------------------------------------------------------------------- */

void board_led_write(bool level)
{
    static enum { UNKNOWN, LOW, HIGH } shown = UNKNOWN;

    if (shown == (level ? HIGH : LOW)) {
        return;
    }
    shown = level ? HIGH : LOW;
    const char *line =
        level == BOARD_LED_ACTIVE_LOW ? BOARD_LED " off\n" : BOARD_LED " on\n";
    fw_console_write(line, strlen(line));
}

/* --- Serial number ---------------------------------------------------------------- */

void board_serial(uint32_t serial[2])
{
    /* MAC_ADDR0 and 1 of open_eth.c: zeros until the network starts. */
    const volatile uint32_t *eth = (const volatile uint32_t *)BOARD_ETH_REGISTERS;
    serial[0] = eth[16];
    serial[1] = eth[17];
}

/* --- Reset ------------------------------------------------------------------------ */

/* The FPGA's reset register and its key (xtfpga.c, xtfpga_write). */
#define FPGA_RESET (*(volatile uint32_t *)(BOARD_FPGA_BASE + 0x10))
#define FPGA_RESET_KEY 0xDEADU

void board_crash_begin(void)
{
    /* The emulator's flash is memory: it can always be read. */
}

void board_watchdog_feed(void)
{
    /* The machine has none: where nothing runs any more, nobody resets it. */
}

void board_reset(void)
{
    (void)lx106_mask_interrupts();
    FPGA_RESET = FPGA_RESET_KEY;
    /* The reset takes effect outside the CPU; do nothing until then. */
    for (;;) {
    }
}
