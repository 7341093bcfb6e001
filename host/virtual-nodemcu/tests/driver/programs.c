/*
 * Whole programs as the compiler writes them: loops, recursion, jump tables, function pointers,
 * memory of every width. Each leaves words in `results`, which go to file 1 in the end.
 */
#include <stddef.h>
#include <stdint.h>

__asm__(".section .vectors, \"ax\"\n"
        ".literal_position\n"
        ".global _start\n"
        "_start: movi a1, 0x3FFFFFF0\n"
        "        movi a0, main\n"
        "        callx0 a0\n"
        "        movi a3, 0\n"
        "        movi a2, 1\n"
        "        simcall\n"
        "        .text\n");

/* The compiler calls it for structures. */
void *memcpy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}

static uint32_t results[512];
static unsigned count;

static void result(uint32_t value)
{
    results[count++] = value;
}

static uint8_t input[4096];

static void make_input(void)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < sizeof input; i++) {
        x = x * 1664525 + 1013904223;
        input[i] = (uint8_t)(x >> 24);
    }
}

/* CRC-32 by table: bytes, shifts, indexed loads. */
static uint32_t crc_table[256];

static void crc(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
        crc_table[i] = c;
    }
    uint32_t c = ~0u;
    for (size_t i = 0; i < sizeof input; i++)
        c = crc_table[(c ^ input[i]) & 0xFF] ^ c >> 8;
    result(~c);
}

/* SHA-256: rotations; constants from the first primes' cube roots are given. */
static const uint32_t k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void sha_block(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
               (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    for (int i = 0; i < 8; i++)
        v[i] = h[i];
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = v[7] + (rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25)) +
                      ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
        uint32_t t2 = (rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22)) +
                      ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        for (int j = 7; j > 0; j--)
            v[j] = v[j - 1];
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

static void sha(void)
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                     0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t last[64];
    for (size_t i = 0; i < sizeof input; i += 64)
        sha_block(h, input + i);
    for (int i = 0; i < 64; i++)
        last[i] = i == 0 ? 0x80 : 0;
    last[62] = (uint8_t)(sizeof input * 8 >> 8);
    last[63] = (uint8_t)(sizeof input * 8);
    sha_block(h, last);
    for (int i = 0; i < 8; i++)
        result(h[i]);
}

/* Quicksort of half-words by a comparison behind a pointer: calls by register, recursion. */
static int ascending(int16_t a, int16_t b)
{
    return a < b;
}

static int unsigned_descending(int16_t a, int16_t b)
{
    return (uint16_t)a > (uint16_t)b;
}

static void sort(int16_t *from, int16_t *to, int (*before)(int16_t, int16_t))
{
    while (to - from > 1) {
        int16_t pivot = from[(to - from) >> 1], *low = from, *high = to - 1;
        while (low <= high) {
            while (before(*low, pivot))
                low++;
            while (before(pivot, *high))
                high--;
            if (low <= high) {
                int16_t swap = *low;
                *low++ = *high;
                *high-- = swap;
            }
        }
        sort(from, high + 1, before);
        from = low;
    }
}

static int16_t numbers[1000];

static void sorting(int (*before)(int16_t, int16_t))
{
    uint32_t sum = 0;
    for (int i = 0; i < 1000; i++)
        numbers[i] = (int16_t)(input[2 * i] << 8 | input[2 * i + 1]);
    sort(numbers, numbers + 1000, before);
    for (int i = 0; i < 1000; i++) {
        sum = sum * 31 + (uint16_t)numbers[i];
        if (i > 0 && before(numbers[i], numbers[i - 1]))
            result(0xBAD00000u + (uint32_t)i);
    }
    result(sum);
}

/* Division, which the core does not have. */
static uint32_t divide(uint32_t a, uint32_t b, uint32_t *rest)
{
    uint32_t quotient = 0, r = 0;
    for (int i = 31; i >= 0; i--) {
        r = r << 1 | (a >> i & 1);
        if (r >= b) {
            r -= b;
            quotient |= 1u << i;
        }
    }
    *rest = r;
    return quotient;
}

static int32_t divide_signed(int32_t a, int32_t b)
{
    uint32_t rest;
    uint32_t q = divide(a < 0 ? -(uint32_t)a : (uint32_t)a, b < 0 ? -(uint32_t)b : (uint32_t)b, &rest);
    return (int32_t)((a < 0) != (b < 0) ? -q : q);
}

static void division(void)
{
    static const uint32_t edges[] = {0, 1, 2, 3, 7, 10, 255, 65535, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        for (size_t j = 1; j < sizeof edges / sizeof *edges; j++) {
            uint32_t rest;
            result(divide(edges[i], edges[j], &rest));
            result(rest ^ (uint32_t)divide_signed((int32_t)edges[i], (int32_t)edges[j]));
        }
}

/* 32 x 32 to 64 bits from 16-bit products, and 64-bit shifts and comparisons. */
static uint64_t multiply(uint32_t a, uint32_t b)
{
    uint32_t al = a & 0xFFFF, ah = a >> 16, bl = b & 0xFFFF, bh = b >> 16;
    uint64_t middle = (uint64_t)(al * bh) + (uint64_t)(ah * bl);
    return ((uint64_t)(ah * bh) << 32) + (middle << 16) + al * bl;
}

static void multiplication(void)
{
    uint64_t x = 1;
    int32_t half = 1;
    for (int i = 1; i < 60; i++) {
        x = multiply((uint32_t)x + (uint32_t)i, (uint32_t)(x >> 32) | 0x80000001u) ^ x >> (i & 63);
        half = (int16_t)half * (int16_t)(half >> 3 | i) + ((int64_t)x < 0 ? 1 : -1);
        result((uint32_t)x ^ (uint32_t)half);
    }
    result((uint32_t)(x >> 32));
}

/* A jump table, and the bit instructions. */
static uint32_t step(uint32_t state, uint8_t op)
{
    switch (op & 15) {
    case 0: return state + 1;
    case 1: return state - op;
    case 2: return state << 3;
    case 3: return state >> 5;
    case 4: return (uint32_t)((int32_t)state >> 7);
    case 5: return state ^ 0x5A5A5A5Au;
    case 6: return state & 0x80 ? state | 1u << 31 : state & ~1u;
    case 7: return rotate(state, 13);
    case 8: return state * 2654435761u;
    case 9: return (uint32_t)__builtin_clz(state | 1) + state;
    case 10: return (int32_t)state < -5 ? state + 100000 : state - 100000;
    case 11: return state == 0 ? 77 : ~state;
    case 12: return (uint32_t)(int8_t)state;
    case 13: return state + (uint32_t)(int16_t)(state >> 16) * 9;
    case 14: return state >= 0x10000 ? state - 0x8000 : state * 3;
    default: return (uint32_t)__builtin_abs((int32_t)state >> 1);
    }
}

static void machine(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof input; i++) {
        state = step(state, input[i]) + (uint32_t)i;
        if ((i & 127) == 0)
            result(state);
    }
    result(state);
}

static uint32_t ackermann(uint32_t m, uint32_t n)
{
    return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

static uint32_t simcall(uint32_t number, uint32_t a, const void *b, uint32_t c)
{
    register uint32_t a2 __asm__("a2") = number;
    register uint32_t a3 __asm__("a3") = a;
    register const void *a4 __asm__("a4") = b;
    register uint32_t a5 __asm__("a5") = c;
    __asm__ volatile("simcall" : "+r"(a2), "+r"(a3) : "r"(a4), "r"(a5) : "memory");
    return a2;
}

int main(void)
{
    make_input();
    crc();
    sha();
    sorting(ascending);
    sorting(unsigned_descending);
    division();
    multiplication();
    machine();
    result(ackermann(2, 9));
    simcall(4, 1, results, count * sizeof *results);
    return 0;
}
