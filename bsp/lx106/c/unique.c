/* What tells this board and this boot from others. */
#include "crash.h"
#include "fw_hooks.h"
#include "lx106.h"

void fw_unique(struct fw_unique *out)
{
    *out = (struct fw_unique){
        .boots = lx106_boot_count(),
        .cycles = lx106_cycles(),
    };
    board_serial(out->serial);
}
