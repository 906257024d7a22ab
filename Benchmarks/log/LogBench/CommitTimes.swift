import CLinux
import Store
import Synchronization

/// Notes when the commit of a marked closure had become durable, in nanoseconds of the monotonic clock. One mark at a time.
final class CommitTimes: CommitExtension {
    private let isMarked: Atomic<Bool> = Atomic(false)
    private let marked: Atomic<UInt64> = Atomic(0)

    /// When the last marked closure was durable.
    var last: UInt64 { self.marked.load(ordering: .acquiring) }

    /// Called inside a closure, on the writer's thread: the commit it is in is the one to be timed.
    func mark() { self.isMarked.store(true, ordering: .relaxed) }

    func makeAttachment() -> any CommitAttachment { Attachment(self) }

    private func committed() {
        guard self.isMarked.exchange(false, ordering: .relaxed) else { return }
        self.marked.store(clinux_monotonic_nanoseconds(), ordering: .releasing)
    }

    private final class Attachment: CommitAttachment {
        private let times: CommitTimes

        init(_ times: CommitTimes) { self.times = times }

        func savepoint() {}
        func rollbackToSavepoint() {}
        func prepareCommit(_ transaction: Transaction) throws {}
        func committed() { self.times.committed() }
        func aborted() {}
    }
}
