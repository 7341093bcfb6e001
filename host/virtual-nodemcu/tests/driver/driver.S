/*
 * Runs streams of instructions one after the other and records what each leaves behind. The
 * same image runs on QEMU and on the crate's core.
 *
 * Before it starts, memory holds
 *   COUNT         the number of streams
 *   CONTEXTS      for each stream: entry, PS, SAR, a0-a15 (19 words)
 *   RESULTS       for each stream a record of 48 words, of which the last 16 are the stream's own
 * A stream ends by any exception. The first 32 words of its record become
 *   a0-a15, number of the vector, PS, SAR, EPC1, EPC2, EPC3, EPS2, EPS3, DEPC, EXCCAUSE,
 *   EXCVADDR, DEBUGCAUSE, INTERRUPT, INTENABLE, EXCSAVE1, 0
 * In the end all records are written to file 1 by simcall.
 *
 * Between streams EXCSAVE2 points to the next context and EXCSAVE3 to the next record.
 */
#define COUNT     0x40000000
#define CONTEXTS  0x40000010
#define RESULTS   0x40200000

	.section .vectors, "ax"
	.macro vector offset, number
	.org    \offset
	wsr     a0, excsave1
	rsr     a0, excsave3
	s32i.n  a1, a0, 4
	movi.n  a1, \number
	j       record
	.endm

	.global vectors
vectors:
	vector  0x10, 2
	vector  0x20, 3
	vector  0x30, 4
	vector  0x50, 5
	vector  0x70, 6
	.org    0x80

	.text
	.literal_position
	.global _start
_start:
	movi    a0, vectors
	wsr     a0, vecbase
	movi    a0, 0
	wsr     a0, intenable
	movi    a0, CONTEXTS
	wsr     a0, excsave2
	movi    a0, RESULTS
	wsr     a0, excsave3
	j       next

record:
	s32i    a2, a0, 8
	s32i    a3, a0, 12
	s32i    a4, a0, 16
	s32i    a5, a0, 20
	s32i    a6, a0, 24
	s32i    a7, a0, 28
	s32i    a8, a0, 32
	s32i    a9, a0, 36
	s32i    a10, a0, 40
	s32i    a11, a0, 44
	s32i    a12, a0, 48
	s32i    a13, a0, 52
	s32i    a14, a0, 56
	s32i    a15, a0, 60
	s32i    a1, a0, 64
	.macro  special name, offset
	rsr     a1, \name
	s32i    a1, a0, \offset
	.endm
	special excsave1, 0
	special ps, 68
	special sar, 72
	special epc1, 76
	special epc2, 80
	special epc3, 84
	special eps2, 88
	special eps3, 92
	special depc, 96
	special exccause, 100
	special excvaddr, 104
	special debugcause, 108
	special interrupt, 112
	special intenable, 116
	special excsave1, 120
	/* What a stream may have left. */
	movi    a1, -1
	wsr     a1, intclear
	movi    a1, 0
	wsr     a1, intenable
	wsr     a1, depc
	wsr     a1, epc2
	wsr     a1, eps2
	wsr     a1, excvaddr
	wsr     a1, litbase
	wsr     a1, icountlevel
	movi    a1, 192
	add     a0, a0, a1
	wsr     a0, excsave3

next:
	movi    a1, COUNT
	l32i    a2, a1, 0
	beqz    a2, finish
	addi    a2, a2, -1
	s32i    a2, a1, 0
	rsr     a15, excsave2
	addi    a1, a15, 76
	wsr     a1, excsave2
	l32i    a0, a15, 0
	wsr     a0, epc3
	l32i    a0, a15, 4
	wsr     a0, eps3
	l32i    a0, a15, 8
	wsr     a0, sar
	l32i    a0, a15, 12
	l32i    a1, a15, 16
	l32i    a2, a15, 20
	l32i    a3, a15, 24
	l32i    a4, a15, 28
	l32i    a5, a15, 32
	l32i    a6, a15, 36
	l32i    a7, a15, 40
	l32i    a8, a15, 44
	l32i    a9, a15, 48
	l32i    a10, a15, 52
	l32i    a11, a15, 56
	l32i    a12, a15, 60
	l32i    a13, a15, 64
	l32i    a14, a15, 68
	l32i    a15, a15, 72
	rsync
	rfi     3

finish:
	movi    a4, RESULTS
	rsr     a5, excsave3
	sub     a5, a5, a4
	movi    a3, 1
	movi    a2, 4           /* write */
	simcall
	movi    a2, 1           /* exit */
	movi    a3, 0
	simcall
1:	j       1b
