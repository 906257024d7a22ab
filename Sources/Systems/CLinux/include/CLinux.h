// Linux system calls and constants that Swift's Glibc module does not import, each wrapped once with plain types.
// _GNU_SOURCE belongs into CLinux.c, not here: with it the shared headers define types (fd_set) otherwise than in Swift's Glibc
// module, and a file that imports both does not compile.
#pragma once
#include <stdint.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

// Identity of the calling thread. Out of line on purpose: pthread_self() is declared const and the optimiser reuses a stale value.
int32_t clinux_thread_id(void);

// A word kept per thread: which event loop runs here (0: none). Cheaper than asking for the thread's identity.
uintptr_t clinux_thread_tag(void);
void clinux_set_thread_tag(uintptr_t tag);
// Names the calling thread for ps, top and perf (15 bytes are kept).
void clinux_set_thread_name(const char *name);

// epoll. Interest and readiness are plain bit masks.
static const uint32_t CLINUX_EPOLLIN = EPOLLIN;
static const uint32_t CLINUX_EPOLLOUT = EPOLLOUT;
static const uint32_t CLINUX_EPOLLRDHUP = EPOLLRDHUP;
static const uint32_t CLINUX_EPOLLHUP = EPOLLHUP;
static const uint32_t CLINUX_EPOLLERR = EPOLLERR;
static const uint32_t CLINUX_EPOLLET = EPOLLET;
int clinux_epoll_create(void);
int clinux_epoll_add(int epoll, int fd, uint32_t events, uint64_t token);
int clinux_epoll_modify(int epoll, int fd, uint32_t events, uint64_t token);
int clinux_epoll_remove(int epoll, int fd);
int clinux_eventfd(void);
// Number of ready descriptors, or -errno; EINTR is 0.
int clinux_epoll_wait(int epoll, struct epoll_event *events, int capacity, int timeout_milliseconds);

// Sockets: close-on-exec and non-blocking from the start.
int clinux_accept(int listener, struct sockaddr *address, socklen_t *length);
int clinux_socket(int family, int type);

// Transfers on non-blocking sockets: bytes moved (0 of receive: end of stream) or -errno; EINTR is retried, SIGPIPE never raised.
ssize_t clinux_receive(int fd, void *buffer, size_t length);
ssize_t clinux_send(int fd, const void *buffer, size_t length);
ssize_t clinux_send_two(int fd, const void *first, size_t first_length, const void *second, size_t second_length);
ssize_t clinux_send_vectors(int fd, const struct iovec *vectors, int count);

// Randomness from the kernel: fills the buffer completely or returns -1.
int clinux_random(void *buffer, size_t length);

// Clocks in nanoseconds.
uint64_t clinux_monotonic_nanoseconds(void);
int64_t clinux_realtime_nanoseconds(void);
uint64_t clinux_thread_cpu_nanoseconds(void);

// Blocks the calling thread for this long, signals notwithstanding.
void clinux_sleep_nanoseconds(uint64_t nanoseconds);

// Number of processors this process may run on (sched_getaffinity).
int clinux_processor_count(void);

// Signals: from now on each `number` that arrives is written as one byte to `descriptor`, on whatever thread it lands. One
// descriptor for all signals of the process; it should be non-blocking. 0, or -1 with errno.
int clinux_route_signal(int number, int descriptor);
// No core dumps and no reading of this process's memory by others of the same user: it holds keys. 0, or -1 with errno.
int clinux_forbid_core_dumps(void);
int clinux_is_dumpable(void);

// Asks DNS servers about a name (resolver(3)); blocks. `servers` are `count` times 19 bytes: 4 or 6, the address
// (IPv4: its four bytes first), the port in network order; none: those of /etc/resolv.conf. Turns to TCP for long answers, and to the next server where one does not answer. Bytes of the
// answer as received, or -1.
int clinux_dns_query(const uint8_t *servers, int count, int timeout_seconds, int attempts, const char *name,
                     int type, uint8_t *answer, int capacity);

// Sockets of a path that carry messages and descriptors (SOCK_SEQPACKET, SCM_RIGHTS); close-on-exec, blocking. The path may be
// longer than a socket's address. -1 with errno.
int clinux_message_listen(const char *path);
int clinux_message_connect(const char *path);
int clinux_message_accept(int listener);
// 0, or -errno.
int clinux_message_send(int fd, const void *bytes, size_t length, const int *descriptors, int count);
// Bytes received (0: the peer is gone), or -errno. `count` is the room for descriptors and then how many came; a message that does
// not fit is refused with EMSGSIZE, its descriptors closed.
ssize_t clinux_message_receive(int fd, void *bytes, size_t capacity, int *descriptors, int *count);
// Who is at the other end (SO_PEERCRED): 0, or -1 with errno.
int clinux_message_peer(int fd, uint32_t *user, int32_t *process);

// Starts a program found on the PATH, in a process group of its own: no input, both outputs into a pipe whose other end is `*output`
// (close-on-exec), no other descriptors, default signals. 0, or an errno; both lists end with NULL.
int clinux_spawn(const char *name, char *const arguments[], char *const environment[], int32_t *process, int *output);
