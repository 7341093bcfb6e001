/* void registers_hold(const uint32_t pattern[16], uint32_t seen[16])
 * void registers_hold_and_yield(const uint32_t pattern[16], uint32_t seen[16])
 *
 * Load pattern[i] into a[i] and pattern[1] into SAR, keep them for a while, and store what
 * they hold then. In between no instruction reads or writes one of them, so only an
 * interrupt can change them. a1 is the stack; the functions check it by returning. The
 * second also yields half-way: pattern[7] must be 0x80, the kernel's software interrupt. */
#include "registers.h"

    .macro  hold name, yield
    .section .text.\name, "ax"
    .balign 4
    .global \name
    .type   \name, @function
\name:
    addi    a1, a1, -32
    preserved s32i, 0
    s32i    a3, a1, 20
    l32i    a3, a2, 4
    wsr     a3, sar
    l32i    a0, a2, 0
    registers l32i, 3, 15, a2, 12
    l32i    a2, a2, 8

    .global \name\()_from
\name\()_from:
    .rept   150
    nop
    .endr
    .if     \yield
    wsr     a7, intset
    esync
    rsync
    .endif
    .rept   150
    nop
    .endr
    .global \name\()_to
\name\()_to:

    s32i    a2, a1, 24
    l32i    a2, a1, 20
    s32i    a0, a2, 0
    registers s32i, 3, 15, a2, 12
    l32i    a3, a1, 24
    s32i    a3, a2, 8
    rsr     a3, sar
    s32i    a3, a2, 4

    preserved l32i, 0
    addi    a1, a1, 32
    ret
    .size   \name, . - \name
    .endm

    hold    registers_hold, 0
    hold    registers_hold_and_yield, 1

/* void registers_spoil(void): leave nonsense in every register that a function may change.
 * For interrupt handlers. */
    .section .text.registers_spoil, "ax"
    .balign 4
    .global registers_spoil
    .type   registers_spoil, @function
registers_spoil:
    movi    a2, 0x5B
    wsr     a2, sar
    .irp    n, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    movi    a\n, -0x2A5
    .endr
    ret
    .size   registers_spoil, . - registers_spoil
