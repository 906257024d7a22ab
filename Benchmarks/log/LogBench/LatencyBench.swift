import CLinux
import EventLog
import Store
import Synchronization

/// From the end of a commit to the handler that its event wakes.
enum LatencyBench {
    private static let events: Int = 2000

    static func run(_ options: BenchOptions) async throws {
        try await self.measure(options, "external handler, idle", isTransactional: false, isLoaded: false)
        try await self.measure(options, "transactional handler, idle", isTransactional: true, isLoaded: false)
        try await self.measure(options, "external handler, 64 callers writing", isTransactional: false, isLoaded: true)
        try await self.measure(
            options, "transactional handler, 64 callers writing", isTransactional: true, isLoaded: true)
        try await self.drain(options)
    }

    /// Both kinds of handler while nothing else happens.
    static func measureIdle(_ options: BenchOptions) async throws {
        for isTransactional: Bool in [false, true] {
            try await self.measure(
                options, "\(isTransactional ? "transactional" : "external") handler, idle",
                isTransactional: isTransactional, isLoaded: false)
        }
    }

    private static func measure(
        _ options: BenchOptions, _ what: String, isTransactional: Bool, isLoaded: Bool
    ) async throws {
        let bench: BenchLog = try await BenchLog(options, "latency")
        let seen: LatencyList = LatencyList()
        let commits: CommitTimes = bench.commits
        let handler: ConsumerHandler =
            isTransactional
            ? .transactional { _, _ in seen.add(clinux_monotonic_nanoseconds() - commits.last) }
            : .external { _ in
                seen.add(clinux_monotonic_nanoseconds() - commits.last)
                return .done
            }
        let consumer: Consumer = try bench.log.consume(group: "bench", topics: ["single"], handler: handler)
        async let load: Int = isLoaded ? ChangeBench.load(bench, 64, perCaller: 300, round: "load").count : 0
        for number: Int in 0..<(isLoaded ? self.events / 10 : self.events) {
            try await bench.store.write { tx in
                commits.mark()
                try tx.publish(topic: "single", key: [1], value: [2])
            }
            while seen.count <= number { try await Task.sleep(for: .microseconds(200)) }
        }
        Table.line("commit to handler: \(what)", perSecond: nil, latencies: seen.all, cpuMicroseconds: nil)
        if options.storeURL == nil {
            options.verdicts.noteDelay(.handler, Table.milliseconds(seen.all, share: 0.99), below: 5, of: what)
        }
        _ = try await load
        await consumer.stop()
        await bench.remove()
    }

    /// How fast a group gets through what lies in the log.
    private static func drain(_ options: BenchOptions) async throws {
        for isTransactional: Bool in [true, false] {
            let bench: BenchLog = try await BenchLog(options, "drain")
            let value: [UInt8] = Array(repeating: 7, count: 400)
            for _ in 0..<200 {
                try await bench.store.write { tx in
                    for number: Int in 0..<500 {
                        try tx.publish(topic: "events", key: [UInt8(number % 250)], value: value)
                    }
                }
            }
            let counter: CallCounter = CallCounter()
            let watch: Stopwatch = Stopwatch()
            let handler: ConsumerHandler =
                isTransactional
                ? .transactional { _, _ in counter.add() }
                : .external { _ in
                    counter.add()
                    return .done
                }
            let consumer: Consumer = try bench.log.consume(group: "bench", topics: ["events"], handler: handler)
            while counter.count < 100_000 { try await Task.sleep(for: .milliseconds(1)) }
            Table.line(
                "100,000 stored events through \(isTransactional ? "a transactional" : "an external") handler",
                perSecond: 100_000 / watch.seconds, latencies: [], cpuMicroseconds: watch.cpuSeconds * 1e6 / 100_000)
            await consumer.stop()
            await bench.remove()
        }
    }
}

/// Times that handlers saw, from any thread.
final class LatencyList: Sendable {
    private let times: Mutex<[UInt64]> = Mutex([])

    func add(_ time: UInt64) { self.times.withLock { $0.append(time) } }
    var count: Int { self.times.withLock { $0.count } }
    var all: [UInt64] { self.times.withLock { $0 } }
}

final class CallCounter: Sendable {
    private let calls: Atomic<Int> = Atomic(0)

    func add() { self.calls.add(1, ordering: .relaxed) }
    var count: Int { self.calls.load(ordering: .relaxed) }
}
