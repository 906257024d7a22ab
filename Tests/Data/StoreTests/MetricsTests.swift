import Glibc
import Telemetry
import TestKit
import Testing

@testable import Store

@Suite struct MetricsTests {
    @Test(arguments: TestEngine.allCases)
    func commitsAndQueuesAreCounted(_ engine: TestEngine) async throws {
        struct Refusal: Error {}
        let metrics: MetricRegistry = MetricRegistry()
        let test: TestStore = try TestStore(engine, metrics: metrics)
        try await test.insert("a")
        try await test.insert("b")
        _ = try? await test.store.write { _ in throw Refusal() }
        _ = try await test.names()
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        // SQLite's group is committed without the closure that failed, PostgreSQL's transaction is not.
        let groups: Int = engine == .sqlite ? 3 : 2
        for line in [
            "passerelle_store_commits_total 2", "passerelle_store_closures_per_commit_count \(groups)",
            "passerelle_store_closures_per_commit_sum \(groups)", "passerelle_store_commit_seconds_count \(groups)",
            "passerelle_store_closures_failed_total 1", "passerelle_store_read_seconds_count 1",
            "passerelle_store_queue_length{queue=\"write\"} 0", "passerelle_store_queue_length{queue=\"read\"} 0",
            "passerelle_store_healthy 1",
        ] {
            #expect(text.contains(line + "\n"), "\(line)")
        }
        await test.store.close()
    }

    /// It is there like any other, also after a restart, and the commits around it are synced as ever.
    @Test(arguments: TestEngine.allCases)
    func whatIsDerivedDoesNotWaitForTheDisk(_ engine: TestEngine) async throws {
        let metrics: MetricRegistry = MetricRegistry()
        let test: TestStore = try TestStore(engine, metrics: metrics)
        try await test.insert("a")
        try await test.store.write(durability: .deferred) { transaction in
            try transaction.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'b')")
        }
        #expect(try await test.names() == ["a", "b"])
        try await test.insert("c")
        #expect(try await test.names() == ["a", "b", "c"])
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        for line in ["passerelle_store_commits_total 3", "passerelle_store_commits_deferred_total 1"] {
            #expect(text.contains(line + "\n"), "\(line)")
        }
        await test.store.close()
    }

    /// Returns when a closure is in the way of all others. It ends when as many wait, and it has lasted longer than its group takes
    /// others in: they make one of their own.
    private static func holdWriter(of store: Store, _ metrics: MetricRegistry, until count: Int) async {
        await withCheckedContinuation { begun in
            Task {
                try await store.write { (_: Transaction) in
                    begun.resume()
                    usleep(UInt32(Writer.groupTimeMax / 1_000) + 1)
                    try eventuallyBlocking(within: .seconds(120)) {
                        String(decoding: metrics.prometheusText(), as: UTF8.self)
                            .contains("passerelle_store_queue_length{queue=\"write\"} \(count)\n")
                    }
                }
            }
        }
    }

    /// Who waits for the disk gets it, whoever shares the commit.
    @Test(arguments: [[.deferred, .synced], [.synced, .deferred], [.deferred, .deferred]] as [[WriteDurability]])
    func aCommitWaitsForTheDiskWhereAnyoneDoes(_ kinds: [WriteDurability]) async throws {
        let metrics: MetricRegistry = MetricRegistry()
        let test: TestStore = try TestStore(.sqlite, metrics: metrics)
        await Self.holdWriter(of: test.store, metrics, until: kinds.count)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, kind) in kinds.enumerated() {
                group.addTask { () async throws -> Void in
                    _ = try await test.store.write(durability: kind) { transaction in
                        try transaction.execute(
                            "INSERT INTO notes (tenant, name) VALUES ('t', $1)", .text("n\(index)"))
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try await test.names().count == kinds.count)
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        let isDeferred: Bool = !kinds.contains(.synced)
        #expect(text.contains("passerelle_store_commits_deferred_total \(isDeferred ? 1 : 0)\n"))
        await test.store.close()
    }
}
