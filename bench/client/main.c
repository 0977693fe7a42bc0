/* bench client: PORT USER PASSWORD DEADLINE_SECONDS MODE ARGUMENTS...
 * Loopback only.  Prints {"ready": true}, waits for a line on stdin, works, prints one JSON object, waits for the end
 * of stdin (so that the sessions are still open when the harness reads the server's CPU), and exits. */
#define _GNU_SOURCE
#include "client.h"
#include "ftp.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void expired(int signal)
{
    static const char text[] = "{\"error\": \"the client's deadline passed\"}\n";
    (void)signal;
    if (write(1, text, sizeof text - 1) < 0)
        _exit(3);
    _exit(2);
}

static int is(const char *mode, const char *name, int have, int want)
{
    if (strcmp(mode, name) != 0)
        return 0;
    if (have != want)
        fail("%s takes %d arguments", name, want);
    return 1;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (argc < 6)
        fail("usage: client PORT USER PASSWORD DEADLINE_SECONDS MODE ARGUMENTS...");
    target.port = atoi(argv[1]);
    target.user = argv[2];
    target.password = argv[3];
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, expired);
    alarm((unsigned)atoi(argv[4]));
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    const char *mode = argv[5];
    char **a = argv + 6;
    int have = argc - 6;
    if (strncmp(mode, "tls-", 4) == 0) {
        target.tls = 1;
        mode += 4;
    }
    if (is(mode, "get", have, 2))
        run_get(a[0], atoll(a[1]));
    else if (is(mode, "put", have, 3))
        run_put(a[0], atoll(a[1]), a[2]);
    else if (is(mode, "small-get", have, 2))
        run_small(a[0], atol(a[1]), NULL);
    else if (is(mode, "small-put", have, 3))
        run_small(a[0], atol(a[1]), a[2]);
    else if (is(mode, "list", have, 2))
        run_list(a[0], a[1]);
    else if (is(mode, "sessions", have, 3))
        run_sessions(atol(a[0]), atoi(a[1]), atof(a[2]));
    else if (is(mode, "idle", have, 2))
        run_idle(atoi(a[0]), atoi(a[1]));
    else if (is(mode, "many", have, 2))
        run_many(atoi(a[0]), a[1]);
    else if (is(mode, "noop", have, 4))
        run_noop(atoi(a[0]), a[1], a[2], atof(a[3]));
    else
        fail("unknown mode %s", mode);
    return 0;
}
