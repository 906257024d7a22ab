import Identifiers
package import Store
import Synchronization
package import Telemetry
package import Time

/// The log of everything that happened: topics of partitions of records, each with an offset, in the store's database.
///
/// ```
/// store.write { tx in … tx.publish(event) … }        state and events in one transaction, one sync
///        │ committed
///        ▼
///    LogHeads ── wakes ──► consumers (`consume`), tails (`tail`), fetches (`fetch`)
/// ```
/// Publishing is an extension of `Transaction`; this type reads, runs consumer groups and removes what is too old.
package final class EventLog: Sendable {
    let store: Store
    let topics: TopicTable
    let heads: LogHeads
    let shared: SharedLog
    private let sealing: SealingPlace
    let sequencer: Sequencer = Sequencer()
    let clock: any WallClock
    let logger: Logger
    /// Names this process in leases.
    let process: String
    /// Whether other processes work on the same database: then groups share their partitions and leases are renewed.
    let isShared: Bool
    private let coordinator: GroupCoordinator
    /// Who is asked before records of a topic are removed.
    private let witnesses: Mutex<[String: RemovalWitness]> = Mutex([:])
    /// The running consumers by group.
    private let consumers: Mutex<[String: Consumer]> = Mutex([:])
    /// What runs beside the consumers.
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])

    private init(
        store: Store, writer: LogWriter, clock: any WallClock, logger: Logger, isShared: Bool, timing: GroupTiming
    ) {
        self.store = store
        self.process = Identifier.make("prc", now: clock.now())
        self.isShared = isShared
        self.coordinator = GroupCoordinator(timing: timing)
        self.topics = writer.topics
        self.heads = writer.heads
        self.shared = writer.shared
        self.sealing = writer.sealing
        self.clock = clock
        self.logger = logger
    }

    /// Opens the log of a store that was opened with `LogMigrations.service` and with `writer` among its extensions.
    ///
    /// Reads one row per partition, however many events are stored.
    /// Throws `LogError.partitionsChanged` when a topic was created with another number of partitions.
    ///
    /// - Parameter shared: whether more than one log is open on the database; nil asks the store's engine.
    package static func open(
        store: Store, writer: LogWriter, clock: any WallClock = SystemClock(), logger: Logger = .silent,
        shared: Bool? = nil, timing: GroupTiming = GroupTiming()
    ) async throws -> EventLog {
        let log: EventLog = EventLog(
            store: store, writer: writer, clock: clock, logger: logger, isShared: shared ?? (store.kind == .postgresql),
            timing: timing)
        try await log.registerTopics()
        if store.kind == .sqlite, writer.isFirstOpening() {
            try await log.store.write { try MemberTable.removeAll(in: $0) }
        }
        let rows: [PartitionRow] = try await store.read { reader in try LogTables.partitions(in: reader) }
        for row: PartitionRow in rows {
            guard let slot: PartitionSlot = log.topics.knownSlot(row.topic, row.partition) else { continue }
            log.heads.load(slot, first: row.first, next: row.next)
        }
        try log.start()
        return log
    }

    /// From now on seals what audit entries have of people. Once, before anything is audited that has.
    package func sealAudit(with sealing: any AuditSealing) { self.sealing.set(sealing) }

    /// From now on asks before records of a topic are removed: of a topic with one partition.
    package func witnessRemoval(of topic: String, _ witness: @escaping RemovalWitness) {
        self.witnesses.withLock { $0[topic] = witness }
    }

    func removalWitness(of topic: String) -> RemovalWitness? { self.witnesses.withLock { $0[topic] } }

    /// Ends what runs beside the consumers. Stop those first; later calls do nothing.
    package func stop() async {
        let tasks: [Task<Void, Never>] = self.tasks.withLock { tasks in
            defer { tasks.removeAll() }
            return tasks
        }
        for task: Task<Void, Never> in tasks { task.cancel() }
        for task: Task<Void, Never> in tasks { await task.value }
    }

    private func start() throws(StoreError) {
        guard self.isShared else { return }
        let coordinator: GroupCoordinator = self.coordinator
        var tasks: [Task<Void, Never>] = [Task { [weak self] in if let self { await coordinator.run(self) } }]
        if self.store.kind == .postgresql { tasks += try self.startSharing() }
        self.tasks.withLock { $0 += tasks }
    }

    /// A member has come or gone, or a partition is free: look at the groups now, here and in other processes.
    func groupsChanged() {
        self.coordinator.wake()
        self.shared.groupsChanged()
    }

    /// Another process says that its groups have changed.
    func groupsMayHaveChanged() { self.coordinator.wake() }

    /// Every topic, dead-letter topics included.
    package var topicDefinitions: [TopicDefinition] { self.topics.topics }

    // MARK: - Running consumers

    /// False when the group runs already.
    func remember(_ consumer: Consumer) -> Bool {
        self.consumers.withLock { consumers in
            if consumers[consumer.group] != nil { return false }
            consumers[consumer.group] = consumer
            return true
        }
    }

    func forget(_ consumer: Consumer) {
        self.consumers.withLock { consumers in
            if consumers[consumer.group] === consumer { consumers[consumer.group] = nil }
        }
    }

    func running(_ group: String) -> Consumer? { self.consumers.withLock { $0[group] } }

    var runningConsumers: [Consumer] { self.consumers.withLock { Array($0.values) } }

    // MARK: - Topics

    /// Stores the topics that are new and compares those that are known; writes nothing when all are.
    private func registerTopics() async throws {
        let stored: [StoredTopic] = try await self.store.read { reader in
            try reader.rows("SELECT topic, partitions FROM log_topics", decode: StoredTopic.init)
        }
        var known: [String: Int] = [:]
        for topic: StoredTopic in stored { known[topic.name] = topic.partitions }
        var missing: [TopicDefinition] = []
        for topic: TopicDefinition in self.topics.topics {
            guard let partitions: Int = known[topic.name] else {
                missing.append(topic)
                continue
            }
            guard partitions == topic.partitions else {
                throw LogError.partitionsChanged(topic: topic.name, stored: partitions, configured: topic.partitions)
            }
        }
        if missing.isEmpty { return }
        let added: [TopicDefinition] = missing
        try await self.store.write { transaction in
            for topic: TopicDefinition in added {
                try transaction.execute(
                    "INSERT INTO log_topics (topic, partitions) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    .text(topic.name), .int(Int64(topic.partitions)))
            }
        }
    }
}

/// A row of log_topics.
private struct StoredTopic: Sendable {
    let name: String
    let partitions: Int

    init(_ row: Row) throws(StoreError) {
        self.name = try row.text(0)
        self.partitions = Int(try row.int(1))
    }
}
