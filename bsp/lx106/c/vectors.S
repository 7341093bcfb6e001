/* The exception vectors, at VECBASE. Their offsets are fixed by the core's configuration
 * (QEMU's and the chip's core-isa.h agree: XCHAL_*_VECOFS). An entry has 16 or 32 bytes;
 * each keeps a0 in the EXCSAVE register of its level and jumps on.
 *
 * Tasks run with PS.UM set and enter through the user vector. Interrupt handlers and the
 * code before the scheduler run with PS.UM clear and every level-1 interrupt masked, so
 * whatever arrives at the kernel vector is a fault in them, or a load to be emulated. */
#include "port_frame.h"

    .section .vectors, "ax"
    .global lx106_vectors
    .balign 16
lx106_vectors:

    /* Level 2: debug. A BREAK without a debugger ends here. */
    .org 0x10
    wsr     a0, excsave2
    j       crash_debug

    /* Level 3: the NMI. Only the radio has one; without it, one is a fault. */
    .org 0x20
    wsr     a0, excsave3
    j       radio_nmi

    .org 0x30
    wsr     a0, excsave1
    rsr     a0, exccause
    beqi    a0, EXCCAUSE_LOAD_STORE_ERROR, .Lkernel_load
    j       crash_exception
.Lkernel_load:
    j       port_load_store_error

    .org 0x50
    wsr     a0, excsave1
    rsr     a0, exccause
    beqi    a0, EXCCAUSE_LEVEL1_INTERRUPT, .Linterrupt
    beqi    a0, EXCCAUSE_LOAD_STORE_ERROR, .Luser_load
    j       crash_exception
.Luser_load:
    j       port_load_store_error
.Linterrupt:
    j       port_interrupt

    /* An exception while PS.EXCM was set: port_interrupt met a stack pointer that points
     * nowhere, or a fault in the crash entry. */
    .org 0x70
    wsr     a0, excsave2
    j       crash_double_exception
    .org 0x80
