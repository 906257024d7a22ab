#define _GNU_SOURCE
#include "CLinux.h"
#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <resolv.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* OpenSSL's exit handler frees its locks while threads that go on until the very end still take them: whoever ends the process by
 * exit() would crash there now and then. The system takes the memory back anyway. Weak, for what is linked without OpenSSL. */
extern int OPENSSL_init_crypto(uint64_t options, const void *settings) __attribute__((weak));
__attribute__((constructor)) static void leave_openssl_alone_at_exit(void) {
    const uint64_t no_exit_handler = 0x00080000; /* OPENSSL_INIT_NO_ATEXIT of openssl/crypto.h */
    if (OPENSSL_init_crypto) OPENSSL_init_crypto(no_exit_handler, NULL);
}

int32_t clinux_thread_id(void) { return (int32_t)syscall(SYS_gettid); }

static __thread uintptr_t thread_tag;

uintptr_t clinux_thread_tag(void) { return thread_tag; }
void clinux_set_thread_tag(uintptr_t tag) { thread_tag = tag; }
void clinux_set_thread_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_epoll_add(int epoll, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int clinux_epoll_modify(int epoll, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
}

int clinux_epoll_remove(int epoll, int fd) { return epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL); }

int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int clinux_epoll_wait(int epoll, struct epoll_event *events, int capacity, int timeout_milliseconds) {
    int count = epoll_wait(epoll, events, capacity, timeout_milliseconds);
    if (count >= 0) return count;
    return errno == EINTR ? 0 : -errno;
}

int clinux_accept(int listener, struct sockaddr *address, socklen_t *length) {
    return accept4(listener, address, length, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int clinux_socket(int family, int type) { return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

/* By number: in a process with threads, the library's functions of that name note before and after every call that the thread may
 * be cancelled in it, with two atomic operations. No thread here is ever cancelled. */
ssize_t clinux_receive(int fd, void *buffer, size_t length) {
    for (;;) {
        ssize_t got = syscall(SYS_recvfrom, fd, buffer, length, 0, NULL, NULL);
        if (got >= 0) return got;
        if (errno != EINTR) return -errno;
    }
}

ssize_t clinux_send(int fd, const void *buffer, size_t length) {
    for (;;) {
        ssize_t sent = syscall(SYS_sendto, fd, buffer, length, MSG_NOSIGNAL, NULL, 0);
        if (sent >= 0) return sent;
        if (errno != EINTR) return -errno;
    }
}

ssize_t clinux_send_two(int fd, const void *first, size_t first_length, const void *second, size_t second_length) {
    struct iovec vectors[2] = {{(void *)first, first_length}, {(void *)second, second_length}};
    return clinux_send_vectors(fd, vectors, 2);
}

ssize_t clinux_send_vectors(int fd, const struct iovec *vectors, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)vectors, .msg_iovlen = (size_t)count};
    for (;;) {
        ssize_t sent = syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        if (errno != EINTR) return -errno;
    }
}

int clinux_random(void *buffer, size_t length) {
    unsigned char *at = buffer;
    while (length > 0) {
        ssize_t got = getrandom(at, length, 0);
        if (got < 0) {
            if (errno == EINTR) continue;
            return -1;
        }
        at += got;
        length -= (size_t)got;
    }
    return 0;
}

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t clinux_monotonic_nanoseconds(void) { return nanoseconds(CLOCK_MONOTONIC); }
int64_t clinux_realtime_nanoseconds(void) { return (int64_t)nanoseconds(CLOCK_REALTIME); }
uint64_t clinux_thread_cpu_nanoseconds(void) { return nanoseconds(CLOCK_THREAD_CPUTIME_ID); }

void clinux_sleep_nanoseconds(uint64_t nanoseconds) {
    struct timespec rest = {.tv_sec = (time_t)(nanoseconds / 1000000000u), .tv_nsec = (long)(nanoseconds % 1000000000u)};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
    }
}

int clinux_processor_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

static volatile sig_atomic_t signal_descriptor = -1;

static void write_signal(int number) {
    int saved = errno;
    unsigned char byte = (unsigned char)number;
    // A full pipe already holds what will wake the reader.
    ssize_t written = write(signal_descriptor, &byte, 1);
    (void)written;
    errno = saved;
}

int clinux_route_signal(int number, int descriptor) {
    signal_descriptor = descriptor;
    struct sigaction action = {.sa_handler = write_signal, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    return sigaction(number, &action, NULL);
}

int clinux_forbid_core_dumps(void) {
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) return -1;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int clinux_is_dumpable(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }

int clinux_dns_query(const uint8_t *servers, int count, int timeout_seconds, int attempts, const char *name,
                     int type, uint8_t *answer, int capacity) {
    struct __res_state state;
    memset(&state, 0, sizeof state);
    if (res_ninit(&state) != 0) return -1;
    state.retrans = timeout_seconds;
    state.retry = attempts;
    if (count > 0) {
        if (count > MAXNS) count = MAXNS;
        for (int index = 0; index < count; index++) {
            const uint8_t *server = servers + index * 19;
            struct sockaddr_in *plain = &state.nsaddr_list[index];
            memset(plain, 0, sizeof *plain);
            if (server[0] == 4) {
                plain->sin_family = AF_INET;
                memcpy(&plain->sin_addr, server + 1, 4);
                memcpy(&plain->sin_port, server + 17, 2);
            } else {
                // An entry of family 0 says: look at the extended list, whose members the resolver frees.
                struct sockaddr_in6 *extended = state._u._ext.nsaddrs[index];
                if (extended == NULL) extended = malloc(sizeof *extended);
                if (extended == NULL) {
                    res_nclose(&state);
                    return -1;
                }
                memset(extended, 0, sizeof *extended);
                extended->sin6_family = AF_INET6;
                memcpy(&extended->sin6_addr, server + 1, 16);
                memcpy(&extended->sin6_port, server + 17, 2);
                state._u._ext.nsaddrs[index] = extended;
            }
        }
        state.nscount = count;
        // What was prepared for the servers of /etc/resolv.conf does not hold for these.
        state._u._ext.nscount = 0;
    }
    uint8_t question[NS_PACKETSZ];
    int length = res_nmkquery(&state, ns_o_query, name, ns_c_in, type, NULL, 0, NULL, question, sizeof question);
    int received = length < 0 ? -1 : res_nsend(&state, question, length, answer, capacity);
    res_nclose(&state);
    return received;
}

enum { DESCRIPTORS_MAX = 64 };

// Binds or connects below a descriptor of the folder: sun_path holds 107 bytes only.
static int message_socket(const char *path, int (*use)(int, const struct sockaddr *, socklen_t)) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (length >= sizeof folder) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(folder, path, length);
    folder[length] = 0;
    const char *place = slash ? (length ? folder : "/") : ".";
    int directory = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int written = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory,
                           slash ? slash + 1 : path);
    int fd = -1;
    if (written < 0 || (size_t)written >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
    } else {
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (fd >= 0 && use(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
            int code = errno;
            close(fd);
            errno = code;
            fd = -1;
        }
    }
    int code = errno;
    close(directory);
    errno = code;
    return fd;
}

int clinux_message_listen(const char *path) {
    int fd = message_socket(path, bind);
    if (fd >= 0 && listen(fd, 8) != 0) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

int clinux_message_connect(const char *path) { return message_socket(path, connect); }

int clinux_message_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }

int clinux_message_send(int fd, const void *bytes, size_t length, const int *descriptors, int count) {
    if (count > DESCRIPTORS_MAX) return -EINVAL;
    union {
        char room[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof control);
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * (size_t)count);
    }
    ssize_t sent;
    do sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

ssize_t clinux_message_receive(int fd, void *bytes, size_t capacity, int *descriptors, int *count) {
    int room = *count < DESCRIPTORS_MAX ? *count : DESCRIPTORS_MAX;
    *count = 0;
    union {
        char room[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec vector = {.iov_base = bytes, .iov_len = capacity};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t received;
    do received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0) return -errno;
    int refused = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int found = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int index = 0; index < found; index++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + sizeof(int) * (size_t)index, sizeof(int));
            if (refused || *count == room) {
                refused = 1;
                close(descriptor);
            } else {
                descriptors[(*count)++] = descriptor;
            }
        }
    }
    if (refused) {
        while (*count > 0) close(descriptors[--*count]);
        return -EMSGSIZE;
    }
    return received;
}

int clinux_message_peer(int fd, uint32_t *user, int32_t *process) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return -1;
    *user = peer.uid;
    *process = peer.pid;
    return 0;
}

int clinux_spawn(const char *name, char *const arguments[], char *const environment[], int32_t *process, int *output) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return errno;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    sigfillset(&signals);
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    pid_t started = 0;
    int code = posix_spawnp(&started, name, &actions, &attributes, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    close(ends[1]);
    if (code != 0) {
        close(ends[0]);
        return code;
    }
    *process = started;
    *output = ends[0];
    return 0;
}
