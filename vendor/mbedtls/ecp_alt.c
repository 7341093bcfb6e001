/* mbedTLS's elliptic curves: keys, points, ECDH and ECDSA, all on P-256, by crates/p256.
 *
 * mbedTLS lets all of its module ecp be replaced (MBEDTLS_ECP_ALT), and the functions of ecdh and
 * ecdsa that compute with it. What is here of ecp.h is what the rest of mbedTLS calls. Another
 * curve ends in MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE, and so does a point in compressed form, which
 * TLS does not know. */
/* The module replaced owns what its types hold. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include <string.h>

#include "fw_hooks.h"
#include "mbedtls/ecdh.h"
#include "mbedtls/ecdsa.h"
#include "mbedtls/ecp.h"
#include "mbedtls/error.h"
#include "mbedtls/platform_util.h"
#include "verified.h"

enum {
    NUMBER = FW_P256_NUMBER,
    POINT = FW_P256_POINT,
    UNCOMPRESSED = 4, /* SEC 1, 2.3.3 */
    TLS_SECP256R1 = 23, /* RFC 8422, 5.1.1 */
};

typedef int random_function(void *, unsigned char *, size_t);

/* -- Numbers and points --------------------------------------------------------------- */

/* A point is x and y; z stays empty, which saves 16 bytes a key. One without x is infinity. */
static bool is_infinity(const mbedtls_ecp_point *point)
{
    return point->X.p == NULL;
}

/* A point other than infinity as x and y. */
static int point_bytes(const mbedtls_ecp_point *point, uint8_t bytes[POINT])
{
    if (is_infinity(point)) {
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    }
    const int code = mbedtls_mpi_write_binary(&point->X, bytes, NUMBER);
    return code != 0 ? code : mbedtls_mpi_write_binary(&point->Y, bytes + NUMBER, NUMBER);
}

static int point_from_bytes(mbedtls_ecp_point *point, const uint8_t bytes[POINT])
{
    int code = mbedtls_mpi_read_binary(&point->X, bytes, NUMBER);

    return code != 0 ? code : mbedtls_mpi_read_binary(&point->Y, bytes + NUMBER, NUMBER);
}

/* A secret key that is one. The caller wipes the bytes. */
static int secret_bytes(const mbedtls_mpi *key, uint8_t bytes[NUMBER])
{
    if (mbedtls_mpi_cmp_int(key, 0) <= 0 || mbedtls_mpi_size(key) > NUMBER) {
        return MBEDTLS_ERR_ECP_INVALID_KEY;
    }
    const int code = mbedtls_mpi_write_binary(key, bytes, NUMBER);
    if (code != 0) {
        return code;
    }
    return fw_p256_is_secret_key(bytes) ? 0 : MBEDTLS_ERR_ECP_INVALID_KEY;
}

static int check_group(const mbedtls_ecp_group *group)
{
    return group->id == MBEDTLS_ECP_DP_SECP256R1 ? 0 : MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
}

static int draw(uint8_t bytes[NUMBER], random_function *random, void *context)
{
    return random == NULL ? MBEDTLS_ERR_ECP_BAD_INPUT_DATA : random(context, bytes, NUMBER);
}

/* public_key = key * G */
static int public_key_bytes(const mbedtls_mpi *key, uint8_t public_key[POINT],
                            random_function *random, void *context)
{
    uint8_t secret[NUMBER], blind[NUMBER];
    int code = secret_bytes(key, secret);

    if (code == 0) {
        code = draw(blind, random, context);
    }
    if (code == 0 && fw_p256_public_key(secret, blind, public_key) != 0) {
        code = MBEDTLS_ERR_ECP_INVALID_KEY;
    }
    mbedtls_platform_zeroize(secret, sizeof secret);
    return code;
}

/* -- ecp.h: groups, points, key pairs ------------------------------------------------- */

mbedtls_ecp_curve_type mbedtls_ecp_get_type(const mbedtls_ecp_group *grp)
{
    return grp->id == MBEDTLS_ECP_DP_NONE ? MBEDTLS_ECP_TYPE_NONE
                                          : MBEDTLS_ECP_TYPE_SHORT_WEIERSTRASS;
}

const mbedtls_ecp_group_id *mbedtls_ecp_grp_id_list(void)
{
    static const mbedtls_ecp_group_id list[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_NONE};

    return list;
}

void mbedtls_ecp_point_init(mbedtls_ecp_point *pt)
{
    mbedtls_mpi_init(&pt->X);
    mbedtls_mpi_init(&pt->Y);
    mbedtls_mpi_init(&pt->Z);
}

void mbedtls_ecp_point_free(mbedtls_ecp_point *pt)
{
    if (pt != NULL) {
        mbedtls_mpi_free(&pt->X);
        mbedtls_mpi_free(&pt->Y);
        mbedtls_mpi_free(&pt->Z);
    }
}

void mbedtls_ecp_group_init(mbedtls_ecp_group *grp)
{
    *grp = (mbedtls_ecp_group){.id = MBEDTLS_ECP_DP_NONE};
    mbedtls_ecp_point_init(&grp->G);
}

void mbedtls_ecp_group_free(mbedtls_ecp_group *grp)
{
    if (grp != NULL) {
        mbedtls_ecp_group_init(grp);
    }
}

int mbedtls_ecp_group_load(mbedtls_ecp_group *grp, mbedtls_ecp_group_id id)
{
    mbedtls_ecp_group_init(grp);
    if (id != MBEDTLS_ECP_DP_SECP256R1) {
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    }
    grp->id = id;
    grp->pbits = 8 * NUMBER;
    grp->nbits = 8 * NUMBER;
    return 0;
}

int mbedtls_ecp_group_copy(mbedtls_ecp_group *dst, const mbedtls_ecp_group *src)
{
    return mbedtls_ecp_group_load(dst, src->id);
}

void mbedtls_ecp_keypair_init(mbedtls_ecp_keypair *key)
{
    mbedtls_ecp_group_init(&key->grp);
    mbedtls_mpi_init(&key->d);
    mbedtls_ecp_point_init(&key->Q);
}

void mbedtls_ecp_keypair_free(mbedtls_ecp_keypair *key)
{
    if (key != NULL) {
        mbedtls_ecp_group_free(&key->grp);
        mbedtls_mpi_free(&key->d);
        mbedtls_ecp_point_free(&key->Q);
    }
}

int mbedtls_ecp_copy(mbedtls_ecp_point *P, const mbedtls_ecp_point *Q)
{
    if (is_infinity(Q)) {
        mbedtls_ecp_point_free(P);
        return 0;
    }
    const int code = mbedtls_mpi_copy(&P->X, &Q->X);
    return code != 0 ? code : mbedtls_mpi_copy(&P->Y, &Q->Y);
}

int mbedtls_ecp_is_zero(mbedtls_ecp_point *pt)
{
    return is_infinity(pt);
}

int mbedtls_ecp_point_cmp(const mbedtls_ecp_point *P, const mbedtls_ecp_point *Q)
{
    return is_infinity(P) == is_infinity(Q) && mbedtls_mpi_cmp_mpi(&P->X, &Q->X) == 0 &&
                   mbedtls_mpi_cmp_mpi(&P->Y, &Q->Y) == 0
               ? 0
               : MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
}

/* -- ecp.h: encodings ----------------------------------------------------------------- */

int mbedtls_ecp_point_read_binary(const mbedtls_ecp_group *grp, mbedtls_ecp_point *P,
                                  const unsigned char *buf, size_t ilen)
{
    const int code = check_group(grp);

    if (code != 0) {
        return code;
    }
    if (ilen == 1 + NUMBER && (buf[0] == 2 || buf[0] == 3)) {
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    }
    if (ilen != 1 + POINT || buf[0] != UNCOMPRESSED) {
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    }
    return point_from_bytes(P, buf + 1);
}

int mbedtls_ecp_point_write_binary(const mbedtls_ecp_group *grp, const mbedtls_ecp_point *P,
                                   int format, size_t *olen, unsigned char *buf, size_t buflen)
{
    const int code = check_group(grp);

    if (code != 0) {
        return code;
    }
    if (format != MBEDTLS_ECP_PF_UNCOMPRESSED) {
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    }
    *olen = 1 + POINT;
    if (buflen < *olen) {
        return MBEDTLS_ERR_ECP_BUFFER_TOO_SMALL;
    }
    buf[0] = UNCOMPRESSED;
    return point_bytes(P, buf + 1);
}

int mbedtls_ecp_tls_read_point(const mbedtls_ecp_group *grp, mbedtls_ecp_point *pt,
                               const unsigned char **buf, size_t len)
{
    if (len < 2) {
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    }
    const size_t length = (*buf)[0];
    const unsigned char *point = *buf + 1;
    if (length > len - 1) {
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    }
    *buf += 1 + length;
    return mbedtls_ecp_point_read_binary(grp, pt, point, length);
}

int mbedtls_ecp_tls_write_point(const mbedtls_ecp_group *grp, const mbedtls_ecp_point *pt,
                                int format, size_t *olen, unsigned char *buf, size_t blen)
{
    if (blen < 1) {
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    }
    const int code = mbedtls_ecp_point_write_binary(grp, pt, format, olen, buf + 1, blen - 1);
    if (code == 0) {
        buf[0] = (unsigned char)*olen;
        *olen += 1;
    }
    return code;
}

int mbedtls_ecp_tls_read_group_id(mbedtls_ecp_group_id *grp, const unsigned char **buf,
                                  size_t len)
{
    if (len < 3 || (*buf)[0] != MBEDTLS_ECP_TLS_NAMED_CURVE) {
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    }
    const unsigned id = (unsigned)(*buf)[1] << 8 | (*buf)[2];
    *buf += 3;
    if (id != TLS_SECP256R1) {
        return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    }
    *grp = MBEDTLS_ECP_DP_SECP256R1;
    return 0;
}

/* -- ecp.h: keys ---------------------------------------------------------------------- */

int mbedtls_ecp_check_pubkey(const mbedtls_ecp_group *grp, const mbedtls_ecp_point *pt)
{
    uint8_t bytes[POINT];
    const int code = check_group(grp);

    if (code != 0) {
        return code;
    }
    return point_bytes(pt, bytes) == 0 && fw_p256_is_public_key(bytes)
               ? 0
               : MBEDTLS_ERR_ECP_INVALID_KEY;
}

int mbedtls_ecp_check_privkey(const mbedtls_ecp_group *grp, const mbedtls_mpi *d)
{
    uint8_t bytes[NUMBER];
    int code = check_group(grp);

    if (code == 0) {
        code = secret_bytes(d, bytes);
        mbedtls_platform_zeroize(bytes, sizeof bytes);
    }
    return code;
}

int mbedtls_ecp_read_key(mbedtls_ecp_group_id grp_id, mbedtls_ecp_keypair *key,
                         const unsigned char *buf, size_t buflen)
{
    int code = mbedtls_ecp_group_load(&key->grp, grp_id);

    if (code == 0) {
        code = mbedtls_mpi_read_binary(&key->d, buf, buflen);
    }
    if (code == 0) {
        code = mbedtls_ecp_check_privkey(&key->grp, &key->d);
    }
    if (code != 0) {
        mbedtls_mpi_free(&key->d);
    }
    return code;
}

/* How often a number between 0 and 2^256 may be no secret key. By chance one in 2^32 is none. */
enum { DRAWS = 8 };

int mbedtls_ecp_gen_privkey(const mbedtls_ecp_group *grp, mbedtls_mpi *d,
                            random_function *f_rng, void *p_rng)
{
    uint8_t bytes[NUMBER];
    int code = check_group(grp);

    for (int i = 0; code == 0; i++) {
        code = i < DRAWS ? draw(bytes, f_rng, p_rng) : MBEDTLS_ERR_ECP_RANDOM_FAILED;
        if (code == 0 && fw_p256_is_secret_key(bytes)) {
            code = mbedtls_mpi_read_binary(d, bytes, NUMBER);
            break;
        }
    }
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    return code;
}

int mbedtls_ecp_gen_keypair(mbedtls_ecp_group *grp, mbedtls_mpi *d, mbedtls_ecp_point *Q,
                            random_function *f_rng, void *p_rng)
{
    const int code = mbedtls_ecp_gen_privkey(grp, d, f_rng, p_rng);

    return code != 0 ? code : mbedtls_ecp_mul(grp, Q, d, &grp->G, f_rng, p_rng);
}

/* R = m * G: the rest of mbedTLS multiplies no other point but by mbedtls_ecdh_compute_shared. */
int mbedtls_ecp_mul(mbedtls_ecp_group *grp, mbedtls_ecp_point *R, const mbedtls_mpi *m,
                    const mbedtls_ecp_point *P, random_function *f_rng, void *p_rng)
{
    uint8_t bytes[POINT];
    int code = check_group(grp);

    if (code == 0 && P != &grp->G) {
        code = MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    }
    if (code == 0) {
        code = public_key_bytes(m, bytes, f_rng, p_rng);
    }
    return code != 0 ? code : point_from_bytes(R, bytes);
}

int mbedtls_ecp_check_pub_priv(const mbedtls_ecp_keypair *pub, const mbedtls_ecp_keypair *prv,
                               random_function *f_rng, void *p_rng)
{
    uint8_t wanted[POINT], bytes[POINT];

    if (check_group(&pub->grp) != 0 || check_group(&prv->grp) != 0 ||
        mbedtls_ecp_point_cmp(&pub->Q, &prv->Q) != 0) {
        return MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    }
    int code = point_bytes(&pub->Q, wanted);
    if (code == 0) {
        code = public_key_bytes(&prv->d, bytes, f_rng, p_rng);
    }
    if (code == 0 && memcmp(wanted, bytes, POINT) != 0) {
        code = MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    }
    return code;
}

/* -- ecdh.h --------------------------------------------------------------------------- */

int mbedtls_ecdh_gen_public(mbedtls_ecp_group *grp, mbedtls_mpi *d, mbedtls_ecp_point *Q,
                            random_function *f_rng, void *p_rng)
{
    return mbedtls_ecp_gen_keypair(grp, d, Q, f_rng, p_rng);
}

static int compute_shared(mbedtls_mpi *z, const mbedtls_ecp_point *Q, const mbedtls_mpi *d,
                          const uint8_t blind[NUMBER], struct fw_p256_workspace *workspace)
{
    uint8_t secret[NUMBER], shared[NUMBER], peer[POINT];
    int code = point_bytes(Q, peer);

    if (code == 0) {
        code = secret_bytes(d, secret);
    }
    if (code == 0 && fw_p256_shared_secret(secret, peer, blind, workspace, shared) != 0) {
        code = MBEDTLS_ERR_ECP_BAD_INPUT_DATA;
    }
    if (code == 0) {
        code = mbedtls_mpi_read_binary(z, shared, NUMBER);
    }
    mbedtls_platform_zeroize(secret, sizeof secret);
    mbedtls_platform_zeroize(shared, sizeof shared);
    return code;
}

int mbedtls_ecdh_compute_shared(mbedtls_ecp_group *grp, mbedtls_mpi *z,
                                const mbedtls_ecp_point *Q, const mbedtls_mpi *d,
                                random_function *f_rng, void *p_rng)
{
    uint8_t blind[NUMBER];
    int code = check_group(grp);

    if (code == 0) {
        code = draw(blind, f_rng, p_rng);
    }
    if (code == 0) {
        struct fw_p256_workspace *workspace = tls_calloc(1, sizeof *workspace);
        code = workspace == NULL ? MBEDTLS_ERR_ECP_ALLOC_FAILED
                                 : compute_shared(z, Q, d, blind, workspace);
        mbedtls_zeroize_and_free(workspace, sizeof *workspace);
    }
    return code;
}

/* -- ecdsa.h -------------------------------------------------------------------------- */

int mbedtls_ecdsa_genkey(mbedtls_ecdsa_context *ctx, mbedtls_ecp_group_id gid,
                         random_function *f_rng, void *p_rng)
{
    const int code = mbedtls_ecp_group_load(&ctx->grp, gid);

    return code != 0 ? code
                     : mbedtls_ecp_gen_keypair(&ctx->grp, &ctx->d,
                                               &ctx->Q, f_rng, p_rng);
}

int mbedtls_ecdsa_sign(mbedtls_ecp_group *grp, mbedtls_mpi *r, mbedtls_mpi *s,
                       const mbedtls_mpi *d, const unsigned char *buf, size_t blen,
                       random_function *f_rng, void *p_rng)
{
    uint8_t secret[NUMBER], fresh[NUMBER], signature[POINT];
    int code = check_group(grp);

    if (code == 0) {
        code = secret_bytes(d, secret);
    }
    if (code == 0) {
        code = draw(fresh, f_rng, p_rng);
    }
    if (code == 0 && fw_p256_sign(secret, buf, blen, fresh, signature) != 0) {
        code = MBEDTLS_ERR_ECP_INVALID_KEY;
    }
    if (code == 0) {
        code = mbedtls_mpi_read_binary(r, signature, NUMBER);
    }
    if (code == 0) {
        code = mbedtls_mpi_read_binary(s, signature + NUMBER, NUMBER);
    }
    mbedtls_platform_zeroize(secret, sizeof secret);
    return code;
}

/* Whether this was verified before; `now`: it is. Not inlined: what it puts on the stack would lie
 * below the verification. */
__attribute__((noinline)) static bool is_known(const uint8_t public_key[POINT],
                                               const uint8_t *hash, size_t hash_length,
                                               const uint8_t signature[POINT], bool now)
{
    const struct verified_part parts[] = {
        {public_key, POINT},
        {hash, hash_length},
        {signature, POINT},
    };
    const size_t count = sizeof parts / sizeof parts[0];

    if (now) {
        verified_remember(parts, count);
        return true;
    }
    return verified_before(parts, count);
}

int mbedtls_ecdsa_verify(mbedtls_ecp_group *grp, const unsigned char *buf, size_t blen,
                         const mbedtls_ecp_point *Q, const mbedtls_mpi *r, const mbedtls_mpi *s)
{
    uint8_t public_key[POINT], signature[POINT];
    int code = check_group(grp);

    if (code == 0) {
        code = point_bytes(Q, public_key);
    }
    if (code != 0) {
        return code;
    }
    /* A number that is too long for a signature. */
    if (mbedtls_mpi_write_binary(r, signature, NUMBER) != 0 ||
        mbedtls_mpi_write_binary(s, signature + NUMBER, NUMBER) != 0) {
        return MBEDTLS_ERR_ECP_VERIFY_FAILED;
    }
    if (is_known(public_key, buf, blen, signature, false)) {
        return 0;
    }
    struct fw_p256_workspace *workspace = tls_calloc(1, sizeof *workspace);
    if (workspace == NULL) {
        return MBEDTLS_ERR_ECP_ALLOC_FAILED;
    }
    code = fw_p256_verify(public_key, buf, blen, signature, workspace);
    tls_free(workspace);
    if (code != 0) {
        return MBEDTLS_ERR_ECP_VERIFY_FAILED;
    }
    (void)is_known(public_key, buf, blen, signature, true);
    return 0;
}
