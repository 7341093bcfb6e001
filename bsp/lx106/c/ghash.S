/* GHASH for crates/gcm: a multiplication in GCM's field. The same instructions for all keys and
 * data; the addresses of the table's entries depend on them, and the table lies in RAM without a
 * cache. */
#include "registers.h"

    .section .iram.text.ghash, "ax"
    .balign 4
/* What the four bits that leave at the low end are worth at the high end: multiples of
 * x^128 = 1 + x + x^2 + x^7, of which x^0 is the highest bit. */
reduction:
    .word   0x00000000, 0x1C200000, 0x38400000, 0x24600000
    .word   0x70800000, 0x6CA00000, 0x48C00000, 0x54E00000
    .word   0xE1000000, 0xFD200000, 0xD9400000, 0xC5600000
    .word   0x91800000, 0x8DA00000, 0xA9C00000, 0xB5E00000

/* sum (a8 highest ... a11) = sum * x^4 + the multiple of the hash key by four bits of a4. */
    .macro  nibble shift
    extui   a12, a11, 0, 4
    addx4   a12, a12, a6
    l32i    a12, a12, 0
    extui   a13, a4, \shift, 4
    addx8   a13, a13, a3
    src     a11, a10, a11
    src     a10, a9, a10
    src     a9, a8, a9
    srli    a8, a8, 4
    xor     a8, a8, a12
    l32i    a12, a13, 0
    l32i    a14, a13, 4
    xor     a8, a8, a12
    l32i    a12, a13, 128
    xor     a9, a9, a14
    l32i    a14, a13, 132
    xor     a10, a10, a12
    xor     a11, a11, a14
    .endm

/* \word with its bytes in the other order, by way of \with (SAR = 8). */
    .macro  swap word, with
    srli    \with, \word, 16
    src     \with, \with, \word
    src     \with, \with, \with
    src     \word, \word, \with
    .endm

/* void ghash_multiply(uint32_t hash[4] a2, const uint32_t table[64] a3)
 *
 * From the highest power of x down: from the last byte of `hash` to the first, in each the
 * lower four bits first. */
    .literal_position
    .balign 4
    .global ghash_multiply
    .type   ghash_multiply, @function
ghash_multiply:
    addi    a1, a1, -16
    registers s32i, 12, 14, a1, 0
    movi    a6, reduction
    movi    a8, 0
    movi    a9, 0
    movi    a10, 0
    movi    a11, 0
    addi    a5, a2, 12
    ssai    4

1:  l32i    a4, a5, 0
    nibble  24
    nibble  28
    nibble  16
    nibble  20
    nibble  8
    nibble  12
    nibble  0
    nibble  4
    addi    a5, a5, -4
    bgeu    a5, a2, 1b

    ssai    8
    swap    a8, a12
    swap    a9, a12
    swap    a10, a12
    swap    a11, a12
    registers s32i, 8, 11, a2, 0
    registers l32i, 12, 14, a1, 0
    addi    a1, a1, 16
    ret
    .size   ghash_multiply, . - ghash_multiply
