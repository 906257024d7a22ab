import Synchronization

/// The texts of the statements that a task asked of stores, for who wants to know what a request costs: closures that it hands to a
/// store while the log is `current` note theirs. Values are parameters, so no text has any.
///
/// Each closure begins with `write` or `read`. One that runs again is noted as it ran last. What extensions do in a commit belongs to the group and is not noted.
package final class StatementLog: Sendable {
    /// Where what this task does is noted; nil: nowhere.
    @TaskLocal package static var current: StatementLog?

    private let runs: Mutex<[[String]]> = Mutex([])

    package init() {}

    /// In the order in which the closures were handed over, each with its statements in order.
    package var texts: [String] {
        self.runs.withLock { runs in
            var texts: [String] = []
            for run in runs { texts += run }
            return texts
        }
    }

    func open() -> StatementNotes {
        self.runs.withLock { runs in
            runs.append([])
            return StatementNotes(log: self, run: runs.count - 1)
        }
    }

    fileprivate func begin(_ run: Int, _ kind: String) { self.runs.withLock { $0[run] = [kind] } }

    fileprivate func add(_ text: String, to run: Int) { self.runs.withLock { $0[run].append(text) } }
}

/// Where one closure's statements are noted.
struct StatementNotes: Sendable {
    fileprivate let log: StatementLog
    fileprivate let run: Int

    func begin(_ kind: String) { self.log.begin(self.run, kind) }

    func add(_ text: String) { self.log.add(text, to: self.run) }
}

extension StatementLog {
    /// The closure, which notes its statements if the task that hands it over wants that.
    static func noting<T>(
        _ body: @escaping @Sendable (Transaction) throws -> T
    ) -> @Sendable (Transaction) throws -> T {
        guard let notes: StatementNotes = Self.current?.open() else { return body }
        return { transaction in
            notes.begin("write")
            transaction.notes = notes
            defer { transaction.notes = nil }
            return try body(transaction)
        }
    }

    /// The same for what only reads.
    static func noting<T>(_ body: @escaping @Sendable (Reader) throws -> T) -> @Sendable (Reader) throws -> T {
        guard let notes: StatementNotes = Self.current?.open() else { return body }
        return { reader in
            notes.begin("read")
            reader.notes = notes
            return try body(reader)
        }
    }
}
