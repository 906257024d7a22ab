import Store
import Telemetry
import TestKit
import Testing

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
            "store_commits_total 2", "store_closures_per_commit_count \(groups)",
            "store_closures_per_commit_sum \(groups)", "store_commit_seconds_count \(groups)",
            "store_closures_failed_total 1", "store_read_seconds_count 1",
            "store_queue_length{queue=\"write\"} 0", "store_queue_length{queue=\"read\"} 0", "store_healthy 1",
        ] {
            #expect(text.contains(line + "\n"), "\(line)")
        }
        await test.store.close()
    }
}
