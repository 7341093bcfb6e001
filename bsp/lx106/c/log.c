/* printf-style logging for C: formats a bounded line and hands it to the Rust logger. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fw_hooks.h"

/* Longest line in bytes, as fw_hooks.h promises; it lives on the caller's stack. */
#define LINE_MAX_LENGTH 160

void fw_log(enum fw_log_level level, const char *module, const char *format, ...)
{
    char line[LINE_MAX_LENGTH + 1];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length < 0) {
        return; /* the format itself is wrong; there is nothing to show */
    }
    if (length > LINE_MAX_LENGTH) {
        static const char cut[] = " [...]";
        length = LINE_MAX_LENGTH;
        memcpy(line + length - (sizeof(cut) - 1), cut, sizeof(cut) - 1);
    }
    /* Libraries end their messages with a newline; the logger adds its own. */
    while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r')) {
        length--;
    }
    fw_log_line((int)level, module, line, (size_t)length);
}
