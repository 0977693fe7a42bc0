#define _GNU_SOURCE
#include "ftp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct target target;

void fail(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ')
            *p = '\'';
    printf("{\"error\": \"%s\"}\n", text);
    fflush(stdout);
    _exit(1);
}

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void *allocate(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    if (!p)
        fail("out of memory");
    return p;
}

int connect_loopback(int port)
{
    int one = 1;
    struct timeval timeout = {.tv_sec = SOCKET_TIMEOUT_SECONDS};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect to port %d: %s", port, strerror(errno));
    return fd;
}

/* One line into s->reply; false at the end of the stream. */
static int read_line(struct session *s)
{
    for (;;) {
        char *end = memchr(s->in, '\n', s->used);
        if (end) {
            size_t length = (size_t)(end - s->in) + 1;
            size_t text = length - 1;
            if (text && s->in[text - 1] == '\r')
                text--;
            memcpy(s->reply, s->in, text);
            s->reply[text] = 0;
            memmove(s->in, s->in + length, s->used - length);
            s->used -= length;
            return 1;
        }
        if (s->used == sizeof s->in)
            fail("a reply line over %d bytes", REPLY_MAX);
        ssize_t got = s->tls ? SSL_read(s->tls, s->in + s->used, (int)(sizeof s->in - s->used))
                             : recv(s->fd, s->in + s->used, sizeof s->in - s->used, 0);
        if (got < 0)
            fail("no reply: %s", strerror(errno));
        if (got == 0)
            return 0;
        s->used += (size_t)got;
    }
}

int session_reply(struct session *s)
{
    char first[4] = "";
    do {
        if (!read_line(s))
            fail("control connection closed after '%s'", s->reply);
        if (!first[0] && strlen(s->reply) >= 3)
            memcpy(first, s->reply, 3);
    } while (strncmp(s->reply, first, 3) != 0 || s->reply[3] == '-');
    return atoi(s->reply);
}

void session_expect(struct session *s, int code_class)
{
    int code = session_reply(s);
    if (code / 100 != code_class)
        fail("wanted %dxx, got '%s'", code_class, s->reply);
}

void session_send(struct session *s, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line - 2, format, args);
    va_end(args);
    if (length < 0 || length >= (int)sizeof line - 2)
        fail("a command over %zu bytes", sizeof line);
    line[length++] = '\r';
    line[length++] = '\n';
    ssize_t sent = s->tls ? SSL_write(s->tls, line, length) : send(s->fd, line, (size_t)length, MSG_NOSIGNAL);
    if (sent != length)
        fail("cannot send a command: %s", strerror(errno));
}

void session_connect(struct session *s)
{
    s->used = 0;
    s->reply[0] = 0;
    s->tls = NULL;
    s->ticket = NULL;
    s->fd = connect_loopback(target.port);
    session_expect(s, 2);
    if (target.tls) {
        session_send(s, "AUTH TLS");
        session_expect(s, 2);
        s->tls = tls_start(s, s->fd, NULL);
    }
    session_send(s, "USER %s", target.user);
    session_expect(s, 3);
    session_send(s, "PASS %s", target.password);
    session_expect(s, 2);
}

void session_login(struct session *s)
{
    session_connect(s);
    if (target.tls) {
        session_send(s, "PBSZ 0");
        session_expect(s, 2);
        session_send(s, "PROT P");
        session_expect(s, 2);
    }
    session_send(s, "TYPE I");
    session_expect(s, 2);
}

int session_data(struct session *s)
{
    session_send(s, "EPSV");
    session_expect(s, 2);
    char *mark = strstr(s->reply, "(|||");
    int port = mark ? atoi(mark + 4) : 0;
    if (port <= 0)
        fail("no port in '%s'", s->reply);
    return connect_loopback(port);
}

void session_quit(struct session *s)
{
    session_send(s, "QUIT");
    session_expect(s, 2);
    session_close(s);
}

void session_close(struct session *s)
{
    tls_end(s->tls);
    SSL_SESSION_free(s->ticket);
    close(s->fd);
}

void phase_ready(void)
{
    char line[16];
    puts("{\"ready\": true}");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        fail("stdin closed before the start");
}

void phase_hold(void)
{
    char line[16];
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        ;
}
