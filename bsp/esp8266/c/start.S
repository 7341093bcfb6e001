/* Entry from the boot ROM, which has put IRAM and .data in place and leaves the flash cache
 * off: everything up to chip_start's jump into flash lies in IRAM. */
#include "entry.h"

    .section .iram.text.start, "ax"
    lx106_entry chip_start
