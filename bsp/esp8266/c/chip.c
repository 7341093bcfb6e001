/* Start, clocks, console and reset of the ESP8266. */
#include "chip.h"

#include "FreeRTOS.h"
#include "task.h"

#include "esp8266.h"
#include "fw_hooks.h"
#include "lx106.h"
#include "watchdog.h"

#if CHIP_CPU_MHZ != 80 && CHIP_CPU_MHZ != 160
#error "CHIP_CPU_MHZ must be 80 or 160"
#endif
const uint32_t board_cpu_hz = CHIP_CPU_MHZ * 1000000U;

int main(void);

extern uint8_t _heap_start[], _dram_end[];

/* --- Start ------------------------------------------------------------------------ */

#define CONSOLE_BAUD 115200U

static void console_init(void);

static enum lx106_reset_reason hardware_reset_reason(void)
{
    switch ((enum rtc_cause)RTC_STATE1_CAUSE(RTC_STATE1)) {
    case RTC_CAUSE_POWER_ON:
        return LX106_RESET_POWER_ON;
    case RTC_CAUSE_SOFTWARE:
        return LX106_RESET_SOFTWARE;
    case RTC_CAUSE_WATCHDOG:
        return LX106_RESET_WATCHDOG;
    case RTC_CAUSE_EXTERNAL:
    case RTC_CAUSE_DEEP_SLEEP: /* the note knows whether it was meant */
        break;
    }
    return LX106_RESET_EXTERNAL;
}

/* The name of the task whose control block the kernel had as current before the reset, which
 * clears neither RAM nor, until tasks are created again, the heap. NULL when the pointer
 * cannot be one. */
static const char *task_before_reset(const void *task)
{
    uint32_t block = (uint32_t)task;
    if ((block & 3) != 0 || block < (uint32_t)_heap_start ||
        block >= (uint32_t)_dram_end - sizeof(StaticTask_t)) {
        return NULL;
    }
    const char *name = pcTaskGetName((TaskHandle_t)block);
    size_t length = 0;
    while (length < configMAX_TASK_NAME_LEN && name[length] != '\0') {
        if (name[length] < ' ' || name[length] > '~') {
            return NULL;
        }
        length++;
    }
    return length > 0 && length < configMAX_TASK_NAME_LEN ? name : NULL;
}

/* With flash in reach, where it lies itself. */
static __attribute__((noipa)) void run(const void *task)
{
    /* The ROM's last words leave at its own rate before the clock changes under them. */
    chip_console_drain();
    rom_i2c_writeReg(I2C_PLL_BLOCK, I2C_PLL_HOST, I2C_PLL_INPUT_REGISTER, I2C_PLL_INPUT_26_MHZ);
    rom_i2c_writeReg(I2C_PLL_BLOCK, I2C_PLL_HOST, I2C_PLL_OUTPUT_REGISTER,
                     I2C_PLL_OUTPUT_80_MHZ);
    if (CHIP_CPU_MHZ == 160) {
        DPORT_CTL |= DPORT_CTL_DOUBLE_CPU_CLOCK;
    } else {
        DPORT_CTL &= ~DPORT_CTL_DOUBLE_CPU_CLOCK;
    }
    IOMUX(IOMUX_U0TXD) = (IOMUX(IOMUX_U0TXD) & ~IOMUX_FUNCTION_MASK) | IOMUX_FUNCTION(0U);
    IOMUX(IOMUX_U0RXD) = (IOMUX(IOMUX_U0RXD) & ~IOMUX_FUNCTION_MASK) | IOMUX_FUNCTION(0U);
    UART0.clock_divider = APB_HZ / CONSOLE_BAUD;
    UART0.conf0 = UART_CONF0_8_BITS | UART_CONF0_1_STOP;
    console_init();
    /* Whatever the other rate left on the reader's screen, ours begins on a line of its own. */
    fw_console_write("\n", 1);

    crash_boot(hardware_reset_reason(), task_before_reset(task));
    lx106_heap_init();
    lx106_watchdog_start();
    chip_watchdog_start();
    (void)main();
    crash_assert("main must start the scheduler", "chip.c", __LINE__);
}

/* Called by start.S; interrupts are masked. `handover` is what the boot stage says. */
_Noreturn void chip_start(const void *task, uint32_t handover);
IN_IRAM("start") _Noreturn void chip_start(const void *task, uint32_t handover)
{
    chip_slot = handover == BOOT_HANDOVER + 1 ? 1 : 0;
    chip_map_flash();
    run(task);
    /* It does not return, which is hidden from the compiler: the path ends here for `thing iram`. */
    __builtin_trap();
}

/* --- Console ---------------------------------------------------------------------- */

/* Loops without progress after which the UART counts as dead: at the slowest, the ROM's
 * 74880 baud, a character takes 10,700 cycles of the fastest CPU. */
#define UART_PATIENCE 200000U

static void console_wait(uint32_t most)
{
    for (uint32_t i = 0; i < UART_PATIENCE; i++) {
        if (UART_STATUS_TX_COUNT(UART0.status) <= most) {
            return;
        }
    }
}

void chip_console_drain(void)
{
    for (uint32_t left = UART_FIFO_SIZE; left > 0; left--) {
        console_wait(left - 1);
    }
    /* The character in the shift register. */
    uint32_t start = lx106_ccount();
    while (lx106_ccount() - start < 2 * 10 * (board_cpu_hz / 74880U)) {
    }
}

void board_console_put(char c)
{
    console_wait(UART_FIFO_SIZE - 2);
    UART0.fifo = (uint8_t)c;
}

/* The interrupt comes when so many bytes are left: 2.8 ms until the line falls silent. */
#define UART_REFILL_AT 32U

void chip_console_interrupt(void *arg)
{
    (void)arg;
    while (UART_STATUS_TX_COUNT(UART0.status) < UART_FIFO_SIZE - 2) {
        int c = fw_console_next();
        if (c < 0) {
            UART0.int_enable &= ~UART_INT_TX_EMPTY;
            return;
        }
        UART0.fifo = (uint8_t)c;
    }
}

void board_console_start(void)
{
    UART0.int_enable |= UART_INT_TX_EMPTY;
}

static void console_init(void)
{
    UART0.int_enable = 0;
    UART0.conf1 = UART_CONF1_EMPTY_THRESHOLD(UART_REFILL_AT);
    lx106_irq_attach(UART_IRQ, chip_console_interrupt, NULL);
}

/* --- MAC address -------------------------------------------------------------------- */

void chip_mac_address(uint8_t mac[6])
{
    /* As Espressif's esptool reads it: the maker's half is in the fourth word, or, on the first
     * chips, one of two. */
    uint32_t low = EFUSE(0), high = EFUSE(1), maker = EFUSE(3);
    if (maker == 0) {
        maker = ((high >> 16) & 0xFF) == 0 ? 0x18FE34U : 0xACD074U;
    }
    mac[0] = (uint8_t)(maker >> 16);
    mac[1] = (uint8_t)(maker >> 8);
    mac[2] = (uint8_t)maker;
    mac[3] = (uint8_t)(high >> 8);
    mac[4] = (uint8_t)high;
    mac[5] = (uint8_t)(low >> 24);
}

/* --- Serial number ---------------------------------------------------------------- */

void board_serial(uint32_t serial[2])
{
    serial[0] = EFUSE(0) ^ EFUSE(1);
    serial[1] = EFUSE(3);
}

/* --- Reset ------------------------------------------------------------------------ */

void board_reset(void)
{
    (void)lx106_mask_interrupts();
    chip_console_drain();
    RTC_CTL |= RTC_CTL_RESET;
    /* The reset takes effect outside the CPU; do nothing until then. */
    for (;;) {
        __asm__ volatile("waiti 3");
    }
}
