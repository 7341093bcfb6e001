/* Signatures of certificates that were found good: a chain that was seen before costs a hash a
 * signature instead of a computation. Only that the signature is that of the key over the hash is
 * remembered; dates, names and purposes are checked every time. */
#ifndef VERIFIED_H
#define VERIFIED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct verified_part {
    const uint8_t *data;
    size_t length;
};

/* Whether what is verified from now on is a certificate. The server's signature over a handshake is
 * none: it is new every time, and always computed. */
void verified_in_chain(bool in_chain);

/* Whether this signature of a certificate, described by all that its verdict depends on, was found
 * good before. */
bool verified_before(const struct verified_part *parts, size_t count);

/* It is good. */
void verified_remember(const struct verified_part *parts, size_t count);

/* Forget all. */
void verified_forget(void);

enum { VERIFIED_DIGESTS = 4, VERIFIED_DIGEST = 32 };

/* A hash of the parts and of their lengths. */
void verified_digest(const struct verified_part *parts, size_t count,
                     uint8_t digest[VERIFIED_DIGEST]);

/* What is remembered, for memory that survives a deep sleep: so many digests, and a code (HMAC) that
 * only who knows the `binding` can make, the device's private key and the roots. Who can write to
 * that memory cannot make a signature good. */
struct verified_sealed {
    uint32_t used;
    uint8_t digests[VERIFIED_DIGESTS][VERIFIED_DIGEST];
    uint8_t code[VERIFIED_DIGEST];
};
/* False without memory. */
bool verified_seal(const struct verified_part *binding, size_t count,
                   struct verified_sealed *sealed);
/* Remember that, instead of what is remembered now. False when the code is another one; then nothing
 * changes. */
bool verified_unseal(const struct verified_part *binding, size_t count,
                     const struct verified_sealed *sealed);

#endif
