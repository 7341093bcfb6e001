/* What mbedTLS's rsa.h includes in the place of its own context (MBEDTLS_RSA_ALT): a public key,
 * since RSA signatures are only verified here. */
#ifndef RSA_ALT_H
#define RSA_ALT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mbedtls_rsa_context {
    const uint8_t *modulus; /* the highest byte first, which is not 0; NULL: none yet */
    uint32_t exponent;      /* 0: it has more than 32 bits, and no signature is accepted */
    uint16_t length;        /* bytes of the modulus */
    bool borrowed;          /* the modulus is part of a certificate, and freed with it */
} mbedtls_rsa_context;

/* Whether keys that are parsed from now on may point into their certificates, which then must
 * outlive them. */
void rsa_borrow_keys(bool borrow);

#endif
