/* An interrupt on demand: the timer FRC1, which the firmware leaves alone. */
#include "irq_source.h"

#include <stddef.h>
#include <stdint.h>

#include "check.h"
#include "esp8266.h"
#include "lx106.h"

/* Of 80 MHz: as often as the other boards' source, each 0.36 ms. */
#define PERIOD (APB_HZ / 2800U)

const unsigned irq_source_irq = FRC1_IRQ;

static void (*user_handler)(void *);
static void *user_arg;

static void on_timer(void *arg)
{
    (void)arg;
    FRC1.int_clear = 1;
    user_handler(user_arg);
}

void irq_source_attach(void (*handler)(void *), void *arg)
{
    FRC1.control = 0;
    FRC1.int_clear = 1;
    user_handler = handler;
    user_arg = arg;
    lx106_irq_attach(FRC1_IRQ, on_timer, NULL);
    EDGE_INTERRUPTS |= EDGE_INTERRUPTS_FRC1;
}

void irq_source_raise(void)
{
    FRC1.control = 0;
    FRC1.load = 1;
    /* It counts on below 0, for a tenth of a second. */
    FRC1.control = FRC1_ENABLE;
    /* The count and the edge take a moment; the caller expects the interrupt at once. */
    spin(100);
}

void irq_source_start(void (*handler)(void *), void *arg)
{
    irq_source_attach(handler, arg);
    FRC1.load = PERIOD;
    FRC1.control = FRC1_ENABLE | FRC1_RELOAD;
}

void irq_source_stop(void)
{
    FRC1.control = 0;
}
