import CLinux
import Telemetry
import Time

/// One of the store's threads that read on PostgreSQL, each closure over a snapshot.
///
/// `@unchecked Sendable`: made by `Store.open`, then touched by its own thread only; what is shared locks itself.
final class PostgresReader: @unchecked Sendable {
    private static let opening: [String] = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"]

    private let queue: JobQueue<ReadJob>
    private let sessions: PostgresSessions
    private let state: StoreState
    private let clock: any WallClock
    private let seconds: Histogram
    private let deadline: ReadDeadline
    private var connection: PostgresConnection?

    init(
        _ configuration: StoreConfiguration, queue: JobQueue<ReadJob>, sessions: PostgresSessions,
        metrics: StoreMetrics, state: StoreState
    ) {
        self.queue = queue
        self.sessions = sessions
        self.state = state
        self.clock = configuration.clock
        self.seconds = metrics.readSeconds
        self.deadline = ReadDeadline(limit: configuration.readTimeMax)
    }

    func run() {
        var jobs: [ReadJob] = []
        while self.queue.take(1, into: &jobs, wait: nil) == .jobs {
            for job: ReadJob in jobs {
                self.answer(job)
                job.finish()
                // The end of the snapshot changes nothing any more, so the caller need not wait for it.
                self.connection?.rollBack()
            }
            jobs.removeAll(keepingCapacity: true)
        }
        self.connection?.close()
    }

    private func answer(_ job: ReadJob) {
        let start: UInt64 = clinux_monotonic_nanoseconds()
        defer { self.seconds.observe(Double(clinux_monotonic_nanoseconds() - start) / 1_000_000_000) }
        var isReconnected: Bool = false
        var savesEachStatement: Bool = false
        while true {
            let connection: PostgresConnection
            do throws(StoreError) { connection = try self.connected() } catch { return self.fail(job, error) }
            let fault: StoreError? = self.run(job, connection, savesEachStatement: savesEachStatement)
            switch connection.trouble?.kind {
            case .lost where !isReconnected: isReconnected = true
            case .statement where connection.wasUsedAfterTrouble && !savesEachStatement:
                connection.rollBack()
                savesEachStatement = true
            case .lost, .conflict: return self.fail(job, connection.trouble?.error ?? .closed)
            case .statement, nil:
                if let fault {
                    self.state.noteFailure(fault, of: .reads, at: self.clock.now())
                } else if self.state.health != .ok {
                    self.state.noteSuccess(of: .reads)
                }
                return
            }
        }
    }

    /// Runs the closure, which keeps its own result, and returns what the server refused.
    private func run(_ job: ReadJob, _ connection: PostgresConnection, savesEachStatement: Bool) -> StoreError? {
        connection.savesEachStatement = savesEachStatement
        connection.begin(Self.opening)
        self.deadline.start()
        defer { self.deadline.clear() }
        let reader: Reader = Reader(.postgresql(connection), deadline: self.deadline)
        job.run(reader)
        reader.end()
        return reader.fault
    }

    private func fail(_ job: ReadJob, _ error: StoreError) {
        self.state.noteFailure(error, of: .reads, at: self.clock.now())
        job.fail(error)
    }

    private func connected() throws(StoreError) -> PostgresConnection {
        if let connection: PostgresConnection = self.connection, connection.isUsable { return connection }
        self.connection = nil
        let fresh: PostgresConnection = try self.sessions.connect(
            statementTime: self.deadline.limit, now: clinux_monotonic_nanoseconds())
        fresh.restrict(toReading: true)
        self.connection = fresh
        return fresh
    }
}
