import Synchronization
import Time

/// The one way to state on disk: transactions on SQLite, with group commit.
///
/// - `write` runs a closure on the writer thread, together with all others that wait, and returns after a commit that is
///   synced to disk. Each closure has its own savepoint: throwing undoes only itself.
/// - `read` runs a closure on a reader thread over a snapshot of the last commits.
///
/// Closures are synchronous, touch nothing but their argument, and may run again (when the group they were in failed).
/// Cost of a lone write: two thread switches and one sync; of many at once: some microseconds each and a shared sync.
package final class Store: Sendable {
    private let parts: StoreParts
    private let isClosing: Atomic<Bool> = Atomic(false)

    private init(_ parts: StoreParts) { self.parts = parts }

    deinit {
        if !self.isClosing.load(ordering: .acquiring) { self.parts.shutDownDetached() }
    }

    /// Locks the folder, opens or makes the database, brings its schema up to date, and starts the threads. Blocks.
    ///
    /// Throws `.locked`, `.notWritable`, `.newerDatabase`, `.changedMigration`, `.corrupt`, or `.unavailable`.
    package static func open(
        _ configuration: StoreConfiguration, migrations: [ServiceMigrations] = [],
        extensions: [any CommitExtension] = []
    ) throws(StoreError) -> Store {
        Store(try StoreParts(configuration, migrations, extensions))
    }

    /// Runs `body` in a transaction and returns what it returns, once that is durable; throws what it throws, with
    /// nothing written.
    ///
    /// A cancelled caller still waits for the outcome: the write may commit. Throws `.overloaded` when too many wait.
    @discardableResult
    package func write<T: Sendable>(_ body: @escaping @Sendable (Transaction) throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { caller in
            let queue: JobQueue<WriteJob> = self.parts.writer.queue
            let job: TypedWriteJob<T> = TypedWriteJob(body, caller: caller)
            if let refusal = queue.push(job) { caller.resume(throwing: StoreError(refusal, "write", queue.limit)) }
        }
    }

    /// Runs `body` over a snapshot, for 5 s at most (`.timedOut`), and returns what it returns.
    package func read<T: Sendable>(_ body: @escaping @Sendable (Reader) throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { caller in
            let queue: JobQueue<ReadJob> = self.parts.readers.queue
            let job: TypedReadJob<T> = TypedReadJob(body, caller: caller)
            if let refusal = queue.push(job) { caller.resume(throwing: StoreError(refusal, "read", queue.limit)) }
        }
    }

    /// Whether writes work; if not, why and since when. Cheap, from any thread.
    package var health: StoreHealth { self.parts.state.health }

    /// Refuses further work, finishes what waits, closes the files and releases the folder. Later calls do nothing.
    package func close() async {
        guard !self.isClosing.exchange(true, ordering: .acquiringAndReleasing) else { return }
        await withCheckedContinuation { done in
            self.parts.shutDownDetached { done.resume() }
        }
    }
}

extension StoreError {
    fileprivate init(_ refusal: JobQueue<WriteJob>.Refusal, _ queue: String, _ limit: Int) {
        self = refusal == .full ? .overloaded(queue: queue, limit: limit) : .closed
    }

    fileprivate init(_ refusal: JobQueue<ReadJob>.Refusal, _ queue: String, _ limit: Int) {
        self = refusal == .full ? .overloaded(queue: queue, limit: limit) : .closed
    }
}
