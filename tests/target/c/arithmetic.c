/* The arithmetic that the core cannot do and that gcc calls functions for: our __muldi3 and
 * __umulsidi3, and compiler_builtins' division, shifts and floating point. */
#include <string.h>

#include "check.h"

uint64_t __umulsidi3(uint32_t a, uint32_t b);

/* Numbers in which carries and signs go wrong. */
static const uint32_t corners[] = {
    0,          1,          2,          0xFFFF,     0x10000,    0x10001,    0x7FFFFFFF,
    0x80000000, 0x80000001, 0xFFFF0000, 0xFFFEFFFF, 0xFFFFFFFE, 0xFFFFFFFF,
};
#define CORNERS (sizeof(corners) / sizeof(corners[0]))

/* Schoolbook, one bit at a time: no multiplication at all. */
static uint64_t product(uint64_t a, uint64_t b)
{
    uint64_t sum = 0;
    for (; b != 0; b >>= 1, a <<= 1) {
        if ((b & 1) != 0) {
            sum += a;
        }
    }
    return sum;
}

/* Long division by bits. */
static uint64_t quotient(uint64_t a, uint64_t b, uint64_t *remainder)
{
    uint64_t result = 0, rest = 0;
    for (int i = 63; i >= 0; i--) {
        bool carry = (rest >> 63) != 0;
        rest = rest << 1 | (a >> i & 1);
        if (carry || rest >= b) {
            rest -= b;
            result |= 1ULL << i;
        }
    }
    *remainder = rest;
    return result;
}

static void check_pair(uint64_t a, uint64_t b)
{
    /* volatile: the compiler must not work them out itself. */
    volatile uint64_t x = a, y = b;
    volatile uint32_t low_x = (uint32_t)a, low_y = (uint32_t)b;

    CHECK(x * y == product(a, b));
    CHECK(__umulsidi3(low_x, low_y) == product((uint32_t)a, (uint32_t)b));
    CHECK((uint64_t)low_x * low_y == product((uint32_t)a, (uint32_t)b));
    CHECK((int64_t)(int32_t)low_x * (int32_t)low_y ==
          (int64_t)product((uint64_t)(int64_t)(int32_t)a, (uint64_t)(int64_t)(int32_t)b));
    if (b != 0) {
        uint64_t rest;
        uint64_t whole = quotient(a, b, &rest);
        CHECK(x / y == whole && x % y == rest);
    }
    if ((uint32_t)b != 0) {
        uint64_t rest;
        uint64_t whole = quotient((uint32_t)a, (uint32_t)b, &rest);
        CHECK(low_x / low_y == whole && low_x % low_y == rest);
    }
}

void test_multiply_divide(void);
void test_multiply_divide(void)
{
    for (unsigned i = 0; i < CORNERS; i++) {
        for (unsigned j = 0; j < CORNERS; j++) {
            check_pair(corners[i], corners[j]);
            check_pair((uint64_t)corners[i] << 32 | corners[j],
                       (uint64_t)corners[j] << 32 | corners[i]);
        }
    }
    uint32_t seed = 1;
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t a = (uint64_t)random_next(&seed) << 32 | random_next(&seed);
        uint64_t b = (uint64_t)random_next(&seed) << 32 | random_next(&seed);
        check_pair(a, b >> (i % 64));
    }
    /* Signed division rounds to zero. */
    volatile int64_t minus = -7000000000LL, three = 3;
    CHECK(minus / three == -2333333333LL && minus % three == -1);
    volatile int32_t small = -7, two = 2;
    CHECK(small / two == -3 && small % two == -1);
}

void test_shifts(void);
void test_shifts(void)
{
    const uint64_t value = 0x8123456789ABCDEFULL;
    volatile uint64_t x = value;
    uint64_t left = value, right = value;
    int64_t arithmetic = (int64_t)value;
    for (unsigned n = 0; n < 64; n++) {
        volatile unsigned count = n;
        CHECK(x << count == left && x >> count == right);
        CHECK((int64_t)x >> count == arithmetic);
        left += left;
        right /= 2;
        arithmetic = (arithmetic - 1) / 2; /* floor, for a negative one */
    }
}

static uint64_t bits(double value)
{
    uint64_t result;
    memcpy(&result, &value, sizeof(result));
    return result;
}

static uint32_t float_bits(float value)
{
    uint32_t result;
    memcpy(&result, &value, sizeof(result));
    return result;
}

/* Known results, bit for bit (IEEE 754, rounded to nearest even). */
void test_double(void);
void test_double(void)
{
    volatile double tenth = 0.1, fifth = 0.2, one = 1, three = 3, big = 1e308, zero = 0;
    volatile double odd = 9007199254740993.0 /* 2^53 + 1: rounds to even */, minus = -2.5;

    CHECK(bits(tenth + fifth) == 0x3FD3333333333334ULL);
    CHECK(bits(tenth * tenth) == 0x3F847AE147AE147CULL);
    CHECK(bits(one / three) == 0x3FD5555555555555ULL);
    CHECK(bits(tenth - fifth) == 0xBFB999999999999AULL);
    CHECK(bits(big * 10) == 0x7FF0000000000000ULL);
    CHECK(bits(one / zero) == 0x7FF0000000000000ULL);
    CHECK(bits(odd) == 0x4340000000000000ULL);
    CHECK(bits(one / big / big) == 0);
    CHECK(bits(2.2250738585072014e-308 / (one + one)) == 0x0008000000000000ULL); /* subnormal */
    CHECK((int)minus == -2 && (unsigned)(three + tenth) == 3);
    CHECK((int64_t)1e18 == 1000000000000000000LL && (uint64_t)(odd * 1024) == 1ULL << 63);
    volatile int64_t large = -1234567890123456789LL;
    CHECK(bits((double)large) == 0xC3B12210F47DE981ULL);
    volatile uint32_t all = 0xFFFFFFFFU;
    CHECK(bits((double)all) == 0x41EFFFFFFFE00000ULL);
    volatile double nan = zero / zero;
    CHECK(nan != nan && !(nan < one) && !(nan >= one) && !(nan == one));
    CHECK(minus < zero && zero < tenth && tenth <= tenth && -zero == zero);
}

void test_float(void);
void test_float(void)
{
    volatile float tenth = 0.1f, fifth = 0.2f, one = 1, three = 3, zero = 0;
    volatile double wide = 0.1;
    volatile int integer = 16777217; /* 2^24 + 1: rounds to even */

    CHECK(float_bits(tenth + fifth) == 0x3E99999AU);
    CHECK(float_bits(tenth * fifth) == 0x3CA3D70BU);
    CHECK(float_bits(one / three) == 0x3EAAAAABU);
    CHECK(float_bits(tenth - three) == 0xC039999AU);
    CHECK(float_bits(one / zero) == 0x7F800000U);
    CHECK(float_bits((float)wide) == 0x3DCCCCCDU);
    CHECK(bits((double)tenth) == 0x3FB99999A0000000ULL);
    CHECK(float_bits((float)integer) == 0x4B800000U);
    CHECK((int)(three / -fifth) == -15);
    CHECK(tenth < fifth && !(fifth <= tenth) && three == 3.0f);
}
