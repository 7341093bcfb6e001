/* qsort for Socket.c, which sorts its list of sockets: one, as a rule. picolibc's takes a
 * kilobyte of flash. */
#include <stdint.h>
#include <stdlib.h>

void qsort(void *items, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    uint8_t *first = items;

    /* Insertion: what is in front of `next` is in order. */
    for (size_t next = 1; next < count; next++) {
        for (uint8_t *item = first + next * size; item > first; item -= size) {
            if (compare(item - size, item) <= 0) {
                break;
            }
            for (size_t i = 0; i < size; i++) {
                uint8_t byte = item[i];
                item[i] = item[i - size];
                item[i - size] = byte;
            }
        }
    }
}
