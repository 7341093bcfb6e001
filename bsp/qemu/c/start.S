/* Entry after reset: QEMU's reset code jumps here with interrupts masked. */
#include "entry.h"

    .section .text._start, "ax"
    lx106_entry board_start
