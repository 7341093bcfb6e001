/* Read before every file of paho (-include): its trace messages, 4 KB of text, are left out
 * at compile time, because their level is a constant everywhere. Errors pass to Log.c. */
#ifndef FW_PAHO_QUIET_LOG_H
#define FW_PAHO_QUIET_LOG_H

#include "Log.h"

#define Log(level, ...)                    \
    do {                                   \
        if ((level) >= LOG_ERROR) {        \
            (Log)((level), __VA_ARGS__);   \
        }                                  \
    } while (0)

#endif
