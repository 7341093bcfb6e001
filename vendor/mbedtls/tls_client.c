#include "tls_client.h"

/* mbedTLS keeps the last alert in its receive buffer and gives no function for it. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include <stdlib.h>
#include <string.h>

#include "FreeRTOS.h"
#include "task.h"

#include "fw_hooks.h"
#include "lwip/sockets.h"
#include "mbedtls/ctr_drbg.h"
#include "mbedtls/entropy.h"
#include "mbedtls/error.h"
#include "mbedtls/net_sockets.h"
#include "mbedtls/oid.h"
#include "mbedtls/pk.h"
#include "mbedtls/ssl.h"
#include "mbedtls/x509_crt.h"
#include "tls_platform.h"

struct tls_profile {
    const struct tls_der *roots;
    size_t root_count;
    const struct tls_der *chain;
    size_t chain_count;
    struct tls_der key;
    const char *alpn[2]; /* ends with NULL; [0] is NULL when there is none */
};

/* What only a handshake needs: 2 KB that a connection then does without. */
struct handshake_material {
    mbedtls_x509_crt chain;
    mbedtls_pk_context key;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
};

struct tls_session {
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
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
    });
}

/* -- Profile ---------------------------------------------------------------------- */

static int parse_certificates(mbedtls_x509_crt *list, const struct tls_der *documents,
                              size_t count, size_t first_item, struct tls_error *error)
{
    for (size_t i = 0; i < count; i++) {
        error->item = (uint8_t)(first_item + i);
        int code = mbedtls_x509_crt_parse_der_nocopy(list, documents[i].data,
                                                     documents[i].length);
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

static int fill_material(struct handshake_material *material,
                         const struct tls_profile *profile, struct tls_error *error)
{
    error->item = TLS_ITEM_RANDOM;
    int code = tls_random_seed(&material->random, &material->entropy, profile->key.data,
                               profile->key.length);
    if (code == 0) {
        code = parse_certificates(&material->chain, profile->chain, profile->chain_count,
                                  profile->root_count, error);
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
    mbedtls_x509_crt_free(&material->chain);
    mbedtls_pk_free(&material->key);
    mbedtls_ctr_drbg_free(&material->random);
    mbedtls_entropy_free(&material->entropy);
    tls_free(material);
}

/* Parse the profile's documents. On failure returns NULL and describes it in `error`. */
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
    mbedtls_x509_crt_init(&material->chain);
    mbedtls_pk_init(&material->key);
    mbedtls_entropy_init(&material->entropy);
    mbedtls_ctr_drbg_init(&material->random);
    error->code = fill_material(material, profile, error);
    if (error->code != 0) {
        error->out_of_memory = tls_refused_allocations() != refused;
        material_free(material);
        return NULL;
    }
    return material;
}

/* Whether all roots parse. On failure describes it in `error`. */
static bool check_roots(const struct tls_profile *profile, struct tls_error *error)
{
    const uint32_t refused = tls_refused_allocations();
    mbedtls_x509_crt roots;

    mbedtls_x509_crt_init(&roots);
    error->stage = TLS_STAGE_PROFILE;
    error->code = parse_certificates(&roots, profile->roots, profile->root_count, 0, error);
    error->out_of_memory = error->code != 0 && tls_refused_allocations() != refused;
    mbedtls_x509_crt_free(&roots);
    return error->code == 0;
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

    /* Find out now, and not at the first connection, whether all of it is usable. */
    struct handshake_material *material = NULL;
    if (check_roots(profile, &error)) {
        material = material_new(profile, &error);
    }
    if (material != NULL) {
        const uint32_t refused = tls_refused_allocations();
        error.code = mbedtls_pk_check_pair(&material->chain.pk, &material->key,
                                           mbedtls_ctr_drbg_random, &material->random);
        error.out_of_memory = error.code != 0 && tls_refused_allocations() != refused;
        material_free(material);
    }
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
        return TLS_UNSUPPORTED_SIGNATURE;
    default:
        return TLS_SUPPORTED;
    }
}

int __real_mbedtls_x509_crt_parse_der_nocopy(mbedtls_x509_crt *chain,
                                             const unsigned char *der, size_t length);
int __wrap_mbedtls_x509_crt_parse_der_nocopy(mbedtls_x509_crt *chain,
                                             const unsigned char *der, size_t length);

/* The linker puts this in front of mbedTLS's function (--wrap in tools/xtensa-link). mbedTLS skips
 * a certificate whose signature it does not know, since the chain may do without it, but ends the
 * handshake over a key that it does not know. A certificate that is not needed does no harm: say
 * the same of both. The first is the server's own, which is needed. */
int __wrap_mbedtls_x509_crt_parse_der_nocopy(mbedtls_x509_crt *chain,
                                             const unsigned char *der, size_t length)
{
    const bool first = chain->version == 0;
    const int code = __real_mbedtls_x509_crt_parse_der_nocopy(chain, der, length);
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
    mbedtls_ssl_free(&session->ssl);
    mbedtls_ssl_config_free(&session->config);
    tls_free(session);
}

static void record_failure(struct tls_session *session, enum tls_stage stage, int code,
                           uint32_t refused_before)
{
    struct tls_error error = {
        .stage = (uint8_t)stage,
        .code = code,
        .sys_errno = session->sys_errno,
        .out_of_memory = tls_refused_allocations() != refused_before,
        .timed_out = code == MBEDTLS_ERR_SSL_TIMEOUT,
    };
    if (stage == TLS_STAGE_HANDSHAKE) {
        /* All ones until a certificate was looked at. */
        const uint32_t flags = mbedtls_ssl_get_verify_result(&session->ssl);
        error.verify_flags = flags == UINT32_MAX ? 0 : flags;
        error.unsupported = unsupported;
    }
    if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && session->ssl.in_msg != NULL) {
        error.alert = session->ssl.in_msg[1];
    }
    record(&error);
}

static int run_handshake(struct tls_session *session)
{
    for (;;) {
        const int code = mbedtls_ssl_handshake(&session->ssl);
        short events;

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
        const int code = mbedtls_x509_crt_parse_der_nocopy(root, profile->roots[i].data,
                                                           profile->roots[i].length);
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
    /* Ask for records that fit; a server that ignores the wish may still send 6.5 KB. */
    code = mbedtls_ssl_conf_max_frag_len(config, MBEDTLS_SSL_MAX_FRAG_LEN_2048);
    if (code == 0 && profile->alpn[0] != NULL) {
        code = mbedtls_ssl_conf_alpn_protocols(config, (const char **)profile->alpn);
    }
    if (code == 0) {
        code = mbedtls_ssl_conf_own_cert(config, &material->chain, &material->key);
    }
    return code;
}

/* Take what is about to be freed out of the configuration, which the session keeps. After
 * the handshake nothing uses it: there is no renegotiation, and AES-GCM in TLS 1.2 counts
 * its nonces instead of drawing them. */
static void detach(mbedtls_ssl_config *config)
{
    mbedtls_ssl_conf_rng(config, NULL, NULL);
    (void)mbedtls_ssl_conf_own_cert(config, NULL, NULL); /* frees the list */
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
    mbedtls_ssl_init(&session->ssl);
    mbedtls_ssl_config_init(&session->config);

    int code = configure(&session->config, profile, material);
    if (code == 0) {
        code = mbedtls_ssl_setup(&session->ssl, &session->config);
    }
    if (code == 0) {
        code = mbedtls_ssl_set_hostname(&session->ssl, host);
    }
    if (code == 0) {
        mbedtls_ssl_set_bio(&session->ssl, session, socket_send, socket_receive, NULL);
        code = run_handshake(session);
    }
    if (code == 0) {
        detach(&session->config);
        session->bounded = false;
    } else {
        record_failure(session, TLS_STAGE_HANDSHAKE, code, refused);
        session_free(session);
        session = NULL;
    }
    material_free(material);
    return session;
}

int tls_read(struct tls_session *session, void *buffer, size_t size)
{
    const uint32_t refused = tls_refused_allocations();
    const int code = mbedtls_ssl_read(&session->ssl, buffer, size);

    if (code > 0) {
        return code;
    }
    switch (code) {
    case MBEDTLS_ERR_SSL_WANT_READ:
    case MBEDTLS_ERR_SSL_WANT_WRITE:
        return TLS_AGAIN;
    case 0: /* end of stream without close_notify; MQTT delimits its own messages */
    case MBEDTLS_ERR_SSL_CONN_EOF:
    case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
        return TLS_CLOSED;
    default:
        record_failure(session, TLS_STAGE_READ, code, refused);
        return TLS_FAILED;
    }
}

bool tls_pending(const struct tls_session *session)
{
    return mbedtls_ssl_get_bytes_avail(&session->ssl) > 0
           || mbedtls_ssl_check_pending(&session->ssl) != 0;
}

int tls_write(struct tls_session *session, const void *data, size_t size,
              uint32_t timeout_ms)
{
    const uint32_t refused = tls_refused_allocations();
    const uint32_t deadline_ms = tls_now_ms() + timeout_ms;
    const uint8_t *next = data;
    int code = 0;

    while (size > 0) {
        code = mbedtls_ssl_write(&session->ssl, next, size);
        if (code > 0) {
            next += code;
            size -= (size_t)code;
        } else if (code == MBEDTLS_ERR_SSL_WANT_WRITE || code == MBEDTLS_ERR_SSL_WANT_READ) {
            const short events = code == MBEDTLS_ERR_SSL_WANT_WRITE ? POLLOUT : POLLIN;
            if (!wait_for(session->fd, events, deadline_ms)) {
                code = MBEDTLS_ERR_SSL_TIMEOUT;
                break;
            }
        } else {
            break;
        }
    }
    if (size == 0) {
        return 0;
    }
    record_failure(session, TLS_STAGE_WRITE, code, refused);
    return TLS_FAILED;
}

void tls_close(struct tls_session *session)
{
    if (session == NULL) {
        return;
    }
    /* Best effort: what cannot be sent now is not waited for. */
    (void)mbedtls_ssl_close_notify(&session->ssl);
    session_free(session);
}

uint32_t tls_last_receive_ms(const struct tls_session *session)
{
    return session->last_receive_ms;
}

uint16_t tls_cipher_suite(const struct tls_session *session)
{
    return (uint16_t)mbedtls_ssl_get_ciphersuite_id_from_ssl(&session->ssl);
}
