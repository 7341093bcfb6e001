#include "tls_client.h"

/* mbedTLS keeps the last alert in its receive buffer, and the numbers of records, and gives no
 * functions for them. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include <stdlib.h>
#include <string.h>

#include "FreeRTOS.h"
#include "task.h"

#include "fw_hooks.h"
#include "lwip/sockets.h"
#include "mbedtls/ctr_drbg.h"
#include "mbedtls/error.h"
#include "mbedtls/net_sockets.h"
#include "mbedtls/oid.h"
#include "mbedtls/pk.h"
#include "mbedtls/platform_util.h"
#include "mbedtls/ssl.h"
#include "mbedtls/ssl_ciphersuites.h"
#include "mbedtls/x509_crt.h"
#include "rsa_alt.h"
#include "ssl_misc.h"
#include "tls_platform.h"
#include "verified.h"

struct tls_profile {
    struct tls_der *roots;
    size_t root_count;
    const struct tls_der *chain;
    size_t chain_count;
    struct tls_der key;
    const char *alpn[2]; /* ends with NULL; [0] is NULL when there is none */
};

/* Bytes of the key block of the largest suite: two keys, two salts (RFC 5246, 6.3; RFC 5288). */
#define KEY_BLOCK_SIZE (2 * (32 + 4))
/* Content of a record that is sent: as much as a server that agreed to our wish for smaller
 * records takes. */
#define SEND_CONTENT 2048
/* Read from the socket at a time. */
#define RECEIVE_CHUNK 512
/* What an alert in the middle of a connection may wait for room. */
#define ALERT_TIMEOUT_MS 1000

/* What only a handshake needs, mbedTLS's session with its two buffers included: a connection
 * then does without. */
struct handshake_material {
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    /* What the keys of records are made from; `prf` is NONE until they are known. */
    mbedtls_tls_prf_types prf;
    uint8_t master_secret[48];
    uint8_t randoms[64]; /* server's, client's */
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
    mbedtls_ctr_drbg_context random;
};

struct tls_session {
    struct fw_records *records; /* NULL until the handshake is done */
    uint16_t suite;
    bool over; /* a fatal alert was sent or received: no close_notify */
    int fd;
    int sys_errno; /* of the last socket call that failed */
    uint32_t last_receive_ms;
    uint32_t deadline_ms; /* while `bounded`: when the handshake must be over */
    bool bounded;
};

static struct tls_error last_error;

uint32_t tls_now_ms(void)
{
    return (uint32_t)xTaskGetTickCount() * portTICK_PERIOD_MS;
}

void tls_last_error(struct tls_error *out)
{
    taskENTER_CRITICAL();
    *out = last_error;
    taskEXIT_CRITICAL();
}

static void record(const struct tls_error *error)
{
    taskENTER_CRITICAL();
    last_error = *error;
    taskEXIT_CRITICAL();
}

void tls_error_clear(void)
{
    record(&(struct tls_error){0});
}

void tls_error_set(enum tls_stage stage, int32_t code, int32_t sys_errno)
{
    record(&(struct tls_error){
        .stage = (uint8_t)stage,
        .code = code,
        .sys_errno = sys_errno,
        .out_of_memory = code == TLS_ERROR_NO_MEMORY,
    });
}

/* -- Profile ---------------------------------------------------------------------- */

/* Parse a certificate that is not copied. Its bytes outlive what is made of them, and so an RSA key
 * may point to them. */
static int parse_in_place(mbedtls_x509_crt *list, const unsigned char *der, size_t length)
{
    rsa_borrow_keys(true);
    const int code = mbedtls_x509_crt_parse_der_nocopy(list, der, length);
    rsa_borrow_keys(false);
    return code;
}

_Static_assert(TLS_CHAIN_MESSAGE == MBEDTLS_SSL_OUT_CONTENT_LEN, "what is sent as one record");

/* A list of certificates to be sent, not parsed: a handshake needs nothing of the device's own but
 * their bytes, and names and keys would take some hundred more of the heap. mbedTLS's own check that
 * they fit wraps when fewer than three bytes are left (mbedtls_ssl_write_certificate, 3.6.5), and the
 * next is written behind the buffer. */
static int list_chain(mbedtls_x509_crt *list, const struct tls_profile *profile)
{
    size_t message = 7; /* type, length, length of the list (RFC 5246, 7.4 and 7.4.2) */

    for (size_t i = 0; i < profile->chain_count; i++) {
        message += 3 + profile->chain[i].length;
        if (message > TLS_CHAIN_MESSAGE) {
            return MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL;
        }
        if (i > 0) {
            list->next = tls_calloc(1, sizeof *list);
            if (list->next == NULL) {
                return MBEDTLS_ERR_X509_ALLOC_FAILED;
            }
            list = list->next;
        }
        list->raw.p = (unsigned char *)profile->chain[i].data;
        list->raw.len = profile->chain[i].length;
    }
    return 0;
}

static int fill_material(struct handshake_material *material,
                         const struct tls_profile *profile, struct tls_error *error)
{
    error->item = TLS_ITEM_RANDOM;
    int code = tls_random_seed(&material->random, profile->key.data, profile->key.length);
    if (code == 0) {
        error->item = (uint8_t)profile->root_count;
        code = list_chain(&material->chain, profile);
    }
    if (code == 0) {
        error->item = TLS_ITEM_KEY;
        code = mbedtls_pk_parse_key(&material->key, profile->key.data, profile->key.length,
                                    NULL, 0, mbedtls_ctr_drbg_random, &material->random);
    }
    return code;
}

static void material_free(struct handshake_material *material)
{
    if (material == NULL) {
        return;
    }
    mbedtls_ssl_free(&material->ssl);
    mbedtls_ssl_config_free(&material->config);
    mbedtls_platform_zeroize(material->master_secret, sizeof material->master_secret);
    mbedtls_x509_crt_free(&material->chain);
    mbedtls_pk_free(&material->key);
    mbedtls_ctr_drbg_free(&material->random);
    tls_free(material);
}

/* Make what a handshake needs of the profile. On failure returns NULL and describes it in `error`. */
static struct handshake_material *material_new(const struct tls_profile *profile,
                                               struct tls_error *error)
{
    const uint32_t refused = tls_refused_allocations();
    struct handshake_material *material = tls_calloc(1, sizeof *material);

    error->stage = TLS_STAGE_PROFILE;
    if (material == NULL) {
        error->code = MBEDTLS_ERR_SSL_ALLOC_FAILED;
        error->out_of_memory = true;
        return NULL;
    }
    mbedtls_ssl_init(&material->ssl);
    mbedtls_ssl_config_init(&material->config);
    mbedtls_x509_crt_init(&material->chain);
    mbedtls_pk_init(&material->key);
    mbedtls_ctr_drbg_init(&material->random);
    error->code = fill_material(material, profile, error);
    if (error->code != 0) {
        error->out_of_memory = tls_refused_allocations() != refused;
        material_free(material);
        return NULL;
    }
    return material;
}

/* Whether the device's own certificate parses, the key belongs to it, and it can be sent with its
 * issuers, of which nothing more is asked. Returns 0 or an error code, and says in `error` what it is
 * about. */
static int check_own(const struct tls_profile *profile, struct tls_error *error)
{
    mbedtls_x509_crt own;

    mbedtls_x509_crt_init(&own);
    error->item = (uint8_t)profile->root_count;
    int code = parse_in_place(&own, profile->chain[0].data, profile->chain[0].length);
    if (code == 0) {
        struct handshake_material *material = material_new(profile, error);
        code = error->code;
        if (material != NULL) {
            code = mbedtls_pk_check_pair(&own.pk, &material->key, mbedtls_ctr_drbg_random,
                                         &material->random);
        }
        material_free(material);
    }
    mbedtls_x509_crt_free(&own);
    return code;
}

/* Leave out the roots that do not parse, of which the last is recorded: there are others, and a
 * server that needs this one says so. Returns 0, or an error code when there was no memory. */
static int keep_readable_roots(struct tls_profile *profile, struct tls_error *error)
{
    const uint32_t refused = tls_refused_allocations();
    size_t kept = 0;

    for (size_t i = 0; i < profile->root_count; i++) {
        mbedtls_x509_crt root;

        mbedtls_x509_crt_init(&root);
        const int code = parse_in_place(&root, profile->roots[i].data, profile->roots[i].length);
        mbedtls_x509_crt_free(&root);
        if (code == 0) {
            profile->roots[kept++] = profile->roots[i];
        } else if (tls_refused_allocations() != refused) {
            return code;
        } else {
            error->code = code;
            error->item = (uint8_t)i;
            record(error);
        }
    }
    profile->root_count = kept;
    return 0;
}

struct tls_profile *tls_profile_new(const struct tls_profile_config *from)
{
    struct tls_error error = {0};
    struct tls_profile *profile = tls_calloc(1, sizeof *profile);

    if (profile == NULL) {
        error.stage = TLS_STAGE_PROFILE;
        error.code = MBEDTLS_ERR_SSL_ALLOC_FAILED;
        error.out_of_memory = true;
        record(&error);
        return NULL;
    }
    profile->roots = from->roots;
    profile->root_count = from->root_count;
    profile->chain = from->chain;
    profile->chain_count = from->chain_count;
    profile->key = from->key;
    profile->alpn[0] = from->alpn;
    verified_forget(); /* there may be other roots now */

    /* Find out now, and not at the first connection, whether all of it is usable. */
    const uint32_t refused = tls_refused_allocations();
    error.stage = TLS_STAGE_PROFILE;
    error.code = check_own(profile, &error);
    if (error.code == 0) {
        error.code = keep_readable_roots(profile, &error);
    }
    error.out_of_memory = error.code != 0 && tls_refused_allocations() != refused;
    if (error.code != 0) {
        record(&error);
        tls_free(profile);
        return NULL;
    }
    return profile;
}

void tls_profile_free(struct tls_profile *profile)
{
    tls_free(profile);
}

_Static_assert(sizeof(struct verified_sealed) == 4 * TLS_KEPT_WORDS, "TLS_KEPT_WORDS");

/* What a verdict on a certificate is bound to: who we are and whom we trust. */
static void bind_verdicts(const struct tls_profile *profile, uint8_t roots[VERIFIED_DIGEST],
                          struct verified_part binding[2])
{
    memset(roots, 0, VERIFIED_DIGEST);
    for (size_t i = 0; i < profile->root_count; i++) {
        const struct verified_part parts[] = {
            {roots, VERIFIED_DIGEST},
            {profile->roots[i].data, profile->roots[i].length},
        };
        verified_digest(parts, 2, roots);
    }
    binding[0] = (struct verified_part){profile->key.data, profile->key.length};
    binding[1] = (struct verified_part){roots, VERIFIED_DIGEST};
}

bool tls_keep_verified(const struct tls_profile *profile, uint32_t words[TLS_KEPT_WORDS])
{
    uint8_t roots[VERIFIED_DIGEST];
    struct verified_part binding[2];
    struct verified_sealed sealed;
    bind_verdicts(profile, roots, binding);
    bool done = verified_seal(binding, 2, &sealed);
    memcpy(words, &sealed, sizeof sealed);
    return done;
}

bool tls_recall_verified(const struct tls_profile *profile, const uint32_t words[TLS_KEPT_WORDS])
{
    uint8_t roots[VERIFIED_DIGEST];
    struct verified_part binding[2];
    struct verified_sealed sealed;
    memcpy(&sealed, words, sizeof sealed);
    bind_verdicts(profile, roots, binding);
    return verified_unseal(binding, 2, &sealed);
}

/* -- The server's certificates ----------------------------------------------------- */

/* enum tls_unsupported of this handshake; there is one at a time. */
static uint8_t unsupported;

static uint8_t unsupported_by(int code)
{
    switch (code) {
    case MBEDTLS_ERR_PK_UNKNOWN_NAMED_CURVE:
    case MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE:
        return TLS_UNSUPPORTED_CURVE;
    case MBEDTLS_ERR_PK_UNKNOWN_PK_ALG:
        return TLS_UNSUPPORTED_KEY;
    case MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG + MBEDTLS_ERR_OID_NOT_FOUND:
    case MBEDTLS_ERR_X509_INVALID_ALG: /* with parameters: RSA-PSS */
        return TLS_UNSUPPORTED_SIGNATURE;
    default:
        return TLS_SUPPORTED;
    }
}

/* mbedTLS calls this instead of its own function (a macro of build.rs for ssl_tls.c). It skips
 * a certificate whose signature it does not know, since the chain may do without it, but ends the
 * handshake over a key that it does not know. A certificate that is not needed does no harm: say
 * the same of both. The first is the server's own, which is needed. */
int tls_parse_peer_certificate(mbedtls_x509_crt *chain, const unsigned char *der, size_t length);
int tls_parse_peer_certificate(mbedtls_x509_crt *chain, const unsigned char *der, size_t length)
{
    const bool first = chain->version == 0;
    const int code = parse_in_place(chain, der, length);
    const uint8_t kind = unsupported_by(code);

    if (kind != TLS_SUPPORTED) {
        unsupported = kind;
        if (!first) {
            return MBEDTLS_ERR_X509_UNKNOWN_SIG_ALG + MBEDTLS_ERR_OID_NOT_FOUND;
        }
    }
    return code;
}

/* -- Socket ----------------------------------------------------------------------- */

/* Milliseconds until `deadline_ms`, 0 when it has passed. */
static uint32_t remaining_ms(uint32_t deadline_ms)
{
    const int32_t left = (int32_t)(deadline_ms - tls_now_ms());

    return left > 0 ? (uint32_t)left : 0;
}

/* Wait until the socket has one of `events`. False when the deadline passed. */
static bool wait_for(int fd, short events, uint32_t deadline_ms)
{
    const uint32_t left = remaining_ms(deadline_ms);
    struct pollfd poll_fd = {.fd = fd, .events = events};

    if (left == 0) {
        return false;
    }
    /* An error (the socket was closed) also ends the wait: the next call meets it. */
    return lwip_poll(&poll_fd, 1, (int)left) != 0;
}

static bool would_block(int error)
{
    return error == EWOULDBLOCK || error == EAGAIN;
}

static int socket_send(void *context, const unsigned char *data, size_t length)
{
    struct tls_session *session = context;

    if (session->bounded && remaining_ms(session->deadline_ms) == 0) {
        return MBEDTLS_ERR_SSL_TIMEOUT;
    }
    const ssize_t sent = lwip_send(session->fd, data, length, MSG_DONTWAIT);
    if (sent >= 0) {
        return (int)sent;
    }
    const int error = errno;
    if (would_block(error)) {
        return MBEDTLS_ERR_SSL_WANT_WRITE;
    }
    session->sys_errno = error;
    return MBEDTLS_ERR_NET_SEND_FAILED;
}

static int socket_receive(void *context, unsigned char *buffer, size_t size)
{
    struct tls_session *session = context;

    /* Here and not only between handshake messages: a server that sends one byte now and
     * then would otherwise keep the handshake going for ever. */
    if (session->bounded && remaining_ms(session->deadline_ms) == 0) {
        return MBEDTLS_ERR_SSL_TIMEOUT;
    }
    const ssize_t received = lwip_recv(session->fd, buffer, size, MSG_DONTWAIT);
    if (received >= 0) {
        session->last_receive_ms = tls_now_ms();
        return (int)received;
    }
    const int error = errno;
    if (would_block(error)) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    session->sys_errno = error;
    return MBEDTLS_ERR_NET_RECV_FAILED;
}

/* -- Session ---------------------------------------------------------------------- */

static void session_free(struct tls_session *session)
{
    fw_records_free(session->records);
    tls_free(session);
}

/* `ssl` is mbedTLS's session while there is one, else NULL. */
static void record_failure(struct tls_session *session, const mbedtls_ssl_context *ssl,
                           enum tls_stage stage, int code, uint32_t refused_before)
{
    struct tls_error error = {
        .stage = (uint8_t)stage,
        .code = code,
        .sys_errno = session->sys_errno,
        .out_of_memory = tls_refused_allocations() != refused_before
                         || code == MBEDTLS_ERR_SSL_ALLOC_FAILED,
        .timed_out = code == MBEDTLS_ERR_SSL_TIMEOUT,
    };
    if (ssl != NULL) {
        /* All ones until a certificate was looked at. */
        const uint32_t flags = mbedtls_ssl_get_verify_result(ssl);
        error.verify_flags = flags == UINT32_MAX ? 0 : flags;
        error.unsupported = unsupported;
        if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && ssl->in_msg != NULL) {
            error.alert = ssl->in_msg[1];
        }
    }
    record(&error);
}

/* The suite is agreed on, and so is which of two hashes over the handshake is wanted; the other
 * would take 340 bytes where memory is shortest, while certificates are verified. */
static void drop_other_hash(mbedtls_ssl_context *ssl)
{
    mbedtls_ssl_handshake_params *handshake = ssl->handshake;

    mbedtls_md_free(handshake->ciphersuite_info->mac == MBEDTLS_MD_SHA384
                        ? &handshake->fin_sha256
                        : &handshake->fin_sha384);
}

static int run_handshake(struct tls_session *session, mbedtls_ssl_context *ssl)
{
    for (;;) {
        /* This step verifies certificates, and nothing else. */
        const bool in_chain = ssl->state == MBEDTLS_SSL_SERVER_CERTIFICATE;
        if (in_chain) {
            drop_other_hash(ssl);
        }
        verified_in_chain(in_chain);
        const int code = mbedtls_ssl_handshake_step(ssl);
        verified_in_chain(false);
        short events;

        if (code == 0 && !mbedtls_ssl_is_handshake_over(ssl)) {
            continue;
        }
        if (code == MBEDTLS_ERR_SSL_WANT_READ) {
            events = POLLIN;
        } else if (code == MBEDTLS_ERR_SSL_WANT_WRITE) {
            events = POLLOUT;
        } else {
            return code;
        }
        if (!wait_for(session->fd, events, session->deadline_ms)) {
            return MBEDTLS_ERR_SSL_TIMEOUT;
        }
    }
}

static bool same_name(const mbedtls_x509_buf *a, const mbedtls_x509_buf *b)
{
    return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

/* mbedTLS asks for roots that may have signed `child`, and frees what it gets. Only those
 * whose name fits are kept parsed: all of them at once would be 1.5 KB more at the peak of
 * the handshake. */
static int find_roots(void *context, const mbedtls_x509_crt *child,
                      mbedtls_x509_crt **candidates)
{
    const struct tls_profile *profile = context;

    *candidates = NULL;
    for (size_t i = 0; i < profile->root_count; i++) {
        mbedtls_x509_crt *root = tls_calloc(1, sizeof *root);
        if (root == NULL) {
            return MBEDTLS_ERR_X509_ALLOC_FAILED;
        }
        mbedtls_x509_crt_init(root);
        const int code =
            parse_in_place(root, profile->roots[i].data, profile->roots[i].length);
        if (code == 0 && same_name(&root->subject_raw, &child->issuer_raw)) {
            root->next = *candidates;
            *candidates = root;
            continue;
        }
        mbedtls_x509_crt_free(root);
        tls_free(root);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

/* While the time is only a lower bound, "not valid yet" means nothing: a device whose time
 * servers are out of reach would never connect again once the server's certificate is
 * younger than the firmware. "Expired" holds against a lower bound too. */
static int judge_dates(void *context, mbedtls_x509_crt *certificate, int depth,
                       uint32_t *flags)
{
    (void)context;
    (void)certificate;
    (void)depth;
    if (!fw_time_is_exact()) {
        *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_FUTURE;
    }
    return 0;
}

static int configure(mbedtls_ssl_config *config, const struct tls_profile *profile,
                     struct handshake_material *material)
{
    int code = mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT,
                                           MBEDTLS_SSL_TRANSPORT_STREAM,
                                           MBEDTLS_SSL_PRESET_DEFAULT);
    if (code != 0) {
        return code;
    }
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &material->random);
    mbedtls_ssl_conf_ca_cb(config, find_roots, (void *)profile);
    mbedtls_ssl_conf_verify(config, judge_dates, NULL);
    /* Ask for records that are soon whole, and yet hold a block of an update: a second record costs
     * it 29 bytes more. A server may ignore the wish. Not by mbedtls_ssl_conf_max_frag_len, which
     * takes nothing beyond the output buffer; what is sent keeps to that all the same. */
    _Static_assert(MBEDTLS_SSL_IN_CONTENT_LEN >= 4096, "what is asked for must fit");
    config->mfl_code = MBEDTLS_SSL_MAX_FRAG_LEN_4096;
    if (profile->alpn[0] != NULL) {
        code = mbedtls_ssl_conf_alpn_protocols(config, (const char **)profile->alpn);
    }
    if (code == 0) {
        code = mbedtls_ssl_conf_own_cert(config, &material->chain, &material->key);
    }
    return code;
}

/* mbedTLS tells the master secret when both sides have it, deep in the handshake: what needs
 * stack comes later. */
static void note_secret(void *context, mbedtls_ssl_key_export_type type,
                        const unsigned char *secret, size_t secret_length,
                        const unsigned char client_random[32],
                        const unsigned char server_random[32], mbedtls_tls_prf_types prf)
{
    struct handshake_material *material = context;

    if (type == MBEDTLS_SSL_KEY_EXPORT_TLS12_MASTER_SECRET
        && secret_length == sizeof material->master_secret) {
        memcpy(material->master_secret, secret, secret_length);
        memcpy(material->randoms, server_random, 32);
        memcpy(material->randoms + 32, client_random, 32);
        material->prf = prf;
    }
}

static uint64_t sequence_number(const unsigned char bytes[8])
{
    uint64_t number = 0;

    for (unsigned i = 0; i < 8; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

/* The handshake is done: go on with records of our own. Every byte after it is still in the
 * socket, because mbedTLS reads no farther than the record that it waits for. Not inlined: its
 * variables would lie below the handshake, the deepest that this task's stack goes. */
__attribute__((noinline)) static int take_over(struct tls_session *session, struct handshake_material *material)
{
    const mbedtls_ssl_context *ssl = &material->ssl;

    session->suite = (uint16_t)mbedtls_ssl_get_ciphersuite_id_from_ssl(ssl);
    const size_t key_size =
        mbedtls_ssl_ciphersuite_get_cipher_key_bitlen(
            mbedtls_ssl_ciphersuite_from_id(session->suite))
        / 8;
    const uint64_t sent = sequence_number(ssl->cur_out_ctr),
                   received = sequence_number(ssl->in_ctr);

    uint8_t key_block[KEY_BLOCK_SIZE];

    /* A record of the handshake may hold one message too many. */
    if (mbedtls_ssl_check_pending(ssl) != 0 || ssl->in_left != 0) {
        return MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE;
    }
    /* RFC 5246, 6.3. A smaller suite takes the beginning of the same block. */
    const int code =
        mbedtls_ssl_tls_prf(material->prf, material->master_secret,
                            sizeof material->master_secret, "key expansion",
                            material->randoms, sizeof material->randoms, key_block,
                            sizeof key_block);
    if (code != 0) {
        return code;
    }
    mbedtls_ssl_free(&material->ssl); /* its buffers first: the heap may be nearly full */
    session->records = fw_records_new(key_block, key_size, sent, received);
    mbedtls_platform_zeroize(key_block, sizeof key_block);
    return session->records != NULL ? 0 : MBEDTLS_ERR_SSL_ALLOC_FAILED;
}

struct tls_session *tls_open(int fd, const char *host, const struct tls_profile *profile,
                             uint32_t timeout_ms)
{
    const uint32_t refused = tls_refused_allocations();
    struct tls_error error = {0};
    struct handshake_material *material = material_new(profile, &error);

    if (material == NULL) {
        record(&error);
        return NULL;
    }
    struct tls_session *session = tls_calloc(1, sizeof *session);
    if (session == NULL) {
        material_free(material);
        record(&(struct tls_error){
            .stage = TLS_STAGE_HANDSHAKE,
            .code = MBEDTLS_ERR_SSL_ALLOC_FAILED,
            .out_of_memory = true,
        });
        return NULL;
    }
    session->fd = fd;
    session->last_receive_ms = tls_now_ms();
    session->deadline_ms = session->last_receive_ms + timeout_ms;
    session->bounded = true;
    unsupported = TLS_SUPPORTED;

    mbedtls_ssl_context *ssl = &material->ssl;
    int code = configure(&material->config, profile, material);
    if (code == 0) {
        code = mbedtls_ssl_setup(ssl, &material->config);
    }
    if (code == 0) {
        code = mbedtls_ssl_set_hostname(ssl, host);
    }
    if (code == 0) {
        mbedtls_ssl_set_bio(ssl, session, socket_send, socket_receive, NULL);
        mbedtls_ssl_set_export_keys_cb(ssl, note_secret, material);
        code = run_handshake(session, ssl);
    }
    if (code == 0) {
        code = take_over(session, material);
        session->bounded = false;
    }
    if (code != 0) {
        record_failure(session, ssl, TLS_STAGE_HANDSHAKE, code, refused);
        session_free(session);
        session = NULL;
    }
    material_free(material);
    return session;
}

/* -- Records ------------------------------------------------------------------------ */

/* Send all of `length` bytes. Returns 0 or an error code. */
static int send_all(struct tls_session *session, const uint8_t *bytes, size_t length,
                    uint32_t deadline_ms)
{
    while (length > 0) {
        const int sent = socket_send(session, bytes, length);
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (sent != 0 && sent != MBEDTLS_ERR_SSL_WANT_WRITE) {
            return sent;
        } else if (!wait_for(session->fd, POLLOUT, deadline_ms)) {
            return MBEDTLS_ERR_SSL_TIMEOUT;
        }
    }
    return 0;
}

static int send_alert(struct tls_session *session, uint8_t description)
{
    uint8_t alert[FW_RECORD_ALERT];

    if (!fw_records_alert(session->records, description, alert)) {
        return MBEDTLS_ERR_SSL_COUNTER_WRAPPING;
    }
    return send_all(session, alert, sizeof alert, tls_now_ms() + ALERT_TIMEOUT_MS);
}

/* A record could not be taken. The peer is told why if it may be told. */
static int refuse_record(struct tls_session *session, const struct fw_record_fault *fault)
{
    static const int codes[] = {
        [FW_RECORD_VERSION] = MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION,
        [FW_RECORD_LENGTH] = MBEDTLS_ERR_SSL_INVALID_RECORD,
        [FW_RECORD_TAG] = MBEDTLS_ERR_SSL_INVALID_MAC,
        [FW_RECORD_UNEXPECTED] = MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE,
        [FW_RECORD_MALFORMED] = MBEDTLS_ERR_SSL_DECODE_ERROR,
        [FW_RECORD_ALERTED] = MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE,
        [FW_RECORD_TRUNCATED] = MBEDTLS_ERR_SSL_CONN_EOF,
        [FW_RECORD_EXHAUSTED] = MBEDTLS_ERR_SSL_COUNTER_WRAPPING,
        [FW_RECORD_OVER] = MBEDTLS_ERR_SSL_BAD_INPUT_DATA,
    };

    session->over = true;
    record(&(struct tls_error){
        .stage = TLS_STAGE_READ,
        .code = codes[fault->kind],
        .alert = fault->received,
    });
    if (fault->answer != 0) {
        (void)send_alert(session, fault->answer);
    }
    return TLS_FAILED;
}

static int receive_failed(struct tls_session *session, int code)
{
    record_failure(session, NULL, TLS_STAGE_READ, code, tls_refused_allocations());
    return TLS_FAILED;
}

int tls_receive(struct tls_session *session, const struct fw_record_sink *sink, size_t budget)
{
    uint8_t bytes[RECEIVE_CHUNK];
    size_t total = 0;

    while (total < budget) {
        struct fw_record_fault fault;
        size_t size = fw_records_wanted(session->records);
        size = size < sizeof bytes ? size : sizeof bytes;
        size = size < budget - total ? size : budget - total;

        const int got = socket_receive(session, bytes, size);
        if (got == MBEDTLS_ERR_SSL_WANT_READ) {
            return total > 0 ? (int)total : TLS_AGAIN;
        }
        if (got < 0) {
            return receive_failed(session, got);
        }
        if (got == 0) {
            /* Without close_notify, which is no harm between records: MQTT delimits its own
             * messages. */
            return fw_records_end(session->records, sink, &fault)
                       ? TLS_CLOSED
                       : refuse_record(session, &fault);
        }
        total += (size_t)got;
        switch (fw_records_take(session->records, bytes, (size_t)got, sink, &fault)) {
        case FW_RECORD_DATA:
            return (int)total;
        case FW_RECORD_CLOSED:
            return TLS_CLOSED;
        case FW_RECORD_FAULT:
            return refuse_record(session, &fault);
        case FW_RECORD_REFUSE: {
            const int code = send_alert(session, MBEDTLS_SSL_ALERT_MSG_NO_RENEGOTIATION);
            if (code != 0) {
                return receive_failed(session, code);
            }
            break;
        }
        default:
            break;
        }
    }
    return (int)total;
}

/* Send one record of application data. Returns 0 or an error code. */
static int send_record(struct tls_session *session, const uint8_t *data, size_t size,
                       uint32_t deadline_ms)
{
    uint8_t *record = tls_calloc(1, size + FW_RECORD_OVERHEAD);

    if (record == NULL) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    memcpy(record + FW_RECORD_PREFIX, data, size);
    const int code =
        fw_records_seal(session->records, record, size + FW_RECORD_OVERHEAD)
            ? send_all(session, record, size + FW_RECORD_OVERHEAD, deadline_ms)
            : MBEDTLS_ERR_SSL_COUNTER_WRAPPING;
    tls_free(record);
    return code;
}

int tls_write(struct tls_session *session, const void *data, size_t size,
              uint32_t timeout_ms)
{
    const uint32_t refused = tls_refused_allocations();
    const uint32_t deadline_ms = tls_now_ms() + timeout_ms;
    const uint8_t *next = data;

    while (size > 0) {
        const size_t step = size < SEND_CONTENT ? size : SEND_CONTENT;
        const int code = send_record(session, next, step, deadline_ms);
        if (code != 0) {
            session->over = true; /* part of a record may have been sent */
            record_failure(session, NULL, TLS_STAGE_WRITE, code, refused);
            return TLS_FAILED;
        }
        next += step;
        size -= step;
    }
    return 0;
}

void tls_close(struct tls_session *session)
{
    uint8_t alert[FW_RECORD_ALERT];

    if (session == NULL) {
        return;
    }
    /* Best effort: what cannot be sent now is not waited for. */
    if (!session->over
        && fw_records_alert(session->records, MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY, alert)) {
        (void)socket_send(session, alert, sizeof alert);
    }
    session_free(session);
}

uint32_t tls_last_receive_ms(const struct tls_session *session)
{
    return session->last_receive_ms;
}

uint16_t tls_cipher_suite(const struct tls_session *session)
{
    return session->suite;
}
