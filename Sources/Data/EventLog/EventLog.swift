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
    let clock: any WallClock
    let logger: Logger
    /// The running consumers by group.
    private let consumers: Mutex<[String: Consumer]> = Mutex([:])

    private init(store: Store, writer: LogWriter, clock: any WallClock, logger: Logger) {
        self.store = store
        self.topics = writer.topics
        self.heads = writer.heads
        self.clock = clock
        self.logger = logger
    }

    /// Opens the log of a store that was opened with `LogMigrations.service` and with `writer` among its extensions.
    ///
    /// Reads one row per partition, however many events are stored.
    /// Throws `LogError.partitionsChanged` when a topic was created with another number of partitions.
    package static func open(
        store: Store, writer: LogWriter, clock: any WallClock = SystemClock(), logger: Logger = .silent
    ) async throws -> EventLog {
        let log: EventLog = EventLog(store: store, writer: writer, clock: clock, logger: logger)
        try await log.registerTopics()
        let rows: [PartitionRow] = try await store.read { reader in try LogTables.partitions(in: reader) }
        for row: PartitionRow in rows {
            guard let slot: PartitionSlot = log.topics.knownSlot(row.topic, row.partition) else { continue }
            log.heads.load(slot, first: row.first, next: row.next)
        }
        return log
    }

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
