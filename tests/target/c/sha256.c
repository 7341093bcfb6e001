/* SHA-256 of data at all places of words, in flash and in DRAM. What it computes is checked by
 * mbedTLS's self test, whose third vector takes 15,626 blocks. */
#define MBEDTLS_CONFIG_FILE <fw_mbedtls_config.h>

#include <string.h>

#include "check.h"
#include "mbedtls/sha256.h"

enum { LENGTH = 200, PLACES = 4 };

static const uint8_t in_flash[LENGTH] = {1, 2, 3, 0x80, 5, [70] = 0xFE, [199] = 0x11};

void test_sha256_places(void);
void test_sha256_places(void)
{
    static uint32_t words[LENGTH / 4 + 1];
    uint8_t *const copy = (uint8_t *)words;
    uint8_t hash[32], again[32];

    for (unsigned place = 0; place < PLACES; place++) {
        for (unsigned length = 0; length < LENGTH - PLACES; length++) {
            CHECK_EQUAL(mbedtls_sha256(in_flash + place, length, hash, 0), 0);
            for (unsigned other = 0; other < PLACES; other++) {
                memcpy(copy + other, in_flash + place, length);
                CHECK_EQUAL(mbedtls_sha256(copy + other, length, again, 0), 0);
                CHECK(memcmp(hash, again, sizeof hash) == 0);
            }
        }
    }
}
