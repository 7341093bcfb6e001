/* An interrupt that a test can raise at will, by a device of the board: the only one that
 * software can set in the core is the kernel's yield. */
#ifndef IRQ_SOURCE_H
#define IRQ_SOURCE_H

/* Its number in the core. */
extern const unsigned irq_source_irq;

/* Call `handler(arg)` once for each irq_source_raise. */
void irq_source_attach(void (*handler)(void *), void *arg);

/* Raise the interrupt. It is taken before this returns, unless interrupts are masked. */
void irq_source_raise(void);

/* Call `handler(arg)` every 0.35 ms of the CPU's time, unrelated to the tick, until
 * irq_source_stop. Nothing can be printed meanwhile. */
void irq_source_start(void (*handler)(void *), void *arg);

/* End both. */
void irq_source_stop(void);

#endif
