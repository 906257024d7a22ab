import Synchronization
import Telemetry
import TestKit
import Testing

@testable import Store

/// On PostgreSQL closures that wait share a transaction; what one of them does must not show in another.
@Suite struct PostgresGroupTests {
    private struct Refusal: Error {}

    /// What was staged is gone for good once a commit was prepared: a savepoint before that is none to go back to.
    private final class Strict: CommitExtension, CommitAttachment, @unchecked Sendable {
        // One writer thread uses it.
        private var isPrepared: Bool = false

        func makeAttachment() -> any CommitAttachment { self }
        func savepoint() { self.isPrepared = false }
        func rollbackToSavepoint() { #expect(!self.isPrepared) }
        func prepareCommit(_ transaction: Transaction) { self.isPrepared = true }
        func committed() {}
        func aborted() {}
    }

    /// One writer, held by a closure until as many others wait as a test has.
    private struct HeldStore {
        let store: Store
        let metrics: MetricRegistry = MetricRegistry()
        private let place: StorePlace = StorePlace(.postgresql)

        init() throws {
            var configuration: StoreConfiguration = StoreConfiguration(
                folder: "", url: self.place.url, clock: ManualClock(), metrics: self.metrics)
            configuration.writers = 1
            // However slow the machine is just now.
            configuration.groupTimeMax = 60_000_000_000
            self.store = try Store.open(configuration, migrations: [TestStore.notes], extensions: [Strict()])
        }

        /// Runs the closures so that all wait for the one writer. - Returns: which of them failed, and how.
        func run(_ closures: [(isolation: WriteIsolation, body: @Sendable (Transaction) throws -> Void)]) async throws
            -> [String?]
        {
            await self.holdWriter(until: closures.count)
            return try await withThrowingTaskGroup(of: (Int, String?).self) { group in
                for (index, closure) in closures.enumerated() {
                    group.addTask {
                        do {
                            try await self.store.write(isolation: closure.isolation, closure.body)
                            return (index, nil)
                        } catch {
                            return (index, "\(error)")
                        }
                    }
                }
                var failures: [String?] = closures.map { _ in nil }
                for try await (index, failure) in group { failures[index] = failure }
                return failures
            }
        }

        /// Returns when a closure is in the way of all others; it ends when as many wait.
        private func holdWriter(until count: Int) async {
            await withCheckedContinuation { begun in
                Task {
                    try await self.store.write { (_: Transaction) in
                        begun.resume()
                        try eventuallyBlocking(within: .seconds(120)) {
                            self.has("passerelle_store_queue_length{queue=\"write\"} \(count)")
                        }
                    }
                }
            }
        }

        func run(_ closures: [@Sendable (Transaction) throws -> Void]) async throws -> [String?] {
            try await self.run(closures.map { (.serializable, $0) })
        }

        func has(_ line: String) -> Bool {
            String(decoding: self.metrics.prometheusText(), as: UTF8.self).contains(line + "\n")
        }

        func names() async throws -> [String] {
            try await self.store.read { try $0.rows("SELECT name FROM notes ORDER BY name") { try $0.text(0) } }
        }
    }

    private static func insert(_ name: String, into tx: Transaction) throws {
        try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', $1)", .text(name))
    }

    private static func count(_ name: String, in store: Store) async throws {
        try await store.write { tx in
            try tx.execute("UPDATE notes SET size = size + 1 WHERE name = $1", .text(name))
        }
    }

    private static func inserting(_ names: String...) -> [@Sendable (Transaction) throws -> Void] {
        names.map { name in { tx in try Self.insert(name, into: tx) } }
    }

    @Test func thoseThatWaitShareACommit() async throws {
        let held: HeldStore = try HeldStore()
        let failures: [String?] = try await held.run(Self.inserting("a", "b", "c", "d"))
        #expect(failures == [nil, nil, nil, nil])
        #expect(try await held.names() == ["a", "b", "c", "d"])
        // The one that held the writer, and one for all others.
        #expect(held.has("passerelle_store_commits_total 2"))
        #expect(held.has("passerelle_store_closures_per_commit_sum 5"))
        await held.store.close()
    }

    @Test func whoFailsBeforeAChangeJustLeaves() async throws {
        let held: HeldStore = try HeldStore()
        let failures: [String?] = try await held.run(
            Self.inserting("a", "b") + [
                { tx in
                    _ = try tx.rows("SELECT name FROM notes") { try $0.text(0) }
                    throw Refusal()
                }
            ] + Self.inserting("c"))
        #expect(failures == [nil, nil, "Refusal()", nil])
        #expect(try await held.names() == ["a", "b", "c"])
        await held.store.close()
    }

    @Test func whoFailsAfterAChangeTakesOnlyItsOwnBack() async throws {
        let held: HeldStore = try HeldStore()
        let failures: [String?] = try await held.run(
            Self.inserting("a") + [
                { tx in
                    try Self.insert("gone", into: tx)
                    throw Refusal()
                },
                { tx in
                    // Hidden behind a word that is not SELECT.
                    let changed: Int = try tx.rows(
                        "WITH made AS (INSERT INTO notes (tenant, name) VALUES ('t', 'gone too') RETURNING 1) SELECT 1"
                    ) { Int(try $0.int(0)) }.count
                    if changed == 1 { throw Refusal() }
                },
            ] + Self.inserting("b"))
        #expect(failures == [nil, "Refusal()", "Refusal()", nil])
        #expect(try await held.names() == ["a", "b"])
        await held.store.close()
    }

    @Test func whatTheServerRefusesFailsAlone() async throws {
        let held: HeldStore = try HeldStore()
        let failures: [String?] = try await held.run(
            Self.inserting("a") + [
                { tx in try tx.execute("INSERT INTO notes (tenant, name, size) VALUES ('t', 'negative', -1)") },
                // Found out at the commit.
                { tx in try tx.execute("INSERT INTO links (tenant, id, name) VALUES ('t', 1, 'nowhere')") },
                // Goes on after a failed statement, which takes a savepoint.
                { tx in
                    _ = try? tx.execute("INSERT INTO notes (tenant, name, size) VALUES ('t', 'b', -1)")
                    try Self.insert("b", into: tx)
                },
            ] + Self.inserting("c"))
        #expect(failures[0] == nil)
        #expect(failures[1]?.contains("check rule") == true)
        #expect(failures[2]?.contains("foreignKey rule") == true)
        #expect(failures[3...] == [nil, nil])
        #expect(try await held.names() == ["a", "b", "c"])
        await held.store.close()
    }

    @Test func whoWantsAnotherIsolationIsAlone() async throws {
        let held: HeldStore = try HeldStore()
        let level: Mutex<[String]> = Mutex([])
        let asks: @Sendable (Transaction) throws -> Void = { tx in
            let found: String = try tx.first("SELECT current_setting('transaction_isolation')") { try $0.text(0) } ?? ""
            level.withLock { $0.append(found) }
        }
        let failures: [String?] = try await held.run([
            (.serializable, asks), (.readCommitted, asks), (.serializable, asks), (.serializable, asks),
        ])
        #expect(failures == [nil, nil, nil, nil])
        #expect(level.withLock { $0.sorted() } == ["read committed", "serializable", "serializable", "serializable"])
        await held.store.close()
    }

    /// Two stores whose groups want the same rows: each change is made once.
    @Test func groupsThatMeetRunAgain() async throws {
        let place: StorePlace = StorePlace(.postgresql)
        let stores: [TestStore] = [try TestStore(at: place), try TestStore(at: place)]
        for name in ["a", "b"] { try await stores[0].insert(name) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<120 {
                let store: Store = stores[index % 2].store
                group.addTask { try await Self.count(index % 3 == 0 ? "a" : "b", in: store) }
            }
            try await group.waitForAll()
        }
        let sizes: [Int64] = try await stores[0].store.read {
            try $0.rows("SELECT size FROM notes ORDER BY name") { try $0.int(0) }
        }
        #expect(sizes == [40, 80])
        for store in stores { await store.store.close() }
    }
}
