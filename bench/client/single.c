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
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void result(long done, long long bytes, double started, double cpu_started)
{
    printf("{\"done\": %ld, \"bytes\": %lld, \"seconds\": %.6f, \"client_cpu\": %.6f}\n", done, bytes,
           now() - started, cpu_seconds() - cpu_started);
    phase_hold();
}

/* MSG_TRUNC makes TCP throw the bytes away inside the kernel: the cheapest reader there is. */
long long drain(int fd)
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

static long long retrieve(struct session *s, const char *name)
{
    int data = session_data(s);
    session_send(s, "RETR %s", name);
    session_expect(s, 1);
    long long bytes = drain(data);
    close(data);
    session_expect(s, 2);
    return bytes;
}

static long long store(struct session *s, int source, off_t size, const char *name)
{
    off_t offset = 0;
    int data = session_data(s);
    session_send(s, "STOR %s", name);
    session_expect(s, 1);
    while (offset < size)
        if (sendfile(data, source, &offset, (size_t)(size - offset)) <= 0)
            fail("sendfile: %s", strerror(errno));
    shutdown(data, SHUT_WR);
    close(data);
    session_expect(s, 2);
    return offset;
}

void run_get(const char *name)
{
    struct session s;
    session_login(&s);
    phase_ready();
    double started = now(), cpu = cpu_seconds();
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

void run_put(const char *local, const char *name)
{
    struct session s;
    off_t size;
    int source = open_source(local, &size);
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
    for (;;) {
        ssize_t got = recv(data, text, sizeof text, 0);
        if (got < 0)
            fail("listing: %s", strerror(errno));
        if (got == 0)
            break;
        *bytes += got;
        for (char *p = text; (p = memchr(p, '\n', (size_t)(text + got - p))); p++)
            lines++;
    }
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
