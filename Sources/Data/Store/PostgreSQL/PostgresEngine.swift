import Synchronization
import Time

/// What an open store on PostgreSQL consists of: two queues, and threads with a connection each that take closures from them.
final class PostgresEngine: StoreEngine {
    /// Closures that may wait in a queue; the next is refused with `.overloaded`.
    static let queueMax: Int = 4096

    let state: StoreState
    let writes: JobQueue<WriteJob> = JobQueue(limit: PostgresEngine.queueMax)
    let pulses: JobQueue<WriteJob> = JobQueue(limit: PostgresEngine.queueMax)
    let reads: JobQueue<ReadJob> = JobQueue(limit: PostgresEngine.queueMax)
    private let threads: [StoreThread]
    private let sessions: PostgresSessions
    private let openSignals: Mutex<[StoreSignals]> = Mutex([])

    var kind: StoreEngineKind { .postgresql }

    init(
        _ configuration: StoreConfiguration, _ migrations: [ServiceMigrations], _ extensions: [any CommitExtension]
    ) throws(StoreError) {
        try Self.check(configuration)
        let address: PostgresAddress = try PostgresAddress(configuration.url ?? "")
        self.state = StoreState(logger: configuration.logger)
        let metrics: StoreMetrics = StoreMetrics(configuration.metrics)
        let sessions: PostgresSessions = PostgresSessions(address, configuration)
        try Self.migrate(sessions, migrations, configuration)
        var threads: [StoreThread] = []
        do throws(StoreError) {
            for index: Int in 0..<configuration.writers {
                var attachments: [any CommitAttachment] = []
                for item: any CommitExtension in extensions { attachments.append(item.makeAttachment()) }
                let writer: PostgresWriter = PostgresWriter(
                    configuration, queue: self.writes, sessions: sessions, metrics: metrics, state: self.state,
                    attachments: attachments, duty: index == 0 ? .changesAndWatch : .changes)
                threads.append(try StoreThread(name: "store-writer-\(index)") { writer.run() })
            }
            let pulse: PostgresWriter = PostgresWriter(
                configuration, queue: self.pulses, sessions: sessions, metrics: metrics, state: self.state,
                attachments: [], duty: .pulses)
            threads.append(try StoreThread(name: "store-pulse") { pulse.run() })
            for index: Int in 0..<configuration.readers {
                let reader: PostgresReader = PostgresReader(
                    configuration, queue: self.reads, sessions: sessions, metrics: metrics, state: self.state)
                threads.append(try StoreThread(name: "store-reader-\(index)") { reader.run() })
            }
        } catch {
            // Those that started end by themselves.
            self.writes.close()
            self.pulses.close()
            self.reads.close()
            throw error
        }
        self.threads = threads
        self.sessions = sessions
        metrics.watch(configuration.metrics, write: self.writes, read: self.reads, state: self.state)
    }

    private static func check(_ configuration: StoreConfiguration) throws(StoreError) {
        guard (1...PostgresLimits.readersMax).contains(configuration.readers) else {
            throw .misuse("readers: expected 1 to \(PostgresLimits.readersMax) and found \(configuration.readers)")
        }
        guard (1...PostgresLimits.writersMax).contains(configuration.writers) else {
            throw .misuse("writers: expected 1 to \(PostgresLimits.writersMax) and found \(configuration.writers)")
        }
    }

    private static func migrate(
        _ sessions: PostgresSessions, _ migrations: [ServiceMigrations], _ configuration: StoreConfiguration
    ) throws(StoreError) {
        let connection: PostgresConnection = try sessions.connect(
            statementTime: .milliseconds(PostgresLimits.migrationMillisecondsMax), now: 0)
        defer { connection.close() }
        try MigrationRunner(.postgresql(connection), migrations, now: configuration.clock.now()).prepare(
            configuration.schema)
    }

    func shutDownDetached(_ done: @escaping @Sendable () -> Void) {
        self.writes.close()
        self.pulses.close()
        self.reads.close()
        let threads: [StoreThread] = self.threads
        for signals: StoreSignals in self.openSignals.withLock({ $0 }) { signals.stop() }
        let work: @Sendable () -> Void = {
            for thread: StoreThread in threads { thread.join() }
            done()
        }
        // Without a thread the caller's has to wait: better than a store that never closes.
        if (try? StoreThread(name: "store-close", work)) == nil { work() }
    }

    func signals(
        _ channel: String, _ received: @escaping @Sendable (StoreSignal) -> Void
    ) throws(StoreError) -> StoreSignals? {
        let signals: StoreSignals = try StoreSignals(channel, self.sessions, received)
        self.openSignals.withLock { $0.append(signals) }
        return signals
    }
}
