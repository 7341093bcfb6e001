/* The console takes its time; who writes to it does not. */
#include "check.h"
#include "fw_hooks.h"
#include "lx106.h"

/* --- Tasks above the writer keep their times --------------------------------------- */

static volatile uint32_t latest; /* cycles between two ticks of the watcher, at most */
static volatile bool over;

static void watch(void *argument)
{
    (void)argument;
    uint32_t last = lx106_ccount();
    while (!over) {
        vTaskDelay(1);
        uint32_t now = lx106_ccount();
        latest = now - last > latest ? now - last : latest;
        last = now;
    }
    vTaskSuspend(NULL);
}

void test_console_keeps_nobody_waiting(void);
void test_console_keeps_nobody_waiting(void)
{
    (void)start_task(watch, "watch", NULL, TEST_PRIORITY + 1);
    vTaskDelay(2);
    latest = 0;
    /* 3 KB, for which the UART takes 270 ms. */
    for (unsigned i = 0; i < 20; i++) {
        say("%2u: a line that takes the UART of a board at 115200 baud more than ten milliseconds "
            "to send, a byte after the other, ten bits each, for ever", i);
    }
    over = true;
    CHECK_BETWEEN(latest, 1, 2 * TICK_CYCLES);
    CHECK_EQUAL(fw_console_lost(), 0);
}

/* --- A flood ---------------------------------------------------------------------- */

/* From where nobody can wait: what does not fit is dropped at once, counted, and told. */
void test_console_flood(void);
void test_console_flood(void)
{
    vTaskDelay(20);
    uint32_t ps = lx106_mask_interrupts();
    uint32_t start = lx106_ccount();
    for (unsigned i = 0; i < 30; i++) {
        static const char line[] = "one of thirty lines with interrupts masked\n";
        fw_console_write(line, sizeof(line) - 1);
    }
    uint32_t took = lx106_ccount() - start;
    lx106_restore_interrupts(ps);
    /* The UART would take 110 ms. */
    CHECK_BETWEEN(took, 1, TICK_CYCLES);
    CHECK_EQUAL(fw_console_lost(), 19);
    vTaskDelay(40);
    say("the console is back");
    vTaskDelay(20);
    /* From a task: it waits, but not for ever and not for each line. */
    TickType_t before = xTaskGetTickCount();
    for (unsigned i = 0; i < 60; i++) {
        say("one of sixty lines of a task that writes more than the UART can take in its time");
    }
    CHECK_BETWEEN(xTaskGetTickCount() - before, 1, 2 * configTICK_RATE_HZ);
}
