/* Stands between a node and its C library, and does to it what the harness writes into a small file: moves its wall
   clock, makes fsync slow or fail, and makes the disk look full. Loaded by LD_PRELOAD; see shim.rs for the file. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct orders {
    int64_t clock_ms;   /* added to the wall clock */
    int64_t sync_ms;    /* every sync waits so long first */
    int64_t sync_fails; /* every sync fails, if not 0 */
    int64_t full;       /* nothing more can be written to files, if not 0 */
};

static volatile struct orders none;
static volatile struct orders *orders = &none;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("QUORATE_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof(struct orders), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) orders = page;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real ? real(clock, time) : (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = time->tv_nsec + orders->clock_ms % 1000 * 1000000;
        int64_t s = time->tv_sec + orders->clock_ms / 1000;
        if (ns < 0) { ns += 1000000000; s--; }
        if (ns >= 1000000000) { ns -= 1000000000; s++; }
        time->tv_sec = s;
        time->tv_nsec = ns;
    }
    return result;
}

static int sync_as_told(int file, long call) {
    int64_t ms = orders->sync_ms;
    if (ms > 0) {
        struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    if (orders->sync_fails) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(call, file);
}

int fsync(int file) { return sync_as_told(file, SYS_fsync); }
int fdatasync(int file) { return sync_as_told(file, SYS_fdatasync); }

/* Files only: sockets and pipes know no full disk, and the log shall tell what happened. */
static int is_full(int file) {
    struct stat found;
    return orders->full && file > 2 && fstat(file, &found) == 0 && S_ISREG(found.st_mode);
}

/* As the last block of a real disk: half of a write fits, the rest does not. */
static size_t fitting(size_t bytes) {
    static __thread int torn;
    torn = !torn;
    return torn ? bytes / 2 : 0;
}

ssize_t write(int file, const void *from, size_t bytes) {
    if (is_full(file)) {
        bytes = fitting(bytes);
        if (bytes == 0) {
            errno = ENOSPC;
            return -1;
        }
    }
    return syscall(SYS_write, file, from, bytes);
}

ssize_t pwrite(int file, const void *from, size_t bytes, off_t at) {
    if (is_full(file)) {
        bytes = fitting(bytes);
        if (bytes == 0) {
            errno = ENOSPC;
            return -1;
        }
    }
    return syscall(SYS_pwrite64, file, from, bytes, at);
}

ssize_t pwrite64(int file, const void *from, size_t bytes, off64_t at) { return pwrite(file, from, bytes, at); }

int fallocate(int file, int mode, off_t from, off_t bytes) {
    if (is_full(file)) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_fallocate, file, mode, from, bytes);
}
