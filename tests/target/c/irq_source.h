/* An interrupt that a test can raise at will: the console's UART, which raises its own when
 * it is asked to tell that its transmitter is empty. (The only interrupt that software can
 * set in the core is the kernel's yield.) */
#ifndef IRQ_SOURCE_H
#define IRQ_SOURCE_H

/* Call `handler(arg)` once for each irq_source_raise. */
void irq_source_attach(void (*handler)(void *), void *arg);

/* Raise the interrupt. It is taken before this returns, unless interrupts are masked. */
void irq_source_raise(void);

/* Call `handler(arg)` every 0.35 ms of the CPU's time, unrelated to the tick, until
 * irq_source_stop: the UART sends itself a byte and interrupts when nothing follows for
 * four characters' time. Nothing can be printed meanwhile. */
void irq_source_start(void (*handler)(void *), void *arg);

/* End both. */
void irq_source_stop(void);

#endif
