import CLinux
import EventLog
import Glibc
import Store
import Time

/// An open store with a log in a folder of its own.
struct BenchLog {
    static let changes: ServiceMigrations = ServiceMigrations(
        service: "bench",
        steps: [
            Migration(
                number: 1, name: "bench",
                sql: """
                    CREATE TABLE bench_things (
                        tenant text NOT NULL, name text NOT NULL, value text NOT NULL, PRIMARY KEY (tenant, name)
                    ) WITHOUT ROWID
                    """)
        ])

    let path: String
    let store: Store
    let log: EventLog
    /// When a marked commit had become durable.
    let commits: CommitTimes

    init(_ options: BenchOptions, _ name: String) async throws {
        try await self.init(
            folder: "\(options.folder)/passerelle-logbench-\(getpid())-\(name)",
            url: try options.storeURL.map { try PostgresPeer.freshDatabase(at: $0) })
    }

    /// In a folder, or a database of PostgreSQL.
    init(folder: String, url: String?) async throws {
        self.path = folder
        self.commits = CommitTimes()
        let writer: LogWriter = try LogWriter(
            topics: [TopicDefinition("events"), TopicDefinition("single", partitions: 1), .auditLog])
        // The clock stands before the log, so that it has read the time when the log wakes its readers.
        self.store = try Store.open(
            StoreConfiguration(folder: self.path, url: url),
            migrations: [Self.changes, LogMigrations.service], extensions: [self.commits, writer])
        self.log = try await EventLog.open(store: self.store, writer: writer)
    }

    /// Waits until so many records of a topic have offsets.
    func untilNumbered(_ topic: String, _ count: Int64) async throws {
        guard self.store.kind == .postgresql else { return }
        let partitions: Int = self.log.topicDefinitions.first { $0.name == topic }?.partitions ?? 0
        while true {
            var found: Int64 = 0
            for partition: Int in 0..<partitions {
                found += try self.log.offsets(topic: topic, partition: partition).upperBound
            }
            if found >= count { return }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    func remove() async {
        await self.log.stop()
        await self.store.close()
        Self.removeFolder(self.path)
    }

    static func removeFolder(_ path: String) {
        guard let folder: OpaquePointer = opendir(path) else { return }
        while let entry: UnsafeMutablePointer<dirent> = readdir(folder) {
            let name: String = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { unlink("\(path)/\(name)") }
        }
        closedir(folder)
        rmdir(path)
    }
}

/// Wall and CPU time from `start` on.
struct Stopwatch {
    private let wall: UInt64 = clinux_monotonic_nanoseconds()
    private let cpu: UInt64 = Stopwatch.processCPU()

    var seconds: Double { Double(clinux_monotonic_nanoseconds() - self.wall) / 1e9 }
    var cpuSeconds: Double { Double(Self.processCPU() - self.cpu) / 1e9 }

    private static func processCPU() -> UInt64 {
        var time: timespec = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// Lines of the result.
enum Table {
    static func header() {
        print(self.padded("what", 58) + "   per second   p50 ms   p99 ms   max ms   CPU µs")
    }

    static func line(_ what: String, perSecond: Double?, latencies: [UInt64], cpuMicroseconds: Double?) {
        let sorted: [UInt64] = latencies.sorted()
        var line: String = self.padded(what, 58)
        line += self.right(perSecond.map { "\(Int($0))" } ?? "", 13)
        for share: Double in [0.5, 0.99, 1] {
            let value: Double? =
                sorted.isEmpty ? nil : Double(sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]) / 1e6
            line += self.right(value.map { self.rounded($0, 2) } ?? "", 9)
        }
        print(line + self.right(cpuMicroseconds.map { self.rounded($0, 1) } ?? "", 9))
        fflush(nil)
    }

    static func rounded(_ value: Double, _ digits: Int) -> String {
        var scale: Double = 1
        for _ in 0..<digits { scale *= 10 }
        let whole: Int = Int((value * scale).rounded())
        let fraction: String = "\(whole % Int(scale))"
        return "\(whole / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// Such as 1,234,567.
    static func grouped(_ number: Double) -> String {
        var digits: String = "\(Int(number))"
        var text: String = ""
        while digits.count > 3 {
            text = "," + digits.suffix(3) + text
            digits.removeLast(3)
        }
        return digits + text
    }

    /// The value that a share of all is at most, in milliseconds.
    static func milliseconds(_ latencies: [UInt64], share: Double) -> Double {
        let sorted: [UInt64] = latencies.sorted()
        return sorted.isEmpty ? 0 : Double(sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]) / 1e6
    }

    private static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}
