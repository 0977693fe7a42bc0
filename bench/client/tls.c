/* TLS for the control connection and its data connections. */
#define _GNU_SOURCE
#include "ftp.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>

static SSL_CTX *context;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_long resumed;

/* In TLS 1.3 tickets come when something is read; each is kept until the next one comes. */
static int keep_ticket(SSL *tls, SSL_SESSION *ticket)
{
    struct session *s = SSL_get_app_data(tls);
    SSL_SESSION_free(s->ticket);
    s->ticket = ticket;
    return 1;
}

static void make_context(void)
{
    context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384"))
        fail("no TLS 1.3 with AES-256-GCM here");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_ticket);
    /* Some servers end without close_notify: sizes are checked, so that is no error here. */
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
}

SSL *tls_start(struct session *s, int fd, SSL_SESSION *ticket)
{
    pthread_once(&once, make_context);
    SSL *tls = SSL_new(context);
    if (!tls || !SSL_set_fd(tls, fd))
        fail("no memory for TLS");
    SSL_set_app_data(tls, s);
    if (ticket)
        SSL_set_session(tls, ticket);
    if (SSL_connect(tls) != 1) {
        unsigned long error = ERR_get_error();
        fail("TLS handshake: %s", error ? ERR_reason_error_string(error) : "the connection ended");
    }
    if (SSL_session_reused(tls))
        atomic_fetch_add(&resumed, 1);
    return tls;
}

void tls_end(SSL *tls)
{
    if (!tls)
        return;
    SSL_shutdown(tls);
    SSL_free(tls);
}

long tls_resumed(void)
{
    return atomic_load(&resumed);
}
