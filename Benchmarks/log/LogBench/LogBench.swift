import EventLog
import Glibc
import Store

/// What the log costs: durable appends, single changes, the way from a commit to a handler, and what must hold of it.
///
///     Benchmarks/log/run [--events N] [--core N] [--folder PATH] [--alone] [--quick]
///
/// Redis Streams and PostgreSQL take the same records in the same batches in the same run; `Benchmarks/log/run` starts both
/// on the same disk. Every figure is with synchronous=FULL: a commit has been synced before it counts. The last column is the CPU time of the
/// whole process per event or change.
@main
struct LogBench {
    static func main() async {
        guard let options: BenchOptions = BenchOptions(CommandLine.arguments.dropFirst()) else {
            print(
                """
                usage: LogBench [--events N] [--folder PATH] [--redis PORT] [--postgres URL [--shared]] [--large [--fill-seconds N]] \
                [--findings FILE] [--verdicts]
                """)
            exit(2)
        }
        do {
            // Off the main actor, so that no hop to its thread is measured.
            try await Task.detached { try await Self.run(options) }.value
        } catch {
            print("failed: \(error)")
            exit(1)
        }
    }

    private static func run(_ options: BenchOptions) async throws {
        if let url: String = options.memberURL { return try await MoveBench.runMember(url, folder: options.folder) }
        if options.isLarge {
            try await LargeBench.run(options)
        } else if !options.isSummary {
            try await self.measure(options)
        }
        guard let path: String = options.findings else { return options.verdicts.printTable() }
        if !options.isSummary { return try options.verdicts.append(to: path) }
        try options.verdicts.read(path)
        options.verdicts.printTable()
    }

    private static func measure(_ options: BenchOptions) async throws {
        Table.header()
        try SyncBench.run(options)
        if options.isShared { return try await SharedBench.run(options) }
        try await AppendBench.run(options)
        let hasPeers: Bool = options.redisPort != nil || options.postgresURL != nil
        if hasPeers { try await PeerBench.run(options) }
        try await ChangeBench.run(options)
        try await LatencyBench.run(options)
        try await SharedBench.run(options)
        try await MoveBench.run(options)
        if hasPeers { print(Self.durability) }
    }

    private static let durability: String = """

        Durability is equal: an append counts when its bytes are synced. The log: a commit of SQLite with synchronous=FULL (fdatasync of
        the write-ahead log). Redis: appendonly yes, appendfsync always (fdatasync of the file before the answers of a pipeline).
        PostgreSQL: fsync, synchronous_commit and full_page_writes on (fdatasync of its log before COMMIT answers). The run asked both
        servers for these settings. All on one disk, one caller, one batch after the other, by turns. The log and its caller have one
        core together; the servers may use every core.
        """
}

/// What the command line asks for.
struct BenchOptions: Sendable {
    var events: Int = 600_000
    /// Where the data folders are made; they are removed afterwards.
    var folder: String = "/tmp"
    /// Where a Redis listens that is to take the same records.
    var redisPort: UInt16?
    /// A database of PostgreSQL for the same records and for the log itself.
    var postgresURL: String?
    /// Where the log itself is to be; nil is SQLite.
    var storeURL: String?
    /// Ten million events instead of the table.
    var isLarge: Bool = false
    /// The time to store them.
    var fillSecondsMax: Double = 900
    /// A file to add the findings to, for a run with `isSummary`.
    var findings: String?
    /// Print what must hold, from the findings of earlier runs.
    var isSummary: Bool = false
    /// Only the log on PostgreSQL.
    var isShared: Bool = false
    /// This process is a member of a group, to be killed.
    var memberURL: String?
    let verdicts: Verdicts = Verdicts()

    init?(_ arguments: ArraySlice<String>) {
        var rest: ArraySlice<String> = arguments
        while let name: String = rest.popFirst() {
            switch name {
            case "--large": self.isLarge = true
            case "--verdicts": self.isSummary = true
            case "--shared": self.isShared = true
            default:
                guard let value: String = rest.popFirst(), self.take(name, value) else { return nil }
            }
        }
    }

    private mutating func take(_ name: String, _ value: String) -> Bool {
        switch name {
        case "--events":
            guard let count: Int = Int(value), count >= 1000 else { return false }
            self.events = count
        case "--folder": self.folder = value
        case "--redis":
            guard let port: UInt16 = UInt16(value) else { return false }
            self.redisPort = port
        case "--postgres": self.postgresURL = value
        case "--fill-seconds":
            guard let seconds: Double = Double(value), seconds > 0 else { return false }
            self.fillSecondsMax = seconds
        case "--findings": self.findings = value
        case "--member": self.memberURL = value
        default: return false
        }
        return true
    }
}
