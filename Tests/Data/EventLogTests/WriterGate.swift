import Glibc
import Synchronization
import TestKit

@testable import EventLog

/// Holds the store's writer thread inside a closure until the test opens it, so that other closures queue up behind it.
final class WriterGate: Sendable {
    private let ends: (reading: Int32, writing: Int32)
    private let isHeld: Atomic<Bool> = Atomic(false)
    /// Closures about to be handed to the store.
    private let waiting: Atomic<Int> = Atomic(0)

    init() {
        var ends: [Int32] = [0, 0]
        precondition(pipe(&ends) == 0)
        self.ends = (ends[0], ends[1])
    }

    deinit {
        close(self.ends.reading)
        close(self.ends.writing)
    }

    /// Called in the closure. Blocks until `open`, for a minute at most: a broken test must end.
    func wait() {
        self.isHeld.store(true, ordering: .sequentiallyConsistent)
        var poll: pollfd = pollfd(fd: self.ends.reading, events: Int16(POLLIN), revents: 0)
        _ = Glibc.poll(&poll, 1, 60_000)
    }

    func untilHeld() async throws {
        try await eventually("the writer is held") { self.isHeld.load(ordering: .sequentiallyConsistent) }
    }

    /// Called right before `Store.write`.
    func arrive() { self.waiting.add(1, ordering: .sequentiallyConsistent) }

    func untilWaiting(_ count: Int) async throws {
        try await eventually("closures wait") { self.waiting.load(ordering: .sequentiallyConsistent) >= count }
    }

    func open() { _ = write(self.ends.writing, "x", 1) }
}

/// Holds an external handler until the test opens it: without blocking a thread of the pool that the tests run on.
final class HandlerGate: Sendable {
    private let signal: WakeSignal = WakeSignal()
    private let isHeld: Atomic<Bool> = Atomic(false)
    private let isOpen: Atomic<Bool> = Atomic(false)

    func wait() async {
        self.isHeld.store(true, ordering: .sequentiallyConsistent)
        if self.isOpen.load(ordering: .sequentiallyConsistent) { return }
        await self.signal.wait()
    }

    func untilHeld() async throws {
        try await eventually("the handler is held") { self.isHeld.load(ordering: .sequentiallyConsistent) }
    }

    /// Once open it stays open.
    func open() {
        self.isOpen.store(true, ordering: .sequentiallyConsistent)
        self.signal.wake()
    }
}
