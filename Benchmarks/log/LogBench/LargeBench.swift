import CLinux
import EventLog
import Glibc
import Store
import Time

/// Ten million stored events: how long a start takes, how fast any offset is read, how much memory it needs.
enum LargeBench {
    private static let events: Int = 10_000_000
    private static let reads: Int = 1000

    static func run(_ options: BenchOptions) async throws {
        let path: String = "\(options.folder)/passerelle-logbench-\(getpid())-large"
        defer { BenchLog.removeFolder(path) }
        try await self.fill(path)
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let (store, log): (Store, EventLog) = try await self.open(path)
        print(
            "start with \(self.events) events: \(Table.rounded(Double(clinux_monotonic_nanoseconds() - start) / 1e6, 1)) ms"
        )
        Table.header()
        try await self.readAnywhere(log)
        try await self.seekAnywhere(log)
        print("resident memory at its highest: \(Table.rounded(self.peakMegabytes(), 1)) MB")
        await store.close()
    }

    private static func open(_ path: String) async throws -> (Store, EventLog) {
        let writer: LogWriter = try LogWriter(topics: [TopicDefinition("events")])
        let store: Store = try Store.open(
            StoreConfiguration(folder: path), migrations: [LogMigrations.service], extensions: [writer])
        return (store, try await EventLog.open(store: store, writer: writer))
    }

    private static func fill(_ path: String) async throws {
        let (store, _): (Store, EventLog) = try await self.open(path)
        let value: [UInt8] = Array(repeating: 7, count: AppendBench.eventBytes)
        let watch: Stopwatch = Stopwatch()
        for _ in 0..<(self.events / 1000) {
            try await store.write { tx in
                for number: Int in 0..<1000 {
                    try tx.publish(topic: "events", key: [UInt8(number % 250)], value: value)
                }
            }
        }
        print("stored \(self.events) events in \(Table.rounded(watch.seconds, 1)) s")
        await store.close()
    }

    private static func readAnywhere(_ log: EventLog) async throws {
        var latencies: [UInt64] = []
        var offset: Int64 = 12_345
        let watch: Stopwatch = Stopwatch()
        for number: Int in 0..<self.reads {
            let partition: Int = number % 6
            offset = (offset &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407) & Int64.max
            let end: Int64 = try log.offsets(topic: "events", partition: partition).upperBound
            let start: UInt64 = clinux_monotonic_nanoseconds()
            _ = try await log.fetch(
                topic: "events", partition: partition, from: offset % end, maxBytes: 1, maxRecords: 1)
            latencies.append(clinux_monotonic_nanoseconds() - start)
        }
        Table.line(
            "one record at a random offset", perSecond: Double(self.reads) / watch.seconds, latencies: latencies,
            cpuMicroseconds: watch.cpuSeconds * 1e6 / Double(self.reads))
    }

    private static func seekAnywhere(_ log: EventLog) async throws {
        let first: Record? = try await log.fetch(topic: "events", partition: 0, from: 0, maxRecords: 1).records.first
        let end: Int64 = try log.offsets(topic: "events", partition: 0).upperBound
        let last: Record? = try await log.fetch(topic: "events", partition: 0, from: end - 1).records.first
        guard let first: Record, let last: Record else { return }
        let span: Int64 = last.timestamp.milliseconds - first.timestamp.milliseconds
        var latencies: [UInt64] = []
        let watch: Stopwatch = Stopwatch()
        for number: Int in 0..<self.reads {
            let time: Int64 = first.timestamp.milliseconds + span * Int64(number) / Int64(self.reads)
            let start: UInt64 = clinux_monotonic_nanoseconds()
            _ = try await log.offset(topic: "events", partition: 0, at: .init(milliseconds: time))
            latencies.append(clinux_monotonic_nanoseconds() - start)
        }
        Table.line(
            "the offset of a time", perSecond: Double(self.reads) / watch.seconds, latencies: latencies,
            cpuMicroseconds: watch.cpuSeconds * 1e6 / Double(self.reads))
    }

    private static func peakMegabytes() -> Double {
        var usage: rusage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_maxrss) / 1024
    }
}
