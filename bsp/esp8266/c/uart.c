/* Both UARTs for an application: receiving at UART0, whose sending side is the console's, and
 * sending at UART1. */
#include "chip.h"

#include "FreeRTOS.h"
#include "task.h"

#include "esp8266.h"
#include "fw_hooks.h"
#include "lx106.h"

/* Received bytes that nobody has read yet; a power of two. 22 ms at 115200 baud. */
#define RING 256U
/* The interrupt comes when so many bytes wait, or when the line is silent for two. */
#define WAITING 64U
#define SILENCE 2U

static uint8_t ring[RING];
static volatile uint32_t received, taken; /* count on, and wrap */
static volatile bool lost;
static volatile TaskHandle_t reader;

/* Index 0 is the application's. */
#define NOTIFICATION 1U

static void on_interrupt(void *arg)
{
    chip_console_interrupt(arg);
    uint32_t status = UART0.int_status;
    while (UART_STATUS_RX_COUNT(UART0.status) > 0) {
        uint8_t byte = (uint8_t)UART0.fifo;
        if (received - taken < RING) {
            ring[received % RING] = byte;
            received++;
        } else {
            lost = true;
        }
    }
    lost |= (status & UART_INT_RX_OVERFLOW) != 0;
    UART0.int_clear = status & ~UART_INT_TX_EMPTY;
    BaseType_t wanted = pdFALSE;
    if (reader != NULL && received != taken) {
        vTaskNotifyGiveIndexedFromISR(reader, NOTIFICATION, &wanted);
        reader = NULL;
    }
    portYIELD_FROM_ISR(wanted);
}

void chip_uart_listen(void)
{
    uint32_t ps = lx106_mask_interrupts();
    UART0.conf1 |= UART_CONF1_FULL_THRESHOLD(WAITING) | UART_CONF1_SILENCE(SILENCE);
    lx106_irq_attach(UART_IRQ, on_interrupt, NULL);
    UART0.int_clear = UART_INT_RX_FULL | UART_INT_RX_SILENCE | UART_INT_RX_OVERFLOW;
    UART0.int_enable |= UART_INT_RX_FULL | UART_INT_RX_SILENCE | UART_INT_RX_OVERFLOW;
    lx106_restore_interrupts(ps);
}

size_t chip_uart_waiting(void)
{
    return received - taken;
}

bool chip_uart_lost(void)
{
    portENTER_CRITICAL();
    bool was = lost;
    lost = false;
    portEXIT_CRITICAL();
    return was;
}

size_t chip_uart_read(uint8_t *to, size_t length)
{
    while (length > 0 && received == taken) {
        portENTER_CRITICAL();
        bool empty = received == taken;
        reader = empty ? xTaskGetCurrentTaskHandle() : NULL;
        portEXIT_CRITICAL();
        if (empty) {
            /* Library glue uses the same notification: the loop looks again. */
            (void)ulTaskNotifyTakeIndexed(NOTIFICATION, pdTRUE, portMAX_DELAY);
        }
    }
    size_t count = 0;
    while (count < length && received != taken) {
        to[count++] = ring[taken % RING];
        taken++;
    }
    return count;
}

size_t chip_console_unsent(void)
{
    return fw_console_waiting() + UART_STATUS_TX_COUNT(UART0.status);
}

void chip_uart1_start(uint32_t divider)
{
    UART1.clock_divider = divider;
    UART1.conf0 = UART_CONF0_8_BITS | UART_CONF0_1_STOP;
    UART1.conf1 = 0;
    UART1.int_enable = 0;
    IOMUX(IOMUX_GPIO2) =
        (IOMUX(IOMUX_GPIO2) & ~IOMUX_FUNCTION_MASK) | IOMUX_FUNCTION(IOMUX_UART1);
}

size_t chip_uart1_write(const uint8_t *from, size_t length)
{
    size_t count = 0;
    while (count < length && UART_STATUS_TX_COUNT(UART1.status) < UART_FIFO_SIZE - 2) {
        UART1.fifo = from[count++];
    }
    return count;
}

size_t chip_uart1_unsent(void)
{
    return UART_STATUS_TX_COUNT(UART1.status);
}
