import CLinux
import Glibc
import Synchronization

/// Wakes the collector before its time. Ringing an already rung bell costs one atomic exchange.
final class CollectorBell: Sendable {
    private let isRung: Atomic<Bool> = Atomic(false)
    private let fd: Int32

    init() {
        self.fd = clinux_eventfd()
        precondition(self.fd >= 0, "eventfd: errno \(errno)")
    }

    deinit {
        Glibc.close(self.fd)
    }

    func ring() {
        if self.isRung.exchange(true, ordering: .acquiringAndReleasing) { return }
        var one: UInt64 = 1
        // Fails only when the counter would overflow; it is rung then all the same.
        _ = Glibc.write(self.fd, &one, 8)
    }

    /// Sleeps until the bell is rung or the time is over.
    func wait(milliseconds: Int32) {
        var entry: pollfd = pollfd(fd: self.fd, events: Int16(POLLIN), revents: 0)
        _ = poll(&entry, 1, milliseconds)
        var count: UInt64 = 0
        // Empties the counter before the flag falls, so that a ring in between is not lost.
        _ = Glibc.read(self.fd, &count, 8)
        self.isRung.store(false, ordering: .releasing)
    }
}
