/* mbedTLS's AES, AES-GCM and SHA-256 over ours: crates/gcm and the LX106's sha256_compress. */
#include <string.h>

#include "fw_hooks.h"
#include "mbedtls/aes.h"
#include "mbedtls/constant_time.h"
#include "mbedtls/error.h"
#include "mbedtls/gcm.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/sha256.h"
#include "sha256_lx106.h"

/* -- AES, of which only encryption is compiled --------------------------------------- */

int mbedtls_aes_setkey_enc(mbedtls_aes_context *ctx, const unsigned char *key,
                           unsigned int keybits)
{
    _Static_assert(sizeof ctx->MBEDTLS_PRIVATE(buf) >= FW_AES_WORDS * sizeof(uint32_t),
                   "the key does not fit mbedTLS's context");
    return fw_aes_set_key(ctx->MBEDTLS_PRIVATE(buf), key, keybits / 8)
               ? 0
               : MBEDTLS_ERR_AES_INVALID_KEY_LENGTH;
}

int mbedtls_internal_aes_encrypt(mbedtls_aes_context *ctx, const unsigned char input[16],
                                 unsigned char output[16])
{
    fw_aes_encrypt(ctx->MBEDTLS_PRIVATE(buf), input, output);
    return 0;
}

/* -- AES-GCM -------------------------------------------------------------------------- */

void mbedtls_gcm_init(mbedtls_gcm_context *ctx)
{
    memset(ctx, 0, sizeof *ctx);
}

void mbedtls_gcm_free(mbedtls_gcm_context *ctx)
{
    if (ctx != NULL) {
        mbedtls_platform_zeroize(ctx, sizeof *ctx);
    }
}

int mbedtls_gcm_setkey(mbedtls_gcm_context *ctx, mbedtls_cipher_id_t cipher,
                       const unsigned char *key, unsigned int keybits)
{
    return cipher == MBEDTLS_CIPHER_ID_AES && fw_gcm_set_key(ctx->key, key, keybits / 8)
               ? 0
               : MBEDTLS_ERR_GCM_BAD_INPUT;
}

int mbedtls_gcm_starts(mbedtls_gcm_context *ctx, int mode, const unsigned char *iv,
                       size_t iv_len)
{
    if (iv_len == 0) {
        return MBEDTLS_ERR_GCM_BAD_INPUT;
    }
    fw_gcm_begin(ctx->message, ctx->key, mode == MBEDTLS_GCM_ENCRYPT, iv, iv_len);
    return 0;
}

/* mbedTLS itself never gives it in pieces. */
int mbedtls_gcm_update_ad(mbedtls_gcm_context *ctx, const unsigned char *add, size_t add_len)
{
    fw_gcm_additional(ctx->message, ctx->key, add, add_len);
    return 0;
}

int mbedtls_gcm_update(mbedtls_gcm_context *ctx, const unsigned char *input,
                       size_t input_length, unsigned char *output, size_t output_size,
                       size_t *output_length)
{
    if (output_size < input_length) {
        return MBEDTLS_ERR_GCM_BUFFER_TOO_SMALL;
    }
    *output_length = input_length;
    if (input_length > 0) {
        memmove(output, input, input_length);
        fw_gcm_update(ctx->message, ctx->key, output, input_length);
    }
    return 0;
}

int mbedtls_gcm_finish(mbedtls_gcm_context *ctx, unsigned char *output, size_t output_size,
                       size_t *output_length, unsigned char *tag, size_t tag_len)
{
    uint8_t whole[16];

    (void)output;
    (void)output_size;
    *output_length = 0; /* nothing is held back */
    if (tag_len < 4 || tag_len > sizeof whole) {
        return MBEDTLS_ERR_GCM_BAD_INPUT;
    }
    fw_gcm_tag(ctx->message, ctx->key, whole);
    memcpy(tag, whole, tag_len);
    return 0;
}

int mbedtls_gcm_crypt_and_tag(mbedtls_gcm_context *ctx, int mode, size_t length,
                              const unsigned char *iv, size_t iv_len, const unsigned char *add,
                              size_t add_len, const unsigned char *input,
                              unsigned char *output, size_t tag_len, unsigned char *tag)
{
    size_t out;
    int code = mbedtls_gcm_starts(ctx, mode, iv, iv_len);

    if (code == 0) {
        code = mbedtls_gcm_update_ad(ctx, add, add_len);
    }
    if (code == 0) {
        code = mbedtls_gcm_update(ctx, input, length, output, length, &out);
    }
    return code == 0 ? mbedtls_gcm_finish(ctx, NULL, 0, &out, tag, tag_len) : code;
}

int mbedtls_gcm_auth_decrypt(mbedtls_gcm_context *ctx, size_t length, const unsigned char *iv,
                             size_t iv_len, const unsigned char *add, size_t add_len,
                             const unsigned char *tag, size_t tag_len,
                             const unsigned char *input, unsigned char *output)
{
    uint8_t wanted[16];
    const int code = mbedtls_gcm_crypt_and_tag(ctx, MBEDTLS_GCM_DECRYPT, length, iv, iv_len,
                                               add, add_len, input, output, tag_len, wanted);

    if (code != 0) {
        return code;
    }
    if (mbedtls_ct_memcmp(wanted, tag, tag_len) != 0) {
        mbedtls_platform_zeroize(output, length);
        return MBEDTLS_ERR_GCM_AUTH_FAILED;
    }
    return 0;
}

/* -- SHA-256 -------------------------------------------------------------------------- */

int mbedtls_internal_sha256_process(mbedtls_sha256_context *ctx, const unsigned char data[64])
{
    uint32_t block[16];

    if ((uintptr_t)data % sizeof block[0] != 0) {
        memcpy(block, data, sizeof block);
        data = (const unsigned char *)block;
    }
    sha256_compress(ctx->MBEDTLS_PRIVATE(state), (const uint32_t *)(const void *)data);
    return 0;
}
