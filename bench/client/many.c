/* Rows of many at once: idle sessions, parallel downloads, latency of one session under the load of others. */
#define _GNU_SOURCE
#include "client.h"
#include "ftp.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double noop(struct session *s)
{
    double started = now();
    session_send(s, "NOOP");
    session_expect(s, 2);
    return (now() - started) * 1e6;
}

static void print_array(const char *name, const double *values, int count)
{
    printf("\"%s\": [", name);
    for (int i = 0; i < count; i++)
        printf(i ? ", %.1f" : "%.1f", values[i]);
    printf("]");
}

/* The harness reads the server's memory between `ready` and the line that starts the NOOPs. */
void run_idle(int count, int probes)
{
    if (count < 1 || count > MAX_SESSIONS || probes < 0 || probes > MAX_SAMPLES)
        fail("sessions are 1 to %d, probes up to %d", MAX_SESSIONS, MAX_SAMPLES);
    struct session *s = allocate((size_t)count, sizeof *s);
    double *latency = allocate((size_t)probes, sizeof *latency);
    for (int i = 0; i < count; i++)
        session_connect(&s[i]);
    phase_ready();
    double started = now(), cpu = cpu_seconds();
    for (int i = 0; i < probes; i++)
        latency[i] = noop(&s[i % count]);
    printf("{\"done\": %d, \"seconds\": %.6f, \"client_cpu\": %.6f, ", count, now() - started, cpu_seconds() - cpu);
    print_array("latency_us", latency, probes);
    puts("}");
    phase_hold();
}

struct download {
    struct session *session;
    int data;
    long long bytes;
    double finished_us;
};

static void watch(int poll, struct download *d)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = d};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, d->data, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

/* One readiness of one download: at most DRAIN_BYTES, so that all get their turn.  True at the end of the file. */
static int drain_turn(struct download *d)
{
    static char sink[1];
    ssize_t got = recv(d->data, sink, DRAIN_BYTES, MSG_TRUNC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got < 0)
        fail("download: %s", strerror(errno));
    d->bytes += got;
    return got == 0;
}

/* All sessions hold a connected data channel before the first RETR leaves, so the start is common to all. */
void run_many(int count, const char *name)
{
    struct epoll_event events[64];
    long long bytes = 0;
    if (count < 1 || count > MAX_SESSIONS)
        fail("downloads are 1 to %d", MAX_SESSIONS);
    struct session *s = allocate((size_t)count, sizeof *s);
    struct download *d = allocate((size_t)count, sizeof *d);
    double *finished = allocate((size_t)count, sizeof *finished);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        session_login(&s[i]);
        d[i].session = &s[i];
        d[i].data = session_data(&s[i]);
        watch(poll, &d[i]);
    }
    phase_ready();
    double started = now(), cpu = cpu_seconds();
    for (int i = 0; i < count; i++)
        session_send(&s[i], "RETR %s", name);
    for (int left = count; left > 0;) {
        int ready = epoll_wait(poll, events, 64, SOCKET_TIMEOUT_SECONDS * 1000);
        if (ready <= 0)
            fail("%d of %d downloads stand still", left, count);
        for (int i = 0; i < ready; i++) {
            struct download *one = events[i].data.ptr;
            if (!drain_turn(one))
                continue;
            one->finished_us = (now() - started) * 1e6;
            close(one->data);
            left--;
        }
    }
    double seconds = now() - started;
    for (int i = 0; i < count; i++) {
        session_expect(&s[i], 1);
        session_expect(&s[i], 2);
        bytes += d[i].bytes;
        finished[i] = d[i].finished_us;
    }
    printf("{\"done\": %d, \"bytes\": %lld, \"seconds\": %.6f, \"client_cpu\": %.6f, ", count, bytes, seconds,
           cpu_seconds() - cpu);
    print_array("finished_us", finished, count);
    puts("}");
    phase_hold();
}

struct load {
    const char *name;       /* file that the bulk downloads repeat */
    const char *directory;  /* listed again and again */
    int bulk;
    struct session *sessions;
    struct session lister;
    atomic_llong bytes;
    atomic_long lists;
    atomic_int stop;
};

static void start_download(struct download *d, int poll, const char *name)
{
    d->data = session_data(d->session);
    session_send(d->session, "RETR %s", name);
    session_expect(d->session, 1);
    watch(poll, d);
}

static void *bulk_thread(void *argument)
{
    struct load *load = argument;
    struct epoll_event events[64];
    struct download *d = allocate((size_t)load->bulk, sizeof *d);
    int poll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < load->bulk; i++) {
        d[i].session = &load->sessions[i];
        start_download(&d[i], poll, load->name);
    }
    while (!atomic_load(&load->stop)) {
        int ready = epoll_wait(poll, events, 64, 100);
        for (int i = 0; i < ready; i++) {
            struct download *one = events[i].data.ptr;
            long long before = one->bytes;
            if (drain_turn(one)) {
                close(one->data);
                session_expect(one->session, 2);
                start_download(one, poll, load->name);
            }
            atomic_fetch_add(&load->bytes, one->bytes - before);
        }
    }
    return NULL;
}

static void *list_thread(void *argument)
{
    struct load *load = argument;
    while (!atomic_load(&load->stop)) {
        long long bytes = 0;
        read_listing(&load->lister, "LIST", load->directory, &bytes);
        atomic_fetch_add(&load->lists, 1);
    }
    return NULL;
}

/* One NOOP a millisecond, each timed alone; the load runs in two threads beside it. */
void run_noop(int bulk, const char *name, const char *directory, double seconds)
{
    struct load load = {.name = name, .directory = directory, .bulk = bulk};
    struct session s;
    pthread_t threads[2];
    struct timespec pause = {.tv_nsec = 1000000};
    int count = 0;
    if (bulk < 1 || bulk > MAX_CONCURRENCY)
        fail("bulk downloads are 1 to %d", MAX_CONCURRENCY);
    double *latency = allocate(MAX_SAMPLES, sizeof *latency);
    load.sessions = allocate((size_t)bulk, sizeof *load.sessions);
    for (int i = 0; i < bulk; i++)
        session_login(&load.sessions[i]);
    session_login(&load.lister);
    session_login(&s);
    phase_ready();
    double started = now(), cpu = cpu_seconds();
    if (pthread_create(&threads[0], NULL, bulk_thread, &load) || pthread_create(&threads[1], NULL, list_thread, &load))
        fail("cannot start a thread");
    while (now() - started < seconds && count < MAX_SAMPLES) {
        latency[count++] = noop(&s);
        nanosleep(&pause, NULL);
    }
    double took = now() - started;
    long long bytes = atomic_load(&load.bytes);
    long lists = atomic_load(&load.lists);
    printf("{\"done\": %d, \"bytes\": %lld, \"lists\": %ld, \"seconds\": %.6f, \"client_cpu\": %.6f, ", count, bytes,
           lists, took, cpu_seconds() - cpu);
    print_array("latency_us", latency, count);
    puts("}");
    /* The transfers in flight are cut by the exit: their end is not part of the row. */
    fflush(stdout);
    _exit(0);
}
