/* No task's register is ever changed by what interrupts it.
 *
 * Four tasks of one priority hold patterns in all registers while the tick, an unrelated
 * fast interrupt, software timers, a task of higher priority and their own yields switch
 * between them. */
#include <string.h>

#include "check.h"
#include "event_groups.h"
#include "irq_source.h"
#include "lx106.h"
#include "port_frame.h"
#include "timers.h"

#define HOLDERS 4
#define RUN_TICKS 400 /* 2 s */

void registers_hold(const uint32_t pattern[16], uint32_t seen[16]);
extern const char registers_hold_from[], registers_hold_to[];
void registers_hold_and_yield(const uint32_t pattern[16], uint32_t seen[16]);
extern const char registers_hold_and_yield_from[], registers_hold_and_yield_to[];
void registers_spoil(void);

/* The kernel's current task; its first member is the saved stack pointer. */
extern void *volatile pxCurrentTCB;

static volatile uint32_t rounds[HOLDERS];
static volatile uint32_t critical_rounds;
static volatile uint32_t interrupts, hits;
static volatile uint32_t timer_calls, urgent_runs;
static volatile bool stop;
static EventGroupHandle_t done;
static TaskHandle_t urgent;

/* Changed by tasks and the interrupt inside critical sections only, by a read and a write
 * with a pause between them. */
static volatile uint32_t guarded, guarded_by_interrupt;

static bool inside(uint32_t pc, const char *from, const char *to)
{
    return pc >= (uint32_t)from && pc < (uint32_t)to;
}

static void on_interrupt(void *arg)
{
    (void)arg;
    interrupts++;
    const uint32_t *frame = *(uint32_t *const *)pxCurrentTCB;
    uint32_t pc = frame[FRAME_PC / 4];
    if (inside(pc, registers_hold_from, registers_hold_to) ||
        inside(pc, registers_hold_and_yield_from, registers_hold_and_yield_to)) {
        hits++;
    }

    UBaseType_t saved = taskENTER_CRITICAL_FROM_ISR();
    guarded++;
    guarded_by_interrupt++;
    taskEXIT_CRITICAL_FROM_ISR(saved);

    BaseType_t woken = pdFALSE;
    if (interrupts % 3 == 0) {
        vTaskNotifyGiveFromISR(urgent, &woken);
    }
    registers_spoil();
    portYIELD_FROM_ISR(woken);
}

static void check_registers(const uint32_t pattern[16], const uint32_t seen[16])
{
    for (unsigned i = 0; i < 16; i++) {
        if (seen[i] != pattern[i]) {
            irq_source_stop();
            say("a%u (1 is SAR) holds 0x%08lx, wanted 0x%08lx", i, (unsigned long)seen[i],
                (unsigned long)pattern[i]);
        }
        CHECK(seen[i] == pattern[i]);
    }
}

static void hold(uint32_t *seed, void (*function)(const uint32_t *, uint32_t *))
{
    uint32_t pattern[16], seen[16];
    for (unsigned i = 0; i < 16; i++) {
        pattern[i] = random_next(seed);
    }
    pattern[1] &= 31; /* SAR */
    pattern[7] = 1U << LX106_IRQ_SOFTWARE;
    memset(seen, 0, sizeof(seen));
    function(pattern, seen);
    check_registers(pattern, seen);
}

/* Three levels of critical sections around a hold, and a count that needs them. */
static void hold_in_critical_sections(uint32_t *seed)
{
    CHECK((lx106_ps() & LX106_PS_INTLEVEL) == 0);
    taskENTER_CRITICAL();
    uint32_t before = guarded;
    taskENTER_CRITICAL();
    taskENTER_CRITICAL();
    hold(seed, registers_hold);
    taskEXIT_CRITICAL();
    CHECK((lx106_ps() & LX106_PS_INTLEVEL) == 1);
    taskEXIT_CRITICAL();
    CHECK((lx106_ps() & LX106_PS_INTLEVEL) == 1);
    /* A switch asked for inside waits for the end. */
    taskYIELD();
    CHECK(guarded == before);
    guarded = before + 1;
    critical_rounds++;
    taskEXIT_CRITICAL();
    CHECK((lx106_ps() & LX106_PS_INTLEVEL) == 0);
}

static void holder(void *argument)
{
    unsigned index = (unsigned)(uintptr_t)argument;
    uint32_t seed = 0x9E3779B9U * (index + 1);
    while (!stop) {
        switch (index) {
        case 0:
        case 1:
            hold(&seed, registers_hold);
            break;
        case 2:
            hold(&seed, registers_hold_and_yield);
            break;
        default:
            hold_in_critical_sections(&seed);
        }
        rounds[index]++;
    }
    (void)xEventGroupSetBits(done, 1U << index);
    vTaskSuspend(NULL);
}

/* Preempts the holders from the interrupt and disturbs them as it does. */
static void urgent_task(void *argument)
{
    (void)argument;
    uint32_t seed = 77;
    for (;;) {
        (void)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
        hold(&seed, registers_hold);
        urgent_runs++;
    }
}

static void on_timer(TimerHandle_t timer)
{
    (void)timer;
    registers_spoil();
    timer_calls++;
}

void test_registers(void);
void test_registers(void)
{
    done = xEventGroupCreate();
    TimerHandle_t timer = xTimerCreate("fast", 1, pdTRUE, NULL, on_timer);
    CHECK(done != NULL && timer != NULL);
    urgent = start_task(urgent_task, "urgent", NULL, TEST_PRIORITY + 2);
    for (unsigned i = 0; i < HOLDERS; i++) {
        (void)start_task(holder, "holder", (void *)(uintptr_t)i, TEST_PRIORITY - 2);
    }
    CHECK(xTimerStart(timer, portMAX_DELAY) == pdPASS);
    irq_source_start(on_interrupt, NULL);
    vTaskDelay(RUN_TICKS);
    stop = true;
    EventBits_t all = (1U << HOLDERS) - 1;
    EventBits_t ended = xEventGroupWaitBits(done, all, pdFALSE, pdTRUE, 100);
    irq_source_stop();
    CHECK_EQUAL(ended, all);

    say("rounds %lu %lu %lu %lu, interrupts %lu of which %lu met held registers",
        (unsigned long)rounds[0], (unsigned long)rounds[1], (unsigned long)rounds[2],
        (unsigned long)rounds[3], (unsigned long)interrupts, (unsigned long)hits);
    for (unsigned i = 0; i < HOLDERS; i++) {
        CHECK_BETWEEN(rounds[i], 1000, INT32_MAX);
    }
    CHECK_EQUAL(guarded, critical_rounds + guarded_by_interrupt);
    CHECK_BETWEEN(interrupts, 4000, 8000);
    CHECK_BETWEEN(hits, 500, INT32_MAX);
    CHECK_BETWEEN(urgent_runs, interrupts / 3 - 2, interrupts / 3);
    CHECK_BETWEEN(timer_calls, RUN_TICKS - 2, RUN_TICKS + 100);
}
