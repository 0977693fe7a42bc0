/* Rows of one thing at a time: bulk each way, small files each way, listings, whole sessions. */
#define _GNU_SOURCE
#include "client.h"
#include "ftp.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void result(long done, long long bytes, double started, double cpu_started)
{
    printf("{\"done\": %ld, \"bytes\": %lld, \"resumed\": %ld, \"seconds\": %.6f, \"client_cpu\": %.6f}\n", done, bytes,
           tls_resumed(), now() - started, cpu_seconds() - cpu_started);
    phase_hold();
}

static long long drain_tls(SSL *tls)
{
    static __thread char sink[TLS_CHUNK];
    long long total = 0;
    for (;;) {
        int got = SSL_read(tls, sink, sizeof sink);
        if (got <= 0) {
            if (SSL_get_error(tls, got) != SSL_ERROR_ZERO_RETURN)
                fail("data connection: TLS ended with an error");
            return total;
        }
        total += got;
    }
}

/* MSG_TRUNC makes TCP throw the bytes away inside the kernel: the cheapest reader there is. */
static long long drain(int fd)
{
    static char sink[1];
    long long total = 0;
    for (;;) {
        ssize_t got = recv(fd, sink, DRAIN_BYTES, MSG_TRUNC);
        if (got < 0)
            fail("data connection: %s", strerror(errno));
        if (got == 0)
            return total;
        total += got;
    }
}

/* In TLS the handshake follows the 150, as with most clients. */
static SSL *data_tls(struct session *s, int data)
{
    return target.tls ? tls_start(s, data, s->ticket) : NULL;
}

static long long retrieve(struct session *s, const char *name)
{
    int data = session_data(s);
    session_send(s, "RETR %s", name);
    session_expect(s, 1);
    SSL *tls = data_tls(s, data);
    long long bytes = tls ? drain_tls(tls) : drain(data);
    tls_end(tls);
    close(data);
    session_expect(s, 2);
    return bytes;
}

static void send_tls(SSL *tls, int source, off_t size)
{
    char *bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, source, 0);
    if (bytes == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    for (off_t sent = 0; sent < size;) {
        int put = SSL_write(tls, bytes + sent, size - sent < TLS_CHUNK ? (int)(size - sent) : TLS_CHUNK);
        if (put <= 0)
            fail("data connection: TLS takes no more");
        sent += put;
    }
    munmap(bytes, (size_t)size);
}

static long long store(struct session *s, int source, off_t size, const char *name)
{
    off_t offset = 0;
    int data = session_data(s);
    session_send(s, "STOR %s", name);
    session_expect(s, 1);
    SSL *tls = data_tls(s, data);
    if (tls) {
        send_tls(tls, source, size);
        /* Tickets that nobody reads would turn close() into a reset, and could not be used for the next file. */
        SSL_shutdown(tls);
        shutdown(data, SHUT_WR);
        drain_tls(tls);
        session_expect(s, 2);
        SSL_free(tls);
        close(data);
        return size;
    }
    while (offset < size)
        if (sendfile(data, source, &offset, (size_t)(size - offset)) <= 0)
            fail("sendfile: %s", strerror(errno));
    shutdown(data, SHUT_WR);
    close(data);
    session_expect(s, 2);
    return offset;
}

void run_get(const char *name, long long offset)
{
    struct session s;
    session_login(&s);
    phase_ready();
    double started = now(), cpu = cpu_seconds();
    if (offset) {
        session_send(&s, "REST %lld", offset);
        session_expect(&s, 3);
    }
    long long bytes = retrieve(&s, name);
    result(1, bytes, started, cpu);
}

static int open_source(const char *local, off_t *size)
{
    struct stat status;
    int source = open(local, O_RDONLY | O_CLOEXEC);
    if (source < 0 || fstat(source, &status) < 0)
        fail("%s: %s", local, strerror(errno));
    *size = status.st_size;
    return source;
}

/* The first SIZE bytes of LOCAL. */
void run_put(const char *local, long long size, const char *name)
{
    struct session s;
    off_t whole;
    int source = open_source(local, &whole);
    if (size > whole)
        fail("%s has %lld bytes", local, (long long)whole);
    session_login(&s);
    phase_ready();
    double started = now(), cpu = cpu_seconds();
    long long bytes = store(&s, source, size, name);
    result(1, bytes, started, cpu);
}

/* Names are DIRECTORY/f00000, f00001, ...; the upload sends LOCAL under each of them. */
void run_small(const char *directory, long count, const char *local)
{
    struct session s;
    char name[512];
    off_t size = 0;
    long long bytes = 0;
    int source = local ? open_source(local, &size) : -1;
    session_login(&s);
    phase_ready();
    double started = now(), cpu = cpu_seconds();
    for (long i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/f%05ld", directory, i);
        bytes += local ? store(&s, source, size, name) : retrieve(&s, name);
    }
    result(count, bytes, started, cpu);
}

/* A listing is read, not thrown away: its lines are counted, which proves that it is whole. */
long read_listing(struct session *s, const char *verb, const char *directory, long long *bytes)
{
    static __thread char text[1 << 18];
    long lines = 0;
    int data = session_data(s);
    session_send(s, "%s %s", verb, directory);
    session_expect(s, 1);
    SSL *tls = data_tls(s, data);
    for (;;) {
        ssize_t got = tls ? SSL_read(tls, text, sizeof text) : recv(data, text, sizeof text, 0);
        if (got < 0 && !tls)
            fail("listing: %s", strerror(errno));
        if (got <= 0)
            break;
        *bytes += got;
        for (char *p = text; (p = memchr(p, '\n', (size_t)(text + got - p))); p++)
            lines++;
    }
    tls_end(tls);
    close(data);
    session_expect(s, 2);
    return lines;
}

void run_list(const char *verb, const char *directory)
{
    struct session s;
    long long bytes = 0;
    session_login(&s);
    phase_ready();
    double started = now(), cpu = cpu_seconds();
    long lines = read_listing(&s, verb, directory, &bytes);
    result(lines, bytes, started, cpu);
}

struct session_work {
    atomic_long left;
    atomic_long done;
    double until;
};

static void *session_thread(void *argument)
{
    struct session_work *work = argument;
    struct session s;
    while (now() < work->until && atomic_fetch_sub(&work->left, 1) > 0) {
        session_connect(&s);
        session_send(&s, "PWD");
        session_expect(&s, 2);
        session_quit(&s);
        atomic_fetch_add(&work->done, 1);
    }
    return NULL;
}

/* At most COUNT sessions and at most SECONDS: some peers take 80 ms each, others 0.3. */
void run_sessions(long count, int concurrency, double seconds)
{
    pthread_t threads[MAX_CONCURRENCY];
    struct session_work work;
    if (concurrency < 1 || concurrency > MAX_CONCURRENCY)
        fail("concurrency is 1 to %d", MAX_CONCURRENCY);
    phase_ready();
    double started = now(), cpu = cpu_seconds();
    atomic_init(&work.left, count);
    atomic_init(&work.done, 0);
    work.until = started + seconds;
    for (int i = 0; i < concurrency; i++)
        if (pthread_create(&threads[i], NULL, session_thread, &work))
            fail("cannot start a thread");
    for (int i = 0; i < concurrency; i++)
        pthread_join(threads[i], NULL);
    result(atomic_load(&work.done), 0, started, cpu);
}
