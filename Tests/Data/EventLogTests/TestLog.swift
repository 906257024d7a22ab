import JSON
import Store
import Telemetry
import TestKit
import Time

@testable import EventLog

/// A log in a temporary folder with a few topics, and the table `notes (tenant, name)` for changes beside the events.
struct TestLog {
    static let notes: ServiceMigrations = ServiceMigrations(
        service: "notes",
        steps: [
            Migration(
                number: 1, name: "notes",
                sql: """
                    CREATE TABLE notes (
                        tenant text NOT NULL, name text NOT NULL, count int64 NOT NULL DEFAULT 1, PRIMARY KEY (tenant, name)
                    ) WITHOUT ROWID
                    """)
        ])
    static let migrations: [ServiceMigrations] = [TestLog.notes, LogMigrations.service]
    static let topics: [TopicDefinition] = [
        TopicDefinition("api-created"), TopicDefinition("deploy-requests"), TopicDefinition("single", partitions: 1),
        .auditLog,
    ]

    let place: StorePlace
    let store: Store
    let log: EventLog

    init(place: StorePlace, store: Store, log: EventLog) {
        self.place = place
        self.store = store
        self.log = log
    }

    init(
        place: StorePlace? = nil, topics: [TopicDefinition] = TestLog.topics,
        clock: any WallClock = ManualClock(), bytesMax: Int? = nil, tailCacheBytes: Int = 1 << 20
    ) async throws {
        let place: StorePlace = if let place { place } else { try await Self.place() }
        self.place = place
        let writer: LogWriter = try LogWriter(topics: topics, tailCacheBytes: tailCacheBytes)
        self.store = try Store.open(
            StoreConfiguration(
                folder: place.folder.file("data"), url: place.url, bytesMax: bytesMax, clock: clock),
            migrations: Self.migrations, extensions: [writer])
        self.log = try await EventLog.open(store: self.store, writer: writer, clock: clock)
    }

    /// With the tables of `migrations` on PostgreSQL.
    static func place(_ engine: TestEngine = .chosen) async throws -> StorePlace {
        try await StorePlace(likeAll: "notes, log", engine) { url in
            try await Store.open(StoreConfiguration(folder: "", url: url), migrations: Self.migrations).close()
        }
    }

    static func event(
        _ topic: String = "api-created", key: String = "api_1", tenant: String = "acme", value: JSONValue = ["n": 1]
    ) -> Event {
        Event(topic: topic, key: key, tenant: tenant, type: "api.created", actor: "usr_1", value: value)
    }

    /// Publishes one record with the given text as value.
    func publish(_ topic: String, key: String?, _ value: String) async throws {
        try await self.store.write { tx in
            try tx.publish(topic: topic, key: key.map { Array($0.utf8) }, value: Array(value.utf8))
        }
        try await self.numbered()
    }

    /// Publishes one record for every value, in one transaction.
    func publish(_ topic: String, key: String?, all values: [String]) async throws {
        try await self.store.write { tx in
            for value: String in values {
                try tx.publish(topic: topic, key: key.map { Array($0.utf8) }, value: Array(value.utf8))
            }
        }
        try await self.numbered()
    }

    /// The values of a partition from `offset` on, as text.
    func values(_ topic: String, partition: Int = 0, from offset: Int64 = 0) async throws -> [String] {
        try await self.numbered()
        var values: [String] = []
        var next: Int64 = offset
        while true {
            let page: FetchedRecords = try await self.log.fetch(topic: topic, partition: partition, from: next)
            if page.records.isEmpty { return values }
            for record: Record in page.records { values.append(record.text) }
            next = page.next
        }
    }

    func noteNames() async throws -> [String] {
        try await self.store.read { reader in
            try reader.rows("SELECT name FROM notes ORDER BY name") { try $0.text(0) }
        }
    }

    /// `store.write`, and on PostgreSQL everything has its offsets afterwards.
    @discardableResult
    func write<T: Sendable>(_ body: @escaping @Sendable (Transaction) throws -> T) async throws -> T {
        let result: T = try await self.store.write(body)
        try await self.numbered()
        return result
    }

    /// On PostgreSQL, waits until what was published has offsets.
    func numbered() async throws {
        guard self.store.kind == .postgresql else { return }
        try await eventually("everything is numbered") {
            let (waiting, rows): (Int64, [PartitionRow]) = try await self.store.read { reader in
                let waiting: Int64? = try reader.first("SELECT count(*) FROM log_outbox") { try $0.int(0) }
                return (waiting ?? 0, try LogTables.partitions(in: reader))
            }
            return waiting == 0
                && rows.allSatisfy { row in
                    guard let slot: PartitionSlot = self.log.topics.knownSlot(row.topic, row.partition) else {
                        return true
                    }
                    return self.log.heads.next(slot) == row.next
                }
        }
    }

    func close() async {
        await self.log.stop()
        await self.store.close()
    }
}

extension Record {
    /// The value as text.
    var text: String { String(decoding: self.value, as: UTF8.self) }
}
