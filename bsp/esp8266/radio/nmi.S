/* The MAC's interrupt is the NMI, which nothing masks but its gate (NMI_GATE). It may strike
 * anywhere: inside the kernel, inside another interrupt's entry, inside the emulation of a
 * load. So everything that the libraries' handler may change is saved, on a stack of its own.
 *
 * It must not strike itself, and the MAC's line rises again while the handler runs. The gate
 * is closed meanwhile and opened as the last thing but the loading of the registers. From
 * there to the RFI the next one may come. It finds EPC3 in that stretch; the save area then
 * still holds the interrupted code, and it serves and leaves over the same save area. */
#include "port_frame.h"
#include "registers.h"

#define GATE 0x3FF00000

#define SAVED_A0 0
#define SAVED_A1 4 /* a1..a15 follow one another */
#define SAVED_A2 8
#define SAVED_A4 16
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

/* Special register \register at \offset of a0, by way of a2. */
    .macro  keep register, offset
    rsr     a2, \register
    s32i    a2, a0, \offset
    .endm
    .macro  give_back register, offset
    l32i    a2, a0, \offset
    wsr     a2, \register
    .endm

    .section .iram.text.nmi, "ax"
    .literal_position
    .balign 4
    .global radio_nmi
    .type   radio_nmi, @function
/* a0 is in EXCSAVE3. */
radio_nmi:
    movi    a0, nmi_scratch
    registers s32i, 2, 3, a0, 0
    rsr     a2, epc3
    movi    a3, .Lexit
    bltu    a2, a3, .Lsave
    movi    a3, .Lexit_end
    bltu    a2, a3, .Lserve

.Lsave:
    registers l32i, 2, 3, a0, 0
    movi    a0, nmi_saved
    registers s32i, 1, 15, a0, SAVED_A1
    keep    excsave3, SAVED_A0
    keep    epc3, SAVED_PC
    keep    eps3, SAVED_PS
    keep    sar, SAVED_SAR
    keep    epc1, SAVED_EPC1
    keep    exccause, SAVED_EXCCAUSE
    keep    excvaddr, SAVED_EXCVADDR
    keep    excsave1, SAVED_EXCSAVE1
    movi    a3, subword_saved
    .irp    word, 0, 4, 8, 12, 16
    l32i    a2, a3, \word
    s32i    a2, a0, SAVED_LOAD + \word
    .endr

.Lserve:
    /* Above level 2, with PS.EXCM clear: a fault in the handler is reported as its own. */
    movi    a1, radio_nmi_stack_top
    movi    a2, PS_UM | PS_INTLEVEL_3
    wsr     a2, ps
    rsync
    call0   wDev_ProcessFiq

    movi    a0, nmi_saved
    movi    a3, subword_saved
    .irp    word, 0, 4, 8, 12, 16
    l32i    a2, a0, SAVED_LOAD + \word
    s32i    a2, a3, \word
    .endr
    give_back sar, SAVED_SAR
    give_back epc1, SAVED_EPC1
    give_back exccause, SAVED_EXCCAUSE
    give_back excvaddr, SAVED_EXCVADDR
    give_back excsave1, SAVED_EXCSAVE1
    give_back epc3, SAVED_PC
    give_back eps3, SAVED_PS
    rsync
    l32i    a1, a0, SAVED_A1
    registers l32i, 4, 15, a0, SAVED_A4
    movi    a2, GATE
    movi    a3, 1
.Lexit:
    s32i    a3, a2, 0
    registers l32i, 2, 3, a0, SAVED_A2
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
