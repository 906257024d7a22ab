import CLinux
import Glibc
import Store
import Synchronization
import Telemetry
import Time

/// Measures the store on the disk of a folder: durable single-row transactions with some callers at once, their latencies,
/// what one costs in CPU, and reads of one row.
///
/// `store-benchmark [--folder PATH] [--seconds N] [--callers N] [--url-file FILE]`; the folder (default: a new one under the
/// current folder) is removed at the end. With the address of an empty PostgreSQL database the same is measured there; CPU is
/// then this process's alone.
@main
struct StoreBenchmark {
    private static let schema: ServiceMigrations = ServiceMigrations(
        service: "bench",
        steps: [
            Migration(
                number: 1, name: "items",
                sql: """
                    CREATE TABLE items (
                        tenant text NOT NULL, id int64 NOT NULL, name text NOT NULL, body text NOT NULL, changed_at int64 NOT NULL,
                        PRIMARY KEY (tenant, id)
                    ) WITHOUT ROWID;
                    CREATE TABLE batches (id int64 PRIMARY KEY, batch bytes NOT NULL);
                    """)
        ])
    /// 200 bytes, about what a small row of the catalogue holds.
    private static let body: String = String(repeating: "passerelle", count: 20)

    private static let batch: [UInt8] = [UInt8](repeating: 7, count: 200_000)

    static func main() async throws {
        var arguments: [String: String] = [:]
        var index: Int = 1
        while index + 1 < CommandLine.arguments.count {
            arguments[CommandLine.arguments[index]] = CommandLine.arguments[index + 1]
            index += 2
        }
        let folder: String = (arguments["--folder"] ?? ".") + "/store-benchmark.\(getpid())"
        let seconds: Int = arguments["--seconds"].flatMap { Int($0) } ?? 5
        let callers: Int = arguments["--callers"].flatMap { Int($0) } ?? 64
        mkdir(folder, 0o700)
        defer { Self.remove(folder) }
        Self.syncBaseline(folder)
        let url: String? = arguments["--url-file"].flatMap(Self.firstLine)
        try await Self.measure(folder, url, seconds: seconds, callers: callers)
    }

    /// What the disk gives without any of us: a page written over an existing file and synced.
    private static func syncBaseline(_ folder: String) {
        let pages: Int = 1000
        let file: Int32 = open(folder + "/sync", O_RDWR | O_CREAT, 0o600)
        let page: [UInt8] = [UInt8](repeating: 1, count: 4096)
        for at in 0..<pages { pwrite(file, page, page.count, at * page.count) }
        fsync(file)
        var times: [UInt64] = []
        for at in 0..<pages {
            let start: UInt64 = clinux_monotonic_nanoseconds()
            pwrite(file, page, page.count, at * page.count)
            fdatasync(file)
            times.append(clinux_monotonic_nanoseconds() - start)
        }
        close(file)
        print("sync of one 4 KiB page      ", Self.summary(times))
    }

    private static func firstLine(of path: String) -> String? {
        let file: Int32 = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = [UInt8](repeating: 0, count: 4096)
        let count: Int = Glibc.read(file, &bytes, bytes.count)
        return String(decoding: bytes[..<max(0, count)].prefix { $0 > 32 }, as: UTF8.self)
    }

    private static func measure(_ folder: String, _ url: String?, seconds: Int, callers: Int) async throws {
        let store: Store = try Self.openStore(folder, url)
        let numbers: Numbers = Numbers()
        for count in [1, callers] {
            try await Self.load("insert, \(count) callers", callers: count, seconds: seconds) {
                try await Self.insert(store, numbers.next())
            }
            try await Self.load("update, \(count) callers", callers: count, seconds: seconds) {
                try await Self.update(store, numbers.some())
            }
        }
        try await Self.load("update, paced at 10,000/s", callers: callers, rate: 10_000, seconds: seconds) {
            try await Self.update(store, numbers.some())
        }
        try await Self.load("insert of 200 kB, 4 callers", callers: 4, seconds: seconds) {
            try await Self.append(store, numbers.next())
        }
        try await Self.load("read one row, \(callers) callers", callers: callers, seconds: seconds) {
            try await Self.read(store, numbers.some())
        }
        await store.close()
        if url == nil { try await Self.openAgain(folder) }
    }

    private static func openStore(_ folder: String, _ url: String? = nil) throws -> Store {
        try Store.open(StoreConfiguration(folder: folder + "/data", url: url), migrations: [Self.schema])
    }

    /// Opening what was written, and the memory of the process, which still holds the figures of the runs.
    private static func openAgain(_ folder: String) async throws {
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let store: Store = try Self.openStore(folder)
        let opened: Double = Double(clinux_monotonic_nanoseconds() - start) / 1_000_000
        var status: stat = stat()
        stat(folder + "/data/passerelle.db", &status)
        print("open a database of \(status.st_size >> 20) MiB:", "\(Self.rounded(opened)) ms,", terminator: " ")
        print("resident \(ProcessMetrics.residentBytes() >> 20) MiB")
        await store.close()
    }

    // MARK: - The operations

    private static func insert(_ store: Store, _ id: Int64) async throws {
        try await store.write { tx in
            try tx.execute(
                "INSERT INTO items (tenant, id, name, body, changed_at) VALUES ($1, $2, $3, $4, $5)",
                "pivori-studio", .int(id), "an item", .text(Self.body), .int(tx.now.nanoseconds))
        }
    }

    /// What the log writes for 500 events of 400 bytes.
    private static func append(_ store: Store, _ id: Int64) async throws {
        try await store.write { tx in
            try tx.execute("INSERT INTO batches (id, batch) VALUES ($1, $2)", .int(id), .bytes(Self.batch))
        }
    }

    private static func update(_ store: Store, _ id: Int64) async throws {
        try await store.write { tx in
            try tx.execute(
                "UPDATE items SET name = $3, changed_at = $4 WHERE tenant = $1 AND id = $2",
                "pivori-studio", .int(id), "renamed", .int(tx.now.nanoseconds))
        }
    }

    private static func read(_ store: Store, _ id: Int64) async throws {
        _ = try await store.read { reader in
            try reader.first("SELECT name, body FROM items WHERE tenant = $1 AND id = $2", "pivori-studio", .int(id)) {
                (try $0.text(0)).utf8.count + (try $0.text(1)).utf8.count
            }
        }
    }

    // MARK: - Load and figures

    /// Runs `operation` from `callers` tasks for `seconds`, together `rate` times a second (nil: as fast as they go), and
    /// prints rate, latencies and CPU per operation.
    private static func load(
        _ name: String, callers: Int, rate: Int? = nil, seconds: Int,
        _ operation: @escaping @Sendable () async throws -> Void
    ) async throws {
        let cpu: UInt64 = Self.processorTime()
        let start: UInt64 = clinux_monotonic_nanoseconds()
        let end: UInt64 = start + UInt64(seconds) * 1_000_000_000
        let pause: UInt64 = rate.map { 1_000_000_000 * UInt64(callers) / UInt64($0) } ?? 0
        let times: [UInt64] = try await withThrowingTaskGroup(of: [UInt64].self) { group in
            for _ in 0..<callers { group.addTask { try await Self.loop(until: end, pause: pause, operation) } }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        let elapsed: Double = Double(clinux_monotonic_nanoseconds() - start) / 1_000_000_000
        let used: Double = Double(Self.processorTime() - cpu) / 1000 / Double(max(1, times.count))
        let padded: String = name + String(repeating: " ", count: max(0, 28 - name.count))
        print(padded, "\(Int(Double(times.count) / elapsed))/s,", Self.summary(times), "CPU \(Self.rounded(used)) µs")
    }

    @concurrent
    private static func loop(
        until end: UInt64, pause: UInt64, _ operation: @escaping @Sendable () async throws -> Void
    ) async throws -> [UInt64] {
        var times: [UInt64] = []
        times.reserveCapacity(1 << 16)
        // Callers start at different moments of their pause.
        var due: UInt64 = clinux_monotonic_nanoseconds() + (pause == 0 ? 0 : UInt64.random(in: 0..<pause))
        while due < end {
            let start: UInt64 = clinux_monotonic_nanoseconds()
            if due > start { try await Task.sleep(for: .nanoseconds(Int64(due - start))) }
            let before: UInt64 = clinux_monotonic_nanoseconds()
            try await operation()
            let after: UInt64 = clinux_monotonic_nanoseconds()
            times.append(after - before)
            due = pause == 0 ? after : due + pause
        }
        return times
    }

    private static func summary(_ times: [UInt64]) -> String {
        guard !times.isEmpty else { return "nothing" }
        let sorted: [UInt64] = times.sorted()
        func at(_ part: Double) -> String {
            "\(Self.rounded(Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]) / 1_000_000))"
        }
        return "p50 \(at(0.5)) p99 \(at(0.99)) p99.9 \(at(0.999)) max \(at(1)) ms"
    }

    private static func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

    private static func processorTime() -> UInt64 {
        var usage: rusage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        let seconds: Int = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        return UInt64(seconds) * 1_000_000_000 + UInt64(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000
    }

    private static func remove(_ folder: String) {
        for name in [
            "data/passerelle.db", "data/passerelle.db-wal", "data/passerelle.db-shm", "data/passerelle.lock", "sync",
        ] {
            unlink(folder + "/" + name)
        }
        rmdir(folder + "/data")
        rmdir(folder)
    }
}

/// Ids handed out, and a random one of those.
private final class Numbers: Sendable {
    private let last: Atomic<Int64> = Atomic(0)

    func next() -> Int64 { self.last.add(1, ordering: .relaxed).newValue }

    func some() -> Int64 { Int64.random(in: 1...max(1, self.last.load(ordering: .relaxed))) }
}
