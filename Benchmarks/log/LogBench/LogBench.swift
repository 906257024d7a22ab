import EventLog
import Glibc
import Store

/// What the log costs: durable appends, single changes, and the way from a commit to a handler. Prints one table.
///
///     Benchmarks/log/run [--events N] [--core N] [--folder PATH] [--large]
///
/// Every figure is with synchronous=FULL: a commit has been synced before it counts. The last column is the CPU time of the
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
        try await ChangeBench.run(options)
        try await LatencyBench.run(options)
    }
}

/// What the command line asks for.
struct BenchOptions: Sendable {
    var events: Int = 600_000
    /// Where the data folders are made; they are removed afterwards.
    var folder: String = "/tmp"
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
            case "--large": self.isLarge = true
            default: return nil
            }
        }
    }
}
