/* Loads of bytes and halfwords from memory that only delivers whole words.
 *
 * On the ESP8266, flash (through the cache), IRAM and ROM answer L8UI, L16UI and L16SI
 * with LoadStoreError. Constants in flash are read that way all the time, so both
 * vectors come here first: load the aligned word, pick the part, put it into the
 * register that the instruction names, go on behind it. That takes some 45
 * instructions; what is read often belongs in RAM.
 *
 * Everything else goes to the crash report as it came: stores, other instructions,
 * other addresses, and a halfword at an odd address, which would be another cause.
 *
 * PS.EXCM is set from vector to RFE, so nothing comes in between but an NMI, and one save
 * area is enough: an NMI handler must keep EPC1, EXCSAVE1 and the save area, as the radio's
 * does (bsp/esp8266/radio/nmi.S). */
#include "port_frame.h"
#include "registers.h"

/* The save area: a2..a5, SAR. */
#define SAVED_A2 0
#define SAVED_A3 4
#define SAVED_A4 8
#define SAVED_A5 12
#define SAVED_SAR 16
#define SAVED_SIZE 20

/* The word-only memories: 0x40000000 ROM, 0x40100000 IRAM, 0x40200000 flash. */
#define WORD_ONLY_FIRST_MIB 0x400
#define WORD_ONLY_MIBS 3

/* ISA manual, RRI8 format: op0 in bits 3:0, t in 7:4, r in 15:12; L8UI has r = 0. */
#define OP0_LSAI 2
#define LSAI_L16UI 1
#define LSAI_L16SI 9

    .section .iram.text.subword, "ax"
    .literal_position
    .balign 4
    .global port_load_store_error
    .type   port_load_store_error, @function
/* a0 is in EXCSAVE1. */
port_load_store_error:
    movi    a0, subword_saved
    registers s32i, 2, 5, a0, SAVED_A2
    rsr     a2, sar
    s32i    a2, a0, SAVED_SAR

    /* a2: the address. */
    rsr     a2, excvaddr
    extui   a3, a2, 20, 12
    addmi   a3, a3, -WORD_ONLY_FIRST_MIB
    bgeui   a3, WORD_ONLY_MIBS, .Lcrash

    /* a4: the instruction, which may straddle two words. */
    rsr     a3, epc1
    ssa8l   a3
    srli    a3, a3, 2
    slli    a3, a3, 2
    l32i    a4, a3, 0
    l32i    a5, a3, 4
    src     a4, a5, a4

    extui   a3, a4, 0, 4
    bnei    a3, OP0_LSAI, .Lcrash

    /* a5: the word, shifted so that the wanted part is lowest. */
    ssa8l   a2
    srli    a3, a2, 2
    slli    a3, a3, 2
    l32i    a5, a3, 0
    srl     a5, a5

    extui   a3, a4, 12, 4
    beqz    a3, .Lbyte /* L8UI */
    bbsi    a2, 0, .Lcrash
    beqi    a3, LSAI_L16UI, .Lhalf
    addi    a3, a3, -LSAI_L16SI
    bnez    a3, .Lcrash
    slli    a5, a5, 16
    srai    a5, a5, 16
    j       .Lput
.Lhalf:
    extui   a5, a5, 0, 16
    j       .Lput
.Lbyte:
    extui   a5, a5, 0, 8

    /* Into the register: one entry of eight bytes for each. */
.Lput:
    extui   a4, a4, 4, 4
    movi    a3, .Lregisters
    addx8   a3, a4, a3
    jx      a3

.Lcrash:
    l32i    a2, a0, SAVED_SAR
    wsr     a2, sar
    registers l32i, 2, 5, a0, SAVED_A2
    j       crash_exception

    .macro  saved_register offset
    .balign 8
    s32i    a5, a0, \offset
    j       .Ldone
    .endm
    .macro  live_register name
    .balign 8
    mov     \name, a5
    j       .Ldone
    .endm

    .balign 8
.Lregisters:
    wsr     a5, excsave1 /* a0 */
    j       .Ldone
    live_register a1
    saved_register SAVED_A2
    saved_register SAVED_A3
    saved_register SAVED_A4
    saved_register SAVED_A5
    live_register a6
    live_register a7
    live_register a8
    live_register a9
    live_register a10
    live_register a11
    live_register a12
    live_register a13
    live_register a14
    live_register a15

.Ldone:
    rsr     a2, epc1
    addi    a2, a2, 3 /* the three instructions have no short form */
    wsr     a2, epc1
    l32i    a2, a0, SAVED_SAR
    wsr     a2, sar
    registers l32i, 2, 5, a0, SAVED_A2
    rsr     a0, excsave1
    rfe
    .size   port_load_store_error, . - port_load_store_error

    .section .bss.subword_saved, "aw", @nobits
    .balign 4
    .global subword_saved
subword_saved:
    .space  SAVED_SIZE
