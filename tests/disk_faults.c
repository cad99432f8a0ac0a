/* A disk with faults, for LD_PRELOAD: writes below FAULT_UNDER that are short, or one operation that fails.
 *
 * FAULT_KIND=short: every write takes half of its bytes, as POSIX allows.
 * FAULT_KIND=EIO or ENOSPC: the operation number FAULT_AT (from 1, in each process) fails; with FAULT_AT=0 none does.
 * FAULT_KIND=clock: the time of day jumps a day ahead and a day back, every 20 times that it is asked for.
 * FAULT_COUNT: a file to which a process appends the number of its operations at its end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static atomic_long operations;

static int below(const char *path) {
    const char *under = getenv("FAULT_UNDER");
    return under && path && strncmp(path, under, strlen(under)) == 0;
}

static int fd_below(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static int is_short(void) {
    const char *kind = getenv("FAULT_KIND");
    return kind && strcmp(kind, "short") == 0;
}

static int is_jumping(void) {
    const char *kind = getenv("FAULT_KIND");
    return kind && strcmp(kind, "clock") == 0;
}

/* Count an operation; return whether it is the one that fails, with errno set. */
static int fails(void) {
    const char *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND");
    long number = atomic_fetch_add(&operations, 1) + 1;
    if (!at || !kind || is_short() || is_jumping() || number != atol(at)) return 0;
    errno = strcmp(kind, "ENOSPC") == 0 ? ENOSPC : EIO;
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (size && fd_below(fd)) {
        if (fails()) return -1;
        if (is_short()) size = (size + 1) / 2;
    }
    return real(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    if (size && fd_below(fd)) {
        if (fails()) return -1;
        if (is_short()) size = (size + 1) / 2;
    }
    return real(fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    if (count && fd_below(fd)) {
        if (fails()) return -1;
        if (is_short()) return write(fd, parts[0].iov_base, parts[0].iov_len);
    }
    return real(fd, parts, count);
}

int fsync(int fd) {
    REAL(fsync);
    return fd_below(fd) && fails() ? -1 : real(fd);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return below(to) && fails() ? -1 : real(from, to);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int code = real(clock, now);
    if (code == 0 && clock == CLOCK_REALTIME && is_jumping()) {
        static const long days[] = {0, 1, 0, -1};
        now->tv_sec += 86400 * days[atomic_fetch_add(&operations, 1) / 20 % 4];
    }
    return code;
}

__attribute__((destructor)) static void report(void) {
    const char *name = getenv("FAULT_COUNT");
    FILE *file = name ? fopen(name, "a") : NULL;
    if (!file) return;
    fprintf(file, "%ld\n", atomic_load(&operations));
    fclose(file);
}
