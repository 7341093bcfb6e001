/* How a test on the chip tells its result: a line on the console, which the host reads. */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "fw_hooks.h"
#include "lx106.h"

void test_exit(int status)
{
    char line[24];
    (void)lx106_mask_interrupts();
    (void)snprintf(line, sizeof(line), "exit %d\n", status);
    fw_console_direct();
    fw_console_write(line, strlen(line));
    for (;;) {
        board_watchdog_feed();
    }
}
