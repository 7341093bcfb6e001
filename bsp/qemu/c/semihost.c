#include "semihost.h"

#include <stdlib.h>
#include <string.h>

#include "fw_hooks.h"

/* Call numbers of xtensa-semi.c. */
enum {
    SYS_EXIT = 1,
    SYS_READ = 3,
    SYS_WRITE = 4,
    SYS_OPEN = 5,
    SYS_CLOSE = 6,
    SYS_ARGC = 1000,
    SYS_ARGV_SIZE = 1001,
    SYS_ARGV = 1002,
};

/* Number in a2, arguments in a3-a5; the result comes back in a2, the host's errno in a3. */
static int simcall(int number, uint32_t first, uint32_t second, uint32_t third)
{
    register int a2 __asm__("a2") = number;
    register uint32_t a3 __asm__("a3") = first;
    register uint32_t a4 __asm__("a4") = second;
    register uint32_t a5 __asm__("a5") = third;
    __asm__ volatile("simcall" : "+a"(a2), "+a"(a3) : "a"(a4), "a"(a5) : "memory");
    return a2;
}

void semihost_exit(int status)
{
    (void)simcall(SYS_EXIT, (uint32_t)status, 0, 0);
    for (;;) {
    }
}

int semihost_open(const char *path, int flags, int mode)
{
    return simcall(SYS_OPEN, (uint32_t)path, (uint32_t)flags, (uint32_t)mode);
}

int semihost_read(int descriptor, void *buffer, size_t length)
{
    return simcall(SYS_READ, (uint32_t)descriptor, (uint32_t)buffer, length);
}

int semihost_write(int descriptor, const void *buffer, size_t length)
{
    return simcall(SYS_WRITE, (uint32_t)descriptor, (uint32_t)buffer, length);
}

int semihost_close(int descriptor)
{
    return simcall(SYS_CLOSE, (uint32_t)descriptor, 0, 0);
}

int semihost_argc(void)
{
    return simcall(SYS_ARGC, 0, 0, 0);
}

int semihost_argument(int index, char *buffer, size_t size)
{
    if (index < 0 || index >= semihost_argc()) {
        return -1;
    }
    /* QEMU writes the whole argv array with its strings behind it. */
    char **argv = malloc((size_t)simcall(SYS_ARGV_SIZE, 0, 0, 0));
    if (argv == NULL) {
        return -1;
    }
    (void)simcall(SYS_ARGV, (uint32_t)argv, 0, 0);
    size_t length = strlen(argv[index]);
    if (size > 0) {
        size_t copied = length < size ? length : size - 1;
        memcpy(buffer, argv[index], copied);
        buffer[copied] = '\0';
    }
    free(argv);
    return (int)length;
}

int fw_random(uint8_t *buffer, size_t length)
{
    /* The host's descriptor stays open: it is asked often while TLS runs. */
    static int source = -1;

    if (source < 0) {
        source = semihost_open("/dev/urandom", SEMIHOST_O_RDONLY, 0);
        if (source < 0) {
            return -1;
        }
    }
    while (length > 0) {
        int count = semihost_read(source, buffer, length);
        if (count <= 0) {
            return -1;
        }
        buffer += count;
        length -= (size_t)count;
    }
    return 0;
}
