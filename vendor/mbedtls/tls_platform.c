/* What mbedTLS asks of its platform: memory, time, entropy. */
#include "tls_platform.h"

#include <limits.h>

#include <stdlib.h>
#include <time.h>

#include "FreeRTOS.h"
#include "task.h"

#include "fw_hooks.h"
#include "mbedtls/build_info.h"
#include "mbedtls/entropy.h"
#include "mbedtls/platform_time.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/sha256.h"

/* mbedTLS reports a failed allocation while it checks a signature as a bad signature, so
 * the only sure sign of one is the count of refusals. */
static volatile uint32_t refused;

uint32_t tls_refused_allocations(void)
{
    return refused;
}

void *tls_calloc(size_t count, size_t size)
{
    void *block = calloc(count, size);

    if (block == NULL && count != 0 && size != 0) {
        refused++;
    }
    return block;
}

void tls_free(void *block)
{
    free(block);
}

int64_t tls_time(int64_t *out)
{
    int64_t now = fw_unix_time();

    if (out != NULL) {
        *out = now;
    }
    return now;
}

mbedtls_ms_time_t mbedtls_ms_time(void)
{
    return (mbedtls_ms_time_t)xTaskGetTickCount() * portTICK_PERIOD_MS;
}

/* Not picolibc's gmtime_r: its time_t has 32 bits, which end in 2038. */
struct tm *mbedtls_platform_gmtime_r(const mbedtls_time_t *time, struct tm *out)
{
    struct fw_date date;
    fw_date((uint32_t)*time, &date); /* never later than 2106: fw_unix_time */
    *out = (struct tm){
        .tm_year = date.year - 1900,
        .tm_mon = date.month - 1,
        .tm_mday = date.day,
        .tm_hour = date.hour,
        .tm_min = date.minute,
        .tm_sec = date.second,
    };
    return out;
}

int mbedtls_hardware_poll(void *context, unsigned char *output, size_t length,
                          size_t *filled)
{
    (void)context;
    if (fw_random(output, length) != 0) {
        return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
    }
    *filled = length;
    return 0;
}

int tls_random_seed(mbedtls_ctr_drbg_context *random, const uint8_t *key, size_t key_length)
{
    /* Counts within a boot: two tasks may seed in the same instant. */
    static uint32_t seeded;
    struct {
        struct fw_unique unique;
        int64_t time;
        uint32_t seeded, zero;
    } moment = {.time = fw_unix_time(), .seeded = ++seeded};
    fw_unique(&moment.unique);

    unsigned char custom[32];
    mbedtls_sha256_context hash;
    mbedtls_sha256_init(&hash);
    int code = mbedtls_sha256_starts(&hash, 0);
    if (code == 0) {
        code = mbedtls_sha256_update(&hash, key, key_length);
    }
    if (code == 0) {
        code = mbedtls_sha256_update(&hash, (const unsigned char *)&moment, sizeof moment);
    }
    if (code == 0) {
        code = mbedtls_sha256_finish(&hash, custom);
    }
    mbedtls_sha256_free(&hash);
    if (code == 0) {
        mbedtls_entropy_context entropy;
        mbedtls_entropy_init(&entropy);
        code = mbedtls_ctr_drbg_seed(random, mbedtls_entropy_func, &entropy, custom,
                                     sizeof custom);
        mbedtls_entropy_free(&entropy);
        /* It is not asked again: a handshake takes some dozen numbers of it. */
        mbedtls_ctr_drbg_set_reseed_interval(random, INT_MAX);
    }
    mbedtls_platform_zeroize(custom, sizeof custom);
    return code;
}
