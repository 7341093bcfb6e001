/* malloc and friends on the kernel's heap, the atomic operations of C, and its sorting. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lx106.h"

/* As much as heap_5 adds to a block: its header, and rounding up to 8. */
#define OVERHEAD 16

static bool filled(const uint8_t *bytes, size_t length, int value)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != (uint8_t)value) {
            return false;
        }
    }
    return true;
}

void test_malloc(void);
void test_malloc(void)
{
    enum { BLOCKS = 40 };
    uint8_t *blocks[BLOCKS];
    HeapStats_t stats;
    vPortGetHeapStats(&stats);
    size_t largest = stats.xSizeOfLargestFreeBlockInBytes, pieces = stats.xNumberOfFreeBlocks;
    uint32_t before = xPortGetFreeHeapSize();
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(i + 1);
        CHECK(blocks[i] != NULL);
        CHECK_EQUAL((uintptr_t)blocks[i] % 8, 0);
        memset(blocks[i], (int)i, i + 1);
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        CHECK(filled(blocks[i], i + 1, (int)i));
    }
    /* Every second one first, so that neighbours have to be joined again. */
    for (unsigned i = 0; i < BLOCKS; i += 2) {
        free(blocks[i]);
    }
    for (unsigned i = 1; i < BLOCKS; i += 2) {
        free(blocks[i]);
    }
    free(NULL);
    CHECK_EQUAL(xPortGetFreeHeapSize(), before);
    vPortGetHeapStats(&stats);
    CHECK_EQUAL(stats.xSizeOfLargestFreeBlockInBytes, largest);
    CHECK_EQUAL(stats.xNumberOfFreeBlocks, pieces);
}

void test_calloc(void);
void test_calloc(void)
{
    uint8_t *dirty = malloc(300);
    CHECK(dirty != NULL);
    memset(dirty, 0xFF, 300);
    free(dirty);
    uint8_t *clean = calloc(100, 3);
    CHECK(clean == dirty); /* or else the next line proves nothing */
    CHECK(filled(clean, 300, 0));
    free(clean);
    /* A product beyond 32 bits is refused, not cut. */
    volatile size_t huge = 0x10001;
    CHECK(calloc(huge, huge) == NULL);
}

void test_realloc(void);
void test_realloc(void)
{
    uint32_t before = xPortGetFreeHeapSize();
    uint8_t *block = realloc(NULL, 10);
    CHECK(block != NULL);
    memset(block, 0x5A, 10);
    uint8_t *stopper = malloc(8); /* so that it cannot grow in place */
    block = realloc(block, 500);
    CHECK(block != NULL && filled(block, 10, 0x5A));
    memset(block, 0x3C, 500);
    block = realloc(block, 20);
    CHECK(block != NULL && filled(block, 20, 0x3C));
    CHECK_BETWEEN(before - xPortGetFreeHeapSize(), 28, 28 + 64 + 3 * OVERHEAD);
    /* What does not fit leaves the block as it was. */
    volatile size_t huge = 100000;
    CHECK(realloc(block, huge) == NULL);
    CHECK(filled(block, 20, 0x3C));
    CHECK(realloc(block, 0) == NULL);
    free(stopper);
    CHECK_EQUAL(xPortGetFreeHeapSize(), before);
}

void test_heap_low_water(void);
void test_heap_low_water(void)
{
    /* Below whatever was used until now. */
    uint32_t size = xPortGetFreeHeapSize() - xPortGetMinimumEverFreeHeapSize() + 2000;
    uint32_t before = xPortGetFreeHeapSize();
    void *block = malloc(size);
    CHECK(block != NULL);
    uint32_t lowest = xPortGetMinimumEverFreeHeapSize();
    CHECK_EQUAL(lowest, xPortGetFreeHeapSize());
    CHECK_BETWEEN(before - lowest, size, size + OVERHEAD);
    free(block);
    CHECK_EQUAL(xPortGetMinimumEverFreeHeapSize(), lowest);
    CHECK_EQUAL(xPortGetFreeHeapSize(), before);
}

/* An exhausted heap is NULL, again and again, and nothing else changes. */
void test_heap_exhausted(void);
void test_heap_exhausted(void)
{
    uint32_t before = xPortGetFreeHeapSize();
    void **chain = NULL;
    for (size_t size = 4096; size >= sizeof(void *); size /= 2) {
        void **block;
        while ((block = malloc(size)) != NULL) {
            *block = chain;
            chain = block;
        }
    }
    CHECK_BETWEEN(xPortGetFreeHeapSize(), 0, 2 * OVERHEAD);
    volatile size_t most = SIZE_MAX;
    CHECK(malloc(most) == NULL);
    CHECK(calloc(1, 100) == NULL);
    CHECK(xTaskCreate(NULL, "none", 128, NULL, 1, NULL) == errCOULD_NOT_ALLOCATE_REQUIRED_MEMORY);
    while (chain != NULL) {
        void **next = *chain;
        free(chain);
        chain = next;
    }
    CHECK_EQUAL(xPortGetFreeHeapSize(), before);
}

/* Three tasks use the heap at once. */
static volatile uint32_t heap_rounds[3];
static volatile bool stop;

static void heap_user(void *argument)
{
    enum { BLOCKS = 8 };
    unsigned index = (unsigned)(uintptr_t)argument;
    uint32_t seed = index + 1;
    uint8_t *blocks[BLOCKS] = {NULL};
    size_t sizes[BLOCKS] = {0};
    int fill = (int)(16 * (index + 1));
    while (!stop) {
        unsigned slot = random_next(&seed) % BLOCKS;
        CHECK(filled(blocks[slot], sizes[slot], fill + (int)slot));
        size_t size = random_next(&seed) % 300 + 1;
        if (seed % 3 == 0) {
            uint8_t *block = realloc(blocks[slot], size);
            CHECK(block != NULL);
            CHECK(filled(block, size < sizes[slot] ? size : sizes[slot], fill + (int)slot));
            blocks[slot] = block;
        } else {
            free(blocks[slot]);
            blocks[slot] = malloc(size);
            CHECK(blocks[slot] != NULL);
        }
        sizes[slot] = size;
        memset(blocks[slot], fill + (int)slot, size);
        heap_rounds[index]++;
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
    }
    vTaskDelete(NULL);
}

void test_heap_shared(void);
void test_heap_shared(void)
{
    uint32_t before = xPortGetFreeHeapSize();
    for (unsigned i = 0; i < 3; i++) {
        (void)start_task(heap_user, "heap", (void *)(uintptr_t)i, TEST_PRIORITY - 1);
    }
    vTaskDelay(200);
    stop = true;
    vTaskDelay(10);
    CHECK_EQUAL(xPortGetFreeHeapSize(), before);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_BETWEEN(heap_rounds[i], 1000, UINT32_MAX);
    }
}

/* --- Atomics ---------------------------------------------------------------------- */

/* Every operation on one size, against what the language says it does. */
#define CHECK_ATOMICS(type)                                                             \
    do {                                                                                \
        const type a = (type)0xF0E1D2C3B4A59687ULL, b = (type)0x0123456789ABCDEFULL;    \
        struct {                                                                        \
            type before, object, after;                                                 \
        } s = {a, b, a};                                                                \
        type volatile *p = &s.object;                                                   \
        CHECK(__atomic_load_n(p, __ATOMIC_SEQ_CST) == b);                               \
        __atomic_store_n(p, a, __ATOMIC_SEQ_CST);                                       \
        CHECK(__atomic_exchange_n(p, b, __ATOMIC_SEQ_CST) == a && *p == b);             \
        CHECK(__atomic_fetch_add(p, a, __ATOMIC_SEQ_CST) == b && *p == (type)(b + a));  \
        CHECK(__atomic_fetch_sub(p, a, __ATOMIC_SEQ_CST) == (type)(b + a) && *p == b);  \
        CHECK(__atomic_fetch_and(p, a, __ATOMIC_SEQ_CST) == b && *p == (type)(b & a));  \
        *p = b;                                                                         \
        CHECK(__atomic_fetch_or(p, a, __ATOMIC_SEQ_CST) == b && *p == (type)(b | a));   \
        *p = b;                                                                         \
        CHECK(__atomic_fetch_xor(p, a, __ATOMIC_SEQ_CST) == b && *p == (type)(b ^ a));  \
        *p = b;                                                                         \
        CHECK(__atomic_fetch_nand(p, a, __ATOMIC_SEQ_CST) == b &&                       \
              *p == (type) ~(b & a));                                                   \
        *p = b;                                                                         \
        type expected = a;                                                              \
        CHECK(!__atomic_compare_exchange_n(p, &expected, 1, false, __ATOMIC_SEQ_CST,    \
                                           __ATOMIC_SEQ_CST));                          \
        CHECK(expected == b && *p == b);                                                \
        CHECK(__atomic_compare_exchange_n(p, &expected, 1, false, __ATOMIC_SEQ_CST,     \
                                          __ATOMIC_SEQ_CST));                           \
        CHECK(expected == b && *p == 1);                                                \
        CHECK(s.before == a && s.after == a);                                           \
    } while (0)

void test_atomic_operations(void);
void test_atomic_operations(void)
{
    CHECK_ATOMICS(uint8_t);
    CHECK_ATOMICS(uint16_t);
    CHECK_ATOMICS(uint32_t);
    CHECK_ATOMICS(uint64_t);
    /* They leave the interrupts as they found them. */
    CHECK((lx106_ps() & LX106_PS_INTLEVEL) == 0);
    taskENTER_CRITICAL();
    CHECK_ATOMICS(uint32_t);
    CHECK((lx106_ps() & LX106_PS_INTLEVEL) == 1);
    taskEXIT_CRITICAL();
}

static volatile uint64_t wide;

static void wide_adder(void *argument)
{
    for (uint32_t i = 0; i < 200000; i++) {
        /* Carries between the halves all the time. */
        (void)__atomic_fetch_add(&wide, 0x80000001ULL, __ATOMIC_SEQ_CST);
    }
    (*(volatile uint32_t *)argument)++;
    vTaskSuspend(NULL);
}

void test_atomic_wide(void);
void test_atomic_wide(void)
{
    static volatile uint32_t ended;
    for (unsigned i = 0; i < 2; i++) {
        (void)start_task(wide_adder, "adder", (void *)&ended, TEST_PRIORITY - 1);
    }
    while (ended < 2) {
        vTaskDelay(1);
    }
    CHECK(wide == 400000 * 0x80000001ULL);
}

/* --- Sorting (vendor/paho/sort.c) ------------------------------------------------- */

struct pair {
    int8_t key;
    uint16_t value;
};

static int by_key(const void *one, const void *other)
{
    return ((const struct pair *)one)->key - ((const struct pair *)other)->key;
}

void test_sort(void);
void test_sort(void)
{
    uint32_t seed = 3;
    struct pair pairs[40];
    for (unsigned count = 0; count <= 40; count++) {
        uint32_t sum = 0;
        for (unsigned i = 0; i < count; i++) {
            pairs[i] = (struct pair){(int8_t)(random_next(&seed) % 21 - 10), (uint16_t)i};
            sum += (uint32_t)pairs[i].key * 64 + i;
        }
        qsort(pairs, count, sizeof(pairs[0]), by_key);
        for (unsigned i = 0; i < count; i++) {
            sum -= (uint32_t)pairs[i].key * 64 + pairs[i].value;
            if (i > 0) {
                /* What is equal keeps its order. */
                CHECK(pairs[i - 1].key < pairs[i].key ||
                      (pairs[i - 1].key == pairs[i].key && pairs[i - 1].value < pairs[i].value));
            }
        }
        CHECK_EQUAL(sum, 0);
    }
}
