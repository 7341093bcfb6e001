#include "verified.h"

#include <string.h>

#include "mbedtls/sha256.h"

/* AWS's chain has two signatures to verify; another endpoint of it shares one. */
enum { REMEMBERED = 4, DIGEST = 32 };

static uint8_t remembered[REMEMBERED][DIGEST];
static uint8_t used; /* so many of them hold a digest */
static uint8_t next; /* the one to be replaced */
static bool certificates;

void verified_in_chain(bool in_chain)
{
    certificates = in_chain;
}

/* Each part with its length, so that no two descriptions are the same bytes. */
static void digest_of(const struct verified_part *parts, size_t count, uint8_t digest[DIGEST])
{
    mbedtls_sha256_context hash;

    /* None of this can fail: that is for hashes in hardware. */
    mbedtls_sha256_init(&hash);
    (void)mbedtls_sha256_starts(&hash, 0);
    for (size_t i = 0; i < count; i++) {
        (void)mbedtls_sha256_update(&hash, (const uint8_t *)&parts[i].length,
                                    sizeof parts[i].length);
        (void)mbedtls_sha256_update(&hash, parts[i].data, parts[i].length);
    }
    (void)mbedtls_sha256_finish(&hash, digest);
    mbedtls_sha256_free(&hash);
}

bool verified_before(const struct verified_part *parts, size_t count)
{
    uint8_t digest[DIGEST];

    if (!certificates || used == 0) {
        return false;
    }
    digest_of(parts, count, digest);
    for (size_t i = 0; i < used; i++) {
        if (memcmp(remembered[i], digest, DIGEST) == 0) {
            return true;
        }
    }
    return false;
}

void verified_remember(const struct verified_part *parts, size_t count)
{
    if (!certificates) {
        return;
    }
    digest_of(parts, count, remembered[next]);
    next = (next + 1) % REMEMBERED;
    if (used < REMEMBERED) {
        used++;
    }
}

void verified_forget(void)
{
    used = 0;
    next = 0;
}
