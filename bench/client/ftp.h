/* What every measurement of the bench client shares: a clock, one FTP session over blocking sockets, and its data
 * connections.  Any surprise ends the program with {"error": "..."} on stdout, so that no number comes from half a run. */
#ifndef BENCH_FTP_H
#define BENCH_FTP_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_MAX 8192           /* longest reply kept; FEAT of the peers has under 1 KiB */
#define SOCKET_TIMEOUT_SECONDS 60 /* one read or write; the whole program is bounded by alarm() */

struct session {
    int fd;
    SSL *tls;                 /* of the control connection; NULL in clear */
    SSL_SESSION *ticket;      /* the last one that came, for the next data connection */
    size_t used;              /* bytes read and not yet consumed */
    char in[REPLY_MAX];
    char reply[REPLY_MAX];    /* last line of the last reply, without CRLF */
};

struct target {
    int port;
    const char *user;
    const char *password;
    int tls;                  /* AUTH TLS and PROT P */
};

extern struct target target;

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
double now(void);
double cpu_seconds(void);
void *allocate(size_t count, size_t size);

int connect_loopback(int port);
void session_connect(struct session *s);
void session_login(struct session *s);
void session_send(struct session *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
int session_reply(struct session *s);
void session_expect(struct session *s, int code_class);
int session_data(struct session *s);
void session_quit(struct session *s);

/* tls.c: TLS 1.3 with AES-256-GCM for all servers, so that they are compared in the same cipher. */
#define TLS_CHUNK (256 << 10)  /* given to one SSL_write, asked for in one SSL_read */
SSL *tls_start(struct session *s, int fd, SSL_SESSION *ticket);
void tls_end(SSL *tls);
long tls_resumed(void);        /* data connections so far that resumed */
void session_close(struct session *s);

/* The phases the harness reads the server's CPU between: `ready`, then work after a line on stdin, then the result. */
void phase_ready(void);
void phase_hold(void);

#endif
