/* The FreeRTOS port: first frame of a task, critical sections, interrupts, tick.
 *
 * An interrupt saves the interrupted task's registers in an 80-byte frame on the task's
 * own stack (portasm.S), then everything runs on one interrupt stack: the handlers, and
 * vTaskSwitchContext when a handler asked for it. Leaving the interrupt loads the frame
 * of whatever task is current then. A yield is software interrupt 7, so there is only
 * one way into the kernel's switch and only one kind of frame.
 *
 * All interrupts are level 1 and handlers do not nest; PS.INTLEVEL = 1 masks them. */
#include <stdint.h>

#include "FreeRTOS.h"
#include "task.h"

#include "lx106.h"
#include "port_frame.h"

/* Fills memory that measures how deep a stack went; tasks.c uses the same byte. */
#define STACK_FILL 0xA5A5A5A5U

extern uint32_t _stack_bottom[], _stack_top[];
_Noreturn void port_restore_task(void);

volatile uint32_t port_switch_wanted;

struct irq_slot {
    void (*handler)(void *);
    void *arg;
};
static struct irq_slot irq_slots[LX106_IRQ_COUNT];

/* Bits of INTERRUPT that a write to INTCLEAR clears: edge-triggered pins and software
 * (INTTYPE masks of core-isa.h). Level-triggered ones follow their device. */
#define IRQ_CLEARABLE (0x3F00U | (1U << LX106_IRQ_SOFTWARE))

/* --- Tasks ------------------------------------------------------------------------ */

/* Where a task arrives that returns from its function, which FreeRTOS forbids. */
static void task_returned(void)
{
    crash_assert("a task function must not return", "port.c", __LINE__);
}

StackType_t *pxPortInitialiseStack(StackType_t *top, TaskFunction_t function, void *parameter)
{
    /* `top` is the last word of the stack; the ABI wants 16-byte alignment. */
    uint32_t end = ((uint32_t)(top + 1) & ~15U) - 16;
    uint32_t *mark = (uint32_t *)end;
    mark[0] = PORT_STACK_END_MARK;
    mark[1] = end;

    uint32_t *frame = (uint32_t *)(end - FRAME_SIZE);
    for (unsigned i = 0; i < FRAME_SIZE / 4; i++) {
        frame[i] = 0;
    }
    frame[FRAME_PC / 4] = (uint32_t)function;
    frame[FRAME_PS / 4] = PS_UM | PS_EXCM; /* RFE clears EXCM: level 0 */
    frame[FRAME_A0 / 4] = (uint32_t)task_returned;
    frame[FRAME_A2 / 4] = (uint32_t)parameter;
    return frame;
}

void vPortYield(void)
{
    /* Taken at once unless interrupts are masked. ESYNC makes the write visible to the
     * interrupt logic, so that no instruction of the caller runs before the switch. */
    __asm__ volatile("wsr %0, intset\n\tesync\n\trsync"
                     :
                     : "a"(1U << LX106_IRQ_SOFTWARE)
                     : "memory");
}

/* --- Critical sections ------------------------------------------------------------ */

/* They cannot be switched away from, so one counter and one saved PS serve all tasks.
 * The outermost exit restores the PS it found: before the scheduler runs, or in code
 * that raised the level itself, interrupts stay masked. */
static uint32_t critical_nesting;
static uint32_t critical_saved_ps;

/* A byte of the radio's libraries, where there are such: not 0 inside their NMI, which no
 * critical section keeps out. It calls these two nevertheless, and must not touch the nesting of
 * the code that it interrupted. */
extern volatile uint8_t NMIIrqIsOn __attribute__((weak));

static bool in_nmi(void)
{
    return &NMIIrqIsOn != NULL && NMIIrqIsOn != 0;
}

void vPortEnterCritical(void)
{
    if (in_nmi()) {
        return;
    }
    uint32_t ps = lx106_mask_interrupts();
    if (critical_nesting == 0) {
        critical_saved_ps = ps;
    }
    critical_nesting++;
}

void vPortExitCritical(void)
{
    if (in_nmi()) {
        return;
    }
    configASSERT(critical_nesting != 0);
    if (--critical_nesting == 0) {
        lx106_restore_interrupts(critical_saved_ps);
    }
}

/* --- Interrupts ------------------------------------------------------------------- */

static uint32_t read_intenable(void)
{
    uint32_t mask;
    __asm__ volatile("rsr %0, intenable" : "=a"(mask));
    return mask;
}

static void write_intenable(uint32_t mask)
{
    __asm__ volatile("wsr %0, intenable\n\trsync" : : "a"(mask) : "memory");
}

void lx106_irq_enable(unsigned irq, bool enable)
{
    configASSERT(irq < LX106_IRQ_COUNT);
    uint32_t ps = lx106_mask_interrupts();
    uint32_t mask = read_intenable();
    write_intenable(enable ? mask | (1U << irq) : mask & ~(1U << irq));
    lx106_restore_interrupts(ps);
}

static void attach(unsigned irq, void (*handler)(void *), void *arg)
{
    uint32_t ps = lx106_mask_interrupts();
    irq_slots[irq].handler = handler;
    irq_slots[irq].arg = arg;
    lx106_restore_interrupts(ps);
    lx106_irq_enable(irq, true);
}

void lx106_irq_attach(unsigned irq, void (*handler)(void *), void *arg)
{
    configASSERT(irq < LX106_IRQ_COUNT && handler != NULL);
    configASSERT(irq != LX106_IRQ_TIMER && irq != LX106_IRQ_SOFTWARE);
    attach(irq, handler, arg);
}

bool lx106_in_interrupt(void)
{
    return crash_in_interrupt;
}

/* Called by port_interrupt on the interrupt stack, level 1 masked. */
void port_dispatch_interrupts(void);
void port_dispatch_interrupts(void)
{
    crash_in_interrupt = true;
    for (;;) {
        uint32_t pending;
        __asm__ volatile("rsr %0, interrupt" : "=a"(pending));
        pending &= read_intenable();
        if (pending == 0) {
            break;
        }
        /* Serve each pending interrupt once before looking again, so that a busy device
         * with a low number cannot keep the tick waiting. */
        while (pending != 0) {
            unsigned irq = 31U - (unsigned)__builtin_clz(pending);
            pending &= ~(1U << irq);
            if ((IRQ_CLEARABLE & (1U << irq)) != 0) {
                __asm__ volatile("wsr %0, intclear\n\tesync" : : "a"(1U << irq) : "memory");
            }
            irq_slots[irq].handler(irq_slots[irq].arg);
        }
    }
    if (port_switch_wanted != 0) {
        port_switch_wanted = 0;
        vTaskSwitchContext();
    }
    crash_in_interrupt = false;
}

/* The radio's libraries, where there are such, share the software interrupt: their NMI raises it
 * for what only a level-1 interrupt may do. */
int MacIsrSigPostDefHdl(void) __attribute__((weak));

static void on_yield(void *arg)
{
    (void)arg;
    if (MacIsrSigPostDefHdl != NULL) {
        (void)MacIsrSigPostDefHdl();
    }
    port_switch_wanted = 1;
}

/* --- Tick and time ---------------------------------------------------------------- */

static uint32_t tick_cycles; /* CPU cycles per tick */
static uint32_t next_tick;   /* CCOUNT at which the next tick is due */

static void write_ccompare(uint32_t value)
{
    /* Also clears the timer's pending bit. */
    __asm__ volatile("wsr %0, ccompare0\n\tesync" : : "a"(value) : "memory");
}

static void on_tick(void *arg)
{
    (void)arg;
    /* The compare value only ever advances by whole periods, so a late interrupt never
     * shifts later ticks. When it came more than a period late (interrupts were masked,
     * or a debugger stopped the CPU), the missed ticks are counted here. The comparison
     * comes after the write: a period that ends in between is seen by one of the two. */
    do {
        next_tick += tick_cycles;
        write_ccompare(next_tick);
        if (xTaskIncrementTick() != pdFALSE) {
            port_switch_wanted = 1;
        }
    } while ((int32_t)(lx106_ccount() - next_tick) >= 0);
    (void)lx106_cycles();
}

uint64_t lx106_cycles(void)
{
    static uint32_t high, last;

    uint32_t ps = lx106_mask_interrupts();
    uint32_t low = lx106_ccount();
    if (low < last) {
        high++;
    }
    last = low;
    uint64_t cycles = ((uint64_t)high << 32) | low;
    lx106_restore_interrupts(ps);
    return cycles;
}

uint32_t lx106_run_time_counter(void)
{
    return (uint32_t)(lx106_cycles() >> 8);
}

/* --- Scheduler -------------------------------------------------------------------- */

BaseType_t xPortStartScheduler(void)
{
    configASSERT(((uint32_t)_stack_top & 15U) == 0);
    (void)lx106_mask_interrupts();
    critical_nesting = 0;

    attach(LX106_IRQ_SOFTWARE, on_yield, NULL);
    tick_cycles = board_cpu_hz / configTICK_RATE_HZ;
    do {
        /* Once more if a period passed before the comparison was set (an emulator's host can
         * be that busy): it would only come when CCOUNT wraps, after minutes. */
        next_tick = lx106_ccount() + tick_cycles;
        write_ccompare(next_tick);
    } while ((int32_t)(lx106_ccount() - next_tick) >= 0);
    attach(LX106_IRQ_TIMER, on_tick, NULL);

    port_restore_task();
}

void vPortEndScheduler(void)
{
    crash_assert("the scheduler must not end", "port.c", __LINE__);
}

void vApplicationIdleHook(void);
void vApplicationIdleHook(void)
{
    /* Sleep until an interrupt. */
    __asm__ volatile("waiti 0" : : : "memory");
}

void vApplicationStackOverflowHook(TaskHandle_t task, char *name);
void vApplicationStackOverflowHook(TaskHandle_t task, char *name)
{
    (void)task;
    crash_stack_overflow(name);
}

uint32_t lx106_interrupt_stack_free(void)
{
    const uint32_t *word = _stack_bottom;
    while (word < _stack_top && *word == STACK_FILL) {
        word++;
    }
    return (uint32_t)word - (uint32_t)_stack_bottom;
}
