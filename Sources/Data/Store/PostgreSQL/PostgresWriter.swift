import CLinux
import JSON
import Telemetry
import Time

/// One of the store's threads that write on PostgreSQL: takes a closure, runs it in a transaction of its own, commits, and
/// resumes the caller.
///
/// ```
/// take ─► BEGIN SERIALIZABLE ─► closure ─► prepareCommit ─► COMMIT ─► resume the caller
///           ▲                     │ conflict, or the connection was lost before COMMIT: again
///           └─────────────────────┘ throws: ROLLBACK
/// ```
/// Tries beyond `PostgresLimits.sharedTries` take a lock that keeps all other writers of the database out, in whatever process,
/// so that even the longest closure gets through.
///
/// `@unchecked Sendable`: made by `Store.open`, then touched by its own thread only; what is shared locks itself.
final class PostgresWriter: @unchecked Sendable {
    private let queue: JobQueue<WriteJob>
    private let sessions: PostgresSessions
    private let state: StoreState
    private let clock: any WallClock
    private let statementTime: Duration
    private let logger: Logger
    private let metrics: StoreMetrics
    private let attachments: [any CommitAttachment]
    /// Looks after the server while nobody writes.
    private let isWatch: Bool
    private var connection: PostgresConnection?
    private var random: SystemRandomNumberGenerator = SystemRandomNumberGenerator()

    init(
        _ configuration: StoreConfiguration, queue: JobQueue<WriteJob>, sessions: PostgresSessions,
        metrics: StoreMetrics, state: StoreState, attachments: [any CommitAttachment], isWatch: Bool
    ) {
        self.queue = queue
        self.sessions = sessions
        self.state = state
        self.clock = configuration.clock
        self.statementTime = configuration.writeTimeMax
        self.logger = configuration.logger
        self.metrics = metrics
        self.attachments = attachments
        self.isWatch = isWatch
    }

    /// The thread's life: until the queue is closed and empty.
    func run() {
        var jobs: [WriteJob] = []
        while true {
            switch self.queue.take(1, into: &jobs, wait: self.pause) {
            case .closed:
                self.connection?.close()
                return
            case .timedOut: self.look()
            case .jobs:
                for job: WriteJob in jobs {
                    self.commit(job)
                    job.finish()
                }
                jobs.removeAll(keepingCapacity: true)
            }
        }
    }

    private var pause: UInt64? {
        guard self.isWatch else { return nil }
        return self.state.health == .ok ? PostgresLimits.heartbeat : PostgresLimits.probeInterval
    }

    // MARK: - One closure

    private enum Outcome {
        /// The closure's own result stands: durable, or its own error and nothing written.
        case finished
        case failed(StoreError)
        /// Nothing was written because others got in the way.
        case conflict
        /// Nothing was written because the connection broke before the commit was asked for.
        case lost(StoreError)
        /// The closure went on after a failed statement: it needs a savepoint for each.
        case again
    }

    private func commit(_ job: WriteJob) {
        var tries: Int = 0
        var isReconnected: Bool = false
        var savesEachStatement: Bool = false
        while true {
            tries += 1
            let outcome: Outcome = self.attempt(
                job, alone: tries > PostgresLimits.sharedTries, savesEachStatement: savesEachStatement)
            switch outcome {
            case .finished: return
            case .again where !savesEachStatement: savesEachStatement = true
            case .conflict where tries < PostgresLimits.triesMax:
                self.metrics.conflicts.add()
                self.wait(afterTries: tries)
            case .lost where !isReconnected:
                // The server may just have been restarted, or have closed a connection that was idle for long.
                isReconnected = true
            case .failed(let error), .lost(let error): return self.fail(job, error)
            case .conflict, .again: return self.fail(job, .conflict)
            }
        }
    }

    private func fail(_ job: WriteJob, _ error: StoreError) {
        self.metrics.groupsFailed.add()
        self.note(error)
        job.fail(error)
    }

    /// One transaction. The job has its result when it is `.finished`.
    private func attempt(_ job: WriteJob, alone: Bool, savesEachStatement: Bool) -> Outcome {
        let connection: PostgresConnection
        do throws(StoreError) { connection = try self.connected() } catch { return .failed(error) }
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let transaction: Transaction = Transaction(
            .postgresql(connection), now: self.clock.now(), attachments: self.attachments)
        defer { transaction.end() }
        connection.savesEachStatement = savesEachStatement
        connection.begin(Self.opening(job.isolation, alone: alone))
        for attachment: any CommitAttachment in self.attachments { attachment.savepoint() }
        let failure: (any Error)? = job.run(transaction)
        self.logIfSlow(start)
        if let outcome: Outcome = self.undo(connection, failure) { return outcome }
        do throws(StoreError) {
            try self.prepareCommit(transaction)
            try connection.commit()
        } catch {
            return self.undoCommit(connection, error)
        }
        for attachment: any CommitAttachment in self.attachments { attachment.committed() }
        self.metrics.commits.add()
        self.metrics.closuresPerCommit.observe(1)
        self.metrics.commitSeconds.observe(Double(clinux_monotonic_nanoseconds() - start) / 1_000_000_000)
        self.state.noteSuccess(of: .commits)
        return .finished
    }

    /// Ends a transaction that the closure gave up or lost; nil when it may commit.
    private func undo(_ connection: PostgresConnection, _ failure: (any Error)?) -> Outcome? {
        let trouble: PostgresFailure? = connection.trouble
        let wasUsed: Bool = connection.wasUsedAfterTrouble
        guard failure != nil || trouble != nil else { return nil }
        self.rollBack(connection)
        switch trouble?.kind {
        case .conflict: return .conflict
        case .lost: return .lost(trouble?.error ?? .closed)
        case .statement where trouble?.error.isEnvironmental == true: return .failed(trouble?.error ?? .closed)
        // Ended by a failed statement that the closure did not mind.
        case .statement where wasUsed || failure == nil: return .again
        case .statement, nil:
            self.metrics.closuresFailed.add()
            return .finished
        }
    }

    private func prepareCommit(_ transaction: Transaction) throws(StoreError) {
        for attachment: any CommitAttachment in self.attachments {
            do {
                try attachment.prepareCommit(transaction)
            } catch let error as StoreError {
                throw error
            } catch {
                throw .misuse("a commit extension failed: \(error)")
            }
        }
    }

    private func undoCommit(_ connection: PostgresConnection, _ error: StoreError) -> Outcome {
        let trouble: PostgresFailure? = connection.trouble
        let wasCommitting: Bool = connection.isCommitting
        self.rollBack(connection)
        switch trouble?.kind {
        case .conflict: return .conflict
        case .lost where !wasCommitting: return .lost(error)
        case .lost:
            // Running it again could write it twice; only the caller can tell.
            return .failed(
                .unavailable(
                    reason: "PostgreSQL went away during a commit, so the change may have been made or not; "
                        + "look before repeating it"))
        default: return .failed(error)
        }
    }

    private func rollBack(_ connection: PostgresConnection) {
        connection.rollBack()
        for attachment: any CommitAttachment in self.attachments {
            attachment.rollbackToSavepoint()
            attachment.aborted()
        }
    }

    /// Writers share the lock of the table; who needs to be alone takes it for itself. A lock on a table is taken before the
    /// transaction's snapshot, which an advisory lock is not: who was alone sees what all others have committed.
    private static func opening(_ isolation: WriteIsolation, alone: Bool) -> [String] {
        let level: String = isolation == .serializable ? "SERIALIZABLE" : "READ COMMITTED"
        return [
            "BEGIN ISOLATION LEVEL \(level)", "LOCK TABLE store_probe IN \(alone ? "EXCLUSIVE" : "ROW SHARE") MODE",
        ]
    }

    private func wait(afterTries tries: Int) {
        let pause: UInt64 = PostgresLimits.retryPause << UInt64(tries - 1)
        clinux_sleep_nanoseconds(UInt64.random(in: pause / 2...pause, using: &self.random))
    }

    private func logIfSlow(_ start: UInt64) {
        let time: UInt64 = clinux_monotonic_nanoseconds() - start
        guard time >= Writer.closureTimeSlow * 10 else { return }
        self.logger.warning("a write closure took long", ["milliseconds": .int(Int64(time / 1_000_000))])
    }

    // MARK: - The connection

    private func connected() throws(StoreError) -> PostgresConnection {
        if let connection: PostgresConnection = self.connection, connection.isUsable { return connection }
        self.connection = nil
        let fresh: PostgresConnection = try self.sessions.connect(
            statementTime: self.statementTime, now: clinux_monotonic_nanoseconds())
        fresh.restrict(toReading: false)
        self.connection = fresh
        return fresh
    }

    /// Looks whether the server is there and takes writes: what `/readyz` says must be true when nobody asks for anything.
    private func look() {
        do throws(StoreError) {
            let connection: PostgresConnection = try self.connected()
            if self.state.health == .ok {
                try connection.command("SELECT 1")
            } else {
                try connection.command(
                    "UPDATE store_probe SET written_at = \(self.clock.now().nanoseconds) WHERE id = 1")
                self.state.noteSuccess(of: .commits)
                self.state.noteSuccess(of: .reads)
                if self.state.isFailing(.space) { try self.lookForSpace(connection) }
            }
        } catch {
            // An idle connection that the server has closed is made anew by the next look, which is soon.
            self.note(error)
        }
    }

    /// A commit that finds room in the pages there are says nothing about a disk that was full: only new pages do. Those of a
    /// temporary table, which are gone with their transaction and in nobody's log.
    private func lookForSpace(_ connection: PostgresConnection) throws(StoreError) {
        do throws(StoreError) {
            try connection.command(
                """
                BEGIN;
                CREATE TEMPORARY TABLE store_space (filler text) ON COMMIT DROP;
                ALTER TABLE store_space ALTER COLUMN filler SET STORAGE EXTERNAL;
                INSERT INTO store_space SELECT repeat('x', \(PostgresLimits.spaceProbeBytes));
                """)
        } catch {
            connection.rollBack()
            if error.isNoSpaceOnServer || !connection.isUsable { throw error }
            // Temporary tables may be forbidden; then the next change that needs space tells.
        }
        connection.rollBack()
        self.state.noteSuccess(of: .space)
    }

    private func note(_ error: StoreError) {
        guard error.isNoSpaceOnServer else {
            return self.state.noteFailure(error, of: .commits, at: self.clock.now())
        }
        // Each failure names another file; the first says enough.
        if !self.state.isFailing(.space) { self.state.noteFailure(error, of: .space, at: self.clock.now()) }
    }
}
