/* Interrupt entry and exit, the first task, and the entries of the crash report.
 * Everything lies in IRAM: it must run while the flash cache is off. */
#include "port_frame.h"
#include "registers.h"

    .section .iram.text.port, "ax"
    .literal_position

/* A level-1 interrupt in a task. a0 is in EXCSAVE1. */
    .balign 4
    .global port_interrupt
    .type   port_interrupt, @function
port_interrupt:
    addi    a1, a1, -FRAME_SIZE
    registers s32i, 2, 15, a1, FRAME_A2
    rsr     a2, excsave1
    s32i    a2, a1, FRAME_A0
    rsr     a2, epc1
    s32i    a2, a1, FRAME_PC
    rsr     a2, ps
    s32i    a2, a1, FRAME_PS
    rsr     a2, sar
    s32i    a2, a1, FRAME_SAR

    /* The first member of a FreeRTOS task control block is its saved stack pointer. */
    movi    a2, pxCurrentTCB
    l32i    a2, a2, 0
    s32i    a1, a2, 0

    /* On the interrupt stack, level 1 masked, PS.EXCM and PS.UM clear: a fault in a
     * handler then arrives at the kernel vector with its own registers. */
    movi    a1, _stack_top
    movi    a2, PS_INTLEVEL_1
    wsr     a2, ps
    rsync
    call0   port_dispatch_interrupts
    /* Falls through into the task that runs next. */

/* Load the context of pxCurrentTCB and run it. */
    .global port_restore_task
    .type   port_restore_task, @function
port_restore_task:
    movi    a2, pxCurrentTCB
    l32i    a2, a2, 0
    l32i    a1, a2, 0
    /* The saved PS has EXCM set (the interrupt set it), so from here to RFE no
     * interrupt can come in and overwrite EPC1. */
    l32i    a2, a1, FRAME_PS
    wsr     a2, ps
    rsync
    l32i    a2, a1, FRAME_PC
    wsr     a2, epc1
    l32i    a2, a1, FRAME_SAR
    wsr     a2, sar
    l32i    a0, a1, FRAME_A0
    /* The task's later frames may leave these words as they are, and in a crash report
     * they would look like return addresses. */
    movi    a2, 0
    s32i    a2, a1, FRAME_PC
    s32i    a2, a1, FRAME_A0
    registers l32i, 2, 15, a1, FRAME_A2
    addi    a1, a1, FRAME_SIZE
    rfe
    .size   port_interrupt, . - port_interrupt

/* Crash entries. All save the registers in crash_frame, without touching the stack they
 * came from, and meet in crash_common with the kind in a2. */

/* Store a1..a15 at a0 = crash_frame. */
    .macro  crash_registers
    registers s32i, 1, 15, a0, CRASH_A0 + 4
    rsr     a2, sar
    s32i    a2, a0, CRASH_SAR
    rsr     a2, exccause
    s32i    a2, a0, CRASH_EXCCAUSE
    rsr     a2, excvaddr
    s32i    a2, a0, CRASH_EXCVADDR
    rsr     a2, epc1
    s32i    a2, a0, CRASH_EPC1
    .endm

/* One entry: where a0, the PC and the PS of the crashed code are. */
    .macro  crash_entry name, kind, saved_a0, saved_pc, saved_ps
    .balign 4
    .global \name
    .type   \name, @function
\name:
    movi    a0, crash_frame
    crash_registers
    rsr     a2, \saved_a0
    s32i    a2, a0, CRASH_A0
    rsr     a2, \saved_pc
    s32i    a2, a0, CRASH_PC
    rsr     a2, \saved_ps
    s32i    a2, a0, CRASH_PS
    movi    a2, \kind
    j       crash_common
    .size   \name, . - \name
    .endm

    crash_entry crash_exception, CRASH_KIND_EXCEPTION, excsave1, epc1, ps
    /* port_interrupt faulted (DEPC) because the interrupted code's stack pointer is bad:
     * report that code, whose a0 is still in EXCSAVE1 and whose PC is in EPC1. */
    crash_entry crash_double_exception, CRASH_KIND_DOUBLE_EXCEPTION, excsave1, epc1, ps
    crash_entry crash_debug, CRASH_KIND_DEBUG, excsave2, epc2, eps2
    /* A radio driver has its own. */
    .balign 4
    .weak   radio_nmi
radio_nmi:
    crash_entry crash_nmi, CRASH_KIND_NMI, excsave3, epc3, eps3

/* _Noreturn void crash_software(kind, text, number, pc, file): called by C (crash.c), its
 * arguments stay in a2..a6. a8-a10 are the caller's to lose. */
    .balign 4
    .global crash_software
    .type   crash_software, @function
crash_software:
    rsil    a8, 3
    mov     a9, a0
    mov     a10, a2
    movi    a0, crash_frame
    crash_registers
    s32i    a9, a0, CRASH_A0
    s32i    a5, a0, CRASH_PC
    s32i    a8, a0, CRASH_PS
    mov     a2, a10
    /* Falls through. */

/* The kind is in a2. Stay on the interrupt stack when the crash happened there and
 * leaves room, so that the search for return addresses still finds its content; else
 * start at its top, which is free while a task runs. */
crash_common:
    movi    a8, _stack_bottom + CRASH_STACK_SIZE
    movi    a9, _stack_top
    bltu    a1, a8, .Ltop
    bltu    a1, a9, .Lkeep
.Ltop:
    mov     a1, a9
.Lkeep:
    srli    a1, a1, 4
    slli    a1, a1, 4
    movi    a8, PS_INTLEVEL_3
    wsr     a8, ps
    rsync
    /* crash_main lies in flash, which the board may have switched off. The registers are
     * saved already, so those that survive a call can hold the arguments. */
    mov     a12, a2
    mov     a13, a3
    mov     a14, a4
    mov     a15, a5
    addi    a1, a1, -16
    s32i    a6, a1, 0
    call0   board_crash_begin
    mov     a2, a12
    mov     a3, a13
    mov     a4, a14
    mov     a5, a15
    l32i    a6, a1, 0
    call0   crash_main
    /* crash_main does not return. */
    .size   crash_software, . - crash_software

    .section .bss.crash_frame, "aw", @nobits
    .global crash_frame
    .balign 4
crash_frame:
    .space  CRASH_FRAME_SIZE
