import CLinux
import JSON
import Telemetry
import Time

/// What one of the store's threads that write on PostgreSQL is there for.
enum PostgresDuty: Sendable {
    case changes
    /// Looks after the server besides, while nobody writes.
    case changesAndWatch
    /// What `Store.pulse` is given.
    case pulses
}

/// One of the store's threads that write on PostgreSQL: takes a closure, runs it in a transaction, commits, and resumes the
/// caller.
///
/// ```
/// take ─► BEGIN SERIALIZABLE ─► closure ─► … ─► prepareCommit ─► COMMIT ─► resume the callers
///           ▲                     │ conflict, or the connection was lost before COMMIT: again
///           └─────────────────────┘ throws: ROLLBACK
/// ```
/// While more closures wait than there are writers, several share a transaction: beginning and ending one costs the server more
/// than most closures do. There are no savepoints, which would cost as much: a closure that fails before it changed anything just
/// leaves, and after any other failure each closure runs again in a transaction of its own.
///
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
    private let duty: PostgresDuty
    /// Writers there are, among which the waiting closures are shared out.
    private let writers: Int
    private let groupTimeMax: UInt64
    /// Taken while a group was made up that it cannot be part of.
    private var next: WriteJob?
    /// Takes left for which closures run alone, since a group came to nothing.
    private var pauseOfGroups: Int = 0
    private var connection: PostgresConnection?
    private var random: SystemRandomNumberGenerator = SystemRandomNumberGenerator()

    init(
        _ configuration: StoreConfiguration, queue: JobQueue<WriteJob>, sessions: PostgresSessions,
        metrics: StoreMetrics, state: StoreState, attachments: [any CommitAttachment], duty: PostgresDuty
    ) {
        self.queue = queue
        self.sessions = sessions
        self.state = state
        self.clock = configuration.clock
        self.statementTime = configuration.writeTimeMax
        self.logger = configuration.logger
        self.metrics = metrics
        self.attachments = attachments
        self.duty = duty
        self.writers = configuration.writers
        self.groupTimeMax = configuration.groupTimeMax
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
                self.commit(&jobs, joining: self.joining(jobs[0]))
                for job: WriteJob in jobs { job.finish() }
                jobs.removeAll(keepingCapacity: true)
                self.commitNext()
            }
        }
    }

    private func commitNext() {
        guard let job: WriteJob = self.next else { return }
        self.next = nil
        var alone: [WriteJob] = [job]
        self.commit(&alone, joining: 0)
        job.finish()
    }

    /// How many of those that wait may share the closure's transaction: this writer's share of them.
    private func joining(_ job: WriteJob) -> Int {
        guard job.isolation == .serializable, job.durability == .synced else { return 0 }
        if self.pauseOfGroups > 0 {
            self.pauseOfGroups -= 1
            return 0
        }
        return min(PostgresLimits.groupMax - 1, self.queue.count / self.writers)
    }

    /// Takes one more for the running transaction; false when nothing waits, or what waits has to be alone.
    private func takeAnother(into jobs: inout [WriteJob]) -> Bool {
        guard self.queue.takeWaiting(1, into: &jobs) else { return false }
        if jobs[jobs.count - 1].isolation == .serializable { return true }
        self.next = jobs.removeLast()
        return false
    }

    private var pause: UInt64? {
        guard self.duty == .changesAndWatch else { return nil }
        return self.state.health == .ok ? PostgresLimits.heartbeat : PostgresLimits.probeInterval
    }

    // MARK: - One transaction

    private enum Outcome {
        /// The closures' own results stand: durable, or their own errors and nothing written.
        case finished
        case failed(StoreError)
        /// Nothing was written because others got in the way.
        case conflict
        /// Nothing was written because the connection broke before the commit was asked for.
        case lost(StoreError)
        /// The closure went on after a failed statement: it needs a savepoint for each. Of several closures one failed: each
        /// needs a transaction.
        case again
    }

    /// - Parameter joining: how many closures may come along; they are added to `jobs`.
    private func commit(_ jobs: inout [WriteJob], joining: Int) {
        var joining: Int = joining
        var tries: Int = 0
        var isReconnected: Bool = false
        var savesEachStatement: Bool = false
        while true {
            tries += 1
            let outcome: Outcome = self.attempt(
                &jobs, joining: joining, alone: tries > PostgresLimits.sharedTries,
                savesEachStatement: savesEachStatement)
            joining = 0
            switch outcome {
            case .finished: return
            case .again where jobs.count > 1: return self.commitEach(jobs)
            case .again where !savesEachStatement: savesEachStatement = true
            case .conflict where tries < PostgresLimits.triesMax:
                self.metrics.conflicts.add()
                self.wait(afterTries: tries)
            case .lost where !isReconnected:
                // The server may just have been restarted, or have closed a connection that was idle for long.
                isReconnected = true
            case .failed(let error), .lost(let error): return self.fail(jobs, error)
            case .conflict, .again: return self.fail(jobs, .conflict)
            }
        }
    }

    /// Each in a transaction of its own, after one for all came to nothing.
    private func commitEach(_ jobs: [WriteJob]) {
        self.metrics.groupsFailed.add()
        self.pauseOfGroups = PostgresLimits.groupPause
        for job: WriteJob in jobs {
            var alone: [WriteJob] = [job]
            self.commit(&alone, joining: 0)
        }
    }

    private func fail(_ jobs: [WriteJob], _ error: StoreError) {
        self.metrics.groupsFailed.add()
        self.note(error)
        for job: WriteJob in jobs { job.fail(error) }
    }

    /// One transaction. The jobs have their results when it is `.finished`.
    private func attempt(
        _ jobs: inout [WriteJob], joining: Int, alone: Bool, savesEachStatement: Bool
    ) -> Outcome {
        let connection: PostgresConnection
        do throws(StoreError) { connection = try self.connected() } catch { return .failed(error) }
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let transaction: Transaction = Transaction(
            .postgresql(connection), now: self.clock.now(), attachments: self.attachments)
        defer { transaction.end() }
        connection.savesEachStatement = savesEachStatement
        let isSynced: Bool = jobs.contains { $0.durability == .synced }
        connection.begin(self.opening(jobs[0].isolation, alone: alone, isSynced: isSynced))
        let end: UInt64 = start + self.groupTimeMax
        let countMax: Int = jobs.count + joining
        var index: Int = 0
        while index < jobs.count {
            let isLone: Bool = jobs.count == 1
            if let outcome: Outcome = self.run(jobs[index], transaction, connection, isLone: isLone) { return outcome }
            index += 1
            guard index == jobs.count, index < countMax, clinux_monotonic_nanoseconds() < end else { continue }
            _ = self.takeAnother(into: &jobs)
        }
        do throws(StoreError) {
            try self.prepareCommit(transaction)
            try connection.commit()
        } catch {
            return self.undoCommit(connection, error, isLone: jobs.count == 1)
        }
        for attachment: any CommitAttachment in self.attachments { attachment.committed() }
        // A pulse says nothing about syncs.
        if self.duty != .pulses { self.noteCommit(jobs.count, isSynced: isSynced, since: start) }
        return .finished
    }

    private func noteCommit(_ count: Int, isSynced: Bool, since start: UInt64) {
        self.metrics.commits.add()
        self.metrics.closuresPerCommit.observe(Double(count))
        self.metrics.commitSeconds.observe(Double(clinux_monotonic_nanoseconds() - start) / 1_000_000_000)
        if isSynced { self.state.noteSuccess(of: .commits) } else { self.metrics.commitsDeferred.add() }
    }

    /// Runs one closure; nil when the transaction goes on.
    private func run(
        _ job: WriteJob, _ transaction: Transaction, _ connection: PostgresConnection, isLone: Bool
    ) -> Outcome? {
        for attachment: any CommitAttachment in self.attachments { attachment.savepoint() }
        let changes: Int = connection.changes
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let failure: (any Error)? = job.run(transaction)
        self.logIfSlow(start)
        if !isLone, failure != nil, connection.trouble == nil, connection.changes == changes {
            // It has nothing to undo in the database, and its error stands.
            self.metrics.closuresFailed.add()
            for attachment: any CommitAttachment in self.attachments { attachment.rollbackToSavepoint() }
            return nil
        }
        return self.undo(connection, failure, isLone: isLone)
    }

    /// Ends a transaction that a closure gave up or lost; nil when it may commit.
    private func undo(_ connection: PostgresConnection, _ failure: (any Error)?, isLone: Bool) -> Outcome? {
        let trouble: PostgresFailure? = connection.trouble
        let wasUsed: Bool = connection.wasUsedAfterTrouble
        guard failure != nil || trouble != nil else { return nil }
        self.rollBack(connection)
        switch trouble?.kind {
        case .conflict: return .conflict
        case .lost: return .lost(trouble?.error ?? .closed)
        case _ where !isLone: return .again
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

    private func undoCommit(_ connection: PostgresConnection, _ error: StoreError, isLone: Bool) -> Outcome {
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
        default: return isLone ? .failed(error) : .again
        }
    }

    private func rollBack(_ connection: PostgresConnection) {
        connection.rollBack()
        for attachment: any CommitAttachment in self.attachments { attachment.aborted() }
    }

    /// Writers share the lock of the table; who needs to be alone takes it for itself. A lock on a table is taken before the
    /// transaction's snapshot, which an advisory lock is not: who was alone sees what all others have committed.
    ///
    /// Pulses stay out of it: whoever relies on being alone has no business with them, and they must not wait for who is.
    private func opening(_ isolation: WriteIsolation, alone: Bool, isSynced: Bool) -> [String] {
        if self.duty == .pulses { return ["BEGIN ISOLATION LEVEL READ COMMITTED"] }
        let level: String = isolation == .serializable ? "SERIALIZABLE" : "READ COMMITTED"
        let lock: String = "LOCK TABLE store_probe IN \(alone ? "EXCLUSIVE" : "ROW SHARE") MODE"
        // The log's writer of the server syncs it within some hundred milliseconds.
        let commit: [String] = isSynced ? [] : ["SET LOCAL synchronous_commit = off"]
        return ["BEGIN ISOLATION LEVEL \(level)", lock] + commit
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
        if self.duty == .pulses { try fresh.command("SET synchronous_commit = off") }
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
