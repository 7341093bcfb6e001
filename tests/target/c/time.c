/* The tick, software timers and the 64-bit cycle counter, measured with CCOUNT. */
#include "check.h"
#include "lx106.h"
#include "timers.h"

/* More than the way from a tick's due time into a task that spins, in CPU cycles. With some
 * ticks the watchdog's check is due, which comes first. */
#define LATENCY (board_cpu_hz / 13000U)

/* CCOUNT as a task sees it right after the tick interrupt. */
static uint32_t ccount_after_tick(void)
{
    align_to_tick();
    return lx106_ccount();
}

void test_tick(void);
void test_tick(void)
{
    uint32_t start = ccount_after_tick();
    for (unsigned i = 1; i <= 200; i++) {
        CHECK_BETWEEN(ccount_after_tick() - start, i * TICK_CYCLES - LATENCY,
                      i * TICK_CYCLES + LATENCY);
    }
}

/* Ticks missed while interrupts are masked are counted afterwards, and the phase stays. */
void test_tick_while_masked(void);
void test_tick_while_masked(void)
{
    uint32_t start = ccount_after_tick();
    TickType_t first = xTaskGetTickCount();
    uint32_t halves = 0; /* ticks passed, in half ticks */
    for (unsigned masked = 1; masked <= 8; masked++) {
        taskENTER_CRITICAL();
        halves = 2 * (xTaskGetTickCount() - first) + 2 * masked + 1;
        while (lx106_ccount() - start < halves * TICK_CYCLES / 2) {
        }
        taskEXIT_CRITICAL();
        CHECK_EQUAL(xTaskGetTickCount() - first, halves / 2);
        CHECK_BETWEEN(ccount_after_tick() - start, (halves / 2 + 1) * TICK_CYCLES - LATENCY,
                      (halves / 2 + 1) * TICK_CYCLES + LATENCY);
    }

    /* A delay that ends meanwhile ends at once afterwards. */
    vTaskSuspendAll();
    spin(5 * TICK_CYCLES);
    TickType_t before = xTaskGetTickCount();
    (void)xTaskResumeAll();
    CHECK_EQUAL(xTaskGetTickCount() - before, 5);
}

/* --- Software timers -------------------------------------------------------------- */

static volatile uint32_t fired;
static uint32_t fired_at[32];

static void on_timer(TimerHandle_t timer)
{
    CHECK(pvTimerGetTimerID(timer) == &fired);
    if (fired < 32) {
        fired_at[fired] = lx106_ccount();
    }
    fired++;
}

static TimerHandle_t new_timer(TickType_t period, UBaseType_t repeats)
{
    fired = 0;
    TimerHandle_t timer = xTimerCreate("timer", period, repeats, (void *)&fired, on_timer);
    CHECK(timer != NULL);
    return timer;
}

void test_periodic_timer(void);
void test_periodic_timer(void)
{
    TimerHandle_t timer = new_timer(10, pdTRUE);
    vTaskDelay(1);
    uint32_t start = lx106_ccount();
    CHECK(xTimerStart(timer, 0) == pdPASS);
    vTaskDelay(205);
    CHECK(xTimerStop(timer, 0) == pdPASS);
    CHECK_EQUAL(fired, 20);
    /* No period is lost and none shifts the next: 200 ticks later still the first phase. */
    for (unsigned i = 0; i < 20; i++) {
        CHECK_BETWEEN(fired_at[i] - start, (i + 1) * 10 * TICK_CYCLES - 3000,
                      (i + 1) * 10 * TICK_CYCLES + 3000);
    }
    vTaskDelay(20);
    CHECK_EQUAL(fired, 20);
    CHECK(xTimerDelete(timer, 0) == pdPASS);
}

void test_timer_control(void);
void test_timer_control(void)
{
    TimerHandle_t timer = new_timer(10, pdFALSE);
    vTaskDelay(1);
    CHECK(xTimerStart(timer, 0) == pdPASS);
    CHECK(xTimerIsTimerActive(timer) != pdFALSE);
    vTaskDelay(30);
    CHECK_EQUAL(fired, 1);
    CHECK(xTimerIsTimerActive(timer) == pdFALSE);

    /* Restarted again and again it never fires; left alone, once. */
    for (unsigned i = 0; i < 5; i++) {
        CHECK(xTimerReset(timer, 0) == pdPASS);
        vTaskDelay(8);
    }
    CHECK_EQUAL(fired, 1);
    vTaskDelay(3);
    CHECK_EQUAL(fired, 2);

    CHECK(xTimerChangePeriod(timer, 3, 0) == pdPASS);
    vTaskDelay(4);
    CHECK_EQUAL(fired, 3);
    CHECK(xTimerDelete(timer, 0) == pdPASS);
}

static void on_pended(void *argument, uint32_t number)
{
    *(volatile uint32_t *)argument += number;
}

void test_pended_call(void);
void test_pended_call(void)
{
    static volatile uint32_t sum;
    for (uint32_t i = 1; i <= 5; i++) {
        CHECK(xTimerPendFunctionCall(on_pended, (void *)&sum, i, 0) == pdPASS);
    }
    CHECK_EQUAL(sum, 15);
}

/* --- Beyond the wrap of CCOUNT ---------------------------------------------------- */

/* CCOUNT wraps after 107 s: time goes on evenly across it. */
void test_ccount_wrap(void);
void test_ccount_wrap(void)
{
    enum { SECONDS = 120 };
    vTaskDelay(1);
    uint32_t low_before = lx106_ccount();
    uint64_t start = lx106_cycles();
    bool wrapped = false;
    for (unsigned i = 1; i <= SECONDS; i++) {
        vTaskDelay(configTICK_RATE_HZ);
        CHECK_BETWEEN((int64_t)(lx106_cycles() - start - (uint64_t)i * board_cpu_hz), -3000,
                      3000);
        wrapped |= lx106_ccount() < low_before;
        low_before = lx106_ccount();
    }
    CHECK(wrapped);
}
