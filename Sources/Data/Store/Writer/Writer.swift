import CLinux
import CSQLite
import JSON
import Telemetry
import Time

/// The writer thread: takes the waiting closures, runs each behind its own savepoint in one transaction, commits with
/// one sync for all, then resumes the callers.
///
/// ```
/// take jobs ─► BEGIN IMMEDIATE ─► SAVEPOINT closure RELEASE ─► … ─► follow-ups alike ─► prepareCommit ─► COMMIT (sync) ─► resume callers
///                                  └ throws: ROLLBACK TO, others go on      └ group fails: roll back; run one by one
/// ```
/// A group in which nobody waits for the disk is committed without a sync, and takes in nobody who does.
///
/// `@unchecked Sendable`: `queue` and `state` are shared and lock themselves; everything else is touched by the writer
/// thread only, while `run` goes on (before that by `Store.open`, after it by the shutdown).
final class Writer: @unchecked Sendable {
    /// Closures that may wait; the next is refused with `.overloaded`.
    static let queueMax: Int = 4096
    /// Closures in one commit.
    static let groupMax: Int = 256
    /// A group that has run this long (nanoseconds) takes no further closures, so that the first does not wait for ever.
    static let groupTimeMax: UInt64 = 2_000_000
    /// Pages (4 KiB) in the write-ahead log after which they are copied into the database. Commits wait for the disk while
    /// such a copy is synced, so many small copies give better latencies than few large ones: under random updates as fast
    /// as they go, 99 % were below 7 ms with 256 pages, 10 ms with 512, 16 ms with 1024, 30 ms with 4096, at the same rate.
    static let checkpointPages: Int = 256
    /// Pages in the log (32 MiB) from which the writer waits for the copy and finishes it whatever is left: under a steady
    /// load the copy never catches up by itself, and the log would grow without limit.
    static let walPagesMax: Int = 8192
    /// How long it waits then, in nanoseconds, before the next group.
    static let checkpointWaitMax: UInt64 = 200_000_000
    /// A closure that runs this long (nanoseconds) is logged: it holds up everybody else's writes.
    static let closureTimeSlow: UInt64 = 100_000_000
    /// While the store is failing: pause between two probe writes, in nanoseconds.
    static let probeInterval: UInt64 = 1_000_000_000

    let queue: JobQueue<WriteJob> = JobQueue(limit: Writer.queueMax)
    let state: StoreState
    private let clock: any WallClock
    private let logger: Logger
    private let metrics: StoreMetrics
    private let attachments: [any CommitAttachment]
    private let connection: Connection
    private let statements: WriterStatements
    /// Pages in the WAL after a commit, written by SQLite's hook on this thread; -1 until a commit writes something.
    private let hookPages: UnsafeMutablePointer<Int32>
    /// Pages in the WAL.
    private var walPages: Int = 0
    /// Pages in the WAL when the last checkpoint was tried: a long reader can make it achieve nothing.
    private var checkpointedAt: Int = 0
    /// The checkpointer owes an outcome.
    private var isCheckpointing: Bool = false
    /// The last checkpoint failed: the next comes with the next probe or commit.
    private var mustCheckpoint: Bool = false
    /// Whether a commit of the connection waits for the disk.
    private var isSyncing: Bool = true
    private let checkpointer: Checkpointer

    init(
        _ connection: Connection, _ configuration: StoreConfiguration, metrics: StoreMetrics, state: StoreState,
        attachments: [any CommitAttachment], checkpointer: Checkpointer
    ) throws(StoreError) {
        self.connection = connection
        self.clock = configuration.clock
        self.logger = configuration.logger
        self.metrics = metrics
        self.state = state
        self.attachments = attachments
        self.checkpointer = checkpointer
        self.statements = try WriterStatements(connection)
        self.hookPages = .allocate(capacity: 1)
        self.hookPages.initialize(to: -1)
        sqlite3_wal_hook(
            connection.handle,
            { context, _, _, pages in
                context?.assumingMemoryBound(to: Int32.self).pointee = pages
                return SQLITE_OK
            }, self.hookPages)
    }

    deinit { self.hookPages.deallocate() }

    // MARK: - The thread

    /// The thread's life: until the queue is closed and empty.
    func run() {
        var jobs: [WriteJob] = []
        jobs.reserveCapacity(Self.groupMax)
        while true {
            let wait: UInt64? = self.state.health == .ok ? nil : Self.probeInterval
            switch self.queue.take(Self.groupMax, into: &jobs, wait: wait) {
            case .closed:
                self.checkpointer.requests.close()
                return
            case .timedOut:
                self.probe()
                self.checkpointIfDue()
            case .jobs:
                self.commit(&jobs)
                for job: WriteJob in jobs { job.finish() }
                jobs.removeAll(keepingCapacity: true)
                self.checkpointIfDue()
            }
        }
    }

    /// Closes the connection: after the thread has ended, and last of all, so that SQLite can empty the log into the database.
    func closeConnection() {
        self.statements.finalize()
        self.connection.close()
    }

    /// Commits the jobs, and those that arrive meanwhile, as one group; if the group fails, each on its own.
    private func commit(_ jobs: inout [WriteJob]) {
        guard let failure: StoreError = self.commitGroup(&jobs, joining: true) else { return }
        for job: WriteJob in jobs {
            if jobs.count > 1, failure.mayHitOnlyOneClosure { self.commitAlone(job) } else { job.fail(failure) }
        }
    }

    private func commitAlone(_ job: WriteJob) {
        var alone: [WriteJob] = [job]
        if let failure: StoreError = self.commitGroup(&alone, joining: false) { job.fail(failure) }
    }

    /// One transaction. Returns nil when it is durable; the reason when all of it was rolled back.
    private func commitGroup(_ jobs: inout [WriteJob], joining: Bool) -> StoreError? {
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let transaction: Transaction = Transaction(
            .sqlite(self.connection), now: self.clock.now(), attachments: self.attachments)
        defer { transaction.end() }
        let isSynced: Bool = jobs.contains { $0.durability == .synced }
        do throws(StoreError) {
            try self.setSyncing(isSynced)
            try self.connection.run(self.statements.begin)
            try self.runJobs(&jobs, transaction, joining: joining && isSynced, end: start + Self.groupTimeMax)
            try self.runFollowUps(transaction)
            try self.prepareCommit(transaction)
            try self.commitStatement()
        } catch {
            self.rollBack()
            self.metrics.groupsFailed.add()
            self.state.noteFailure(error, of: .commits, at: self.clock.now())
            return error
        }
        for attachment: any CommitAttachment in self.attachments { attachment.committed() }
        self.metrics.closuresPerCommit.observe(Double(jobs.count))
        self.metrics.commitSeconds.observe(Self.seconds(since: start))
        return nil
    }

    /// Between transactions.
    private func setSyncing(_ isSyncing: Bool) throws(StoreError) {
        if isSyncing == self.isSyncing { return }
        try self.connection.syncsCommits(isSyncing)
        self.isSyncing = isSyncing
    }

    private func runJobs(_ jobs: inout [WriteJob], _ transaction: Transaction, joining: Bool, end: UInt64)
        throws(StoreError)
    {
        var index: Int = 0
        while true {
            while index < jobs.count {
                try self.runBehindSavepoint(jobs[index], transaction)
                index += 1
            }
            guard joining, jobs.count < Self.groupMax, clinux_monotonic_nanoseconds() < end,
                self.queue.takeWaiting(Self.groupMax - jobs.count, into: &jobs)
            else { return }
        }
    }

    /// Runs one closure; its own error undoes only itself. Throws when the whole transaction is lost.
    private func runBehindSavepoint(_ job: WriteJob, _ transaction: Transaction) throws(StoreError) {
        try self.connection.run(self.statements.savepoint)
        for attachment: any CommitAttachment in self.attachments { attachment.savepoint() }
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let failure: (any Error)? = job.run(transaction)
        self.logIfSlow(start)
        if let fault: StoreError = transaction.fault { throw fault }
        guard self.connection.isInTransaction else {
            throw (failure as? StoreError) ?? .unavailable(reason: "the database ended the transaction by itself")
        }
        if failure != nil {
            self.metrics.closuresFailed.add()
            try self.connection.run(self.statements.rollbackToSavepoint)
            for attachment: any CommitAttachment in self.attachments { attachment.rollbackToSavepoint() }
        }
        try self.connection.run(self.statements.release)
    }

    /// Runs what the extensions have to do besides, in the same transaction.
    private func runFollowUps(_ transaction: Transaction) throws(StoreError) {
        for attachment: any CommitAttachment in self.attachments {
            let followUps: [FollowUp] = try self.ask(transaction) { try attachment.followUps(transaction) }
            for followUp: FollowUp in followUps {
                try self.runBehindSavepoint(FollowUpJob(followUp), transaction)
            }
        }
    }

    private func prepareCommit(_ transaction: Transaction) throws(StoreError) {
        for attachment: any CommitAttachment in self.attachments {
            try self.ask(transaction) { try attachment.prepareCommit(transaction) }
        }
    }

    /// Whatever goes wrong in an extension outside its follow-ups costs the group.
    private func ask<T>(_ transaction: Transaction, _ body: () throws -> T) throws(StoreError) -> T {
        let result: T
        do {
            result = try body()
        } catch let error as StoreError {
            throw error
        } catch {
            throw .misuse("a commit extension failed: \(error)")
        }
        if let fault: StoreError = transaction.fault { throw fault }
        return result
    }

    /// COMMIT, which returns after the sync where there is one. A transaction that wrote nothing, or did not wait for the disk,
    /// says nothing about it.
    private func commitStatement() throws(StoreError) {
        self.hookPages.pointee = -1
        try self.connection.run(self.statements.commit)
        guard self.hookPages.pointee >= 0 else { return }
        self.walPages = Int(self.hookPages.pointee)
        self.metrics.commits.add()
        if self.isSyncing { self.state.noteSuccess(of: .commits) } else { self.metrics.commitsDeferred.add() }
    }

    private func logIfSlow(_ start: UInt64) {
        let time: UInt64 = clinux_monotonic_nanoseconds() - start
        guard time >= Self.closureTimeSlow else { return }
        self.logger.warning("a write closure held up the writer", ["milliseconds": .int(Int64(time / 1_000_000))])
    }

    private static func seconds(since start: UInt64) -> Double {
        Double(clinux_monotonic_nanoseconds() - start) / 1_000_000_000
    }

    private func rollBack() {
        // SQLite may have rolled back already; what is left of a failed rollback shows at the next BEGIN.
        if self.connection.isInTransaction { try? self.connection.run(self.statements.rollback) }
        for attachment: any CommitAttachment in self.attachments { attachment.aborted() }
    }

    // MARK: - Between commits

    /// Writes a row while the store is failing: success is the sign that the cause has gone.
    private func probe() {
        do throws(StoreError) {
            try self.setSyncing(true)
            try self.connection.run(self.statements.begin)
            try self.connection.run(self.statements.probe, [.int(self.clock.now().nanoseconds)]) { _ in true }
            try self.commitStatement()
        } catch {
            if self.connection.isInTransaction { try? self.connection.run(self.statements.rollback) }
            self.state.noteFailure(error, of: .commits, at: self.clock.now())
        }
    }

    /// Has the checkpointer copy the write-ahead log into the database when it is long enough, and finishes what it leaves.
    /// Callers are not waiting for it, except where the log grows faster than it can be copied.
    private func checkpointIfDue() {
        if self.isCheckpointing {
            self.takeOutcome(wait: self.walPages >= Self.walPagesMax ? Self.checkpointWaitMax : nil)
        } else {
            // The log started over since.
            if self.walPages < self.checkpointedAt { self.checkpointedAt = 0 }
            let grown: Int = self.walPages - self.checkpointedAt
            guard grown >= Self.checkpointPages || self.mustCheckpoint else { return }
            self.checkpointedAt = self.walPages
            self.isCheckpointing = self.checkpointer.requests.push(()) == nil
        }
    }

    private func takeOutcome(wait: UInt64?) {
        var outcomes: [Checkpointer.Outcome] = []
        if let wait {
            _ = self.checkpointer.outcomes.take(1, into: &outcomes, wait: wait)
        } else {
            _ = self.checkpointer.outcomes.takeWaiting(1, into: &outcomes)
        }
        guard let outcome: Checkpointer.Outcome = outcomes.first else { return }
        self.isCheckpointing = false
        self.checkpointedAt = self.walPages
        switch outcome {
        case .nearlyDone: self.finishCheckpoint()
        case .behind: if self.walPages >= Self.walPagesMax { self.finishCheckpoint() }
        case .failed(let error): self.noteCopying(error)
        }
    }

    /// Copies the last pages; the next commit then starts the log over.
    private func finishCheckpoint() {
        let result: Int32 = sqlite3_wal_checkpoint_v2(self.connection.handle, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
        switch result {
        case SQLITE_OK: self.noteCopying(nil)
        case SQLITE_BUSY: break
        default: self.noteCopying(SQLiteResult.error(result, self.connection.handle))
        }
    }

    /// The log holds everything that was acknowledged, so a failure to copy it loses nothing; it is shown and tried again.
    private func noteCopying(_ failure: StoreError?) {
        self.mustCheckpoint = failure != nil
        if let failure {
            self.state.noteFailure(failure, of: .copying, at: self.clock.now())
        } else {
            self.state.noteSuccess(of: .copying)
        }
    }
}
