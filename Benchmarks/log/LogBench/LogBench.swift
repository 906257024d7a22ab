import EventLog
import Glibc
import Store

/// What the log costs: durable appends, single changes, and the way from a commit to a handler. Prints one table.
///
///     Benchmarks/log/run [--events N] [--core N] [--folder PATH] [--large] [--alone]
///
/// Redis Streams and PostgreSQL take the same records in the same batches in the same run; `Benchmarks/log/run` starts both
/// on the same disk. Every figure is with synchronous=FULL: a commit has been synced before it counts. The last column is the CPU time of the
/// whole process per event or change.
@main
struct LogBench {
    static func main() async {
        guard let options: BenchOptions = BenchOptions(CommandLine.arguments.dropFirst()) else {
            print("usage: LogBench [--events N] [--folder PATH] [--large]")
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
        if options.isLarge { return try await LargeBench.run(options) }
        Table.header()
        try SyncBench.run(options)
        try await AppendBench.run(options)
        if options.redisPort != nil || options.postgresURL != nil { try await PeerBench.run(options) }
        try await ChangeBench.run(options)
        try await LatencyBench.run(options)
        try await SharedBench.run(options)
        if options.redisPort != nil || options.postgresURL != nil { print(Self.durability) }
    }

    private static let durability: String = """

        Durability is equal: an append counts when its bytes are synced. The log: a commit of SQLite with synchronous=FULL (fdatasync of
        the write-ahead log). Redis: appendonly yes, appendfsync always (fdatasync of the file before the answers of a pipeline).
        PostgreSQL: fsync, synchronous_commit and full_page_writes on (fdatasync of its log before COMMIT answers). All on one disk, one
        caller, one batch after the other, by turns. The log and its caller have one core together; the servers may use every core.
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

    init?(_ arguments: ArraySlice<String>) {
        var rest: ArraySlice<String> = arguments
        while let name: String = rest.popFirst() {
            switch name {
            case "--events":
                guard let count: Int = rest.popFirst().flatMap({ Int($0) }), count >= 1000 else { return nil }
                self.events = count
            case "--folder":
                guard let folder: String = rest.popFirst() else { return nil }
                self.folder = folder
            case "--redis":
                guard let port: UInt16 = rest.popFirst().flatMap({ UInt16($0) }) else { return nil }
                self.redisPort = port
            case "--postgres":
                guard let url: String = rest.popFirst() else { return nil }
                self.postgresURL = url
            case "--large": self.isLarge = true
            default: return nil
            }
        }
    }
}
