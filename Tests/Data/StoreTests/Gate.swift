import Glibc

/// Holds a store's thread inside a closure until the test opens it. Once open it stays open.
final class Gate: Sendable {
    private let ends: (reading: Int32, writing: Int32)

    init() {
        var ends: [Int32] = [0, 0]
        precondition(pipe(&ends) == 0)
        self.ends = (ends[0], ends[1])
    }

    deinit {
        close(self.ends.reading)
        close(self.ends.writing)
    }

    /// Blocks until `open`, for a minute at most: a broken test must end.
    func wait() {
        var poll: pollfd = pollfd(fd: self.ends.reading, events: Int16(POLLIN), revents: 0)
        _ = Glibc.poll(&poll, 1, 60_000)
    }

    func open() { _ = write(self.ends.writing, "x", 1) }
}
