/* Text on the console, in pieces that nothing comes between. */
#include <stdbool.h>

#include "FreeRTOS.h"
#include "task.h"

#include "fw_hooks.h"
#include "lx106.h"

void fw_console_write(const char *bytes, size_t length)
{
    /* One call comes out in one piece: from a task, by holding the scheduler. Where
     * interrupts are masked (an interrupt, a critical section, a crash, before the
     * scheduler) nothing can come between, and the kernel must not be called. */
    bool in_task = (lx106_ps() & LX106_PS_INTLEVEL) == 0;
    if (in_task) {
        vTaskSuspendAll();
    }
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\n') {
            board_console_put('\r');
        }
        board_console_put(bytes[i]);
    }
    if (in_task) {
        (void)xTaskResumeAll();
    }
}
