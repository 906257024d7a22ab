import Glibc
import Synchronization

/// What must hold, and what a run found about it. Printed last, so that nobody has to look figures up in the table.
final class Verdicts: Sendable {
    enum Outcome: String, Sendable {
        case held, missed
        case notMeasured = "not measured"
    }

    fileprivate struct Row: Sendable {
        let what: String
        let goal: String
        var found: String = ""
        var share: Double = 0
        var outcome: Outcome = .notMeasured
    }

    /// One line of the table. The order is that of the table.
    enum Promise: String, CaseIterable, Sendable {
        case acknowledged, appends, redis, postgres, changes, changesDelay, handler, start, offset, memory, move

        fileprivate var row: Row {
            switch self {
            case .acknowledged: Row(what: "acknowledged = on disk", goal: "none lost, none twice")
            case .appends: Row(what: "durable appends of 400 bytes, 500 a batch", goal: "≥ 150,000/s (aim 200,000)")
            case .redis: Row(what: "the same by turns with Redis Streams", goal: "more")
            case .postgres: Row(what: "the same by turns with PostgreSQL inserts", goal: "more")
            case .changes: Row(what: "durable single changes, 64 callers", goal: "≥ 10,000/s")
            case .changesDelay: Row(what: "  their p99", goal: "< 10 ms")
            case .handler: Row(what: "commit to handler, p99", goal: "< 5 ms")
            case .start: Row(what: "start with 10 million events", goal: "< 1 s")
            case .offset: Row(what: "one record at any offset of them, p99", goal: "< 1 ms")
            case .memory: Row(what: "resident memory with them, highest", goal: "< 100 MB")
            case .move: Row(what: "partitions of a killed process handled again", goal: "< 5 s (aim 1 s)")
            }
        }
    }

    private let rows: Mutex<[Promise: Row]> = Mutex([:])

    /// Of several findings about one promise the worst stands.
    ///
    /// - Parameter share: of the goal; more than 1 is a miss.
    func note(_ promise: Promise, _ found: String, share: Double) {
        self.rows.withLock { rows in
            var row: Row = rows[promise] ?? promise.row
            if row.outcome != .notMeasured, row.share > share { return }
            row.share = share
            row.found = found
            row.outcome = share <= 1 ? .held : .missed
            rows[promise] = row
        }
    }

    /// At least so many a second.
    func noteRate(_ promise: Promise, _ perSecond: Double, atLeast goal: Double, of what: String) {
        self.note(promise, "\(Table.grouped(perSecond))/s (\(what))", share: goal / max(1, perSecond))
    }

    /// At most so many milliseconds.
    func noteDelay(_ promise: Promise, _ milliseconds: Double, below goal: Double, of what: String) {
        self.note(promise, "\(Table.rounded(milliseconds, 2)) ms (\(what))", share: milliseconds / goal)
    }

    func printTable() {
        print("\n" + Table.padded("must hold", 48) + Table.padded("goal", 28) + Table.padded("verdict", 14) + "found")
        let rows: [Promise: Row] = self.rows.withLock { $0 }
        for promise: Promise in Promise.allCases {
            let row: Row = rows[promise] ?? promise.row
            print(
                Table.padded(row.what, 48) + Table.padded(row.goal, 28) + Table.padded(row.outcome.rawValue, 14)
                    + row.found)
        }
    }

    // MARK: - Between processes

    /// Adds the findings to a file, a line each: promise, share of the goal, finding.
    func append(to path: String) throws {
        guard let file: UnsafeMutablePointer<FILE> = fopen(path, "a") else { throw BenchError.cannotWrite(path) }
        defer { fclose(file) }
        for (promise, row): (Promise, Row) in self.rows.withLock({ $0 }) {
            fputs("\(promise.rawValue)\t\(row.share)\t\(row.found)\n", file)
        }
    }

    /// Takes over what processes have added to a file.
    func read(_ path: String) throws {
        guard let file: UnsafeMutablePointer<FILE> = fopen(path, "r") else { throw BenchError.cannotWrite(path) }
        defer { fclose(file) }
        var line: [CChar] = [CChar](repeating: 0, count: 1024)
        while fgets(&line, Int32(line.count), file) != nil {
            let text: String = line.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
            let fields: [Substring] = text.split(separator: "\t", maxSplits: 2)
            guard fields.count == 3, let promise: Promise = Promise(rawValue: String(fields[0])),
                let share: Double = Double(fields[1])
            else { continue }
            self.note(promise, String(fields[2].prefix { $0 != "\n" }), share: share)
        }
    }
}
