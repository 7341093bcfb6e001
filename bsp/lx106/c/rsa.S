/* The inner loop of crates/rsa: a row of five digits times a number, added to the columns of a
 * product (crates/rsa/src/kernel.rs has its twin in Rust and says which sizes its numbers have).
 *
 * 16 x 16 -> 32 bits is what the multiplier does in one instruction; limbs have 14 bits, so that a
 * column takes two such rows before it overflows, and each row leaves 14 bits in each column. */
#include "registers.h"

    .altmacro

/* Registers:
 *
 *   a2 column, a3 limb, a4 end of the limbs
 *   a5-a9    five columns, column j in a(5 + j % 5)
 *   a10-a14  the digits; a15 a limb; a0 scratch */

/* Column += a15 * digit. */
    .macro  multiply column, digit
    mul16s  a0, a15, a\digit
    add     a\column, a\column, a0
    .endm

/* 14 bits of the column stay, the rest goes to the next. */
    .macro  carry j, column, next
    srai    a0, a\column, 14
    add     a\next, a\next, a0
    extui   a\column, a\column, 0, 14
    s32i    a\column, a2, \j * 4
    .endm

/* Limb `j` of five: column j + 4 enters, column j is complete. */
    .macro  row j, c0, c1, c2, c3, c4
    l16si   a15, a3, \j * 2
    l32i    a\c4, a2, (\j + 4) * 4
    multiply \c0, 10
    multiply \c1, 11
    multiply \c2, 12
    multiply \c3, 13
    multiply \c4, 14
    carry   \j, \c0, \c1
    .endm

/* void rsa_add_products(int32_t *columns, const int16_t *stream, size_t count,
 *                       const int16_t digits[5]) */
    .section .text.rsa_add_products, "ax"
    .balign 4
    .global rsa_add_products
    .type   rsa_add_products, @function
rsa_add_products:
    addi    a1, a1, -32
    preserved s32i, 0
    addx2   a4, a4, a3
    l16si   a10, a5, 0
    l16si   a11, a5, 2
    l16si   a12, a5, 4
    l16si   a13, a5, 6
    l16si   a14, a5, 8
    registers l32i, 5, 8, a2, 0
1:
    row     0, 5, 6, 7, 8, 9
    row     1, 6, 7, 8, 9, 5
    row     2, 7, 8, 9, 5, 6
    row     3, 8, 9, 5, 6, 7
    row     4, 9, 5, 6, 7, 8
    addi    a3, a3, 10
    addi    a2, a2, 20
    bne     a3, a4, 1b
    /* Four columns are left, and a carry into one more. */
    l32i    a9, a2, 16
    carry   0, 5, 6
    carry   1, 6, 7
    carry   2, 7, 8
    carry   3, 8, 9
    s32i    a9, a2, 16
    preserved l32i, 0
    addi    a1, a1, 32
    ret
    .size   rsa_add_products, . - rsa_add_products
