import EventLog
import Glibc
import Store

/// The process that the crash tests kill: it writes through the store and the log as services do, and says on standard
/// output what was acknowledged. `Tests/Crash/run.py` runs it, kills it, and compares.
///
/// ```
/// CrashWriter write  --data FOLDER [--callers N] [--stop-after N]     writes until killed, or until N were acknowledged
/// CrashWriter report --data FOLDER                                    opens the folder again and prints what it holds
/// ```
/// Lines of `write`: `ready`; `ack CALLER SEQ TOKEN` after a write returned; `refused CALLER SEQ REASON` when it failed;
/// `wrong TEXT` for what must never be. Lines of `report`: see `Report`.
@main
struct CrashWriter {
    static func main() async {
        // A write beyond the limit of a file's size fails then, as on a full disk, instead of ending the process.
        signal(SIGXFSZ, SIG_IGN)
        do {
            try await Self.run(Array(CommandLine.arguments.dropFirst()))
        } catch {
            Line.write("failed \(error)")
            exit(1)
        }
    }

    private static func run(_ arguments: [String]) async throws {
        guard let command: String = arguments.first, let folder: String = Self.value("--data", arguments) else {
            Line.write("failed expected: write|report --data FOLDER")
            exit(2)
        }
        let ledger: Ledger = try await Ledger(folder: folder)
        switch command {
        case "write":
            let callers: Int = Self.value("--callers", arguments).flatMap { Int($0) } ?? 16
            let stopAfter: Int? = Self.value("--stop-after", arguments).flatMap { Int($0) }
            try await Load(ledger, stopAfter: stopAfter).run(callers: callers)
        case "report":
            try await Report(ledger).write()
        default:
            Line.write("failed unknown command \(command)")
        }
        await ledger.close()
    }

    private static func value(_ name: String, _ arguments: [String]) -> String? {
        guard let at: Int = arguments.firstIndex(of: name), at + 1 < arguments.count else { return nil }
        return arguments[at + 1]
    }
}

/// Standard output, a line at a time: one system call each, so that a line is whole or absent however the process ends.
enum Line {
    static func write(_ text: String) {
        var line: String = text + "\n"
        line.withUTF8 { _ = Glibc.write(1, $0.baseAddress, $0.count) }
    }
}
