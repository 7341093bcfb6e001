/* Compiler and C library as lwIP sees them. */
#ifndef FW_LWIP_ARCH_CC_H
#define FW_LWIP_ARCH_CC_H

/* The C library's O_NONBLOCK, errno numbers and struct timeval, so that lwIP and its
 * callers mean the same thing by them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/time.h>
#include <sys/types.h>

#include "crash.h"
#include "net_hooks.h"

#define LWIP_TIMEVAL_PRIVATE 0
#define LWIP_ERRNO_STDINCLUDE 1
#define IN_ADDR_T_DEFINED /* <sys/types.h> has both */
#define IN_PORT_T_DEFINED
#define LWIP_RAND() net_random()

#define LWIP_PLATFORM_DIAG(message) ((void)0)
/* File and line find the message in lwIP's source; the texts would take 9 KB of flash. */
#define LWIP_PLATFORM_ASSERT(message) crash_assert("lwIP", __FILE_NAME__, __LINE__)

#endif
