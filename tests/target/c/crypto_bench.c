/* What the cryptography of a TLS connection costs. */
#define MBEDTLS_CONFIG_FILE <fw_mbedtls_config.h>

#include "bench.h"
#include "check.h"
#include "fw_hooks.h"
#include "mbedtls/ecdh.h"
#include "mbedtls/ecdsa.h"
#include "mbedtls/gcm.h"
#include "mbedtls/sha256.h"

enum { LENGTH = 1024, HASH_LENGTH = 32 };

static uint8_t input[LENGTH], output[LENGTH];

/* Numbers that look random and are the same in each run, so that the figures are. */
static int bench_random(void *context, unsigned char *buffer, size_t length)
{
    (void)context;
    static uint32_t seed = 2463534242U;
    for (size_t i = 0; i < length; i++) {
        buffer[i] = (uint8_t)random_next(&seed);
    }
    return 0;
}

void bench_gcm(uint32_t count)
{
    static const uint8_t key[16], nonce[12], additional[13];
    uint8_t tag[16];
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    CHECK_EQUAL(mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 128), 0);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, LENGTH, nonce,
                                              sizeof(nonce), additional, sizeof(additional),
                                              input, output, sizeof(tag), tag),
                    0);
    }
    mbedtls_gcm_free(&gcm);
}

void bench_sha256(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(mbedtls_sha256(input, LENGTH, output, 0), 0);
    }
}

static mbedtls_ecp_keypair pair;
static mbedtls_mpi r, s; /* a signature of the hash in `output` */

static void sign(void)
{
    CHECK_EQUAL(mbedtls_ecdsa_sign(&pair.private_grp, &r, &s, &pair.private_d, output,
                                   HASH_LENGTH, bench_random, NULL),
                0);
}

/* Called with each bench, whose first call is not measured. */
static void make_key(void)
{
    static bool made;
    if (!made) {
        mbedtls_ecp_keypair_init(&pair);
        mbedtls_mpi_init(&r);
        mbedtls_mpi_init(&s);
        CHECK_EQUAL(
            mbedtls_ecdsa_genkey(&pair, MBEDTLS_ECP_DP_SECP256R1, bench_random, NULL), 0);
        made = true;
        sign();
    }
}

void p256_multiply(uint32_t out[10], const uint32_t a[10], const uint32_t b[10]);
void p256_square(uint32_t out[10], const uint32_t a[10]);

void bench_p256_product(uint32_t count)
{
    uint32_t number[10] = {1};
    for (uint32_t i = 0; i < count; i++) {
        p256_multiply(number, number, number);
    }
}

void bench_p256_square(uint32_t count)
{
    uint32_t number[10] = {1};
    for (uint32_t i = 0; i < count; i++) {
        p256_square(number, number);
    }
}

void bench_key_pair(uint32_t count)
{
    static mbedtls_ecp_point point;
    make_key();
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(mbedtls_ecdh_gen_public(&pair.private_grp, &s, &point, bench_random, NULL),
                    0);
    }
}

void bench_ecdh(uint32_t count)
{
    make_key();
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(mbedtls_ecdh_compute_shared(&pair.private_grp, &s, &pair.private_Q,
                                                &pair.private_d, bench_random, NULL),
                    0);
    }
}

void bench_ecdsa_sign(uint32_t count)
{
    make_key();
    for (uint32_t i = 0; i < count; i++) {
        sign();
    }
}

void bench_ecdsa_verify(uint32_t count)
{
    make_key();
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(mbedtls_ecdsa_verify(&pair.private_grp, output, HASH_LENGTH,
                                         &pair.private_Q, &r, &s),
                    0);
    }
}

/* Of a key that nobody has: a signature that is refused costs as much as one that is good. */
static void verify_rsa(size_t length, uint32_t count)
{
    enum { MOST = 512 };
    static uint8_t modulus[MOST], signature[MOST];
    const struct fw_rsa_key key = {modulus, length, 65537};

    CHECK_EQUAL(bench_random(NULL, modulus, length), 0);
    CHECK_EQUAL(bench_random(NULL, signature, length), 0);
    modulus[0] |= 0xC0;
    modulus[length - 1] |= 1;
    signature[0] &= 0x7F;
    uint32_t *workspace = tls_calloc(1, fw_rsa_workspace(&key));
    CHECK(workspace != NULL);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(fw_rsa_verify(&key, output, HASH_LENGTH, signature, workspace), -1);
    }
    tls_free(workspace);
}

void bench_rsa_2048(uint32_t count)
{
    verify_rsa(256, count);
}

void bench_rsa_4096(uint32_t count)
{
    verify_rsa(512, count);
}
