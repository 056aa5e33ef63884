/*
 * Records what a process writes below one directory, so that tests/durability can rebuild the directory as a
 * power cut at any moment would have left it. Test code: loaded with LD_PRELOAD into the gateway under test.
 *
 *   PORTCULLIS_TRACE_DIR   the directory, absolute and without symbolic links
 *   PORTCULLIS_TRACE_FILE  the trace; records are appended, by the test as well (its marks)
 *
 * A record is a head of 40 bytes in the machine's byte order and then a name and data (src/record.rs reads it):
 *
 *   u32 magic, u8 kind, u8[3] 0, u64 a, u64 b, u64 c, u32 length of name, u32 length of data
 *
 *   W  write        a inode, b offset, data
 *   T  set length   a inode, b length
 *   Z  zero         a inode, b offset, c length
 *   C  new file     a inode, name path below the directory
 *   D  new folder   a inode, name path
 *   R  rename       name from, data to
 *   U  remove       name path
 *   S  sync begins  a inode, b number of the sync, name path
 *   E  sync ended   a inode, b number of the sync
 *   X  something that this file does not follow; the trace is then of no use. name says what
 *
 * A change and its record are made under one lock, so that records are in the order of the changes. A sync has two:
 * what was changed before S is safe after E. sync_file_range is not recorded, for it promises nothing; sync and syncfs are not
 * either, so a program that relies on them is found to lose.
 *
 * Only calls through the C library are seen. The replay of a whole trace must give what is on disk (the test
 * checks that), so a call that went past this file does not stay unnoticed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "call.h"

#define FDS 65536
#define MAGIC 0x31544350u /* "PCT1" */

struct head {
    uint32_t magic;
    uint8_t kind, zero[3];
    uint64_t a, b, c;
    uint32_t name, data;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t inode_of[FDS]; /* 0 where a descriptor is none of ours */
static char dir[PATH_MAX];
static size_t dir_len;
static int trace = -1;
static uint64_t syncs;

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("PORTCULLIS_TRACE_DIR"), *file = getenv("PORTCULLIS_TRACE_FILE");
    REAL(int, open, const char *, int, ...);
    if (!folder || !file || strlen(folder) >= sizeof dir) return;
    trace = real_open(file, O_WRONLY | O_APPEND | O_CLOEXEC);
    strcpy(dir, folder);
    dir_len = strlen(dir);
}

static void record_v(uint8_t kind, uint64_t a, uint64_t b, uint64_t c, const char *name, const struct iovec *data,
                     int parts, size_t len) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    struct head head = {MAGIC, kind, {0, 0, 0}, a, b, c, name ? (uint32_t)strlen(name) : 0, (uint32_t)len};
    struct iovec out[2 + 64] = {{&head, sizeof head}, {(void *)name, head.name}};
    int used = 2;
    for (int i = 0; i < parts && len > 0 && used < 66; i++) {
        size_t take = data[i].iov_len < len ? data[i].iov_len : len;
        out[used++] = (struct iovec){data[i].iov_base, take};
        len -= take;
    }
    /* One call, so that a mark of the test cannot come between. A trace cut short is noticed by its reader. */
    if (real_writev(trace, out, used) < 0) abort();
}

static void record(uint8_t kind, uint64_t a, uint64_t b, uint64_t c, const char *name, const void *data, size_t len) {
    struct iovec part = {(void *)data, len};
    record_v(kind, a, b, c, name, &part, 1, len);
}

static uint64_t ours(int fd) { return fd >= 0 && fd < FDS ? inode_of[fd] : 0; }

/* The path below the directory; NULL if it is not there. */
static const char *below(const char *path) {
    if (trace < 0 || strncmp(path, dir, dir_len) != 0) return NULL;
    if (path[dir_len] == 0) return path + dir_len;
    return path[dir_len] == '/' ? path + dir_len + 1 : NULL;
}

static int path_of_fd(int fd, char *into) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, into, PATH_MAX - 1);
    into[len < 0 ? 0 : len] = 0;
    return len > 0;
}

/* Makes a path absolute as the kernel would, symbolic links aside. */
static const char *absolute(int at, const char *path, char *into) {
    char base[PATH_MAX];
    if (path[0] == '/') return path;
    if (at == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of_fd(at, base)) return path;
    if (snprintf(into, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return path;
    return into;
}

/* ---- files and folders ---- */

static int open_at(int at, const char *path, int flags, mode_t mode) {
    REAL(int, openat, int, const char *, int, ...);
    char whole[PATH_MAX];
    const char *name = trace < 0 ? NULL : below(absolute(at, path, whole));
    if (!name) return real_openat(at, path, flags, mode);
    struct stat before, after;
    pthread_mutex_lock(&lock);
    int was = fstatat(at, path, &before, 0) == 0;
    int fd = real_openat(at, path, flags, mode);
    int error = errno;
    if (fd >= 0 && fd < FDS && fstat(fd, &after) == 0) {
        inode_of[fd] = after.st_ino;
        if (flags & O_DSYNC) record('X', 0, 0, 0, "O_SYNC", NULL, 0);
        if (!was) record('C', after.st_ino, 0, 0, name, NULL, 0);
        else if (flags & O_TRUNC && before.st_size > 0) record('T', after.st_ino, 0, 0, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

OPENS_BY_OPEN_AT

int close(int fd) {
    REAL(int, close, int);
    if (fd >= 0 && fd < FDS) inode_of[fd] = 0;
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
        if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0 && result < FDS) \
            inode_of[result] = ours(fd); \
        return result; \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* Does `call`; on success records with `name` made ready before. */
#define CHANGE(call, done) \
    pthread_mutex_lock(&lock); \
    int result = call, error = errno; \
    if (result == 0) { done; } \
    pthread_mutex_unlock(&lock); \
    errno = error; \
    return result

int renameat2(int at, const char *path, int to_at, const char *to, unsigned flags) {
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    char whole[PATH_MAX], to_whole[PATH_MAX];
    const char *from = below(absolute(at, path, whole)), *into = below(absolute(to_at, to, to_whole));
    if (!from && !into) return real_renameat2(at, path, to_at, to, flags);
    CHANGE(real_renameat2(at, path, to_at, to, flags),
           if (from && into && !flags) record('R', 0, 0, 0, from, into, strlen(into));
           else record('X', 0, 0, 0, "rename across the border", NULL, 0));
}
int renameat(int at, const char *path, int to_at, const char *to) { return renameat2(at, path, to_at, to, 0); }
int rename(const char *path, const char *to) { return renameat2(AT_FDCWD, path, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char whole[PATH_MAX];
    const char *name = below(absolute(at, path, whole));
    if (!name) return real_unlinkat(at, path, flags);
    CHANGE(real_unlinkat(at, path, flags), record('U', 0, 0, 0, name, NULL, 0));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int at, const char *path, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    char whole[PATH_MAX];
    const char *name = below(absolute(at, path, whole));
    struct stat made;
    if (!name) return real_mkdirat(at, path, mode);
    CHANGE(real_mkdirat(at, path, mode),
           if (fstatat(at, path, &made, 0) == 0) record('D', made.st_ino, 0, 0, name, NULL, 0));
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int at, const char *path, int to_at, const char *to, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    char whole[PATH_MAX];
    if (below(absolute(to_at, to, whole))) record('X', 0, 0, 0, "link", NULL, 0);
    return real_linkat(at, path, to_at, to, flags);
}
int link(const char *path, const char *to) { return linkat(AT_FDCWD, path, AT_FDCWD, to, 0); }

/* ---- content ---- */

/* A write at `offset`, or where the descriptor stands if that is negative. */
static ssize_t write_at(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t);
    uint64_t inode = ours(fd);
    if (!inode) return offset < 0 ? real_writev(fd, parts, count) : real_pwritev(fd, parts, count, offset);
    pthread_mutex_lock(&lock);
    /* As many parts as one record takes; whoever writes goes on with the rest, as after any short write. */
    if (count > 64) count = 64;
    ssize_t wrote = offset < 0 ? real_writev(fd, parts, count) : real_pwritev(fd, parts, count, offset);
    int error = errno;
    if (wrote > 0) {
        off_t at = offset < 0 ? lseek(fd, 0, SEEK_CUR) - wrote : offset;
        record_v('W', inode, (uint64_t)at, 0, NULL, parts, count, (size_t)wrote);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return wrote;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    REAL(ssize_t, write, int, const void *, size_t);
    struct iovec part = {(void *)bytes, len};
    return ours(fd) ? write_at(fd, &part, 1, -1) : real_write(fd, bytes, len);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_at(fd, parts, count, -1); }
static ssize_t pwrite_any(int fd, const void *bytes, size_t len, off_t at) {
    struct iovec part = {(void *)bytes, len};
    return write_at(fd, &part, 1, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return pwrite_any(fd, bytes, len, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at) { return pwrite_any(fd, bytes, len, at); }
ssize_t pwritev(int fd, const struct iovec *p, int n, off_t at) { return write_at(fd, p, n, at); }
ssize_t pwritev64(int fd, const struct iovec *p, int n, off64_t at) { return write_at(fd, p, n, at); }
ssize_t pwritev2(int fd, const struct iovec *p, int n, off_t at, int flags) {
    (void)flags; /* none of them changes what is written where */
    return write_at(fd, p, n, at);
}
ssize_t pwritev64v2(int fd, const struct iovec *p, int n, off64_t at, int flags) {
    return pwritev2(fd, p, n, at, flags);
}

static int set_length(int fd, off_t length) {
    REAL(int, ftruncate, int, off_t);
    uint64_t inode = ours(fd);
    if (!inode) return real_ftruncate(fd, length);
    CHANGE(real_ftruncate(fd, length), record('T', inode, (uint64_t)length, 0, NULL, NULL, 0));
}
int ftruncate(int fd, off_t length) { return set_length(fd, length); }
int ftruncate64(int fd, off64_t length) { return set_length(fd, length); }

static int allocate(int fd, int mode, off_t offset, off_t len) {
    REAL(int, fallocate, int, int, off_t, off_t);
    uint64_t inode = ours(fd);
    struct stat now;
    if (!inode) return real_fallocate(fd, mode, offset, len);
    CHANGE(real_fallocate(fd, mode, offset, len),
           if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
               record('Z', inode, (uint64_t)offset, (uint64_t)len, NULL, NULL, 0);
           else if (mode & ~FALLOC_FL_KEEP_SIZE) record('X', 0, 0, 0, "fallocate", NULL, 0);
           if (!(mode & FALLOC_FL_KEEP_SIZE) && fstat(fd, &now) == 0)
               record('T', inode, (uint64_t)now.st_size, 0, NULL, NULL, 0));
}
int fallocate(int fd, int mode, off_t offset, off_t len) { return allocate(fd, mode, offset, len); }
int fallocate64(int fd, int mode, off64_t offset, off64_t len) { return allocate(fd, mode, offset, len); }
int posix_fallocate(int fd, off_t offset, off_t len) {
    REAL(int, posix_fallocate, int, off_t, off_t);
    if (!ours(fd)) return real_posix_fallocate(fd, offset, len);
    return allocate(fd, 0, offset, len) == 0 ? 0 : errno;
}
int posix_fallocate64(int fd, off64_t offset, off64_t len) { return posix_fallocate(fd, offset, len); }

/* Copies inside the kernel are refused; the caller then reads and writes. */
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *to_at, size_t len, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    if (!ours(to)) return real_copy_file_range(from, at, to, to_at, len, flags);
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t len) {
    REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
    if (!ours(to)) return real_sendfile64(to, from, at, len);
    errno = EINVAL;
    return -1;
}
ssize_t sendfile(int to, int from, off_t *at, size_t len) { return sendfile64(to, from, at, len); }

static void *map(void *address, size_t len, int protection, int flags, int fd, off_t at) {
    REAL(void *, mmap, void *, size_t, int, int, int, off_t);
    if (ours(fd) && flags & MAP_SHARED && protection & PROT_WRITE) record('X', 0, 0, 0, "mmap", NULL, 0);
    return real_mmap(address, len, protection, flags, fd, at);
}
void *mmap(void *a, size_t len, int protection, int flags, int fd, off_t at) {
    return map(a, len, protection, flags, fd, at);
}
void *mmap64(void *a, size_t len, int protection, int flags, int fd, off64_t at) {
    return map(a, len, protection, flags, fd, at);
}

/* ---- syncs ---- */

#define SYNC(function) \
    int function(int fd) { \
        REAL(int, function, int); \
        uint64_t inode = ours(fd); \
        if (!inode) return real_##function(fd); \
        char path[PATH_MAX]; \
        const char *name = path_of_fd(fd, path) ? below(path) : NULL; \
        pthread_mutex_lock(&lock); \
        uint64_t number = ++syncs; \
        record('S', inode, number, 0, name ? name : "", NULL, 0); \
        pthread_mutex_unlock(&lock); \
        int result = real_##function(fd), error = errno; \
        if (result == 0) record('E', inode, number, 0, NULL, NULL, 0); \
        errno = error; \
        return result; \
    }
SYNC(fsync)
SYNC(fdatasync)
