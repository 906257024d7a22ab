import CLinux
import EventLog
import Store

/// The log on PostgreSQL: appends that are durable, how soon they are numbered, single changes.
enum SharedBench {
    private static let events: Int = 60_000

    static func run(_ options: BenchOptions) async throws {
        guard let url: String = options.postgresURL else { return }
        var shared: BenchOptions = options
        shared.storeURL = url
        shared.events = min(options.events, self.events)
        print("\nthe log on PostgreSQL (numbered by the sequencer)")
        try await AppendBench.measureRaw(shared, "own log on PostgreSQL, one partition", topic: "single")
        try await AppendBench.measureRaw(shared, "own log on PostgreSQL, six partitions", topic: "events")
        try await ChangeBench.run(shared)
        try await LatencyBench.measureIdle(shared)
    }
}
