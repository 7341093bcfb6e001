#include "verified.h"

#include <string.h>

#include "mbedtls/constant_time.h"
#include "mbedtls/md.h"
#include "mbedtls/sha256.h"

/* AWS's chain has two signatures to verify; another endpoint of it shares one. */
enum { REMEMBERED = VERIFIED_DIGESTS, DIGEST = VERIFIED_DIGEST };

static uint8_t remembered[REMEMBERED][DIGEST];
static uint8_t used; /* so many of them hold a digest */
static uint8_t next; /* the one to be replaced */
static bool certificates;

void verified_in_chain(bool in_chain)
{
    certificates = in_chain;
}

/* Each part with its length, so that no two descriptions are the same bytes. */
void verified_digest(const struct verified_part *parts, size_t count, uint8_t digest[DIGEST])
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
    verified_digest(parts, count, digest);
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
    verified_digest(parts, count, remembered[next]);
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

/* The key is a hash of all of the binding, which has the private key's 256 bits in it. */
static bool code_of(const struct verified_part *binding, size_t count,
                    const struct verified_sealed *sealed, uint8_t code[DIGEST])
{
    uint8_t key[DIGEST];
    verified_digest(binding, count, key);
    int error = mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), key, DIGEST,
                                (const uint8_t *)sealed, offsetof(struct verified_sealed, code),
                                code);
    memset(key, 0, sizeof key);
    return error == 0;
}

bool verified_seal(const struct verified_part *binding, size_t count,
                   struct verified_sealed *sealed)
{
    sealed->used = used;
    memset(sealed->digests, 0, sizeof sealed->digests);
    memcpy(sealed->digests, remembered, (size_t)used * DIGEST);
    return code_of(binding, count, sealed, sealed->code);
}

bool verified_unseal(const struct verified_part *binding, size_t count,
                     const struct verified_sealed *sealed)
{
    uint8_t code[DIGEST];
    if (!code_of(binding, count, sealed, code) || sealed->used > REMEMBERED ||
        mbedtls_ct_memcmp(code, sealed->code, DIGEST) != 0) {
        return false;
    }
    used = (uint8_t)sealed->used;
    next = used % REMEMBERED;
    memcpy(remembered, sealed->digests, sizeof remembered);
    return true;
}
