/*
 * A disk that misbehaves on demand, below one directory. Test code: loaded with LD_PRELOAD into the gateway under test.
 *
 *   PORTCULLIS_FAULT_DIR    the directory, absolute and without symbolic links
 *   PORTCULLIS_FAULT_RULES  a file of 16 numbers of 64 bits, which the test changes as it likes (src/bad_disk.rs)
 *
 * The file is mapped, so a rule holds from the next call on, and the test can read what was refused.
 *
 *   0  free          bytes that may still be taken; negative: any number. What is removed or cut off is given back
 *   1  write error   errno of every write, 0 for none
 *   2  sync error    errno of a sync, 0 for none
 *   3  sync errors   how many syncs still fail; negative: all
 *   4  read only     whether everything that would change something fails with EROFS
 *   5  delay         milliseconds that a sync takes
 *   6  read error    errno of every read
 *   8  refused writes   9 refused syncs   10 delayed syncs   11 refused as read only   12 refused reads
 *  13  refused for space
 *
 * Space is what the file system beneath says that a file takes, so that a write to what is already there costs nothing,
 * as on a real disk. Only calls through the C library are seen; what a file grew by besides is counted when it is closed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "call.h"

#define FDS 65536
#define BLOCK 4096

enum { FREE, WRITE_ERROR, SYNC_ERROR, SYNC_ERRORS, READ_ONLY, DELAY_MS, READ_ERROR,
       REFUSED_WRITES = 8, REFUSED_SYNCS, DELAYED, REFUSED_READ_ONLY, REFUSED_READS, REFUSED_SPACE, RULES = 16 };

static _Atomic int64_t *rules;
static char dir[PATH_MAX];
static size_t dir_len;
/* What a file took when we looked last, plus 1; 0 where a descriptor is none of ours. */
static _Atomic int64_t taken_by[FDS];

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("PORTCULLIS_FAULT_DIR"), *file = getenv("PORTCULLIS_FAULT_RULES");
    REAL(int, open, const char *, int, ...);
    if (!folder || !file || strlen(folder) >= sizeof dir) return;
    int fd = real_open(file, O_RDWR | O_CLOEXEC);
    void *map = mmap(NULL, RULES * sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || map == MAP_FAILED) abort();
    strcpy(dir, folder);
    dir_len = strlen(dir);
    rules = map;
}

static int refuse(int counter, int error) {
    rules[counter]++;
    errno = error;
    return -1;
}

static int ours(int fd) { return rules && fd >= 0 && fd < FDS && taken_by[fd] > 0; }

static int64_t takes(int fd) {
    struct stat now;
    return fstat(fd, &now) == 0 ? (int64_t)now.st_blocks * 512 : 0;
}

static void spend(int64_t bytes) {
    if (rules[FREE] >= 0) {
        int64_t left = rules[FREE] -= bytes;
        if (left < 0) rules[FREE] = 0;
    }
}

/* Counts what the file grew or shrank by since we looked last. */
static void account(int fd) {
    int64_t now = takes(fd), grown = now + 1 - taken_by[fd];
    taken_by[fd] = now + 1;
    spend(grown);
}

/* Whether a path is below the directory, or is it. */
static int below(int at, const char *path) {
    char base[PATH_MAX], link[64];
    if (!rules) return 0;
    if (path[0] != '/') {
        ssize_t len = -1;
        if (at == AT_FDCWD) len = getcwd(base, sizeof base) ? (ssize_t)strlen(base) : -1;
        else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
            len = readlink(link, base, sizeof base - 1);
        }
        if (len < 0) return 0;
        base[len] = 0;
        path = base;
    }
    return strncmp(path, dir, dir_len) == 0 && (path[dir_len] == 0 || path[dir_len] == '/');
}

/* ---- names ---- */

static int open_at(int at, const char *path, int flags, mode_t mode) {
    REAL(int, openat, int, const char *, int, ...);
    if (!below(at, path)) return real_openat(at, path, flags, mode);
    struct stat before;
    int is_new = flags & O_CREAT && fstatat(at, path, &before, 0) != 0;
    if (rules[READ_ONLY] && (is_new || (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
        return refuse(REFUSED_READ_ONLY, EROFS);
    if (is_new && rules[FREE] >= 0 && rules[FREE] < BLOCK) return refuse(REFUSED_SPACE, ENOSPC);
    if (!is_new && flags & O_TRUNC) spend(-(int64_t)before.st_blocks * 512);
    int fd = real_openat(at, path, flags, mode);
    if (fd >= 0 && fd < FDS) taken_by[fd] = takes(fd) + 1;
    return fd;
}

OPENS_BY_OPEN_AT

int close(int fd) {
    REAL(int, close, int);
    if (ours(fd)) {
        struct stat now;
        /* What was removed meanwhile was given back then. */
        if (fstat(fd, &now) == 0 && now.st_nlink > 0) account(fd);
        taken_by[fd] = 0;
    }
    return real_close(fd);
}

#define FCNTL(function) \
    int function(int fd, int command, ...) { \
        REAL(int, fcntl, int, int, ...); \
        va_list more; \
        va_start(more, command); \
        void *argument = va_arg(more, void *); \
        va_end(more); \
        int result = real_fcntl(fd, command, argument); \
        if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0 && result < FDS && ours(fd)) \
            taken_by[result] = (int64_t)taken_by[fd]; \
        return result; \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

int renameat2(int at, const char *path, int to_at, const char *to, unsigned flags) {
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    if (below(at, path) && rules[READ_ONLY]) return refuse(REFUSED_READ_ONLY, EROFS);
    return real_renameat2(at, path, to_at, to, flags);
}
int renameat(int at, const char *path, int to_at, const char *to) { return renameat2(at, path, to_at, to, 0); }
int rename(const char *path, const char *to) { return renameat2(AT_FDCWD, path, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    if (!below(at, path)) return real_unlinkat(at, path, flags);
    if (rules[READ_ONLY]) return refuse(REFUSED_READ_ONLY, EROFS);
    struct stat it;
    int64_t frees = fstatat(at, path, &it, AT_SYMLINK_NOFOLLOW) == 0 ? (int64_t)it.st_blocks * 512 : 0;
    int result = real_unlinkat(at, path, flags);
    if (result == 0) spend(-frees);
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int at, const char *path, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    if (below(at, path) && rules[READ_ONLY]) return refuse(REFUSED_READ_ONLY, EROFS);
    if (below(at, path) && rules[FREE] >= 0 && rules[FREE] < BLOCK) return refuse(REFUSED_SPACE, ENOSPC);
    return real_mkdirat(at, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* ---- content ---- */

/* How much of a write has room: what is already there, and what is left besides. */
static size_t room(int fd, size_t len, off_t at) {
    if (rules[FREE] < 0) return len;
    off_t stood = lseek(fd, 0, SEEK_CUR), hole = lseek(fd, at, SEEK_HOLE);
    /* Behind the end nothing is there; up to the block's end there is room. */
    if (hole < at) hole = at;
    lseek(fd, stood, SEEK_SET);
    hole = (hole + BLOCK - 1) / BLOCK * BLOCK;
    int64_t fits = hole - at + (int64_t)rules[FREE] / BLOCK * BLOCK;
    return fits < (int64_t)len ? (size_t)fits : len;
}

static ssize_t write_at(int fd, const void *bytes, size_t len, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    if (!ours(fd)) return real_pwrite(fd, bytes, len, at);
    if (rules[READ_ONLY]) return refuse(REFUSED_READ_ONLY, EROFS);
    if (rules[WRITE_ERROR]) return refuse(REFUSED_WRITES, (int)rules[WRITE_ERROR]);
    size_t fits = room(fd, len, at);
    if (fits == 0 && len > 0) return refuse(REFUSED_SPACE, ENOSPC);
    ssize_t wrote = real_pwrite(fd, bytes, fits, at);
    int error = errno;
    account(fd);
    errno = error;
    return wrote;
}
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return write_at(fd, bytes, len, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) { return write_at(fd, bytes, len, at); }

ssize_t write(int fd, const void *bytes, size_t len) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (!ours(fd)) return real_write(fd, bytes, len);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t wrote = write_at(fd, bytes, len, at);
    if (wrote > 0) lseek(fd, at + wrote, SEEK_SET);
    return wrote;
}

static ssize_t read_at(int fd, void *into, size_t len, off_t at) {
    REAL(ssize_t, pread, int, void *, size_t, off_t);
    if (ours(fd) && rules[READ_ERROR]) return refuse(REFUSED_READS, (int)rules[READ_ERROR]);
    return real_pread(fd, into, len, at);
}
ssize_t pread(int fd, void *into, size_t len, off_t at) { return read_at(fd, into, len, at); }
ssize_t pread64(int fd, void *into, size_t len, off64_t at) { return read_at(fd, into, len, at); }

static int set_length(int fd, off_t length) {
    REAL(int, ftruncate, int, off_t);
    if (!ours(fd)) return real_ftruncate(fd, length);
    if (rules[READ_ONLY]) return refuse(REFUSED_READ_ONLY, EROFS);
    if (rules[WRITE_ERROR]) return refuse(REFUSED_WRITES, (int)rules[WRITE_ERROR]);
    struct stat now;
    if (rules[FREE] >= 0 && rules[FREE] < BLOCK && fstat(fd, &now) == 0 && length > now.st_size)
        return refuse(REFUSED_SPACE, ENOSPC);
    int result = real_ftruncate(fd, length), error = errno;
    account(fd);
    errno = error;
    return result;
}
int ftruncate(int fd, off_t length) { return set_length(fd, length); }
int ftruncate64(int fd, off64_t length) { return set_length(fd, length); }

/* ---- syncs ---- */

/* Whether a sync is to fail, which is then counted. */
static int sync_fails(void) {
    if (rules[READ_ONLY]) return refuse(REFUSED_READ_ONLY, EROFS);
    if (!rules[SYNC_ERROR] || rules[SYNC_ERRORS] == 0) return 0;
    if (rules[SYNC_ERRORS] > 0) rules[SYNC_ERRORS]--;
    return refuse(REFUSED_SYNCS, (int)rules[SYNC_ERROR]);
}

#define SYNC(function) \
    int function(int fd) { \
        REAL(int, function, int); \
        if (!ours(fd)) return real_##function(fd); \
        int64_t ms = rules[DELAY_MS]; \
        if (ms > 0) { \
            rules[DELAYED]++; \
            struct timespec pause = {ms / 1000, ms % 1000 * 1000000}; \
            nanosleep(&pause, NULL); \
        } \
        return sync_fails() ? -1 : real_##function(fd); \
    }
SYNC(fsync)
SYNC(fdatasync)

int sync_file_range(int fd, off64_t at, off64_t len, unsigned flags) {
    REAL(int, sync_file_range, int, off64_t, off64_t, unsigned);
    if (ours(fd) && rules[SYNC_ERROR] && sync_fails()) return -1;
    return real_sync_file_range(fd, at, len, flags);
}
