/* SHA-256's compression of one block, in assembly (FIPS 180-4, 6.2.2). */
#ifndef SHA256_LX106_H
#define SHA256_LX106_H

#include <stdint.h>

/* `block` is 64 bytes of the message, in any memory. */
void sha256_compress(uint32_t state[8], const uint32_t block[16]);

#endif
