/* What mbedtls/gcm.h asks for with MBEDTLS_GCM_ALT: the context, and all functions, which it
 * then does not declare itself. They do as its documentation says, but that additional data
 * comes in one piece. */
#ifndef GCM_ALT_H
#define GCM_ALT_H

#include <stdint.h>

#include "fw_hooks.h"

typedef struct mbedtls_gcm_context {
    uint32_t key[FW_GCM_KEY_WORDS];
    uint32_t message[FW_GCM_MESSAGE_WORDS];
} mbedtls_gcm_context;

void mbedtls_gcm_init(mbedtls_gcm_context *ctx);
void mbedtls_gcm_free(mbedtls_gcm_context *ctx);
int mbedtls_gcm_setkey(mbedtls_gcm_context *ctx, mbedtls_cipher_id_t cipher,
                       const unsigned char *key, unsigned int keybits);
int mbedtls_gcm_starts(mbedtls_gcm_context *ctx, int mode, const unsigned char *iv,
                       size_t iv_len);
int mbedtls_gcm_update_ad(mbedtls_gcm_context *ctx, const unsigned char *add, size_t add_len);
int mbedtls_gcm_update(mbedtls_gcm_context *ctx, const unsigned char *input,
                       size_t input_length, unsigned char *output, size_t output_size,
                       size_t *output_length);
int mbedtls_gcm_finish(mbedtls_gcm_context *ctx, unsigned char *output, size_t output_size,
                       size_t *output_length, unsigned char *tag, size_t tag_len);
int mbedtls_gcm_crypt_and_tag(mbedtls_gcm_context *ctx, int mode, size_t length,
                              const unsigned char *iv, size_t iv_len, const unsigned char *add,
                              size_t add_len, const unsigned char *input,
                              unsigned char *output, size_t tag_len, unsigned char *tag);
int mbedtls_gcm_auth_decrypt(mbedtls_gcm_context *ctx, size_t length, const unsigned char *iv,
                             size_t iv_len, const unsigned char *add, size_t add_len,
                             const unsigned char *tag, size_t tag_len,
                             const unsigned char *input, unsigned char *output);

#endif
