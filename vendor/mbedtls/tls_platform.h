#ifndef TLS_PLATFORM_H
#define TLS_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#include "mbedtls/ctr_drbg.h"

/* How many allocations of mbedTLS the heap has refused since boot. */
uint32_t tls_refused_allocations(void);

/* Seed a generator (which is initialised) from the board's random source and from a
 * digest of the private key `key`, of what tells this board and boot from others, and of the
 * time. The key makes the generator unpredictable for whoever can predict the source; the rest
 * keeps a source that repeats itself at each boot from making the same numbers twice.
 * Returns 0 or mbedTLS's error. */
int tls_random_seed(mbedtls_ctr_drbg_context *random, const uint8_t *key, size_t key_length);

#endif
