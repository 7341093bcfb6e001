/* Registers and ROM functions of the ESP8266, as far as this firmware uses them: the one
 * place where addresses and bits of the chip are written down.
 *
 * Espressif documents UART, GPIO and SPI in the "ESP8266 Technical Reference"; the rest is
 * known from its published headers (eagle_soc.h, rom linker script). All registers are
 * 32 bits wide and take only 32-bit access. */
#ifndef ESP8266_H
#define ESP8266_H

#include <stdint.h>

typedef volatile uint32_t reg32;

/* --- Clocks ----------------------------------------------------------------------- */

/* The APB and, unless doubled, the CPU, once the PLL is set. */
#define APB_HZ 80000000U
/* "DPORT_CTL": bit 0 doubles the CPU's clock. */
#define DPORT_CTL (*(reg32 *)0x3FF00014U)
#define DPORT_CTL_DOUBLE_CPU_CLOCK (1U << 0)

/* The PLL hangs on an internal I2C bus that only the ROM knows how to drive. */
#define I2C_PLL_BLOCK 103U
#define I2C_PLL_HOST 4U
/* Its registers and their values for a crystal of 26 MHz: 80 MHz. */
#define I2C_PLL_INPUT_REGISTER 1U
#define I2C_PLL_INPUT_26_MHZ 0x88U
#define I2C_PLL_OUTPUT_REGISTER 2U
#define I2C_PLL_OUTPUT_80_MHZ 0x91U

/* --- UARTs ------------------------------------------------------------------------ */

struct uart_registers {
    reg32 fifo;
    reg32 int_raw, int_status, int_enable, int_clear;
    reg32 clock_divider;
    reg32 autobaud;
    reg32 status;
    reg32 conf0, conf1;
};
#define UART0 (*(struct uart_registers *)0x60000000U)
/* Only its sending side has a pin: GPIO2. */
#define UART1 (*(struct uart_registers *)0x60000F00U)
#define UART_STATUS_TX_COUNT(status) (((status) >> 16) & 0xFFU)
#define UART_STATUS_RX_COUNT(status) ((status) & 0xFFU)
#define UART_CONF0_8_BITS (3U << 2)
#define UART_CONF0_1_STOP (1U << 4)
#define UART_FIFO_SIZE 128U
#define UART_CONF1_EMPTY_THRESHOLD(bytes) ((bytes) << 8)
#define UART_CONF1_FULL_THRESHOLD(bytes) (bytes)
/* The line is silent for so many bytes' time while some wait. */
#define UART_CONF1_SILENCE(bytes) ((1U << 31) | ((bytes) << 24))
/* As long as so many bytes wait. */
#define UART_INT_RX_FULL (1U << 0)
/* As long as no more bytes wait than that. */
#define UART_INT_TX_EMPTY (1U << 1)
#define UART_INT_RX_OVERFLOW (1U << 4)
#define UART_INT_RX_SILENCE (1U << 8)
/* Level-triggered, shared by both UARTs. */
#define UART_IRQ 5U

/* --- GPIO and pin functions -------------------------------------------------------- */

struct gpio_registers {
    reg32 out, out_set, out_clear;
    reg32 enable, enable_set, enable_clear;
    reg32 in;
    reg32 status, status_set, status_clear;
    reg32 pin[16];
};
#define GPIO (*(struct gpio_registers *)0x60000300U)
#define GPIO_PINS 16U
/* In `pin`: which levels or edges set the pin's bit of `status`. */
#define GPIO_PIN_INTERRUPT_MASK (7U << 7)
#define GPIO_PIN_INTERRUPT(kind) ((kind) << 7)
/* As long as a bit of `status` is set. */
#define GPIO_IRQ 4U

/* One word a pad; their order is not the pins'. */
#define IOMUX_BASE 0x60000800U
#define IOMUX_GPIO12 0x04U
#define IOMUX_GPIO13 0x08U
#define IOMUX_GPIO14 0x0CU
#define IOMUX_GPIO15 0x10U
#define IOMUX_U0RXD 0x14U
#define IOMUX_U0TXD 0x18U
#define IOMUX_GPIO0 0x34U
#define IOMUX_GPIO2 0x38U
#define IOMUX_GPIO4 0x3CU
#define IOMUX_GPIO5 0x40U
#define IOMUX(pad) (*(reg32 *)(IOMUX_BASE + (pad)))
/* HSPI's clock is not the bus's itself while this is 0. */
#define IOMUX_CONF IOMUX(0)
#define IOMUX_CONF_HSPI_CLOCK_IS_BUS (1U << 9)
/* The function of GPIO12 to 14 for HSPI, and of GPIO2 for UART1. */
#define IOMUX_HSPI 2U
#define IOMUX_UART1 2U
/* The function is in bits 4, 5 and 8. */
#define IOMUX_FUNCTION_MASK 0x130U
#define IOMUX_FUNCTION(number) ((((number) & 4U) << 6) | (((number) & 3U) << 4))
#define IOMUX_PULL_UP (1U << 7)

/* --- SPI -------------------------------------------------------------------------- */

struct spi_registers {
    reg32 command, address, control, control1, read_status, control2;
    reg32 clock;
    reg32 user, user1, user2;
    reg32 write_status;
    reg32 pin, slave;
    reg32 unused[3];
    reg32 data[16];
};
/* The flash's. */
#define SPI0 (*(struct spi_registers *)0x60000200U)
/* HSPI. */
#define SPI1 (*(struct spi_registers *)0x60000100U)
/* Bytes in `data`, the first lowest. */
#define SPI_DATA_SIZE 64U
/* Starts a transfer, or sends the flash to sleep; clear again when that is done. */
#define SPI_COMMAND_USER (1U << 18)
#define SPI_COMMAND_FLASH_POWER_DOWN (1U << 21)
/* MISO is looked at so many cycles of the bus late. */
#define SPI_CONTROL2_MISO_DELAY(cycles) ((cycles) << 18)
#define SPI_USER_DUPLEX (1U << 0)
#define SPI_USER_SLAVE_EDGE (1U << 6)
/* MOSI changes at the other edge: the modes 1 and 2. */
#define SPI_USER_OUT_EDGE (1U << 7)
#define SPI_USER_MOSI (1U << 27)
#define SPI_USER1_BITS(bits) ((((bits) - 1U) << 17) | (((bits) - 1U) << 8))
#define SPI_PIN_NO_CS 7U
#define SPI_PIN_CLOCK_IDLES_HIGH (1U << 29)

/* --- The analogue converter --------------------------------------------------------- */

/* Not documented: what the SDK's libphy does to read the pin TOUT, and its source for older chips. */
#define SAR_CONTROL (*(reg32 *)0x60000D50U)
/* From 0 to 1: eight samples. */
#define SAR_CONTROL_START (1U << 1)
/* Not 0: it works. */
#define SAR_CONTROL_STATE (7U << 24)
#define SAR_INPUT (*(reg32 *)0x60000D5CU)
/* The pin, not the radio's detectors. */
#define SAR_INPUT_TOUT (1U << 21)
/* From 0 to 1: the detectors again. */
#define SAR_DETECTORS (*(reg32 *)0x60000D60U)
#define SAR_DETECTORS_ON (1U << 0)
#define SAR_DATA(sample) (*(reg32 *)(0x60000D80U + 4 * (sample)))
#define SAR_SAMPLES 8U
#define I2C_SAR_BLOCK 108U
#define I2C_SAR_HOST 2U
#define I2C_SAR_TEST_REGISTER 0U
#define I2C_SAR_TEST_BIT 5U

/* --- Watchdog --------------------------------------------------------------------- */

/* Two stages: when the first ends, interrupt 8; when the second ends, a reset. Each takes
 * 2^n * 0.8 ms. */
struct watchdog_registers {
    reg32 control;
    reg32 first_stage;
    reg32 second_stage;
    reg32 count;
    reg32 unused;
    reg32 feed;
};
#define WATCHDOG (*(struct watchdog_registers *)0x60000900U)
#define WATCHDOG_ENABLE (1U << 0)
#define WATCHDOG_RESET_LENGTH_MAX (7U << 3)
#define WATCHDOG_FEED 0x73U

/* --- Timers ----------------------------------------------------------------------- */

/* FRC1 counts down from `load`, at the APB's clock, and interrupts as it passes 0. */
struct timer_registers {
    reg32 load, count, control, int_clear;
};
#define FRC1 (*(struct timer_registers *)0x60000600U)
#define FRC1_RELOAD (1U << 6)
#define FRC1_ENABLE (1U << 7)
/* A sixteenth of the APB's clock. */
#define FRC1_SIXTEENTH (1U << 2)
/* It counts on below 0 with 23 bits. */
#define FRC1_MASK 0x7FFFFFU
/* Edge-triggered, once the edges of this source are let through. */
#define FRC1_IRQ 9U
#define EDGE_INTERRUPTS (*(reg32 *)0x3FF00004U)
#define EDGE_INTERRUPTS_FRC1 (1U << 1)
#define EDGE_INTERRUPTS_WATCHDOG (1U << 0)

/* --- RTC -------------------------------------------------------------------------- */

#define RTC_CTL (*(reg32 *)0x60000700U)
#define RTC_CTL_RESET (1U << 31)
#define RTC_STATE1 (*(reg32 *)0x60000714U)
#define RTC_STATE1_CAUSE(state) ((state) & 0xFU)
enum rtc_cause {
    RTC_CAUSE_POWER_ON = 1,
    RTC_CAUSE_EXTERNAL = 2,
    RTC_CAUSE_SOFTWARE = 3,
    RTC_CAUSE_WATCHDOG = 4,
    RTC_CAUSE_DEEP_SLEEP = 5,
};

/* Sleep. Not documented: what the SDK's libcore and libphy write, in their order. */
struct rtc_registers {
    reg32 control;
    reg32 wake_at; /* by `count` */
    reg32 sleep;
    reg32 oscillators, timing; /* names of ours, here and below */
    reg32 state1;
    reg32 wake_by;
    reg32 count; /* of the slow clock, about 150 kHz, also while the chip sleeps */
    reg32 unused[8];
    reg32 power_down;
    reg32 power, analog;
};
#define RTC (*(struct rtc_registers *)0x60000700U)
#define RTC_SLEEP_NOW (1U << 20)
#define RTC_WAKE_BY_TIMER (1U << 3)
/* The pads of the RTC: GPIO16 is the output that wakes the chip. */
#define RTC_PAD_CONFIG(n) (*(reg32 *)(0x6000079CU + 4 * (n)))
/* Measures the slow clock against the crystal. */
#define RTC_CALIBRATION (*(reg32 *)0x6000036CU)
#define RTC_CALIBRATION_RESULT (*(reg32 *)0x60000370U)
#define RTC_CALIBRATION_BIT31 (1U << 31)
#define CRYSTAL_MHZ 26U

/* --- Radio ------------------------------------------------------------------------ */

/* Bit 0 lets the MAC's interrupt, which is the NMI, through to the core. */
#define NMI_GATE (*(reg32 *)0x3FF00000U)

/* --- Random numbers --------------------------------------------------------------- */

#define WDEV_RAND (*(reg32 *)0x3FF20E44U)

/* --- eFuses ----------------------------------------------------------------------- */

/* The factory burns the station address into the first, the second and the fourth word. */
#define EFUSE(word) (*(reg32 *)(0x3FF00050U + 4 * (word)))

/* --- Flash ------------------------------------------------------------------------ */

/* What the boot stage hands over, plus the slot's number (crates/slots). */
#define BOOT_HANDOVER 0xB0075700U
#define FLASH_SECTOR 4096U
/* The smallest flash of the supported boards. */
#define FLASH_SIZE 0x400000U

/* --- Boot ROM (addresses in link/esp8266.ld) ---------------------------------------- */

/* Shows the MiB of flash with the number `half` + 2 * `mib`; a cache of 32 KB. */
void Cache_Read_Enable(uint32_t half, uint32_t mib, uint32_t cache_32k);
void rom_Cache_Read_Disable(void);
/* 0 is success. Offsets, sizes and addresses are multiples of 4. */
int SPIRead(uint32_t offset, void *to, uint32_t size);
int SPIWrite(uint32_t offset, const void *from, uint32_t size);
int SPIEraseSector(uint32_t sector);
int SPIUnlock(void);
void rom_i2c_writeReg(uint32_t block, uint32_t host, uint32_t reg, uint32_t value);
void rom_i2c_writeReg_Mask(uint32_t block, uint32_t host, uint32_t reg, uint32_t highest,
                           uint32_t lowest, uint32_t value);
void rom_sar_init(void);

#endif
