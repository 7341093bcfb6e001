/* The health tests of the random source, with sources good and bad, and the real one. */
#include "health.h"

#include <string.h>

#include "check.h"
#include "fw_hooks.h"

static struct health fresh(void)
{
    return (struct health){0};
}

/* The sample at which the tests fail a source that gives `same` in `parts` of 16 cases, else
 * anything; 0 when 100,000 samples did not. */
static uint32_t fails_after(unsigned parts)
{
    struct health health = fresh();
    uint32_t seed = 1;
    for (uint32_t i = 1; i <= 100000; i++) {
        uint32_t random = random_next(&seed);
        uint8_t sample = (random >> 8) % 16 < parts ? 0x5A : (uint8_t)(random >> 16);
        health_check(&health, sample);
        if (health.failed) {
            return i;
        }
    }
    return 0;
}

void test_random_health(void);
void test_random_health(void)
{
    /* Stuck: found at the 16th sample and not before. */
    struct health health = fresh();
    for (unsigned i = 0; i < 15; i++) {
        health_check(&health, 0);
        CHECK(!health.failed);
    }
    health_check(&health, 0);
    CHECK(health.failed);
    /* It stays failed. */
    uint32_t seed = 7;
    for (unsigned i = 0; i < 2000; i++) {
        health_check(&health, (uint8_t)random_next(&seed));
    }
    CHECK(health.failed);

    /* Two values in turn never repeat, but fill the window. */
    health = fresh();
    uint32_t count = 0;
    while (!health.failed && count < 1000) {
        health_check(&health, (uint8_t)(count++ & 1));
    }
    CHECK_BETWEEN(count, 2 * 190 - 1, 2 * 190);

    /* Good, and as biased as is allowed for: never; more: soon. */
    CHECK_EQUAL(fails_after(0), 0);
    CHECK_EQUAL(fails_after(3), 0);
    CHECK_BETWEEN(fails_after(9), 1, 5000);
}

/* The board's own source passes, and no two answers are alike. */
void test_random_source(void);
void test_random_source(void)
{
    uint8_t one[32], other[32];
    uint32_t ones = 0;
    for (unsigned round = 0; round < 200; round++) {
        CHECK_EQUAL(fw_random(one, sizeof(one)), 0);
        CHECK_EQUAL(fw_random(other, sizeof(other)), 0);
        CHECK(memcmp(one, other, sizeof(one)) != 0);
        for (unsigned i = 0; i < sizeof(one); i++) {
            ones += (uint32_t)__builtin_popcount(one[i]);
        }
    }
    /* Of 51,200 bits half are ones: ten standard deviations (113) on either side. */
    CHECK_BETWEEN(ones, 25600 - 1130, 25600 + 1130);
}
