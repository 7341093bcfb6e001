/* Runs of registers to and from memory, for assembly. */
#ifndef REGISTERS_H
#define REGISTERS_H

/* Store or load (s32i, l32i) a\first to a\last, one word after the other, at \offset of \base. */
    .macro  registers op, first, last, base, offset
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .if     (\n >= \first) && (\n <= \last)
    \op     a\n, \base, \offset + 4 * (\n - \first)
    .endif
    .endr
    .endm

/* The return address and what a function has to preserve: five words. */
    .macro  preserved op, offset
    \op     a0, a1, \offset
    registers \op, 12, 15, a1, \offset + 4
    .endm

#endif
