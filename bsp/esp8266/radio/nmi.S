/* The MAC's interrupt is the NMI, which nothing masks but its gate (NMI_GATE). It may strike
 * anywhere: inside the kernel, inside another interrupt's entry, inside the emulation of a
 * load. So everything that the libraries' handler may change is saved, on a stack of its own.
 *
 * It must not strike itself, and the MAC's line rises again while the handler runs. The gate
 * is closed meanwhile and opened as the last thing but the loading of the registers. From
 * there to the RFI the next one may come. It finds EPC3 in that stretch; the save area then
 * still holds the interrupted code, and it serves and leaves over the same save area. */
#include "port_frame.h"

#define GATE 0x3FF00000

#define SAVED_A0 0
#define SAVED_A1 4
#define SAVED_A2 8
#define SAVED_A3 12
#define SAVED_A4 16 /* a4..a15 follow one another */
#define SAVED_PC 64
#define SAVED_PS 68
#define SAVED_SAR 72
#define SAVED_EPC1 76
#define SAVED_EXCCAUSE 80
#define SAVED_EXCVADDR 84
#define SAVED_EXCSAVE1 88
#define SAVED_LOAD 92 /* what the emulation of loads keeps: five words */
#define SAVED_SIZE 112

/* Twice what the handler was seen to use; Espressif gives it 512 bytes. */
#define STACK_SIZE 768
#define STACK_FILL 0xA5A5A5A5

    .macro  nmi_registers op
    \op     a4, a0, SAVED_A4 + 0
    \op     a5, a0, SAVED_A4 + 4
    \op     a6, a0, SAVED_A4 + 8
    \op     a7, a0, SAVED_A4 + 12
    \op     a8, a0, SAVED_A4 + 16
    \op     a9, a0, SAVED_A4 + 20
    \op     a10, a0, SAVED_A4 + 24
    \op     a11, a0, SAVED_A4 + 28
    \op     a12, a0, SAVED_A4 + 32
    \op     a13, a0, SAVED_A4 + 36
    \op     a14, a0, SAVED_A4 + 40
    \op     a15, a0, SAVED_A4 + 44
    .endm

    .section .iram.text.nmi, "ax"
    .literal_position
    .balign 4
    .global radio_nmi
    .type   radio_nmi, @function
/* a0 is in EXCSAVE3. */
radio_nmi:
    movi    a0, nmi_scratch
    s32i    a2, a0, 0
    s32i    a3, a0, 4
    rsr     a2, epc3
    movi    a3, .Lexit
    bltu    a2, a3, .Lsave
    movi    a3, .Lexit_end
    bltu    a2, a3, .Lserve

.Lsave:
    l32i    a2, a0, 0
    l32i    a3, a0, 4
    movi    a0, nmi_saved
    s32i    a1, a0, SAVED_A1
    s32i    a2, a0, SAVED_A2
    s32i    a3, a0, SAVED_A3
    nmi_registers s32i
    rsr     a2, excsave3
    s32i    a2, a0, SAVED_A0
    rsr     a2, epc3
    s32i    a2, a0, SAVED_PC
    rsr     a2, eps3
    s32i    a2, a0, SAVED_PS
    rsr     a2, sar
    s32i    a2, a0, SAVED_SAR
    rsr     a2, epc1
    s32i    a2, a0, SAVED_EPC1
    rsr     a2, exccause
    s32i    a2, a0, SAVED_EXCCAUSE
    rsr     a2, excvaddr
    s32i    a2, a0, SAVED_EXCVADDR
    rsr     a2, excsave1
    s32i    a2, a0, SAVED_EXCSAVE1
    movi    a3, subword_saved
    l32i    a2, a3, 0
    s32i    a2, a0, SAVED_LOAD + 0
    l32i    a2, a3, 4
    s32i    a2, a0, SAVED_LOAD + 4
    l32i    a2, a3, 8
    s32i    a2, a0, SAVED_LOAD + 8
    l32i    a2, a3, 12
    s32i    a2, a0, SAVED_LOAD + 12
    l32i    a2, a3, 16
    s32i    a2, a0, SAVED_LOAD + 16

.Lserve:
    /* Above level 2, with PS.EXCM clear: a fault in the handler is reported as its own. */
    movi    a1, radio_nmi_stack_top
    movi    a2, PS_UM | PS_INTLEVEL_3
    wsr     a2, ps
    rsync
    call0   wDev_ProcessFiq

    movi    a0, nmi_saved
    movi    a3, subword_saved
    l32i    a2, a0, SAVED_LOAD + 0
    s32i    a2, a3, 0
    l32i    a2, a0, SAVED_LOAD + 4
    s32i    a2, a3, 4
    l32i    a2, a0, SAVED_LOAD + 8
    s32i    a2, a3, 8
    l32i    a2, a0, SAVED_LOAD + 12
    s32i    a2, a3, 12
    l32i    a2, a0, SAVED_LOAD + 16
    s32i    a2, a3, 16
    l32i    a2, a0, SAVED_SAR
    wsr     a2, sar
    l32i    a2, a0, SAVED_EPC1
    wsr     a2, epc1
    l32i    a2, a0, SAVED_EXCCAUSE
    wsr     a2, exccause
    l32i    a2, a0, SAVED_EXCVADDR
    wsr     a2, excvaddr
    l32i    a2, a0, SAVED_EXCSAVE1
    wsr     a2, excsave1
    l32i    a2, a0, SAVED_PC
    wsr     a2, epc3
    l32i    a2, a0, SAVED_PS
    wsr     a2, eps3
    rsync
    l32i    a1, a0, SAVED_A1
    nmi_registers l32i
    movi    a2, GATE
    movi    a3, 1
.Lexit:
    s32i    a3, a2, 0
    l32i    a2, a0, SAVED_A2
    l32i    a3, a0, SAVED_A3
    l32i    a0, a0, SAVED_A0
    rfi     3
.Lexit_end:
    .size   radio_nmi, . - radio_nmi

    .section .bss.radio_nmi, "aw", @nobits
    .balign 16
    .global radio_nmi_stack
    .global radio_nmi_stack_top
radio_nmi_stack:
    .space  STACK_SIZE
radio_nmi_stack_top:
nmi_saved:
    .space  SAVED_SIZE
nmi_scratch:
    .space  8
