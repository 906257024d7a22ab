import Store
import Synchronization
import TestKit
import Testing
import Time

@testable import EventLog

/// What a busy disk of the database server must not do: take members and holders of leases for dead. Commits that wait for ever
/// for a replica, which is not there, stand for commits whose sync takes long.
@Suite struct BusyDiskTests {
    /// A database on a server of its own, whose durable commits wait while it is `busy`.
    private struct Disk {
        let server: PostgresServer = PostgresServer()

        /// Who comes with `local` waits for no replica.
        func store(_ topics: [TopicDefinition] = TestLog.topics, local: Bool = false) throws -> (Store, LogWriter) {
            let writer: LogWriter = try LogWriter(topics: topics)
            let url: String = self.server.url("postgres") + (local ? "?options=-csynchronous_commit%3Dlocal" : "")
            var configuration: StoreConfiguration = StoreConfiguration(folder: "", url: url)
            configuration.writers = 3
            return (try Store.open(configuration, migrations: TestLog.migrations, extensions: [writer]), writer)
        }

        func setBusy(_ isBusy: Bool) {
            self.server.run("ALTER SYSTEM SET synchronous_standby_names = '\(isBusy ? "nobody" : "")'")
            self.server.run("SELECT pg_reload_conf()")
        }

        /// The transactions that wait for their commit.
        func waiting() -> Set<String> {
            let text: String = self.server.run(
                "SELECT string_agg(pid || ' ' || xact_start, ',') FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            return Set(text.split(separator: ",").map(String.init))
        }
    }

    private static func publish(_ store: Store) async throws {
        try await store.write { try $0.publish(topic: "single", key: [1], value: [2]) }
    }

    @Test func signsOfLifeWaitForNoSync() async throws {
        let disk: Disk = Disk()
        let (store, writer): (Store, LogWriter) = try disk.store()
        let log: EventLog = try await EventLog.open(store: store, writer: writer)
        let (other, _): (Store, LogWriter) = try disk.store(local: true)
        let consumer: Consumer = try log.consume(
            group: "g", topics: ["api-created"], handler: .external { _ in .done })
        try await eventually("it numbers") { log.shared.isSequencer.load(ordering: .relaxed) }
        try await eventually("it is a member") { disk.server.run("SELECT count(*) FROM log_members") == "1" }
        disk.setBusy(true)
        // Numbering them takes a commit, fenced by the lease.
        try await eventually("a commit waits") {
            try await Self.publish(other)
            return !disk.waiting().isEmpty
        }
        let held: Set<String> = disk.waiting()
        for sign: String in [
            "SELECT until FROM log_leases WHERE name = '\(Sequencer.lease)'", "SELECT until FROM log_members",
        ] {
            for _ in 0..<2 {
                let before: String = disk.server.run(sign)
                try await eventually("it is renewed") { disk.server.run(sign) != before }
            }
        }
        #expect(disk.waiting().isSuperset(of: held), "a commit still waits")
        disk.setBusy(false)
        try await eventually("what was held up goes on") {
            try log.offsets(topic: "single", partition: 0).upperBound > 0 && disk.waiting().isEmpty
        }
        await consumer.stop()
        await log.stop()
        await store.close()
        await other.close()
    }

    @Test func pulsesGoPastChangesAndTheirSyncs() async throws {
        let disk: Disk = Disk()
        let (store, _): (Store, LogWriter) = try disk.store()
        disk.setBusy(true)
        // More than there are writers.
        var changes: [Task<Void, any Error>] = []
        for _ in 0..<6 { changes.append(Task { try await Self.publish(store) }) }
        try await eventually("commits wait") { !disk.waiting().isEmpty }
        let held: Set<String> = disk.waiting()
        let setting: String? = try await store.pulse { (tx: Transaction) -> String? in
            try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'pulse')")
            return try tx.first("SELECT current_setting('synchronous_commit')") { try $0.text(0) }
        }
        #expect(setting == "off")
        #expect(disk.server.run("SELECT count(*) FROM notes WHERE name = 'pulse'") == "1")
        #expect(disk.waiting().isSuperset(of: held), "the changes still wait")
        await #expect(throws: LogError.notAttached) {
            try await store.pulse { (tx: Transaction) in try tx.publish(topic: "single", key: [1], value: [2]) }
        }
        disk.setBusy(false)
        for change: Task<Void, any Error> in changes { try await change.value }
        await store.close()
    }
}
