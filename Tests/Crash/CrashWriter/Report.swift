import EventLog
import JSON
import Store

/// Prints what a folder holds, after the consumer group has caught up:
///
/// ```
/// entry CALLER SEQ TOKEN                     a row; a refused one would show with a negative number
/// counter CALLER DONE
/// total BALANCE                              of all accounts
/// event PARTITION OFFSET CALLER SEQ TOKEN    a record of the log
/// leaf OFFSET CALLER/SEQ/TOKEN               a record of the audit log
/// effect CALLER SEQ TIMES                    what the consumer group did
/// end
/// ```
struct Report {
    private let ledger: Ledger

    init(_ ledger: Ledger) { self.ledger = ledger }

    func write() async throws {
        try await self.waitForConsumer()
        try await self.list("SELECT 'entry ' || caller || ' ' || seq || ' ' || token FROM entries ORDER BY caller, seq")
        try await self.list("SELECT 'counter ' || caller || ' ' || done FROM counters")
        try await self.list("SELECT 'total ' || sum(balance) FROM accounts")
        try await self.list("SELECT 'effect ' || caller || ' ' || seq || ' ' || times FROM effects")
        try await self.events()
        try await self.leaves()
        Line.write("end")
    }

    private func waitForConsumer() async throws {
        // A minute at most: then the report shows what is missing.
        for _ in 0..<6000 {
            let groups: [GroupLag] = try await self.ledger.log.groups()
            let lag: Int64 = groups.reduce(0) { $0 + $1.lag + Int64($1.waiting) }
            if groups.count == TopicDefinition.partitionsDefault, lag == 0 { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Line.write("wrong the consumer group did not catch up")
    }

    private func list(_ sql: String) async throws {
        for line: String in try await self.ledger.store.read({ reader in try reader.rows(sql) { try $0.text(0) } }) {
            Line.write(line)
        }
    }

    private func events() async throws {
        for partition in 0..<TopicDefinition.partitionsDefault {
            for record: Record in try await self.records(Ledger.topic, partition) {
                let value: JSONValue = try JSONReader.parse(record.value)
                let caller: Int64 = value["caller"]?.integer ?? -1
                let seq: Int64 = value["seq"]?.integer ?? -1
                Line.write("event \(partition) \(record.offset) \(caller) \(seq) \(value["token"]?.text ?? "?")")
            }
        }
    }

    private func leaves() async throws {
        for record: Record in try await self.records("audit-log", 0) {
            let value: JSONValue = try JSONReader.parse(record.value)
            Line.write("leaf \(record.offset) \(value["resource"]?["id"]?.text ?? "?")")
        }
    }

    private func records(_ topic: String, _ partition: Int) async throws -> [Record] {
        var found: [Record] = []
        var next: Int64 = 0
        while true {
            let page: FetchedRecords = try await self.ledger.log.fetch(topic: topic, partition: partition, from: next)
            if page.records.isEmpty { return found }
            found += page.records
            next = page.next
        }
    }
}
