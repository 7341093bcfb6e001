/* The LX106 core: interrupts, cycle counter, atomicity. Nothing here knows a board.
 *
 * Chapter and register names are those of the Xtensa Instruction Set Architecture
 * Reference Manual (Cadence/Tensilica); interrupt numbers and types are the LX106's
 * configuration (core-isa.h of the ESP8266). */
#ifndef LX106_H
#define LX106_H

#include <stdbool.h>
#include <stdint.h>

#include "crash.h"

/* Level-1 interrupts whose source lies inside the core. 0-5 are level-triggered pins,
 * 8-13 edge-triggered pins, 14 is the NMI. */
#define LX106_IRQ_TIMER 6U    /* CCOMPARE0: the kernel's tick */
#define LX106_IRQ_SOFTWARE 7U /* written through INTSET: the kernel's yield */
#define LX106_IRQ_COUNT 14U   /* level-1 interrupts */

/* CPU clock in Hz. Implemented by the board. */
extern const uint32_t board_cpu_hz;

/* Call `handler(arg)` whenever interrupt `irq` (0-13, not 6 or 7) is pending, and enable
 * it. Handlers run one at a time on the interrupt stack with level 1 masked; they may
 * use the kernel's FromISR calls and portYIELD_FROM_ISR. */
void lx106_irq_attach(unsigned irq, void (*handler)(void *), void *arg);

/* Mask or unmask one interrupt. */
void lx106_irq_enable(unsigned irq, bool enable);

/* True inside an interrupt handler. */
bool lx106_in_interrupt(void);

/* CPU cycles since boot, 64 bits (CCOUNT extended). Correct as long as something calls
 * it once per wrap of CCOUNT (107 s at 40 MHz); the tick does. */
uint64_t lx106_cycles(void);

/* Cycles in units of 256: what the run-time statistics count. */
uint32_t lx106_run_time_counter(void);

/* Bytes of the interrupt stack (also the boot stack) that were never used. */
uint32_t lx106_interrupt_stack_free(void);

/* Give the heap the memory between _heap_start and _heap_end. Before the first malloc. */
void lx106_heap_init(void);

#ifndef FW_BINDGEN /* bindgen's clang does not know Xtensa's assembly */

/* Raise PS.INTLEVEL to 1, which masks every interrupt but the NMI, and return the old
 * PS for lx106_restore_interrupts. */
static inline uint32_t lx106_mask_interrupts(void)
{
    uint32_t ps;
    __asm__ volatile("rsil %0, 1" : "=a"(ps) : : "memory");
    return ps;
}

static inline void lx106_restore_interrupts(uint32_t ps)
{
    __asm__ volatile("wsr %0, ps\n\trsync" : : "a"(ps) : "memory");
}

/* The cycle counter's low 32 bits. */
static inline uint32_t lx106_ccount(void)
{
    uint32_t cycles;
    __asm__ volatile("rsr %0, ccount" : "=a"(cycles));
    return cycles;
}

static inline uint32_t lx106_ps(void)
{
    uint32_t ps;
    __asm__ volatile("rsr %0, ps" : "=a"(ps));
    return ps;
}

#endif

#define LX106_PS_INTLEVEL 0xFU

#endif
