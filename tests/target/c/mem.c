/* memcpy, memmove, memset and memcmp (bsp/lx106/c/mem.S): all alignments, overlaps and short
 * lengths, between all memories, against loops over bytes. On the chip, which traps them, also
 * that no access is narrower than a word in flash or IRAM. */
#include <string.h>

#include "check.h"
#include "lx106.h"

enum { ROOM = 96, LONG = 1024, SHORT = 40, PLACES = 4 };

/* Through pointers that the compiler cannot follow, so that it cannot put its own code in. */
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static void *(*volatile move)(void *, const void *, size_t) = memmove;
static void *(*volatile set)(void *, int, size_t) = memset;
static int (*volatile order)(const void *, const void *, size_t) = memcmp;

/* Bytes of all kinds of sign, and of no pattern that a shift by a word hides. */
#define FOUR(n) (n) * 3, (n) * 3 + 129, (n) * 3 + 66, (n) * 3 + 195
#define SIXTEEN(n) FOUR(n), FOUR((n) + 1), FOUR((n) + 2), FOUR((n) + 3)
static const uint8_t in_flash[ROOM] __attribute__((aligned(4))) = {
    SIXTEEN(0), SIXTEEN(4), SIXTEEN(8), SIXTEEN(12), SIXTEEN(3), SIXTEEN(5),
};
static uint32_t in_iram[2][ROOM / 4] __attribute__((section(".iram.text.words")));
static uint32_t in_dram[2][ROOM / 4];
static uint8_t expected[ROOM];

/* A byte of any memory. */
static uint8_t peek(const void *words, size_t index)
{
    return (uint8_t)(((const volatile uint32_t *)words)[index / 4] >> index % 4 * 8);
}

static void prepare(void *words, uint32_t seed)
{
    for (size_t i = 0; i < ROOM / 4; i++) {
        ((volatile uint32_t *)words)[i] = random_next(&seed);
    }
    for (size_t i = 0; i < ROOM; i++) {
        expected[i] = peek(words, i);
    }
}

static void check_expected(const void *words)
{
    for (size_t i = 0; i < ROOM; i++) {
        CHECK_EQUAL(peek(words, i), expected[i]);
    }
}

/* EPC1 changes at each level-1 interrupt and each exception: with interrupts masked, at each
 * load that had to be emulated. */
#define EPC1_MARK 0x5A5A5A5AU
static uint32_t begin_without_exceptions(void)
{
    const uint32_t ps = lx106_mask_interrupts();
    __asm__ volatile("wsr %0, epc1\n\trsync" : : "a"(EPC1_MARK) : "memory");
    return ps;
}

static void end_without_exceptions(uint32_t ps)
{
    uint32_t epc1;
    __asm__ volatile("rsr %0, epc1" : "=a"(epc1) : : "memory");
    lx106_restore_interrupts(ps);
    CHECK_EQUAL(epc1, EPC1_MARK);
}

void test_memcpy(void);
void test_memcpy(void)
{
    const void *const sources[] = {in_flash, in_iram[1], in_dram[1]};
    void *const targets[] = {in_iram[0], in_dram[0]};

    prepare(in_iram[1], 5);
    prepare(in_dram[1], 6);
    for (unsigned s = 0; s < 3; s++) {
        for (unsigned t = 0; t < 2; t++) {
            for (unsigned variant = 0; variant < PLACES * PLACES * (SHORT + 1); variant++) {
                const size_t from = variant % PLACES, to = PLACES + variant / PLACES % PLACES,
                             length = variant / PLACES / PLACES;
                prepare(targets[t], variant + 1);
                for (size_t i = 0; i < length; i++) {
                    expected[to + i] = peek(sources[s], from + i);
                }
                uint8_t *const target = (uint8_t *)targets[t] + to;
                const uint32_t ps = begin_without_exceptions();
                void *const result = copy(target, (const uint8_t *)sources[s] + from, length);
                end_without_exceptions(ps);
                CHECK(result == target);
                check_expected(targets[t]);
            }
        }
    }
}

void test_memmove(void);
void test_memmove(void)
{
    void *const memories[] = {in_iram[0], in_dram[0]};

    for (unsigned memory = 0; memory < 2; memory++) {
        for (size_t from = 0; from < 24; from++) {
            for (size_t to = 0; to < 24; to++) {
                for (size_t length = 0; length <= SHORT; length++) {
                    uint8_t copied[SHORT];
                    prepare(memories[memory], 7);
                    for (size_t i = 0; i < length; i++) {
                        copied[i] = expected[from + i];
                    }
                    for (size_t i = 0; i < length; i++) {
                        expected[to + i] = copied[i];
                    }
                    uint8_t *const bytes = memories[memory];
                    const uint32_t ps = begin_without_exceptions();
                    void *const result = move(bytes + to, bytes + from, length);
                    end_without_exceptions(ps);
                    CHECK(result == bytes + to);
                    check_expected(bytes);
                }
            }
        }
    }
}

void test_memset(void);
void test_memset(void)
{
    void *const memories[] = {in_iram[0], in_dram[0]};

    for (unsigned memory = 0; memory < 2; memory++) {
        for (size_t to = 0; to < 2 * PLACES; to++) {
            for (size_t length = 0; length <= 2 * SHORT; length++) {
                /* Only the value's lowest byte counts. */
                const int value = (int)(0x1234560U + length * 3);
                prepare(memories[memory], length + 1);
                for (size_t i = 0; i < length; i++) {
                    expected[to + i] = (uint8_t)value;
                }
                uint8_t *const target = (uint8_t *)memories[memory] + to;
                const uint32_t ps = begin_without_exceptions();
                void *const result = set(target, value, length);
                end_without_exceptions(ps);
                CHECK(result == target);
                check_expected(memories[memory]);
            }
        }
    }
}

static int checked_order(const uint8_t *one, const uint8_t *other, size_t length)
{
    const uint32_t ps = begin_without_exceptions();
    const int result = order(one, other, length);
    end_without_exceptions(ps);
    return result;
}

void test_memcmp(void);
void test_memcmp(void)
{
    const void *const ones[] = {in_flash, in_iram[1], in_dram[1]};

    for (size_t i = 0; i < ROOM / 4; i++) {
        in_iram[1][i] = in_dram[1][i] = ((const uint32_t *)in_flash)[i];
    }
    for (unsigned memory = 0; memory < 3; memory++) {
        for (unsigned places = 0; places < PLACES * PLACES; places++) {
            const uint8_t *one = (const uint8_t *)ones[memory] + places % PLACES;
            uint8_t *other = (uint8_t *)in_dram[0] + places / PLACES;
            for (size_t length = 0; length <= SHORT; length++) {
                prepare(in_dram[0], length + 1); /* what follows differs and does not count */
                for (size_t i = 0; i < length; i++) {
                    other[i] = peek(ones[memory], places % PLACES + i);
                }
                CHECK_EQUAL(checked_order(one, other, length), 0);
                CHECK_EQUAL(checked_order(other, one, length), 0);
                for (size_t i = 0; i < length; i++) {
                    const uint8_t same = other[i];
                    other[i] = (uint8_t)(same ^ 0x80);
                    /* Bytes are unsigned, and only the first that differs counts. */
                    if (i + 1 < length) {
                        other[i + 1] ^= 0xFF;
                    }
                    CHECK(same < 0x80 ? checked_order(one, other, length) < 0
                                      : checked_order(one, other, length) > 0);
                    CHECK(same < 0x80 ? checked_order(other, one, length) > 0
                                      : checked_order(other, one, length) < 0);
                    if (i + 1 < length) {
                        other[i + 1] ^= 0xFF;
                    }
                    other[i] = same;
                }
            }
        }
    }
}

/* Lengths at which the unrolled loops turn, at random places. */
void test_mem_long(void);
void test_mem_long(void)
{
    static uint8_t from[LONG + 8], to[LONG + 8];
    uint32_t seed = 11;

    for (unsigned round = 0; round < 400; round++) {
        const size_t a = random_next(&seed) % 8, b = random_next(&seed) % 8,
                     length = random_next(&seed) % (LONG + 1);
        for (size_t i = 0; i < sizeof from; i++) {
            from[i] = (uint8_t)random_next(&seed);
            to[i] = from[i] ^ 0xFF;
        }
        copy(to + b, from + a, length);
        for (size_t i = 0; i < length; i++) {
            CHECK_EQUAL(to[b + i], from[a + i]);
        }
        CHECK(b == 0 || (to[b - 1] ^ from[b - 1]) == 0xFF);
        CHECK(b + length == sizeof to || (to[b + length] ^ from[b + length]) == 0xFF);
        CHECK_EQUAL(order(to + b, from + a, length), 0);
        move(from + b, from + a, length);
        CHECK_EQUAL(order(to + b, from + b, length), 0);
        if (length > 0) {
            const size_t at = random_next(&seed) % length;
            to[b + at]++;
            CHECK(order(to + b, from + b, length) != 0);
        }
        set(to + a, 0xC3, length);
        for (size_t i = 0; i < length; i++) {
            CHECK_EQUAL(to[a + i], 0xC3);
        }
    }
}
