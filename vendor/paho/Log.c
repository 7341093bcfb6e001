/* paho's Log.h on the firmware's log: errors only, as module "paho". Its trace messages are
 * not compiled in (quiet_log.h); the wrapper logs what a reader wants to know. */
#include "Log.h"

#include <stdarg.h>
#include <stdio.h>

#include "fw_hooks.h"

int Log_initialize(Log_nameValue *info)
{
    (void)info;
    return 0;
}

void Log_terminate(void)
{
}

void Log_setTraceCallback(Log_traceCallback *callback)
{
    (void)callback;
}

void Log_setTraceLevel(enum LOG_LEVELS level)
{
    (void)level;
}

/* The name in brackets is the function, not quiet_log.h's macro in front of it. */
void (Log)(enum LOG_LEVELS level, int number, const char *format, ...)
{
    char text[120];
    va_list arguments;

    if (format == NULL) {
        fw_log(FW_LOG_WARN, "paho", "internal error, message number %d", number);
        return;
    }
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fw_log(level == LOG_ERROR ? FW_LOG_WARN : FW_LOG_ERROR, "paho", "%s", text);
}
