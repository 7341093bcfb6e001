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

#endif
