/* Random bytes from the chip's noise register, checked all the time.
 *
 * Espressif does not say how much entropy a read carries, and less is to be expected while
 * the radio is off. So a sample is one byte of which 2 bits of entropy are assumed, four
 * samples make one byte handed out, and mbedTLS hashes what it gets (SHA-256) before it
 * seeds its generator. health.c watches the samples for less than that. A source that failed
 * stays failed until the reset, and nothing secret is made with it. */
#include "FreeRTOS.h"
#include "task.h"

#include "esp8266.h"
#include "fw_hooks.h"
#include "health.h"
#include "lx106.h"

#define SAMPLES_A_BYTE 4U

/* Cycles between two samples: 1 us at 80 MHz, so that the register has moved on. */
#define SAMPLE_CYCLES 80U

static struct health health;
static bool started;

static uint8_t take_sample(void)
{
    uint32_t start = lx106_ccount();
    while (lx106_ccount() - start < SAMPLE_CYCLES) {
    }
    uint8_t sample = (uint8_t)WDEV_RAND;
    health_check(&health, sample);
    return sample;
}

int fw_random(uint8_t *buffer, size_t length)
{
    if (!started) {
        for (unsigned i = 0; i < HEALTH_START_SAMPLES && !health.failed; i++) {
            (void)take_sample();
        }
        started = true;
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
