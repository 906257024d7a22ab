// Linux system calls and constants that Swift's Glibc module does not import, each wrapped once with plain types.
// _GNU_SOURCE belongs into CLinux.c, not here: with it the shared headers define types (fd_set) otherwise than in Swift's Glibc
// module, and a file that imports both does not compile.
#pragma once
#include <stdint.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/types.h>
#include <sys/socket.h>

// Identity of the calling thread. Out of line on purpose: pthread_self() is declared const and the optimiser reuses a stale value.
int32_t clinux_thread_id(void);

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

// Sockets: close-on-exec and non-blocking from the start.
int clinux_accept(int listener, struct sockaddr *address, socklen_t *length);
int clinux_socket(int family, int type);

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
