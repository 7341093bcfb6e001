/* What the kernel's basic steps cost. Each function repeats a step `count` times. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "check.h"

static TaskHandle_t main_task, partner;

void bench_loop(uint32_t count)
{
    /* Three instructions, each of which GNU as takes as it is. */
    __asm__ volatile("1:\n\t"
                     "addi %0, %0, -1\n\t"
                     "nop\n\t"
                     "bnez %0, 1b"
                     : "+a"(count));
}

static void yielding(void *argument)
{
    (void)argument;
    for (;;) {
        taskYIELD();
    }
}

void bench_yield(uint32_t count)
{
    if (partner == NULL) {
        partner = start_task(yielding, "partner", NULL, TEST_PRIORITY);
    }
    /* Every second switch is the partner's. */
    for (uint32_t i = 0; i < count / 2; i++) {
        taskYIELD();
    }
}

static void answering(void *argument)
{
    (void)argument;
    for (;;) {
        (void)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
        xTaskNotifyGiveIndexed(main_task, 1);
    }
}

void bench_notify(uint32_t count)
{
    if (partner == NULL) {
        main_task = xTaskGetCurrentTaskHandle();
        partner = start_task(answering, "partner", NULL, TEST_PRIORITY + 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        xTaskNotifyGive(partner);
        (void)ulTaskNotifyTakeIndexed(1, pdTRUE, portMAX_DELAY);
    }
}

void bench_malloc(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        void *volatile block = malloc(64);
        free(block);
    }
}

/* A KiB in DRAM: copied between words that lie alike, and between those that do not. */
static uint8_t block_from[1032], block_to[1032];
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static void *(*volatile set)(void *, int, size_t) = memset;
static int (*volatile order)(const void *, const void *, size_t) = memcmp;

void bench_memcpy(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        copy(block_to, block_from, 1024);
    }
}

void bench_memcpy_shifted(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        copy(block_to + 1, block_from + 3, 1024);
    }
}

void bench_memset(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        set(block_to, 0, 1024);
    }
}

void bench_memcmp(uint32_t count)
{
    memset(block_to, 0, sizeof block_to);
    memset(block_from, 0, sizeof block_from);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(order(block_to, block_from, 1024), 0);
    }
}
