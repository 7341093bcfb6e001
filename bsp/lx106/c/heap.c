/* malloc and friends over the kernel's heap, so that C, Rust and FreeRTOS share one.
 *
 * The heap is heap_5: heap_4's algorithm over regions that the board names. picolibc's
 * own malloc is not linked: these definitions come first. Usable before the scheduler
 * runs, never from an interrupt. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "FreeRTOS.h"
#include "task.h"

#include "lx106.h"

extern uint8_t _heap_start[], _heap_end[];
/* A second piece of RAM, where a linker script names one. */
extern uint8_t _heap_high_start[] __attribute__((weak)), _heap_high_end[] __attribute__((weak));

void lx106_heap_init(void)
{
    /* The kernel keeps no reference to the table. */
    const HeapRegion_t regions[] = {
        {_heap_start, (size_t)(_heap_end - _heap_start)},
        /* Begins at NULL, and so ends the table, where there is none. */
        {_heap_high_start, (size_t)(_heap_high_end - _heap_high_start)},
        {NULL, 0},
    };
    vPortDefineHeapRegions(regions);
}

/* The header in front of every block: BlockLink_t of heap_5.c, which it keeps private.
 * The size counts the header; its top bit marks an allocated block. */
struct block_header {
    void *next_free;
    size_t size;
};
#define BLOCK_ALLOCATED ((size_t)1 << (sizeof(size_t) * 8 - 1))

static size_t usable_size(const void *block)
{
    const struct block_header *header = (const struct block_header *)block - 1;
    configASSERT((header->size & BLOCK_ALLOCATED) != 0);
    return (header->size & ~BLOCK_ALLOCATED) - sizeof(*header);
}

/* A block even for no bytes, as hosted C libraries do: paho takes NULL for "out of memory",
 * also where it copies an empty message. */
void *malloc(size_t size)
{
    return pvPortMalloc(size > 0 ? size : 1);
}

void free(void *block)
{
    vPortFree(block);
}

void *calloc(size_t count, size_t size)
{
    return count > 0 && size > 0 ? pvPortCalloc(count, size) : malloc(0);
}

void *realloc(void *block, size_t size)
{
    if (block == NULL) {
        return malloc(size);
    }
    if (size == 0) {
        vPortFree(block);
        return NULL;
    }
    size_t old = usable_size(block);
    /* Stay in place unless shrinking gives back a worthwhile part. */
    if (size <= old && old - size < 64) {
        return block;
    }
    void *copy = pvPortMalloc(size);
    if (copy == NULL) {
        /* A block that only wanted to shrink stays valid as it is. */
        return size <= old ? block : NULL;
    }
    memcpy(copy, block, size < old ? size : old);
    vPortFree(block);
    return copy;
}
