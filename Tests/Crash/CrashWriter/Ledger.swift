import EventLog
import JSON
import Store
import Time

/// The store, the log and the tables of the crash tests, and the one transaction that they are about.
///
/// Each transaction of caller c with number s changes, together: a row (c, s) in `entries`, the count of c in `counters`, an
/// amount moved between two `accounts`, an event in `crash-events` and an entry in `audit-log`. A consumer group counts
/// each event once more in `effects`.
struct Ledger: Sendable {
    static let topic: String = "crash-events"
    static let accounts: Int64 = 16
    private static let schema: ServiceMigrations = ServiceMigrations(
        service: "crash",
        steps: [
            Migration(
                number: 1, name: "ledger",
                sql: """
                    CREATE TABLE entries (
                        caller int64 NOT NULL, seq int64 NOT NULL, token text NOT NULL, body bytes NOT NULL,
                        PRIMARY KEY (caller, seq)
                    );
                    CREATE TABLE counters (caller int64 PRIMARY KEY, done int64 NOT NULL);
                    CREATE TABLE accounts (id int64 PRIMARY KEY, balance int64 NOT NULL);
                    CREATE TABLE effects (
                        caller int64 NOT NULL, seq int64 NOT NULL, times int64 NOT NULL, PRIMARY KEY (caller, seq)
                    ) WITHOUT ROWID;
                    """)
        ])

    let store: Store
    let log: EventLog
    private let consumer: Consumer

    init(folder: String) async throws {
        let writer: LogWriter = try LogWriter(topics: [TopicDefinition(Self.topic), .auditLog])
        self.store = try Store.open(
            StoreConfiguration(folder: folder), migrations: [Self.schema, LogMigrations.service], extensions: [writer])
        self.log = try await EventLog.open(store: self.store, writer: writer)
        try await self.store.write { tx in
            for id: Int64 in 0..<Self.accounts {
                try tx.execute("INSERT INTO accounts (id, balance) VALUES ($1, 100) ON CONFLICT DO NOTHING", .int(id))
            }
        }
        self.consumer = try self.log.consume(
            group: "effects", topics: [Self.topic],
            handler: .transactional { tx, record in try Self.takeEffect(tx, record) })
    }

    func close() async {
        await self.consumer.stop()
        await self.store.close()
    }

    /// The transaction. `refuse` throws at its very end: nothing of it may ever be seen.
    func write(_ entry: Entry, refuse: Bool) async throws {
        try await self.store.write { tx in
            // A refused one hides under a negative number, where the report looks for it.
            let seq: Int64 = refuse ? -entry.seq : entry.seq
            try tx.execute(
                "INSERT INTO entries (caller, seq, token, body) VALUES ($1, $2, $3, $4)",
                .int(entry.caller), .int(seq), .text(entry.token), .bytes(entry.body))
            try tx.execute(
                "INSERT INTO counters (caller, done) VALUES ($1, 1) ON CONFLICT (caller) DO UPDATE SET done = done + 1",
                .int(entry.caller))
            try Self.move(tx, from: entry.caller % Self.accounts, to: (entry.caller + entry.seq) % Self.accounts)
            try tx.publish(Self.event(entry, seq))
            try tx.audit(Self.audit(entry, seq))
            if refuse { throw Refused() }
        }
    }

    /// The highest number that a caller has written, 0 at first.
    func last(_ caller: Int64) async throws -> Int64 {
        try await self.store.read { reader in
            try reader.first("SELECT coalesce(max(seq), 0) FROM entries WHERE caller = $1", .int(caller)) {
                try $0.int(0)
            } ?? 0
        }
    }

    struct Refused: Error {}

    // MARK: - The parts of the transaction

    private static func move(_ tx: Transaction, from: Int64, to: Int64) throws {
        try tx.execute("UPDATE accounts SET balance = balance - 1 WHERE id = $1", .int(from))
        try tx.execute("UPDATE accounts SET balance = balance + 1 WHERE id = $1", .int(to))
    }

    private static func event(_ entry: Entry, _ seq: Int64) -> Event {
        Event(
            topic: Self.topic, key: "\(entry.caller)", tenant: "crash", type: "entry.written", actor: "usr_crash",
            value: ["caller": .int(entry.caller), "seq": .int(seq), "token": .string(entry.token)])
    }

    private static func audit(_ entry: Entry, _ seq: Int64) -> AuditEntry {
        AuditEntry(
            eventType: "entry.written", tenant: "crash",
            actor: AuditEntry.Actor(userID: "usr_crash", ip: nil, tenant: "crash"),
            resource: AuditEntry.Resource(type: "entry", id: "\(entry.caller)/\(seq)/\(entry.token)"), changes: [:])
    }

    private static func takeEffect(_ tx: Transaction, _ record: Record) throws {
        let value: JSONValue = try JSONReader.parse(record.value)
        guard let caller: Int64 = value["caller"]?.integer, let seq: Int64 = value["seq"]?.integer else {
            throw DeliveryError.poison(reason: "not an entry")
        }
        try tx.execute(
            "INSERT INTO effects (caller, seq, times) VALUES ($1, $2, 1) "
                + "ON CONFLICT (caller, seq) DO UPDATE SET times = times + 1", .int(caller), .int(seq))
    }
}

/// What one transaction writes.
struct Entry: Sendable {
    let caller: Int64
    let seq: Int64
    /// Random, so that what is found can be told from what an earlier attempt wrote.
    let token: String
    let body: [UInt8]

    init(caller: Int64, seq: Int64) {
        self.caller = caller
        self.seq = seq
        self.token = String(UInt64.random(in: (1 << 60)...UInt64.max), radix: 16)
        self.body = [UInt8](repeating: UInt8(truncatingIfNeeded: seq), count: Int.random(in: 20...3000))
    }
}
