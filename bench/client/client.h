/* The measurements, one function each; main.c chooses among them. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "ftp.h"

#define DRAIN_BYTES (4 << 20)  /* asked for in one recv in clear */
#define MAX_CONCURRENCY 64
#define MAX_SESSIONS 4096
#define MAX_SAMPLES 100000     /* latencies kept */

long read_listing(struct session *s, const char *verb, const char *directory, long long *bytes);

void run_get(const char *name, long long offset);
void run_put(const char *local, long long size, const char *name);
void run_small(const char *directory, long count, const char *local);
void run_list(const char *verb, const char *directory);
void run_sessions(long count, int concurrency, double seconds);
void run_idle(int count, int probes);
void run_many(int count, const char *name);
void run_noop(int bulk, const char *name, const char *directory, double seconds);

#endif
