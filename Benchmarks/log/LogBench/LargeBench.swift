import CLinux
import EventLog
import Glibc
import Store
import Time

/// Ten million stored events: how long a start takes, how fast any offset is read, how much memory it needs. In a process of its
/// own, whose memory nothing else has used.
enum LargeBench {
    private static let events: Int = 10_000_000
    private static let eventsPerCommit: Int = 1000
    private static let reads: Int = 1000
    private static let progressEvery: Int = 1_000_000

    static func run(_ options: BenchOptions) async throws {
        let path: String = "\(options.folder)/passerelle-logbench-\(getpid())-large"
        defer { BenchLog.removeFolder(path) }
        let stored: Int = try await self.fill(path, within: options.fillSecondsMax)
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let (store, log): (Store, EventLog) = try await self.open(path)
        let startTime: Double = Double(clinux_monotonic_nanoseconds() - start) / 1e6
        print("start with \(Table.grouped(Double(stored))) events: \(Table.rounded(startTime, 1)) ms")
        Table.header()
        let readDelay: Double = try await self.readAnywhere(log)
        try await self.seekAnywhere(log)
        let memory: Double = self.peakMegabytes()
        print("resident memory at its highest, storing included: \(Table.rounded(memory, 1)) MB")
        await store.close()
        guard stored == self.events else {
            print(
                "The time to store them was over: what must hold for all of them was not measured (--fill-seconds N).")
            return
        }
        options.verdicts.noteDelay(.start, startTime, below: 1000, of: "opening the store and the log")
        options.verdicts.noteDelay(.offset, readDelay, below: 1, of: "\(self.reads) random ones")
        options.verdicts.note(.memory, "\(Table.rounded(memory, 1)) MB (storing them included)", share: memory / 100)
    }

    private static func open(_ path: String) async throws -> (Store, EventLog) {
        let writer: LogWriter = try LogWriter(topics: [TopicDefinition("events")])
        let store: Store = try Store.open(
            StoreConfiguration(folder: path), migrations: [LogMigrations.service], extensions: [writer])
        return (store, try await EventLog.open(store: store, writer: writer))
    }

    /// Stores them, or as many as there is time for. Returns how many.
    private static func fill(_ path: String, within secondsMax: Double) async throws -> Int {
        let (store, _): (Store, EventLog) = try await self.open(path)
        let value: [UInt8] = Array(repeating: 7, count: AppendBench.eventBytes)
        let watch: Stopwatch = Stopwatch()
        var stored: Int = 0
        while stored < self.events, watch.seconds < secondsMax {
            try await store.write { tx in
                for number: Int in 0..<self.eventsPerCommit {
                    try tx.publish(topic: "events", key: [UInt8(number % 250)], value: value)
                }
            }
            stored += self.eventsPerCommit
            if stored % self.progressEvery == 0 {
                self.say("stored \(stored / self.progressEvery) of \(self.events / self.progressEvery) million events")
            }
        }
        await store.close()
        self.say("")
        let perSecond: String = Table.grouped(Double(stored) / watch.seconds)
        print(
            "stored \(Table.grouped(Double(stored))) events in \(Table.rounded(watch.seconds, 1)) s, \(perSecond) a second"
        )
        return stored
    }

    /// Shows a terminal that something goes on.
    private static func say(_ text: String) {
        guard isatty(2) == 1 else { return }
        let bytes: [UInt8] = Array("\r\(text)\u{1b}[K".utf8)
        _ = write(2, bytes, bytes.count)
    }

    /// Returns the 99th percentile in milliseconds.
    private static func readAnywhere(_ log: EventLog) async throws -> Double {
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
        return Table.milliseconds(latencies, share: 0.99)
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
