/* Everything that ends in a crash report. Each is a function of its own, never inlined, so
 * that the report's addresses can be held against its name. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "irq_source.h"

#define VICTIM __attribute__((noinline, noclone)) void

/* Addresses at which neither the chip nor the emulator has anything. */
#define NOTHING_THERE 0x00000010U
#define NO_CODE_THERE 0x30000000U

/* volatile: the compiler must not notice what is wrong. */
static volatile uintptr_t nowhere = NOTHING_THERE;
static volatile uintptr_t no_code = NO_CODE_THERE;
static volatile uint32_t sink;

VICTIM victim_load(void)
{
    sink = *(volatile uint32_t *)nowhere;
}

VICTIM victim_store(void)
{
    *(volatile uint32_t *)nowhere = sink;
}

VICTIM victim_null(void)
{
    *(volatile uint32_t *)(nowhere - NOTHING_THERE) = sink;
}

VICTIM victim_illegal(void)
{
    /* The instruction that exists to be illegal (ISA manual, "ILL"). */
    __asm__ volatile("ill");
}

VICTIM victim_break(void)
{
    __asm__ volatile("break 1, 1");
}

VICTIM victim_jump(void)
{
    ((void (*)(void))no_code)();
    sink++; /* keeps the call from becoming a jump, which would leave no return address */
}

VICTIM victim_assert(void)
{
    configASSERT(sink == 12345);
}

static void returning(void *argument)
{
    (void)argument;
}

VICTIM victim_task_returns(void)
{
    (void)start_task(returning, "returning", NULL, TEST_PRIORITY + 1);
}

VICTIM victim_abort(void)
{
    abort();
}

/* --- In an interrupt -------------------------------------------------------------- */

static void on_interrupt(void *arg)
{
    ((void (*)(void))arg)();
}

VICTIM victim_interrupted(void (*victim)(void))
{
    irq_source_attach(on_interrupt, (void *)victim);
    irq_source_raise();
    spin(1000);
}

void victim_load_in_interrupt(void);
void victim_load_in_interrupt(void)
{
    victim_interrupted(victim_load);
}

void victim_assert_in_interrupt(void);
void victim_assert_in_interrupt(void)
{
    victim_interrupted(victim_assert);
}

/* --- Stack overflow --------------------------------------------------------------- */

/* Ends up this many bytes below the stack of start_task's size (2 KB). */
VICTIM use_stack(unsigned depth)
{
    volatile uint8_t space[64];
    memset((void *)space, 0, sizeof(space));
    if (depth > sizeof(space)) {
        use_stack(depth - sizeof(space));
    } else {
        vTaskDelay(1);
    }
    sink = space[0];
}

static void small_overflow(void *argument)
{
    (void)argument;
    use_stack(1700);
    vTaskSuspend(NULL);
}

VICTIM victim_overflow(void)
{
    (void)start_task(small_overflow, "overflowing", NULL, TEST_PRIORITY + 1);
    vTaskDelay(10);
}

/* Leaps over the end of the stack without touching it. */
static void leap(void *argument)
{
    (void)argument;
    volatile uint8_t space[2600];
    space[0] = 1;
    vTaskDelay(1);
    sink = space[0];
    vTaskSuspend(NULL);
}

VICTIM victim_leap(void)
{
    (void)start_task(leap, "leaping", NULL, TEST_PRIORITY + 1);
    vTaskDelay(10);
}

/* Never ends, and runs over everything below. */
VICTIM run_away(uint32_t depth)
{
    volatile uint8_t space[16];
    space[0] = (uint8_t)depth;
    if (depth != UINT32_MAX) { /* gcc refuses a recursion that it knows to be endless */
        run_away(depth + 1);
    }
    sink = space[0];
}

static void runaway_task(void *argument)
{
    (void)argument;
    /* The tick would notice it, or meet what it has written over. */
    taskENTER_CRITICAL();
    run_away(0);
    vTaskSuspend(NULL);
}

VICTIM victim_runaway(void)
{
    (void)start_task(runaway_task, "runaway", NULL, TEST_PRIORITY + 1);
    vTaskDelay(100);
}
