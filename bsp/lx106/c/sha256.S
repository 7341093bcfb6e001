/* SHA-256 (FIPS 180-4, 6.2.2): one block. The same instructions on the same addresses for all
 * data. */
#include "registers.h"

    .set    SCHEDULE, 64 * 4
    .set    STATE, SCHEDULE
    .set    SAVED, SCHEDULE + 4
    .set    FRAME, SCHEDULE + 32

    .section .hot.text.sha256, "ax"
    .balign 4
round_constants:
    .word   0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5
    .word   0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174
    .word   0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA
    .word   0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967
    .word   0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85
    .word   0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070
    .word   0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3
    .word   0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2

/* The word at \offset of a3 plus 64 bytes:
 *   \new = \old16 + s0(\old15) + word[\offset + 36] + s1(\old2)
 * where \old16 is already in \sum, and \old15 is loaded for this and the next step. Clobbers
 * a8, a9. */
    .macro  extend sum, old15, old2, offset
    l32i    \old15, a3, \offset + 4
    ssai    7
    src     a8, \old15, \old15
    ssai    18
    src     a9, \old15, \old15
    xor     a8, a8, a9
    srli    a9, \old15, 3
    xor     a8, a8, a9
    add     \sum, \sum, a8
    ssai    17
    src     a8, \old2, \old2
    ssai    19
    src     a9, \old2, \old2
    xor     a8, a8, a9
    srli    a9, \old2, 10
    xor     a8, a8, a9
    l32i    a9, a3, \offset + 36
    add     \sum, \sum, a8
    add     \old2, \sum, a9
    s32i    \old2, a3, \offset + 64
    .endm

/* One round. \now is free and becomes a xor b; \before is b xor c and becomes free. The sums
 * of rotations are nested: ror 6, 11, 25 = ror 6 of (1, ror 5 of (1, ror 14)). */
    .macro  round a, b, c, d, e, f, g, h, offset, now, before
    ssai    14
    src     a12, \e, \e
    xor     a12, a12, \e
    ssai    5
    src     a12, a12, a12
    xor     a12, a12, \e
    ssai    6
    src     a12, a12, a12
    xor     a13, \f, \g
    and     a13, a13, \e
    add     \h, \h, a12
    l32i    a12, a2, \offset
    xor     a13, a13, \g
    add     \h, \h, a13
    l32i    a13, a3, \offset
    add     \h, \h, a12
    ssai    9
    add     \h, \h, a13
    src     a12, \a, \a
    xor     a12, a12, \a
    ssai    11
    src     a12, a12, a12
    add     \d, \d, \h
    xor     a12, a12, \a
    ssai    2
    src     a12, a12, a12
    xor     \now, \a, \b
    and     \before, \before, \now
    add     \h, \h, a12
    xor     \before, \before, \b
    add     \h, \h, \before
    .endm

    .macro  add_state register, offset
    l32i    a12, a2, \offset
    add     \register, \register, a12
    s32i    \register, a2, \offset
    .endm

/* void sha256_compress(uint32_t state[8] a2, const uint32_t block[16] a3)
 * The block lies at a multiple of four. */
    .literal_position
    .balign 4
    .global sha256_compress
    .type   sha256_compress, @function
sha256_compress:
    addmi   a1, a1, -SCHEDULE
    addi    a1, a1, -(FRAME - SCHEDULE)
    s32i    a2, a1, STATE
    preserved s32i, SAVED

    /* The block's words have their highest byte first. */
    ssai    8
    mov     a4, a1
    addi    a5, a3, 64
1:  l32i    a6, a3, 0
    l32i    a7, a3, 4
    srli    a8, a6, 16
    src     a8, a8, a6
    src     a8, a8, a8
    src     a6, a6, a8
    srli    a8, a7, 16
    src     a8, a8, a7
    src     a8, a8, a8
    src     a7, a7, a8
    s32i    a6, a4, 0
    s32i    a7, a4, 4
    addi    a3, a3, 8
    addi    a4, a4, 8
    bne     a3, a5, 1b

    /* 48 more, two at a time; a10 and a11 are the two before. */
    mov     a3, a1
    addmi   a5, a1, 256
    addi    a5, a5, -64
    l32i    a4, a3, 0
    l32i    a10, a3, 56
    l32i    a11, a3, 60
2:  extend  a4, a6, a10, 0
    extend  a6, a4, a11, 4
    addi    a3, a3, 8
    bne     a3, a5, 2b

    registers l32i, 4, 11, a2, 0
    movi    a2, round_constants
    mov     a3, a1
    addmi   a0, a1, 256
    xor     a15, a5, a6
3:  round   a4, a5, a6, a7, a8, a9, a10, a11, 0, a14, a15
    round   a11, a4, a5, a6, a7, a8, a9, a10, 4, a15, a14
    round   a10, a11, a4, a5, a6, a7, a8, a9, 8, a14, a15
    round   a9, a10, a11, a4, a5, a6, a7, a8, 12, a15, a14
    round   a8, a9, a10, a11, a4, a5, a6, a7, 16, a14, a15
    round   a7, a8, a9, a10, a11, a4, a5, a6, 20, a15, a14
    round   a6, a7, a8, a9, a10, a11, a4, a5, 24, a14, a15
    round   a5, a6, a7, a8, a9, a10, a11, a4, 28, a15, a14
    addi    a2, a2, 32
    addi    a3, a3, 32
    bne     a3, a0, 3b

    l32i    a2, a1, STATE
    add_state a4, 0
    add_state a5, 4
    add_state a6, 8
    add_state a7, 12
    add_state a8, 16
    add_state a9, 20
    add_state a10, 24
    add_state a11, 28

    preserved l32i, SAVED
    addmi   a1, a1, SCHEDULE
    addi    a1, a1, FRAME - SCHEDULE
    ret
    .size   sha256_compress, . - sha256_compress
