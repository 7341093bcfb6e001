/* Layout shared by C and assembly: what an interrupt saves on the task's stack, and what
 * a crash saves in crash_frame. Offsets are in bytes. */
#ifndef PORT_FRAME_H
#define PORT_FRAME_H

/* Interrupt frame: everything the interrupted code may own. a1 is the frame's address
 * plus its size. 72 bytes used, rounded up to the ABI's 16-byte stack alignment. */
#define FRAME_PC 0
#define FRAME_PS 4
#define FRAME_SAR 8
#define FRAME_A0 12
#define FRAME_A2 16 /* a2..a15 follow one another */
#define FRAME_SIZE 80

/* Crash frame: a0..a15, then the special registers. */
#define CRASH_A0 0
#define CRASH_PC 64
#define CRASH_PS 68
#define CRASH_SAR 72
#define CRASH_EXCCAUSE 76
#define CRASH_EXCVADDR 80
#define CRASH_EPC1 84
#define CRASH_FRAME_SIZE 88

/* How a crash was entered; the first argument of crash_main. */
#define CRASH_KIND_EXCEPTION 0
#define CRASH_KIND_DOUBLE_EXCEPTION 1
#define CRASH_KIND_DEBUG 2
#define CRASH_KIND_NMI 3
#define CRASH_KIND_ASSERT 4
#define CRASH_KIND_OUT_OF_MEMORY 5
#define CRASH_KIND_STACK_OVERFLOW 6
#define CRASH_KIND_PANIC 7
#define CRASH_KIND_WATCHDOG 8

/* Stack that the crash report needs: at most 300 bytes by gcc's -fstack-usage, down to the
 * board's console. */
#define CRASH_STACK_SIZE 512

/* PS fields (ISA manual, "Processor Status"). */
#define PS_INTLEVEL_1 0x01
#define PS_INTLEVEL_3 0x03
#define PS_EXCM 0x10
#define PS_UM 0x20

#define EXCCAUSE_LOAD_STORE_ERROR 3
#define EXCCAUSE_LEVEL1_INTERRUPT 4

#endif
