import EventLog
import JSON
import Store
import Telemetry
import TestKit
import Time

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
    static let topics: [TopicDefinition] = [
        TopicDefinition("api-created"), TopicDefinition("deploy-requests"), TopicDefinition("single", partitions: 1),
        .auditLog,
    ]

    let folder: TemporaryFolder
    let store: Store
    let log: EventLog

    init(folder: TemporaryFolder, store: Store, log: EventLog) {
        self.folder = folder
        self.store = store
        self.log = log
    }

    init(
        folder: TemporaryFolder = TemporaryFolder(), topics: [TopicDefinition] = TestLog.topics,
        clock: any WallClock = ManualClock(), bytesMax: Int? = nil, tailCacheBytes: Int = 1 << 20
    ) async throws {
        self.folder = folder
        let writer: LogWriter = try LogWriter(topics: topics, tailCacheBytes: tailCacheBytes)
        self.store = try Store.open(
            StoreConfiguration(folder: folder.file("data"), bytesMax: bytesMax, clock: clock),
            migrations: [Self.notes, LogMigrations.service], extensions: [writer])
        self.log = try await EventLog.open(store: self.store, writer: writer, clock: clock)
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
    }

    /// Publishes one record for every value, in one transaction.
    func publish(_ topic: String, key: String?, all values: [String]) async throws {
        try await self.store.write { tx in
            for value: String in values {
                try tx.publish(topic: topic, key: key.map { Array($0.utf8) }, value: Array(value.utf8))
            }
        }
    }

    /// The values of a partition from `offset` on, as text.
    func values(_ topic: String, partition: Int = 0, from offset: Int64 = 0) async throws -> [String] {
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

    func close() async { await self.store.close() }
}

extension Record {
    /// The value as text.
    var text: String { String(decoding: self.value, as: UTF8.self) }
}
