/* The entry of every board's firmware, as a macro of the assembler: a board says in which section
 * it lies and which function, which does not return, comes next.
 *
 * That function is called on the boot stack with interrupts masked. Its first argument is what
 * pxCurrentTCB was before .bss was cleared: after a reset that left RAM alone, the task that ran.
 * Its second is what whoever jumped to _start had in a2. */
#ifndef LX106_ENTRY_H
#define LX106_ENTRY_H

    .macro  lx106_entry next
    .literal_position
    .balign 4
    .global _start
    .type   _start, @function
_start:
    /* INTLEVEL 1, EXCM and UM clear: interrupts stay masked until the first task runs,
     * and an exception arrives at the kernel vector. */
    mov     a13, a2
    movi    a2, 1
    wsr     a2, ps
    rsync
    movi    a2, 0
    wsr     a2, intenable
    movi    a2, lx106_vectors
    wsr     a2, vecbase
    rsync

    movi    a2, pxCurrentTCB
    l32i    a12, a2, 0

    /* The pattern shows later how much of the stack was never used. */
    movi    a2, _stack_bottom
    movi    a3, _stack_top
    movi    a4, 0xA5A5A5A5
    mov     a1, a3
.Lfill:
    s32i    a4, a2, 0
    addi    a2, a2, 4
    bltu    a2, a3, .Lfill

    movi    a2, _bss_start
    movi    a3, _bss_end
    movi    a4, 0
    bgeu    a2, a3, .Lcleared
.Lclear:
    s32i    a4, a2, 0
    addi    a2, a2, 4
    bltu    a2, a3, .Lclear
.Lcleared:
    mov     a2, a12
    mov     a3, a13
    call0   \next
    ill /* it does not return */
    .size   _start, . - _start
    .endm

#endif
