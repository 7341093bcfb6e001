/* Health tests of a random source (NIST SP 800-90B, 4.4), for samples of one byte of which 2
 * bits of entropy are assumed. */
#ifndef HEALTH_H
#define HEALTH_H

#include <stdbool.h>
#include <stdint.h>

/* Starts as zeros. */
struct health {
    bool failed;          /* and stays so */
    uint8_t last;         /* the previous sample ... */
    uint32_t repetitions; /* ... and how often in a row it came */
    uint8_t first;        /* the window's first sample ... */
    uint32_t seen;        /* ... how many of it have been seen ... */
    uint32_t equal;       /* ... and how many were equal, itself included */
};

/* Samples to test before the first is used (4.3). */
#define HEALTH_START_SAMPLES 1024U

/* Take the next sample into account. */
void health_check(struct health *health, uint8_t sample);

#endif
