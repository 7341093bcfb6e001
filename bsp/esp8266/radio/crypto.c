/* See crypto.h. The names of AES's functions are others here, since the TLS library has its
 * own, configured for less. */
#define MBEDTLS_CONFIG_FILE <radio_mbedtls_config.h>
#define mbedtls_aes_init radio_mbedtls_aes_init
#define mbedtls_aes_free radio_mbedtls_aes_free
#define mbedtls_aes_setkey_enc radio_mbedtls_aes_setkey_enc
#define mbedtls_aes_setkey_dec radio_mbedtls_aes_setkey_dec
#define mbedtls_internal_aes_encrypt radio_mbedtls_aes_encrypt
#define mbedtls_internal_aes_decrypt radio_mbedtls_aes_decrypt
#define mbedtls_aes_crypt_ecb radio_mbedtls_aes_crypt_ecb

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#include "aes.c"
#include "sha1.c"
#pragma GCC diagnostic pop

#include "crypto.h"

_Static_assert(sizeof(mbedtls_sha1_context) == sizeof(struct radio_sha1), "crypto.h");

void radio_sha1_start(struct radio_sha1 *hash)
{
    mbedtls_sha1_context *context = (mbedtls_sha1_context *)hash;
    mbedtls_sha1_init(context);
    (void)mbedtls_sha1_starts(context);
}

void radio_sha1_update(struct radio_sha1 *hash, const uint8_t *bytes, size_t length)
{
    (void)mbedtls_sha1_update((mbedtls_sha1_context *)hash, bytes, length);
}

void radio_sha1_finish(struct radio_sha1 *hash, uint8_t digest[20])
{
    (void)mbedtls_sha1_finish((mbedtls_sha1_context *)hash, digest);
}

void radio_aes_decrypt(const uint8_t key[16], uint8_t block[16])
{
    mbedtls_aes_context context;
    mbedtls_aes_init(&context);
    (void)mbedtls_aes_setkey_dec(&context, key, 128);
    (void)mbedtls_aes_crypt_ecb(&context, MBEDTLS_AES_DECRYPT, block, block);
    mbedtls_aes_free(&context);
}
