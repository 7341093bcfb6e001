/* Access narrower than a word to memory that knows only words, and unaligned access. */
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "chip.h"
#include "irq_source.h"
#include "lx106.h"

#define VICTIM __attribute__((noinline, noclone)) void

enum load { L8UI, L16UI, L16SI, LOADS };
#define REGISTERS 16U
#define SAR REGISTERS

/* probes.S: what each load adds to the address. */
static const uint32_t offsets[LOADS] = {5, 6, 6};
extern void (*const probes[LOADS][REGISTERS])(void);
extern uint32_t probe_in[REGISTERS + 1], probe_out[REGISTERS + 1];

/* Bytes of all kinds of sign. */
#define WORDS {0x8F0E7D6CU, 0x1B9A2938U, 0xC7D6E5F4U, 0x00FF807FU}
static const uint32_t in_flash[4] = WORDS;
static const uint32_t in_iram[4] __attribute__((section(".iram.text.words"))) = WORDS;

static uint32_t expected(enum load load, uint32_t place)
{
    uint32_t copy[4] = WORDS;
    const uint8_t *bytes = (const uint8_t *)copy + place;
    if (load == L8UI) {
        return bytes[0];
    }
    uint16_t half = (uint16_t)(bytes[0] | bytes[1] << 8);
    return load == L16UI ? half : (uint32_t)(int32_t)(int16_t)half;
}

static void probe(const void *words, enum load load, uint32_t place, unsigned target)
{
    for (unsigned i = 0; i < REGISTERS; i++) {
        probe_in[i] = 0xA5000000U | i << 16 | place;
    }
    probe_in[2] = (uint32_t)words + place - offsets[load];
    probe_in[SAR] = 3 + target;

    uint32_t ps = lx106_mask_interrupts();
    probes[load][target]();
    lx106_restore_interrupts(ps);

    for (unsigned i = 0; i <= REGISTERS; i++) {
        uint32_t wanted = i == target ? expected(load, place) : probe_in[i];
        if (probe_out[i] != wanted) {
            say("load %d of byte %lu into a%u: register %u is %lx, wanted %lx", load,
                (unsigned long)place, target, i, (unsigned long)probe_out[i],
                (unsigned long)wanted);
            CHECK(false);
        }
    }
}

static volatile bool probed;

static void probe_all(void *argument)
{
    (void)argument;
    const uint32_t *const memories[] = {in_flash, in_iram};
    for (unsigned memory = 0; memory < 2; memory++) {
        for (enum load load = 0; load < LOADS; load++) {
            for (uint32_t place = 0; place < 16; place += load == L8UI ? 1 : 2) {
                for (unsigned target = 0; target < REGISTERS; target++) {
                    probe(memories[memory], load, place, target);
                }
            }
        }
    }
    probed = true;
}

/* In a task: the user vector. */
void test_subword_loads(void);
void test_subword_loads(void)
{
    CHECK((uint32_t)in_flash >= 0x40200000U && (uint32_t)in_iram < 0x40108000U);
    probe_all(NULL);
}

/* Before the scheduler: the kernel vector, on the boot stack. */
void test_subword_loads_early(void);
void test_subword_loads_early(void)
{
    probe_all(NULL);
}

/* In a handler: the same. */
void test_subword_loads_in_interrupt(void);
void test_subword_loads_in_interrupt(void)
{
    irq_source_attach(probe_all, NULL);
    irq_source_raise();
    CHECK(probed);
}

/* Code in IRAM is read for emulation as code in flash is. */
IN_IRAM("byte") static uint8_t byte_from_iram_code(const volatile uint8_t *byte)
{
    return *byte;
}

static volatile uint32_t ticks_met;

/* Interrupts come in between at any moment. */
void test_subword_loads_preempted(void);
void test_subword_loads_preempted(void)
{
    const volatile uint8_t *bytes = (const volatile uint8_t *)in_flash;
    for (TickType_t start = xTaskGetTickCount(); xTaskGetTickCount() - start < 20;) {
        for (uint32_t i = 0; i < 16; i++) {
            CHECK_EQUAL(byte_from_iram_code(bytes + i), expected(L8UI, i));
        }
        ticks_met++;
    }
    CHECK_BETWEEN(ticks_met, 100, INT32_MAX);
}

/* volatile: the compiler must not notice what is wrong. */
static const volatile void *volatile flash_place = in_flash;
static const volatile void *volatile iram_place = in_iram;
static volatile uint32_t words[2];
static volatile uint8_t *volatile ram_place = (volatile uint8_t *)words;
static volatile uint32_t sink;

VICTIM victim_store_byte_to_flash(void)
{
    *(volatile uint8_t *)flash_place = 1;
}

VICTIM victim_store_byte_to_iram(void)
{
    *((volatile uint8_t *)iram_place + 1) = 1;
}

VICTIM victim_store_half_to_iram(void)
{
    *((volatile uint16_t *)iram_place + 1) = 1;
}

VICTIM victim_store_word_to_flash(void)
{
    *(volatile uint32_t *)flash_place = 1;
}

VICTIM victim_unaligned_word(void)
{
    sink = *(volatile uint32_t *)(ram_place + 1);
}

VICTIM victim_unaligned_half(void)
{
    sink = *(volatile uint16_t *)((uint32_t)flash_place + 1);
}

VICTIM victim_unaligned_store(void)
{
    *(volatile uint32_t *)(ram_place + 2) = sink;
}

/* Nothing runs any more: only the chip's watchdog is left. */
VICTIM victim_masked(void)
{
    (void)lx106_mask_interrupts();
    for (;;) {
    }
}

static void endless(void *arg)
{
    (void)arg;
    for (;;) {
    }
}

VICTIM victim_endless_handler(void)
{
    irq_source_attach(endless, NULL);
    irq_source_raise();
}
