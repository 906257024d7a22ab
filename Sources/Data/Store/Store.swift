import Synchronization
import Time

/// The one way to state on disk: transactions on SQLite, or on PostgreSQL when the configuration names a server.
///
/// - `write` runs a closure on a thread of the store and returns after a commit that is synced to disk; a closure that throws
///   undoes only itself. SQLite has one writer, which commits all waiting closures as a group, each behind its own
///   savepoint; PostgreSQL several, each with a connection, whose transactions are serializable.
/// - `read` runs a closure on a reader thread over a snapshot of the last commits.
///
/// Closures are synchronous, touch nothing but their argument, and may run again (when the group they were in failed, or
/// another transaction got in the way). Either engine thus shows them a database that nobody else changes meanwhile.
/// Cost of a lone write on SQLite: two thread switches and one sync; of many at once: some microseconds each and a shared
/// sync. On PostgreSQL: a round trip to the server for each statement and two more.
package final class Store: Sendable {
    private let engine: any StoreEngine
    private let writes: JobQueue<WriteJob>
    private let pulses: JobQueue<WriteJob>
    private let reads: JobQueue<ReadJob>
    private let isClosing: Atomic<Bool> = Atomic(false)

    private init(_ engine: any StoreEngine) {
        self.engine = engine
        self.writes = engine.writes
        self.pulses = engine.pulses
        self.reads = engine.reads
    }

    deinit {
        if !self.isClosing.load(ordering: .acquiring) { self.engine.shutDownDetached {} }
    }

    /// Locks the folder or connects to the server, makes what is missing and brings the schema up to date, or only checks it
    /// (`StoreConfiguration.schema`), and starts the threads. Blocks.
    ///
    /// Throws `.locked`, `.notWritable`, `.newerDatabase`, `.olderDatabase`, `.changedMigration`, `.foreignDatabase`,
    /// `.corrupt`, `.unavailable`, or `.misconfigured`.
    package static func open(
        _ configuration: StoreConfiguration, migrations: [ServiceMigrations] = [],
        extensions: [any CommitExtension] = []
    ) throws(StoreError) -> Store {
        if configuration.url != nil { return Store(try PostgresEngine(configuration, migrations, extensions)) }
        return Store(try SQLiteEngine(configuration, migrations, extensions))
    }

    /// Runs `body` in a transaction and returns what it returns, once that is durable; throws what it throws, with
    /// nothing written.
    ///
    /// A cancelled caller still waits for the outcome: the write may commit. Throws `.overloaded` when too many wait.
    /// - Parameters:
    ///   - isolation: what the closure relies on; see `WriteIsolation`.
    ///   - durability: whether it waits for the disk; see `WriteDurability`.
    @discardableResult
    package func write<T: Sendable>(
        isolation: WriteIsolation = .serializable, durability: WriteDurability = .synced,
        _ body: @escaping @Sendable (Transaction) throws -> T
    ) async throws -> T {
        try await self.run(body, isolation, durability, in: self.writes, named: "write")
    }

    /// Runs `body` like `write` with `.readCommitted`, for a change that must not be late and may be lost: a sign of life, a term
    /// that is made longer.
    ///
    /// On PostgreSQL such changes have a connection of their own, so they wait for no others, and their commit waits for no sync:
    /// a crash of the server may undo the latest of them, in the order they were made, and what was acknowledged by `write` never
    /// rests on one that is undone. On SQLite this is `write`.
    @discardableResult
    package func pulse<T: Sendable>(_ body: @escaping @Sendable (Transaction) throws -> T) async throws -> T {
        try await self.run(body, .readCommitted, .synced, in: self.pulses, named: "pulse")
    }

    private func run<T: Sendable>(
        _ body: @escaping @Sendable (Transaction) throws -> T, _ isolation: WriteIsolation,
        _ durability: WriteDurability, in queue: JobQueue<WriteJob>, named name: String
    ) async throws -> T {
        let body: @Sendable (Transaction) throws -> T = StatementLog.noting(body)
        return try await withCheckedThrowingContinuation { caller in
            let job: TypedWriteJob<T> = TypedWriteJob(
                body, isolation: isolation, durability: durability, caller: caller)
            if let refusal = queue.push(job) {
                caller.resume(throwing: StoreError(refusal, name, queue.limit))
            }
        }
    }

    /// Runs `body` over a snapshot, for `readTimeMax` at most (`.timedOut`; 5 s), and returns what it returns.
    package func read<T: Sendable>(_ body: @escaping @Sendable (Reader) throws -> T) async throws -> T {
        let body: @Sendable (Reader) throws -> T = StatementLog.noting(body)
        return try await withCheckedThrowingContinuation { caller in
            let job: TypedReadJob<T> = TypedReadJob(body, caller: caller)
            if let refusal = self.reads.push(job) {
                caller.resume(throwing: StoreError(refusal, "read", self.reads.limit))
            }
        }
    }

    /// Whether writes work; if not, why and since when. Cheap, from any thread.
    package var health: StoreHealth { self.engine.state.health }

    /// Which engine the store runs on.
    package var kind: StoreEngineKind { self.engine.kind }

    /// Listens to the processes that share the database, and speaks to them; nil where one process owns it.
    ///
    /// - Parameters:
    ///   - channel: a short name of lower-case letters and `_`; who uses the same hears each other.
    ///   - received: called on a thread of the store; must return soon. Signals can be lost with their connection: after a new
    ///     one `.connected` comes, and then everything has to be looked at.
    package func signals(
        _ channel: String, received: @escaping @Sendable (StoreSignal) -> Void
    ) throws(StoreError) -> StoreSignals? {
        try self.engine.signals(channel, received)
    }

    /// Refuses further work, finishes what waits, closes the files and releases the folder. Later calls do nothing.
    package func close() async {
        guard !self.isClosing.exchange(true, ordering: .acquiringAndReleasing) else { return }
        await withCheckedContinuation { done in
            self.engine.shutDownDetached { done.resume() }
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
