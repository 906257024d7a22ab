// SyncWatch: an LD_PRELOAD library that records what a process writes to the files of one folder, when they are synced, and
// what it acknowledges on standard output. From that record follows whether every acknowledgement came after a completed
// sync, and what a disk would hold if power had failed at any moment (see ../synctrace.py). It can also make calls fail.
//
//   SYNCWATCH_FOLDER   absolute path of the watched folder, without links
//   SYNCWATCH_TRACE    file to append the trace to, outside of the folder
//   SYNCWATCH_FAIL     (optional) a file; while it exists its first letter says what fails:
//                      s  fsync and fdatasync give EIO      w  writes give EIO      f  writes give ENOSPC
//                      n  fsync and fdatasync give ENOSPC, as where space is taken when it is written back
//                      e  every fifth fsync or fdatasync gives EINTR
//                      r  writes give EROFS, as on a disk that the kernel made read-only
//                      i  every other write gives EINTR     h  writes write half of what they are given
//                      A number behind s, n, w, f or r (`w 7`) makes only that call fail, counted from when the file came (its ctime).
//                      Cutting, naming, renaming and removing a file or folder count as writes.
//
// What SQLite and the platform write with is watched: open, write, pwrite, ftruncate, fsync, fdatasync, rename, unlink, mkdir, rmdir. Any
// other way to change a file of the folder ends the process, so that none can come into use unseen (`stray`).
//
// A trace is a sequence of records, little-endian:
//   u8 kind, u8 0, u16 file, u32 thread, u64 offset, u32 length, u32 0, then `length` bytes
//     O  a file got its number: bytes are the path
//     C  the file was created (after the call)
//     W  bytes were written at offset (after the call)
//     T  the file was cut or extended to offset (after the call)
//     S  a sync of the file begins (before the call)
//     E  the sync that this thread began has ended; offset is 0 for success, else errno
//     U  the file's name was removed (after the call)
//     R  the file was renamed to the file whose number is offset (after the call)
//     A  bytes are about to be written to standard output (before the call)
// Records are appended one at a time, so their order is an order in which the calls can have happened. A write of one thread
// may be recorded after a sync of another began although the sync covered it: that errs to the strict side.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS_MAX = 4096, FILES_MAX = 256, PATH_MAX_BYTES = 1024 };

struct record {
    uint8_t kind, zero;
    uint16_t file;
    uint32_t thread;
    uint64_t offset;
    uint32_t length, reserved;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static const char *fail_path;
static char folder[PATH_MAX_BYTES];
static size_t folder_length;
static char paths[FILES_MAX][PATH_MAX_BYTES];
static int path_count = 1;           // file 0 means "not watched"
static uint16_t file_of[FDS_MAX];

__attribute__((constructor)) static void begin(void) {
    const char *watched = getenv("SYNCWATCH_FOLDER"), *to = getenv("SYNCWATCH_TRACE");
    fail_path = getenv("SYNCWATCH_FAIL");
    if (!watched || !to || strlen(watched) >= sizeof folder) return;
    strcpy(folder, watched);
    folder_length = strlen(folder);
    trace = (int)syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void append_locked(uint8_t kind, uint16_t file, uint64_t offset, const void *bytes, size_t length) {
    struct record head = {kind, 0, file, (uint32_t)syscall(SYS_gettid), offset, (uint32_t)length, 0};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)bytes, length}};
    if (syscall(SYS_writev, trace, parts, length ? 2 : 1) != (long)(sizeof head + length)) abort();
}

static void append(uint8_t kind, uint16_t file, uint64_t offset, const void *bytes, size_t length) {
    if (trace < 0) return;
    int saved = errno;
    pthread_mutex_lock(&lock);
    append_locked(kind, file, offset, bytes, length);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

// The number of a path; 0 when it is not in the folder, or is an index or lock that a power cut may take.
static uint16_t number_locked(const char *path) {
    if (strncmp(path, folder, folder_length) != 0) return 0;
    const char *rest = path + folder_length;
    if (*rest != 0 && *rest != '/') return 0;
    size_t length = strlen(path);
    if (length >= PATH_MAX_BYTES || (length > 4 && strcmp(path + length - 4, "-shm") == 0)) return 0;
    for (int i = 1; i < path_count; i++)
        if (strcmp(paths[i], path) == 0) return (uint16_t)i;
    if (path_count == FILES_MAX) abort();
    strcpy(paths[path_count], path);
    append_locked('O', (uint16_t)path_count, 0, path, length);
    return (uint16_t)path_count++;
}

static void opened(int fd, const char *path, int created) {
    if (trace < 0 || fd < 0 || fd >= FDS_MAX) return;
    int saved = errno;
    pthread_mutex_lock(&lock);
    file_of[fd] = number_locked(path);
    if (file_of[fd] && created) append_locked('C', file_of[fd], 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static uint16_t watched(int fd) { return trace >= 0 && fd >= 0 && fd < FDS_MAX ? file_of[fd] : 0; }

// Whether this call, a write or a sync of a watched file, fails; gives the letter that says how, or 0.
static char failing(int is_sync) {
    static struct timespec counted;
    static long calls;
    char text[32] = {0};
    if (!fail_path || trace < 0) return 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, fail_path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return 0;
    struct stat status;
    long got = syscall(SYS_read, fd, text, sizeof text - 1), found = fstat(fd, &status);
    syscall(SYS_close, fd);
    if (got < 1 || found != 0 || is_sync != (strchr("sne", text[0]) != NULL)) return 0;
    long wanted = strtol(text + 1, NULL, 10);
    if (!wanted) return text[0];
    pthread_mutex_lock(&lock);
    // Not the inode: the next file may get the one that was just freed.
    if (counted.tv_sec != status.st_ctim.tv_sec || counted.tv_nsec != status.st_ctim.tv_nsec) calls = 0;
    counted = status.st_ctim;
    long number = ++calls;
    pthread_mutex_unlock(&lock);
    return number == wanted ? text[0] : 0;
}

// How much of a write may be written: 0 with errno set when it fails.
static size_t allowed(int is_watched, size_t count) {
    static unsigned calls;
    switch (is_watched ? failing(0) : 0) {
    case 'w': errno = EIO; return 0;
    case 'f': errno = ENOSPC; return 0;
    case 'r': errno = EROFS; return 0;
    case 'i':
        if (__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % 2) return count;
        errno = EINTR;
        return 0;
    case 'h': return (count + 1) / 2;
    default: return count;
    }
}

// The same for a call that is done as a whole or not; these are not interrupted.
static int refused(int is_watched) {
    char letter = is_watched ? failing(0) : 0;
    if (letter == 'w') errno = EIO;
    if (letter == 'f') errno = ENOSPC;
    if (letter == 'r') errno = EROFS;
    return letter == 'w' || letter == 'f' || letter == 'r';
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static uint16_t number_of(const char *path) {
    if (trace < 0) return 0;
    pthread_mutex_lock(&lock);
    uint16_t number = number_locked(path);
    pthread_mutex_unlock(&lock);
    return number;
}

static int do_open(const char *path, int flags, mode_t mode) {
    int exists = trace < 0 || !(flags & (O_CREAT | O_TRUNC)) || syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
    if (!exists && refused(number_of(path) != 0)) return -1;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd < 0) return fd;
    opened(fd, path, !exists);
    if (exists && (flags & O_TRUNC) && fd < FDS_MAX && file_of[fd]) append('T', file_of[fd], 0, NULL, 0);
    return fd;
}

static mode_t mode_of(int flags, va_list rest) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; }

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return do_open(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return do_open(path, flags | O_LARGEFILE, mode);
}

int close(int fd) {
    if (fd >= 0 && fd < FDS_MAX) file_of[fd] = 0;
    return REAL(close)(fd);
}

static ssize_t do_pwrite(int fd, const void *bytes, size_t count, off64_t offset) {
    uint16_t file = watched(fd);
    size_t part = allowed(file, count);
    if (!part && count) return -1;
    count = part;
    ssize_t done = REAL(pwrite64)(fd, bytes, count, offset);
    if (file && done > 0) append('W', file, (uint64_t)offset, bytes, (size_t)done);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) { return do_pwrite(fd, bytes, count, offset); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return do_pwrite(fd, bytes, count, offset); }

ssize_t write(int fd, const void *bytes, size_t count) {
    uint16_t file = watched(fd);
    if (fd == 1) append('A', 0, 0, bytes, count);
    size_t part = allowed(file, count);
    if (!part && count) return -1;
    count = part;
    off64_t at = file ? lseek64(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR) : 0;
    ssize_t done = REAL(write)(fd, bytes, count);
    if (file && done > 0) append('W', file, (uint64_t)at, bytes, (size_t)done);
    return done;
}

static int do_truncate(int fd, off64_t size) {
    if (refused(watched(fd))) return -1;
    int result = REAL(ftruncate64)(fd, size);
    if (result == 0 && watched(fd)) append('T', watched(fd), (uint64_t)size, NULL, 0);
    return result;
}

int ftruncate64(int fd, off64_t size) { return do_truncate(fd, size); }
int ftruncate(int fd, off_t size) { return do_truncate(fd, size); }

static int do_sync(int fd, int (*real)(int)) {
    uint16_t file = watched(fd);
    if (!file) return real(fd);
    append('S', file, 0, NULL, 0);
    static unsigned calls;
    int result = -1;
    switch (failing(1)) {
    case 's': errno = EIO; break;
    case 'n': errno = ENOSPC; break;
    case 'e':
        if (__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % 5 == 0) {
            errno = EINTR;
            break;
        }  // fall through
    default: result = real(fd);
    }
    append('E', file, result == 0 ? 0 : (uint64_t)errno, NULL, 0);
    return result;
}

int fsync(int fd) { return do_sync(fd, REAL(fsync)); }
int fdatasync(int fd) { return do_sync(fd, REAL(fdatasync)); }

// Whether something of this name is in the folder, and not what a power cut may take.
static int is_inside(const char *path) {
    size_t length = strlen(path);
    return trace >= 0 && strncmp(path, folder, folder_length) == 0 && (path[folder_length] == '/' || !path[folder_length])
        && !(length > 4 && strcmp(path + length - 4, "-shm") == 0);
}

static int exists(const char *path) { return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0; }

int unlink(const char *path) {
    if (refused(is_inside(path) && exists(path))) return -1;
    int result = REAL(unlink)(path);
    if (result != 0 || trace < 0) return result;
    pthread_mutex_lock(&lock);
    uint16_t file = number_locked(path);
    if (file) append_locked('U', file, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) {
    uint16_t file = number_of(from), place = number_of(to);
    if (refused(file || place)) return -1;
    int result = REAL(rename)(from, to);
    if (result == 0 && file && place) append('R', file, place, NULL, 0);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    if (refused(is_inside(path) && !exists(path))) return -1;
    return REAL(mkdir)(path, mode);
}

int rmdir(const char *path) {
    if (refused(is_inside(path) && exists(path))) return -1;
    return REAL(rmdir)(path);
}

// Ways to write that nobody uses for a watched file.

static void stray(const char *call, int is_watched) {
    if (!is_watched) return;
    dprintf(2, "SyncWatch: %s on a watched file is not watched\n", call);
    abort();
}

int creat(const char *path, mode_t mode) {
    stray("creat", is_inside(path));
    return REAL(creat)(path, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    stray("openat", (flags & O_ACCMODE) != O_RDONLY && (watched(folder) || is_inside(path)));
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

FILE *fopen(const char *path, const char *mode) {
    stray("fopen", strpbrk(mode, "wa+") && is_inside(path));
    return REAL(fopen)(path, mode);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    stray("writev", watched(fd));
    return REAL(writev)(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    stray("pwritev", watched(fd));
    return REAL(pwritev)(fd, parts, count, offset);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t count) {
    stray("sendfile", watched(to));
    return REAL(sendfile)(to, from, offset, count);
}

ssize_t copy_file_range(int from, off64_t *read, int to, off64_t *written, size_t count, unsigned flags) {
    stray("copy_file_range", watched(to));
    return REAL(copy_file_range)(from, read, to, written, count, flags);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    stray("fallocate", watched(fd));
    return REAL(fallocate)(fd, mode, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    stray("posix_fallocate", watched(fd));
    return REAL(posix_fallocate)(fd, offset, length);
}

int truncate(const char *path, off_t size) {
    stray("truncate", is_inside(path));
    return REAL(truncate)(path, size);
}

int link(const char *from, const char *to) {
    stray("link", is_inside(to));
    return REAL(link)(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    stray("renameat", watched(from_folder) || watched(to_folder) || is_inside(from) || is_inside(to));
    return REAL(renameat)(from_folder, from, to_folder, to);
}

int unlinkat(int folder, const char *path, int flags) {
    stray("unlinkat", watched(folder) || is_inside(path));
    return REAL(unlinkat)(folder, path, flags);
}

// Of mapped files only the index of the log is written, which is not watched.
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    stray("mmap", (flags & MAP_SHARED) && (protection & PROT_WRITE) && watched(fd));
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
