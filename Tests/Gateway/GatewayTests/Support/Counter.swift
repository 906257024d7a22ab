import Glibc
import Synchronization

/// A number that threads of a test add to.
final class Counter: Sendable {
    private let number: Atomic<Int> = Atomic(0)
    private let done: Atomic<Bool> = Atomic(false)

    func add(_ count: Int) { self.number.wrappingAdd(count, ordering: .relaxed) }
    func finish() { self.done.store(true, ordering: .releasing) }
    var value: Int { self.number.load(ordering: .relaxed) }
    var isFinished: Bool { self.done.load(ordering: .acquiring) }
}

/// Lets other threads run for a moment; for loops that poll.
func usleepALittle() { usleep(1000) }
