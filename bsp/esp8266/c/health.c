/* The two continuous health tests of NIST SP 800-90B, section 4.4, at a false-alarm rate of
 * 2^-30 a sample:
 * - repetition count (4.4.1): 16 equal samples in a row, 1 + 30 / 2;
 * - adaptive proportion (4.4.2): of 512 samples, 190 equal to the first: the critical value
 *   of the binomial distribution for p = 2^-2. */
#include "health.h"

#define REPETITION_CUTOFF 16U
#define PROPORTION_WINDOW 512U
#define PROPORTION_CUTOFF 190U

void health_check(struct health *health, uint8_t sample)
{
    if (health->repetitions > 0 && sample == health->last) {
        health->repetitions++;
    } else {
        health->last = sample;
        health->repetitions = 1;
    }
    if (health->seen == 0) {
        health->first = sample;
        health->equal = 1;
    } else if (sample == health->first) {
        health->equal++;
    }
    health->seen = (health->seen + 1) % PROPORTION_WINDOW;
    if (health->repetitions >= REPETITION_CUTOFF || health->equal >= PROPORTION_CUTOFF) {
        health->failed = true;
    }
}
