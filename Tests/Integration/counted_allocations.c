/* Preloaded into a process: counts what each of its threads allocates.
 *
 * The file named by COUNTED_ALLOCATIONS holds 256 places of two 64-bit numbers, a thread's id and how often it asked malloc for memory;
 * it is mapped, so that whoever reads it sees the counts of now. A thread that ends leaves its place as it is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

struct place {
    _Atomic uint64_t thread;
    _Atomic uint64_t count;
};
enum { places = 256 };

static struct place *table;
static _Atomic int taken;
static __thread struct place *own;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("COUNTED_ALLOCATIONS");
    if (path == NULL) return;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, places * sizeof(struct place)) != 0) _exit(99);
    void *mapped = mmap(NULL, places * sizeof(struct place), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) _exit(99);
    close(file);
    table = mapped;
}

static void count(void) {
    if (table == NULL) return;
    if (own == NULL) {
        int number = taken++;
        if (number >= places) return;
        own = &table[number];
        own->thread = (uint64_t)syscall(SYS_gettid);
    }
    own->count++;
}

void *malloc(size_t size) { count(); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { count(); return __libc_calloc(number, size); }
void *realloc(void *old, size_t size) { count(); return __libc_realloc(old, size); }
void *memalign(size_t alignment, size_t size) { count(); return __libc_memalign(alignment, size); }
void *aligned_alloc(size_t alignment, size_t size) { count(); return __libc_memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
    count();
    void *made = __libc_memalign(alignment, size);
    if (made == NULL) return ENOMEM;
    *result = made;
    return 0;
}
