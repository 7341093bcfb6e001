/* What the supplicant has of mbedTLS. */
#define MBEDTLS_SHA1_C
#define MBEDTLS_AES_C
#define MBEDTLS_AES_ONLY_128_BIT_KEY_LENGTH
#define MBEDTLS_AES_ROM_TABLES /* used a few times an hour: flash will do */
#define MBEDTLS_AES_FEWER_TABLES
