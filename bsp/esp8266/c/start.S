/* Entry from the boot stage (bsp/boot), which has put IRAM and .data in place and says in a2 from
 * which slot. Everything up to chip_start's jump into flash lies in IRAM. */
#include "entry.h"

    .section .iram.text.start, "ax"
    lx106_entry chip_start
