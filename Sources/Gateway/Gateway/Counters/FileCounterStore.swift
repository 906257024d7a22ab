package import Files
import Synchronization
package import Time

/// Quotas of a gateway that runs alone: a file of lines, read whole at the start and added to with each exchange.
///
/// A line is `total window ends key`: the count after the change. The last line of a key stands. What a crash left of a line is
/// passed over. The file is written anew without ended windows at the start and when it has grown.
package final class FileCounterStore: CounterStore {
    private struct Entry: Sendable {
        var total: Int64
        var window: UInt64
        /// Milliseconds since 1970.
        var ends: Int64
    }

    private struct State: Sendable {
        var entries: [String: Entry] = [:]
        var file: AppendFile?
        var bytes: Int = 0
    }

    /// The file is written anew beyond this size and twice what is in use.
    static let bytesBeforeRewrite: Int = 4 << 20
    /// Largest file read.
    static let bytesMax: Int = 256 << 20

    private let path: String
    private let clock: any WallClock
    private let state: Mutex<State>

    /// Reads what is there. - Parameter folder: made when missing.
    package init(folder: String, clock: any WallClock = SystemClock()) throws(FileError) {
        self.path = "\(folder)/quotas"
        self.clock = clock
        self.state = Mutex(State())
        try Files.makeFolder(folder)
        var entries: [String: Entry] = [:]
        if Files.exists(self.path) {
            Self.read(try Files.read(self.path, bytesMax: Self.bytesMax), into: &entries)
        }
        var state: State = State(entries: entries)
        try self.rewrite(&state)
        let opened: State = state
        self.state.withLock { $0 = opened }
    }

    package func add(_ changes: [CounterChange]) async throws -> [Int64] {
        try self.state.withLock { state in
            var totals: [Int64] = []
            var changed: [String: Entry] = [:]
            var lines: [UInt8] = []
            for change in changes {
                var entry: Entry =
                    changed[change.key] ?? state.entries[change.key] ?? Entry(total: 0, window: change.window, ends: 0)
                if entry.window != change.window { entry.total = 0 }
                entry.total += change.amount
                entry.window = change.window
                entry.ends = change.ends.milliseconds
                totals.append(entry.total)
                if change.amount == 0 { continue }
                changed[change.key] = entry
                lines.append(contentsOf: Self.line(change.key, entry).utf8)
            }
            if !lines.isEmpty { try self.append(lines, &state) }
            state.entries.merge(changed) { $1 }
            return totals
        }
    }

    /// Lets go of the file; the next count opens it again.
    package func close() { self.state.withLock { $0.file = nil } }

    private func append(_ lines: [UInt8], _ state: inout State) throws(FileError) {
        if state.bytes > Self.bytesBeforeRewrite { try self.rewrite(&state) }
        if state.file == nil { state.file = try AppendFile(self.path) }
        // A file that failed half-way begins anew: half a line must not meet the next.
        do throws(FileError) {
            try state.file?.append(lines)
        } catch {
            state.file = nil
            state.bytes = .max
            throw error
        }
        state.bytes += lines.count
    }

    private func rewrite(_ state: inout State) throws(FileError) {
        let now: Int64 = self.clock.now().milliseconds
        state.entries = state.entries.filter { $0.value.ends > now }
        var bytes: [UInt8] = []
        for (key, entry) in state.entries { bytes.append(contentsOf: Self.line(key, entry).utf8) }
        state.file = nil
        try Files.replace(self.path, with: bytes)
        // What is in use may be large by itself: it need not be written again each time.
        state.bytes = 0
    }

    private static func line(_ key: String, _ entry: Entry) -> String {
        "\(entry.total) \(entry.window) \(entry.ends) \(key)\n"
    }

    private static func read(_ bytes: [UInt8], into entries: inout [String: Entry]) {
        var start: Int = 0
        while let end: Int = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            let line: String = String(decoding: bytes[start..<end], as: UTF8.self)
            start = end + 1
            let parts: [Substring] = line.split(separator: " ", maxSplits: 3)
            guard parts.count == 4, let total: Int64 = Int64(parts[0]), let window: UInt64 = UInt64(parts[1]),
                let ends: Int64 = Int64(parts[2])
            else { continue }
            entries[String(parts[3])] = Entry(total: total, window: window, ends: ends)
        }
    }
}
