/* An interrupt on demand: the console's UART, which raises its own when it is asked to tell
 * that its transmitter is empty. At regular times: it sends itself a byte and interrupts when
 * nothing follows for four characters' time. */
#include "irq_source.h"

#include <stdint.h>

#include "board.h"
#include "lx106.h"

/* The UART's interrupt pin. */
#define IRQ_UART 0U

static volatile uint32_t *const uart = (volatile uint32_t *)BOARD_UART_BASE;

/* 16550 registers, in words. */
enum {
    UART_RBR = 0,
    UART_THR = 0,
    UART_DLL = 0,
    UART_DLM = 1,
    UART_IER = 1,
    UART_IIR = 2,
    UART_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
};
#define IER_RECEIVED 0x01U
#define IER_TRANSMITTER_EMPTY 0x02U
#define FCR_ENABLE_AND_CLEAR 0x07U
#define FCR_TRIGGER_14 0xC0U
#define LCR_8N1 0x03U
#define LCR_DLAB 0x80U
#define MCR_LOOPBACK 0x10U
#define LSR_RECEIVED 0x01U

const unsigned irq_source_irq = IRQ_UART;

static void (*user_handler)(void *);
static void *user_arg;

static void on_raised(void *arg)
{
    (void)arg;
    uart[UART_IER] = 0;
    user_handler(user_arg);
}

void irq_source_attach(void (*handler)(void *), void *arg)
{
    uart[UART_IER] = 0;
    user_handler = handler;
    user_arg = arg;
    lx106_irq_attach(IRQ_UART, on_raised, NULL);
}

void irq_source_raise(void)
{
    uart[UART_IER] = IER_TRANSMITTER_EMPTY;
}

static void on_timeout(void *arg)
{
    (void)arg;
    while ((uart[UART_LSR] & LSR_RECEIVED) != 0) {
        (void)uart[UART_RBR];
    }
    uart[UART_THR] = 0;
    user_handler(user_arg);
}

void irq_source_start(void (*handler)(void *), void *arg)
{
    user_handler = handler;
    user_arg = arg;
    uart[UART_LCR] = LCR_8N1 | LCR_DLAB;
    uart[UART_DLL] = 1; /* 115200 baud: the machine's UART has a 1.8432 MHz clock */
    uart[UART_DLM] = 0;
    uart[UART_LCR] = LCR_8N1;
    uart[UART_FCR] = FCR_ENABLE_AND_CLEAR | FCR_TRIGGER_14;
    uart[UART_MCR] = MCR_LOOPBACK;
    uart[UART_IER] = IER_RECEIVED;
    lx106_irq_attach(IRQ_UART, on_timeout, NULL);
    uart[UART_THR] = 0;
}

void irq_source_stop(void)
{
    uart[UART_IER] = 0;
    uart[UART_MCR] = 0;
    uart[UART_FCR] = FCR_ENABLE_AND_CLEAR;
}
