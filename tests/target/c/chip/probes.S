/* One function for each load of less than a word into each register: fills all registers from
 * probe_in, loads, and stores all registers to probe_out. Index 16 is SAR. The address is in
 * a2. Called with interrupts masked, because a1 is no stack meanwhile. */
#include "registers.h"

#define SAVED_SIZE 24

    /* Behind the text, which has no room for so much more (see the linker script). */
    .section .rodata.probe_code, "a"
    .literal_position

    .macro probe load, register, offset
    .balign 4
\load\()_probe_\register:
    j       1f
    /* So that the load lies at each place in a word, and across two. */
    .rept   \register & 1
    nop.n
    .endr
    .rept   (\register >> 1) & 1
    nop
    .endr
1:
    movi    a3, probe_saved
    registers s32i, 0, 1, a3, 0
    registers s32i, 12, 15, a3, 8
    movi    a0, probe_in
    l32i    a1, a0, 64
    wsr     a1, sar
    registers l32i, 1, 15, a0, 4
    l32i    a0, a0, 0
    \load   a\register, a2, \offset
    /* EXCSAVE2 belongs to the debugger, which is not there. */
    wsr     a0, excsave2
    movi    a0, probe_out
    registers s32i, 1, 15, a0, 4
    rsr     a1, excsave2
    s32i    a1, a0, 0
    rsr     a1, sar
    s32i    a1, a0, 64
    movi    a3, probe_saved
    registers l32i, 0, 1, a3, 0
    registers l32i, 12, 15, a3, 8
    ret
    .endm

    .irp    register, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    probe   l8ui, \register, 5
    probe   l16ui, \register, 6
    probe   l16si, \register, 6
    .endr

    .macro  entries load
    .irp    register, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    .word   \load\()_probe_\register
    .endr
    .endm
    .section .rodata.probes, "a"
    .balign 4
    .global probes
probes:
    entries l8ui
    entries l16ui
    entries l16si

    .section .bss.probe_saved, "aw", @nobits
    .balign 4
probe_saved:
    .space  SAVED_SIZE
    .global probe_in
probe_in:
    .space  17 * 4
    .global probe_out
probe_out:
    .space  17 * 4
