import Time

/// A record that waits for another try, without its bytes: those stay in the database.
struct RetryEntry: Sendable, Equatable {
    let offset: Int64
    let key: [UInt8]?
    /// Failed tries so far; 0 for a record that only waits behind another one of its key.
    var tries: Int
    /// How often in a row the other side was unavailable. Not stored: after a restart the pauses begin anew.
    var waits: Int = 0
    var due: Timestamp
}

/// The records of one partition that a group will try again, in the order that their keys demand.
///
/// Of each key only the oldest record (its head) is ever tried; the others wait behind it. Records without a key wait for nobody.
/// A mirror of log_retries in memory: the caller changes the row first, then the queue.
struct RetryQueue {
    /// What keeps its order: a key, or a single record without one.
    private enum Line: Hashable {
        case key([UInt8])
        case single(Int64)

        init(_ entry: RetryEntry) { self = entry.key.map { .key($0) } ?? .single(entry.offset) }
    }

    /// A head's turn. Stale when the head has changed since: told by offset and time, dropped when it comes up.
    private struct Turn {
        let due: Timestamp
        let offset: Int64
        let line: Line
    }

    /// By line, each in the order of offsets; no line is empty.
    private var lines: [Line: [RetryEntry]] = [:]
    /// A binary heap: the earliest turn first.
    private var turns: [Turn] = []
    private(set) var count: Int = 0
    /// What is due later than this from now was put off under a clock that has been set back since.
    private let pauseMax: Duration

    init(pauseMax: Duration = ConsumerOptions().pauseMax) { self.pauseMax = pauseMax }

    /// Whether a record of this key has to wait behind others.
    func isBlocked(_ key: [UInt8]?) -> Bool {
        guard let key: [UInt8] else { return false }
        return self.lines[.key(key)] != nil
    }

    mutating func insert(_ entry: RetryEntry) {
        let line: Line = Line(entry)
        var entries: [RetryEntry] = self.lines[line] ?? []
        let place: Int = entries.firstIndex { $0.offset >= entry.offset } ?? entries.count
        if place < entries.count, entries[place].offset == entry.offset { return }
        entries.insert(entry, at: place)
        self.lines[line] = entries
        self.count += 1
        if place == 0 { self.push(entry, line) }
    }

    /// When the next record is to be tried; nil when none waits.
    mutating func nextDue() -> Timestamp? {
        self.dropStale()
        return self.turns.first?.due
    }

    /// The record to be tried now, if any. It stays in the queue until `remove` or `postpone`.
    mutating func due(at now: Timestamp) -> RetryEntry? {
        self.dropStale()
        guard let turn: Turn = self.turns.first, turn.due <= now || turn.due > now.adding(self.pauseMax) else {
            return nil
        }
        return self.lines[turn.line]?.first
    }

    /// The head is done with; the next of its key may be tried at once, at `now`.
    mutating func remove(_ entry: RetryEntry, now: Timestamp) {
        let line: Line = Line(entry)
        guard var entries: [RetryEntry] = self.lines[line], entries.first?.offset == entry.offset else { return }
        entries.removeFirst()
        self.count -= 1
        guard !entries.isEmpty else {
            self.lines[line] = nil
            return
        }
        entries[0].due = min(entries[0].due, now)
        self.lines[line] = entries
        self.push(entries[0], line)
    }

    /// The head failed again.
    mutating func postpone(_ entry: RetryEntry, due: Timestamp, tries: Int, waits: Int) {
        let line: Line = Line(entry)
        guard var entries: [RetryEntry] = self.lines[line], entries.first?.offset == entry.offset else { return }
        entries[0].due = due
        entries[0].tries = tries
        entries[0].waits = waits
        self.lines[line] = entries
        self.push(entries[0], line)
    }

    // MARK: - The heap

    private mutating func dropStale() {
        while let turn: Turn = self.turns.first {
            if let head: RetryEntry = self.lines[turn.line]?.first, head.offset == turn.offset, head.due == turn.due {
                return
            }
            self.popTurn()
        }
    }

    private mutating func push(_ head: RetryEntry, _ line: Line) {
        self.turns.append(Turn(due: head.due, offset: head.offset, line: line))
        var child: Int = self.turns.count - 1
        while child > 0 {
            let parent: Int = (child - 1) / 2
            if !Self.isBefore(self.turns[child], self.turns[parent]) { return }
            self.turns.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func popTurn() {
        self.turns.swapAt(0, self.turns.count - 1)
        self.turns.removeLast()
        var parent: Int = 0
        while true {
            var least: Int = parent
            for child: Int in [2 * parent + 1, 2 * parent + 2] where child < self.turns.count {
                if Self.isBefore(self.turns[child], self.turns[least]) { least = child }
            }
            if least == parent { return }
            self.turns.swapAt(parent, least)
            parent = least
        }
    }

    /// Equal times go by offset, so that what came first is tried first.
    private static func isBefore(_ left: Turn, _ right: Turn) -> Bool {
        left.due == right.due ? left.offset < right.offset : left.due < right.due
    }
}
