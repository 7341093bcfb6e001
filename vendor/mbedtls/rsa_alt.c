/* mbedTLS's RSA: public keys, and signatures of PKCS#1 v1.5, verified by crates/rsa.
 *
 * MBEDTLS_RSA_ALT lets all of its module rsa be replaced. What is here of rsa.h is what the rest of
 * mbedTLS calls; what it names without need (private keys, encryption) is refused. */
/* The module replaced owns what its types hold. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include <string.h>

#include "fw_hooks.h"
#include "mbedtls/asn1.h"
#include "mbedtls/error.h"
#include "mbedtls/md.h"
#include "mbedtls/rsa.h"
#include "rsa_internal.h"
#include "verified.h"

static bool borrowing;

void rsa_borrow_keys(bool borrow)
{
    borrowing = borrow;
}

/* -- Keys ----------------------------------------------------------------------------- */

void mbedtls_rsa_init(mbedtls_rsa_context *ctx)
{
    *ctx = (mbedtls_rsa_context){0};
}

void mbedtls_rsa_free(mbedtls_rsa_context *ctx)
{
    if (ctx != NULL) {
        if (!ctx->borrowed) {
            tls_free((void *)ctx->modulus);
        }
        mbedtls_rsa_init(ctx);
    }
}

size_t mbedtls_rsa_get_len(const mbedtls_rsa_context *ctx)
{
    return ctx->length;
}

size_t mbedtls_rsa_get_bitlen(const mbedtls_rsa_context *ctx)
{
    return ctx->length == 0 ? 0 : 8u * ctx->length - ((unsigned)__builtin_clz(ctx->modulus[0]) - 24);
}

/* A positive number without leading zeros. */
static int read_number(unsigned char **p, const unsigned char *end, size_t *length)
{
    const int code = mbedtls_asn1_get_tag(p, end, length, MBEDTLS_ASN1_INTEGER);

    if (code != 0) {
        return code;
    }
    if (*length == 0 || ((*p)[0] & 0x80) != 0) {
        return MBEDTLS_ERR_RSA_BAD_INPUT_DATA;
    }
    while (*length > 0 && (*p)[0] == 0) {
        ++*p;
        --*length;
    }
    return *length == 0 || *length > UINT16_MAX ? MBEDTLS_ERR_RSA_BAD_INPUT_DATA : 0;
}

static int set_modulus(mbedtls_rsa_context *rsa, const unsigned char *modulus, size_t length)
{
    rsa->borrowed = borrowing;
    rsa->modulus = modulus;
    if (!borrowing) {
        uint8_t *copy = tls_calloc(1, length);
        if (copy == NULL) {
            rsa->modulus = NULL;
            return MBEDTLS_ERR_MPI_ALLOC_FAILED;
        }
        rsa->modulus = memcpy(copy, modulus, length);
    }
    rsa->length = (uint16_t)length;
    return 0;
}

/* RSAPublicKey of RFC 8017, A.1.1. What no signature is accepted of is a key all the same: a chain
 * may hold a certificate that it does not need. */
int mbedtls_rsa_parse_pubkey(mbedtls_rsa_context *rsa, const unsigned char *key, size_t keylen)
{
    unsigned char *p = (unsigned char *)key;
    const unsigned char *end = key + keylen;
    size_t length;

    int code = mbedtls_asn1_get_tag(&p, end, &length,
                                    MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
    if (code != 0) {
        return code;
    }
    if (p + length != end) {
        return MBEDTLS_ERR_RSA_BAD_INPUT_DATA;
    }
    code = read_number(&p, end, &length);
    if (code == 0) {
        code = set_modulus(rsa, p, length);
    }
    if (code != 0) {
        return code;
    }
    p += length;
    code = read_number(&p, end, &length);
    if (code != 0) {
        return code;
    }
    rsa->exponent = 0;
    for (size_t i = 0; length <= 4 && i < length; i++) {
        rsa->exponent = rsa->exponent << 8 | p[i];
    }
    return p + length == end ? 0 : MBEDTLS_ERR_ASN1_LENGTH_MISMATCH;
}

/* -- Signatures ----------------------------------------------------------------------- */

static int verify(const struct fw_rsa_key *key, const uint8_t *hash, size_t hash_length,
                  const uint8_t *signature)
{
    const size_t size = fw_rsa_workspace(key);
    if (size == 0) {
        return MBEDTLS_ERR_RSA_BAD_INPUT_DATA;
    }
    uint32_t *workspace = tls_calloc(1, size);
    if (workspace == NULL) {
        return MBEDTLS_ERR_MPI_ALLOC_FAILED;
    }
    const int code = fw_rsa_verify(key, hash, hash_length, signature, workspace);
    tls_free(workspace);
    return code == 0 ? 0 : MBEDTLS_ERR_RSA_VERIFY_FAILED;
}

/* Whether this was verified before; `now`: it is. Not inlined: what it puts on the stack would lie
 * below the verification. */
__attribute__((noinline)) static bool is_known(const struct fw_rsa_key *key, const uint8_t *hash,
                                               size_t hash_length, const uint8_t *signature,
                                               bool now)
{
    const struct verified_part parts[] = {
        {key->modulus, key->length},
        {(const uint8_t *)&key->exponent, sizeof key->exponent},
        {hash, hash_length},
        {signature, key->length},
    };
    const size_t count = sizeof parts / sizeof parts[0];

    if (now) {
        verified_remember(parts, count);
        return true;
    }
    return verified_before(parts, count);
}

/* `sig` has as many bytes as the modulus. */
int mbedtls_rsa_pkcs1_verify(mbedtls_rsa_context *ctx, mbedtls_md_type_t md_alg,
                             unsigned int hashlen, const unsigned char *hash,
                             const unsigned char *sig)
{
    const struct fw_rsa_key key = {ctx->modulus, ctx->length, ctx->exponent};
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(md_alg);

    if (md == NULL || hashlen != mbedtls_md_get_size(md)) {
        return MBEDTLS_ERR_RSA_BAD_INPUT_DATA;
    }
    if (is_known(&key, hash, hashlen, sig, false)) {
        return 0;
    }
    const int code = verify(&key, hash, hashlen, sig);
    if (code == 0) {
        (void)is_known(&key, hash, hashlen, sig, true);
    }
    return code;
}

/* -- What no TLS client with a key on P-256 asks for ----------------------------------- */

int mbedtls_rsa_parse_key(mbedtls_rsa_context *rsa, const unsigned char *key, size_t keylen)
{
    (void)rsa, (void)key, (void)keylen;
    return MBEDTLS_ERR_RSA_BAD_INPUT_DATA;
}

int mbedtls_rsa_check_pub_priv(const mbedtls_rsa_context *pub, const mbedtls_rsa_context *prv)
{
    (void)pub, (void)prv;
    return MBEDTLS_ERR_RSA_KEY_CHECK_FAILED;
}

int mbedtls_rsa_pkcs1_sign(mbedtls_rsa_context *ctx, int (*f_rng)(void *, unsigned char *, size_t),
                           void *p_rng, mbedtls_md_type_t md_alg, unsigned int hashlen,
                           const unsigned char *hash, unsigned char *sig)
{
    (void)ctx, (void)f_rng, (void)p_rng, (void)md_alg, (void)hashlen, (void)hash, (void)sig;
    return MBEDTLS_ERR_RSA_PRIVATE_FAILED;
}

int mbedtls_rsa_pkcs1_encrypt(mbedtls_rsa_context *ctx,
                              int (*f_rng)(void *, unsigned char *, size_t), void *p_rng,
                              size_t ilen, const unsigned char *input, unsigned char *output)
{
    (void)ctx, (void)f_rng, (void)p_rng, (void)ilen, (void)input, (void)output;
    return MBEDTLS_ERR_RSA_PUBLIC_FAILED;
}

int mbedtls_rsa_pkcs1_decrypt(mbedtls_rsa_context *ctx,
                              int (*f_rng)(void *, unsigned char *, size_t), void *p_rng,
                              size_t *olen, const unsigned char *input, unsigned char *output,
                              size_t output_max_len)
{
    (void)ctx, (void)f_rng, (void)p_rng, (void)olen, (void)input, (void)output;
    (void)output_max_len;
    return MBEDTLS_ERR_RSA_PRIVATE_FAILED;
}
