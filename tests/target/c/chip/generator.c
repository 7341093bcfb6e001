/* The generator of a handshake, seeded as the firmware does it. */
#include "check.h"
#include "fw_hooks.h"
#include "tls_platform.h"

/* Says its first bytes: the host compares those of several boots, with a source that repeats
 * itself at each. */
void test_generator(void);
void test_generator(void)
{
    static const uint8_t key[32] = {1, 2, 3};
    mbedtls_ctr_drbg_context random;
    uint8_t first[8], source[8];

    CHECK_EQUAL(fw_random(source, sizeof(source)), 0);
    mbedtls_ctr_drbg_init(&random);
    CHECK_EQUAL(tls_random_seed(&random, key, sizeof(key)), 0);
    CHECK_EQUAL(mbedtls_ctr_drbg_random(&random, first, sizeof(first)), 0);
    mbedtls_ctr_drbg_free(&random);
    say("source %02x%02x%02x%02x%02x%02x%02x%02x generator %02x%02x%02x%02x%02x%02x%02x%02x",
        source[0], source[1], source[2], source[3], source[4], source[5], source[6], source[7],
        first[0], first[1], first[2], first[3], first[4], first[5], first[6], first[7]);
}
