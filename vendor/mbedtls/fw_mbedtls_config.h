/* mbedTLS 3.6.5 as this firmware uses it: a TLS 1.2 client for AWS IoT and nothing else.
 *
 * Not called mbedtls_config.h: mbedTLS would find its own file of that name first.
 *
 * Threads: MBEDTLS_THREADING_C is off. It would guard a random generator, a key or AES tables
 * used by several tasks; here every handshake has its own generator and key, a session has
 * one user at a time (tls_client.h), and one connection at a time fills the AES tables. */
#ifndef FW_MBEDTLS_CONFIG_H
#define FW_MBEDTLS_CONFIG_H

#include <stddef.h>
#include <stdint.h>

/* -- Platform --------------------------------------------------------------------- */
void *tls_calloc(size_t count, size_t size);
void tls_free(void *block);
int64_t tls_time(int64_t *out);

#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_CALLOC_MACRO tls_calloc /* counts what the heap refuses */
#define MBEDTLS_PLATFORM_FREE_MACRO tls_free
#define MBEDTLS_PLATFORM_NO_STD_FUNCTIONS
#define MBEDTLS_HAVE_TIME
#define MBEDTLS_HAVE_TIME_DATE /* certificate dates are checked */
#define MBEDTLS_PLATFORM_TIME_TYPE_MACRO int64_t /* the C library's time_t ends in 2038 */
#define MBEDTLS_PLATFORM_TIME_MACRO tls_time
#define MBEDTLS_PLATFORM_MS_TIME_ALT
#define MBEDTLS_PLATFORM_GMTIME_R_ALT
#define MBEDTLS_NO_PLATFORM_ENTROPY
#define MBEDTLS_ENTROPY_HARDWARE_ALT /* mbedtls_hardware_poll: fw_random */

/* -- Protocol --------------------------------------------------------------------- */
#define MBEDTLS_SSL_TLS_C
#define MBEDTLS_SSL_CLI_C
#define MBEDTLS_SSL_PROTO_TLS1_2
#define MBEDTLS_SSL_SERVER_NAME_INDICATION
#define MBEDTLS_SSL_ALPN
#define MBEDTLS_SSL_EXTENDED_MASTER_SECRET
/* Every suite below is AEAD, so there is no MAC to encrypt first and the extension
 * ENCRYPT_THEN_MAC would never be sent. */
#define MBEDTLS_SSL_MAX_FRAGMENT_LENGTH
#define MBEDTLS_KEY_EXCHANGE_ECDHE_ECDSA_ENABLED
#define MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#define MBEDTLS_SSL_CIPHERSUITES                          \
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,      \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,    \
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,  \
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
/* AWS IoT was seen to send its certificates as one record of 5.4 KB, and its TLS library, s2n,
 * puts up to 8087 bytes into one. After the handshake the records are ours, of any size. */
#define MBEDTLS_SSL_IN_CONTENT_LEN 8192
/* Our largest message is the certificate chain of the device. */
#define MBEDTLS_SSL_OUT_CONTENT_LEN 2048
/* Off on purpose: KEEP_PEER_CERTIFICATE (2.4 KB for the life of a connection),
 * VARIABLE_BUFFER_LENGTH (never lowers the peak, and shrinks the input buffer below what a
 * server may send), RENEGOTIATION, SESSION_TICKETS (AWS IoT has none). */

/* -- Certificates and keys -------------------------------------------------------- */
#define MBEDTLS_X509_USE_C
#define MBEDTLS_X509_CRT_PARSE_C
#define MBEDTLS_X509_REMOVE_INFO
#define MBEDTLS_X509_TRUSTED_CERTIFICATE_CALLBACK /* roots are parsed when they are needed */
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C /* ECDSA signatures */
#define MBEDTLS_OID_C
#define MBEDTLS_PK_C
#define MBEDTLS_PK_PARSE_C

/* -- Public key cryptography ------------------------------------------------------ */
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
#define MBEDTLS_ECDH_C
#define MBEDTLS_ECDSA_C
/* All that computes on the curve is ours: ecp_alt.c. */
#define MBEDTLS_ECP_ALT
#define MBEDTLS_ECDH_GEN_PUBLIC_ALT
#define MBEDTLS_ECDH_COMPUTE_SHARED_ALT
#define MBEDTLS_ECDSA_GENKEY_ALT
#define MBEDTLS_ECDSA_SIGN_ALT
#define MBEDTLS_ECDSA_VERIFY_ALT
#define MBEDTLS_RSA_C /* Amazon Root CA 1 */
#define MBEDTLS_RSA_ALT /* signatures are verified, and nothing else: rsa_alt.c */
#define MBEDTLS_PKCS1_V15
#define MBEDTLS_SHA512_SMALLER /* SHA-384 is for AES-256 suites, which few servers choose */

/* -- Ciphers, hashes, random numbers ---------------------------------------------- */
#define MBEDTLS_CIPHER_C
#define MBEDTLS_AES_C
#define MBEDTLS_BLOCK_CIPHER_NO_DECRYPT /* GCM and CTR only ever encrypt */
#define MBEDTLS_GCM_C
#define MBEDTLS_MD_C
#define MBEDTLS_SHA256_C
/* Ours (ciphers_alt.c), of which the inner loops are assembly. */
#define MBEDTLS_AES_SETKEY_ENC_ALT
#define MBEDTLS_AES_ENCRYPT_ALT
#define MBEDTLS_GCM_ALT
#define MBEDTLS_SHA256_PROCESS_ALT
#define MBEDTLS_SHA384_C
#define MBEDTLS_CTR_DRBG_C
#define MBEDTLS_ENTROPY_C
#define MBEDTLS_ENTROPY_FORCE_SHA256
#define MBEDTLS_ENTROPY_MAX_SOURCES 1
/* The core traps unaligned loads, so MBEDTLS_EFFICIENT_UNALIGNED_ACCESS stays off. */

#if defined(FW_SELF_TEST)
/* Test firmware only. The test vectors print nothing: they return a verdict. */
#define MBEDTLS_SELF_TEST
#undef MBEDTLS_ENTROPY_MAX_SOURCES
#define MBEDTLS_ENTROPY_MAX_SOURCES 2 /* one of them the test's own */
#define MBEDTLS_PLATFORM_PRINTF_MACRO(...) ((void)0)
#endif

#endif
