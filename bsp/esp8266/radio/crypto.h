/* SHA-1 and AES for the supplicant: mbedTLS's, compiled apart from the TLS library's, which
 * has neither SHA-1 nor decryption. */
#ifndef RADIO_CRYPTO_H
#define RADIO_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

/* mbedtls_sha1_context; Rust copies it. */
struct radio_sha1 {
    uint32_t words[23];
};
void radio_sha1_start(struct radio_sha1 *hash);
void radio_sha1_update(struct radio_sha1 *hash, const uint8_t *bytes, size_t length);
void radio_sha1_finish(struct radio_sha1 *hash, uint8_t digest[20]);

/* One block with a key of 128 bits; expands the key each time. */
void radio_aes_decrypt(const uint8_t key[16], uint8_t block[16]);

#endif
