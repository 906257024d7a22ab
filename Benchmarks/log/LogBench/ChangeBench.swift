import CLinux
import EventLog
import JSON
import Store

/// Durable single changes: each caller writes a row, its event and its audit entry, and waits for the commit.
enum ChangeBench {
    private static let changesPerCaller: Int = 500

    static func run(_ options: BenchOptions) async throws {
        for callers: Int in [1, 64] { try await self.measure(options, callers) }
    }

    private static func measure(_ options: BenchOptions, _ callers: Int) async throws {
        let bench: BenchLog = try await BenchLog(options, "change")
        _ = try await self.load(bench, callers, perCaller: 50, round: "warm")
        let watch: Stopwatch = Stopwatch()
        let latencies: [UInt64] = try await self.load(bench, callers, perCaller: self.changesPerCaller, round: "run")
        let changes: Double = Double(latencies.count)
        let perSecond: Double = changes / watch.seconds
        Table.line(
            "row + event + audit entry, \(callers) caller\(callers == 1 ? "" : "s")", perSecond: perSecond,
            latencies: latencies, cpuMicroseconds: watch.cpuSeconds * 1e6 / changes)
        if callers == 64, options.storeURL == nil {
            let delay: Double = Table.milliseconds(latencies, share: 0.99)
            options.verdicts.noteRate(.changes, perSecond, atLeast: 10_000, of: "each a row, event, audit entry")
            options.verdicts.noteDelay(.changesDelay, delay, below: 10, of: "the same")
        }
        await bench.remove()
    }

    /// Runs the callers and returns how long each change took.
    static func load(_ bench: BenchLog, _ callers: Int, perCaller: Int, round: String) async throws -> [UInt64] {
        try await withThrowingTaskGroup(of: [UInt64].self) { group in
            for caller: Int in 0..<callers {
                group.addTask {
                    var latencies: [UInt64] = []
                    for number: Int in 0..<perCaller {
                        let start: UInt64 = clinux_monotonic_nanoseconds()
                        try await self.change(bench, "\(round)-\(caller)-\(number)")
                        latencies.append(clinux_monotonic_nanoseconds() - start)
                    }
                    return latencies
                }
            }
            var all: [UInt64] = []
            for try await latencies: [UInt64] in group { all += latencies }
            return all
        }
    }

    private static func change(_ bench: BenchLog, _ name: String) async throws {
        try await bench.store.write { transaction in
            try transaction.execute(
                "INSERT INTO bench_things (tenant, name, value) VALUES ($1, $2, $3)", "acme", .text(name), "value")
            try transaction.publish(
                Event(
                    topic: "events", key: name, tenant: "acme", type: "thing.created", actor: "usr_1",
                    value: ["name": .string(name), "tenant": "acme", "created_by": "usr_1"]))
            try transaction.audit(
                AuditEntry(
                    eventType: "thing.created",
                    actor: AuditEntry.Actor(userID: "usr_1", ip: "192.0.2.7", tenant: "acme"),
                    resource: AuditEntry.Resource(type: "thing", id: name, version: 1),
                    changes: ["name": .string(name), "value": "value"]))
        }
    }
}
