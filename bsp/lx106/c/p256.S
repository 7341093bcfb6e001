/* The inner kernels of crates/p256: arithmetic modulo p = 2^256 - 2^224 + 2^192 + 2^96 - 1.
 *
 * A field element is 19 signed limbs of 14 bits, each a halfword, padded to 40 bytes
 * (crates/p256/src/kernel.rs says which sizes a limb may have, proves that no column of a
 * product exceeds 32 bits, and holds the same code in Rust). 16 x 16 -> 32 bits is what the
 * multiplier does in one instruction; with 14 bits, the 19 products of a column need no carry.
 *
 * No branch and no address depends on a number: each kernel runs the same instructions on the
 * same addresses whatever its operands are. The output may be one of the operands. */
#include "registers.h"

    .altmacro

/* Registers of product and square:
 *
 *   a2 output, a3 and a4 operands
 *   a5-a9    columns of the product, column j in a(5 + j % 5)
 *   a10-a14  a block of limbs of one operand; a15 the other's limb; a0 scratch
 *
 * On the stack: a word for each column, holding first what earlier blocks made of it, then,
 * of the low 19, the multiple of p that was added there. */

    .set    SAVED, 37 * 4
    .set    FRAME, SAVED + 28

/* In steps that each fit an instruction: an interrupt takes the stack below a1 at any time, so a1
 * may not rise above the frame on its way, as the assembler's two instructions for one would. */
    .macro  enter
    addi    a1, a1, -112
    addi    a1, a1, 112 - FRAME
    preserved s32i, SAVED
    .endm

    .macro  leave
    preserved l32i, SAVED
    addi    a1, a1, 112
    addi    a1, a1, FRAME - 112
    ret
    .endm

/* Column: += a15 * limb, or = where the column is new. */
    .macro  multiply column, limb
    mul16s  a0, a15, a\limb
    add     a\column, a\column, a0
    .endm
    .macro  multiply_new column, limb
    mul16s  a\column, a15, a\limb
    .endm

/* Adds to column `j`, in register `column`, what the multiples m of p at lower limbs are worth
 * there: m * (2^96 + 2^192 - 2^224 + 2^256) at limb i is m * 2^12 at limb i + 6, m * 2^10 at
 * i + 13, -m at i + 16 and m * 2^4 at i + 18. */
    .macro  add_multiples j, column
    .if (\j >= 6) && (\j - 6 <= 18)
    l32i    a0, a1, (\j - 6) * 4
    .if \j >= 13
    l32i    a15, a1, (\j - 13) * 4
    addx4   a0, a0, a15
    slli    a0, a0, 10
    .else
    slli    a0, a0, 12
    .endif
    add     a\column, a\column, a0
    .elseif (\j >= 13) && (\j - 13 <= 18)
    l32i    a0, a1, (\j - 13) * 4
    slli    a0, a0, 10
    add     a\column, a\column, a0
    .endif
    .if (\j >= 16) && (\j - 16 <= 18)
    l32i    a0, a1, (\j - 16) * 4
    sub     a\column, a\column, a0
    .endif
    .if (\j >= 18) && (\j - 18 <= 18)
    l32i    a0, a1, (\j - 18) * 4
    slli    a0, a0, 4
    add     a\column, a\column, a0
    .endif
    .endm

/* Column `j` is complete. Of the low 19 its last 14 bits are the multiple of p that clears them
 * (-1/p is 1 modulo 2^14); of the others they are a limb of the result, made signed. The rest
 * goes to the next column. */
    .macro  finish j, column, next
    add_multiples \j, \column
    .if \j < 19
    srai    a0, a\column, 14
    extui   a\column, a\column, 0, 14
    s32i    a\column, a1, \j * 4
    .else
    addmi   a\column, a\column, 0x2000
    srai    a0, a\column, 14
    extui   a\column, a\column, 0, 14
    addmi   a\column, a\column, -0x2000
    s16i    a\column, a2, (\j - 19) * 2
    .endif
    .if \j < 36
    add     a\next, a\next, a0
    .else
    s16i    a0, a2, 36
    .endif
    .endm

/* Column `j` leaves the registers: complete when no later block reaches down to it. */
    .macro  retire j, complete
    .if \j < \complete
    finish  \j, %(5 + (\j) % 5), %(5 + (\j + 1) % 5)
    .else
    retire_register \j, %(5 + (\j) % 5)
    .endif
    .endm
    .macro  retire_register j, column
    s32i    a\column, a1, \j * 4
    .endm

/* Column `j` enters the registers; it is new from `new` on. */
    .macro  enter_column j, new, limb
    .if \j < \new
    enter_old \j, %(5 + (\j) % 5), \limb
    .else
    multiply_new %(5 + (\j) % 5), \limb
    .endif
    .endm
    .macro  enter_old j, column, limb
    l32i    a\column, a1, \j * 4
    multiply \column, \limb
    .endm

/* -- out = a * b / 2^266 ------------------------------------------------------------- */

/* Row `i` of the block of `width` limbs of b from `first` on. */
    .macro  product_row i, first, width, new, complete
    l16si   a15, a3, \i * 2
    .set    t, 0
    .rept   \width
    .if (\i == 0) || (t == \width - 1)
    enter_column %(\i + \first + t), \new, %(10 + t)
    .else
    multiply %(5 + (\i + \first + t) % 5), %(10 + t)
    .endif
    .set    t, t + 1
    .endr
    retire  %(\i + \first), \complete
    .endm

    .macro  load_limb register, pointer, i
    l16si   a\register, a\pointer, \i * 2
    .endm

    .macro  product_block first, width, new, complete
    .set    t, 0
    .rept   \width
    load_limb %(10 + t), 4, %(\first + t)
    .set    t, t + 1
    .endr
    .set    row, 0
    .rept   19
    product_row %(row), \first, \width, \new, \complete
    .set    row, row + 1
    .endr
    .set    t, 19
    .rept   \width - 1
    retire  %(\first + t), \complete
    .set    t, t + 1
    .endr
    .endm

    .section .hot.text.p256_multiply, "ax"
    .balign 4
    .global p256_multiply
    .type   p256_multiply, @function
p256_multiply:
    enter
    product_block 0, 5, 0, 5
    product_block 5, 5, 23, 10
    product_block 10, 5, 28, 15
    product_block 15, 4, 33, 37
    leave
    .size   p256_multiply, . - p256_multiply

/* -- out = a * a / 2^266 ------------------------------------------------------------- */

/* Row `i` of the block from `first` on: limbs of the block before row i count twice (a10-a14
 * hold them doubled), the row's own once, the others not at all. The block's first rows are a
 * triangle, each with two new columns: row i ends with column 2i. The first row lets in the next
 * column, too, which is to take its carry. */
    .macro  square_row i, first, width, new, complete
    l16si   a15, a3, \i * 2
    .set    t, 0
    .rept   \width
    .if \first + t < \i
    .if (\i > \first + 1) && (t == \width - 1 || \first + t == \i - 1)
    enter_column %(\i + \first + t), \new, %(10 + t)
    .else
    multiply %(5 + (\i + \first + t) % 5), %(10 + t)
    .endif
    .endif
    .if \first + t == \i
    enter_column %(\i + \first + t), \new, 15
    double_limb %(10 + t)
    .endif
    .set    t, t + 1
    .endr
    .if \i == \first
    enter_empty %(\i + \first + 1), %(5 + (\i + \first + 1) % 5), \new
    .endif
    retire  %(\i + \first), \complete
    .endm

    .macro  enter_empty j, column, new
    .if \j < \new
    l32i    a\column, a1, \j * 4
    .else
    movi    a\column, 0
    .endif
    .endm
    .macro  double_limb register
    add     a\register, a15, a15
    .endm

    .macro  square_block first, width, new, complete
    .set    row, \first
    .rept   19 - \first
    square_row %(row), \first, \width, \new, \complete
    .set    row, row + 1
    .endr
    .set    t, 19
    .rept   \width - 1
    retire  %(\first + t), \complete
    .set    t, t + 1
    .endr
    .endm

    .section .text.p256_square, "ax"
    .balign 4
    .global p256_square
    .type   p256_square, @function
p256_square:
    enter
    square_block 0, 5, 0, 10
    square_block 5, 5, 23, 20
    square_block 10, 5, 28, 30
    square_block 15, 4, 33, 37
    leave
    .size   p256_square, . - p256_square

/* -- Sums --------------------------------------------------------------------------- */

/* One limb: a5 holds it before the carry of the last one, in a7. */
    .macro  carry i
    .if \i > 0
    add     a5, a5, a7
    .endif
    .if \i < 18
    addmi   a5, a5, 0x2000
    srai    a7, a5, 14
    extui   a5, a5, 0, 14
    addmi   a5, a5, -0x2000
    .endif
    s16i    a5, a2, \i * 2
    .endm

/* A function out(a2) = f(a3, a4), where `step` makes a limb in a5 of those in a5 and a6. */
    .macro  linear name, step
    .section .text.\name, "ax"
    .balign 4
    .global \name
    .type   \name, @function
\name:
    .set    row, 0
    .rept   19
    load_limb 5, 3, %(row)
    load_limb 6, 4, %(row)
    \step
    carry   %(row)
    .set    row, row + 1
    .endr
    ret
    .size   \name, . - \name
    .endm

    .macro  step_add
    add     a5, a5, a6
    .endm
    .macro  step_subtract
    sub     a5, a5, a6
    .endm
    .macro  step_subtract_twice
    sub     a5, a5, a6
    sub     a5, a5, a6
    .endm
    .macro  step_twice_subtract
    subx2   a5, a5, a6
    .endm
    .macro  step_three_times_sum
    add     a5, a5, a6
    addx2   a5, a5, a5
    .endm

    linear  p256_add, step_add                          /* a + b */
    linear  p256_subtract, step_subtract                /* a - b */
    linear  p256_subtract_twice, step_subtract_twice    /* a - 2b */
    linear  p256_twice_subtract, step_twice_subtract    /* 2a - b */
    linear  p256_three_times_sum, step_three_times_sum  /* 3(a + b) */
