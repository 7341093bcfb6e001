/* The names of OpenSSL that paho uses outside SSLSocket.c. Ours stands on mbedTLS, has no
 * context object of its own and resumes no sessions (AWS IoT offers none). */
#ifndef FW_PAHO_OPENSSL_SSL_H
#define FW_PAHO_OPENSSL_SSL_H

typedef struct paho_tls SSL; /* SSLSocket.c */
typedef struct paho_tls_context SSL_CTX;     /* never defined, never made */
typedef struct paho_tls_resumption SSL_SESSION; /* never defined, never made */

#define SSL_get1_session(ssl) ((SSL_SESSION *)0)
#define SSL_set_session(ssl, session) 1
#define SSL_SESSION_free(session) ((void)(session))

#define SSLEAY_VERSION 0
#define SSLEAY_CFLAGS 0
#define SSLEAY_BUILT_ON 0
#define SSLEAY_PLATFORM 0
#define SSLEAY_DIR 0
#define SSLeay_version(item) "mbedTLS"

#endif
