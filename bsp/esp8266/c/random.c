/* Random bytes from the chip's noise register, checked all the time.
 *
 * Espressif does not say how much entropy a read carries, and less is to be expected while
 * the radio is off. So a sample is one byte of which 2 bits of entropy are assumed, four
 * samples make one byte handed out, and mbedTLS hashes what it gets (SHA-256) before it
 * seeds its generator. The two continuous health tests of NIST SP 800-90B (section 4.4)
 * watch the samples for less than that, at a false-alarm rate of 2^-30 a sample:
 * - repetition count (4.4.1): 16 equal samples in a row, 1 + 30 / 2;
 * - adaptive proportion (4.4.2): of 512 samples, 190 equal to the first: the critical value
 *   of the binomial distribution for p = 2^-2.
 * Both see 1024 samples before the first byte is handed out (4.3). A source that failed
 * stays failed until the reset, and nothing secret is made with it. */
#include "FreeRTOS.h"
#include "task.h"

#include "esp8266.h"
#include "fw_hooks.h"
#include "lx106.h"

#define SAMPLES_A_BYTE 4U
#define REPETITION_CUTOFF 16U
#define PROPORTION_WINDOW 512U
#define PROPORTION_CUTOFF 190U
#define START_SAMPLES 1024U

/* Cycles between two samples: 1 us at 80 MHz, so that the register has moved on. */
#define SAMPLE_CYCLES 80U

static struct {
    bool started, failed;
    uint8_t last;         /* the previous sample ... */
    uint32_t repetitions; /* ... and how often in a row it came */
    uint8_t first;        /* the window's first sample ... */
    uint32_t seen;        /* ... how many followed it ... */
    uint32_t equal;       /* ... and how many were equal, itself included */
} health;

static void check(uint8_t sample)
{
    if (health.repetitions > 0 && sample == health.last) {
        health.repetitions++;
    } else {
        health.last = sample;
        health.repetitions = 1;
    }
    if (health.seen == 0) {
        health.first = sample;
        health.equal = 1;
    } else if (sample == health.first) {
        health.equal++;
    }
    health.seen = (health.seen + 1) % PROPORTION_WINDOW;
    if (health.repetitions >= REPETITION_CUTOFF || health.equal >= PROPORTION_CUTOFF) {
        health.failed = true;
    }
}

static uint8_t take_sample(void)
{
    uint32_t start = lx106_ccount();
    while (lx106_ccount() - start < SAMPLE_CYCLES) {
    }
    uint8_t sample = (uint8_t)WDEV_RAND;
    check(sample);
    return sample;
}

int fw_random(uint8_t *buffer, size_t length)
{
    if (!health.started) {
        for (unsigned i = 0; i < START_SAMPLES && !health.failed; i++) {
            (void)take_sample();
        }
        health.started = true;
    }
    for (size_t i = 0; i < length; i++) {
        /* Two tasks may ask at once; the tests need every sample in order. */
        taskENTER_CRITICAL();
        uint32_t folded = 0;
        for (unsigned sample = 0; sample < SAMPLES_A_BYTE; sample++) {
            folded = (folded << 3 | folded >> 5) & 0xFF;
            folded ^= take_sample();
        }
        buffer[i] = (uint8_t)folded;
        taskEXIT_CRITICAL();
    }
    if (health.failed) {
        fw_log(FW_LOG_ERROR, "random",
               "the random source repeats itself (SP 800-90B health test): no keys are made; "
               "reset the board, and replace it if this comes back");
        return -1;
    }
    return 0;
}
