/* What mbedTLS's ecp.h includes in the place of its own types (MBEDTLS_ECP_ALT): the one curve
 * is P-256, and its arithmetic is crates/p256 behind fw_hooks.h. */
#ifndef ECP_ALT_H
#define ECP_ALT_H

#include "mbedtls/bignum.h"

typedef struct mbedtls_ecp_group {
    mbedtls_ecp_group_id id; /* MBEDTLS_ECP_DP_SECP256R1, or NONE until it is loaded */
    mbedtls_mpi A; /* empty, which means -3 */
    uint16_t pbits;
    uint16_t nbits;
    mbedtls_ecp_point G; /* stands for the generator where its address is passed; empty */
} mbedtls_ecp_group;

#endif
