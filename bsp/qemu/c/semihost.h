/* Services of the host under QEMU's -semihosting: the Xtensa simulator's SIMCALL
 * interface (QEMU, target/xtensa/xtensa-semi.c). Without -semihosting, every call ends
 * in an IllegalInstruction crash. */
#ifndef SEMIHOST_H
#define SEMIHOST_H

#include <stddef.h>
#include <stdint.h>

/* open() flags of the host (Linux). */
#define SEMIHOST_O_RDONLY 0
#define SEMIHOST_O_WRONLY 1
#define SEMIHOST_O_CREAT 0100
#define SEMIHOST_O_TRUNC 01000

/* End QEMU with this exit status. */
_Noreturn void semihost_exit(int status);

/* Open, read, write and close a file of the host. They return what the host's calls
 * return: a descriptor or a count, -1 on error. */
int semihost_open(const char *path, int flags, int mode);
int semihost_read(int descriptor, void *buffer, size_t length);
int semihost_write(int descriptor, const void *buffer, size_t length);
int semihost_close(int descriptor);

/* Command line given with -semihosting-config arg=...: the number of arguments, and
 * argument `index` copied to `buffer`, cut to fit and always terminated. Returns its full
 * length, or -1 when there is no such argument or the heap is exhausted. */
int semihost_argc(void);
int semihost_argument(int index, char *buffer, size_t size);

#endif
