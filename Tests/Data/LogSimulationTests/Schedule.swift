/// A generator with a seed: the same seed, the same run.
struct SeededRandom {
    private var state: UInt64

    init(seed: UInt64, stream: UInt64) { self.state = seed &* 0x2545_F491_4F6C_DD1D ^ stream &* 0x9E37_79B9_7F4A_7C15 }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var word: UInt64 = self.state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    mutating func below(_ limit: Int64) -> Int64 { Int64(self.next() % UInt64(max(1, limit))) }

    mutating func below(_ limit: Int) -> Int { Int(self.next() % UInt64(max(1, limit))) }

    mutating func within(_ range: ClosedRange<Int64>) -> Int64 {
        range.lowerBound + self.below(range.upperBound - range.lowerBound + 1)
    }

    /// True in one of `count` cases.
    mutating func oneIn(_ count: Int) -> Bool { self.below(count) == 0 }
}

/// What happens, in the order of made-up time. One thread, no waiting: time is the time of the next event.
final class Schedule {
    private struct Entry {
        let time: Int64
        let number: UInt64
        let body: () -> Void
    }

    /// Milliseconds since the start of the run.
    private(set) var now: Int64 = 0
    /// Events at one moment happen in the order in which they were planned.
    private var entries: [Entry] = []
    private var number: UInt64 = 0
    private(set) var eventCount: Int = 0

    func at(_ time: Int64, _ body: @escaping () -> Void) {
        self.number += 1
        self.entries.append(Entry(time: max(time, self.now), number: self.number, body: body))
        var child: Int = self.entries.count - 1
        while child > 0 {
            let parent: Int = (child - 1) / 2
            if !Self.isBefore(self.entries[child], self.entries[parent]) { return }
            self.entries.swapAt(child, parent)
            child = parent
        }
    }

    func after(_ delay: Int64, _ body: @escaping () -> Void) { self.at(self.now + delay, body) }

    /// Makes the next event happen; false when there is none up to `end`.
    func step(until end: Int64) -> Bool {
        guard let first: Entry = self.entries.first, first.time <= end else {
            self.now = max(self.now, end)
            return false
        }
        self.removeFirst()
        self.now = first.time
        self.eventCount += 1
        first.body()
        return true
    }

    private func removeFirst() {
        self.entries.swapAt(0, self.entries.count - 1)
        self.entries.removeLast()
        var parent: Int = 0
        while true {
            var least: Int = parent
            for child: Int in [2 * parent + 1, 2 * parent + 2] where child < self.entries.count {
                if Self.isBefore(self.entries[child], self.entries[least]) { least = child }
            }
            if least == parent { return }
            self.entries.swapAt(parent, least)
            parent = least
        }
    }

    private static func isBefore(_ left: Entry, _ right: Entry) -> Bool {
        left.time == right.time ? left.number < right.number : left.time < right.time
    }
}

/// What was done in a run, line by line; only what came last is kept.
struct History {
    private static let linesMax: Int = 400
    private var lines: [String] = []

    mutating func add(_ time: Int64, _ line: String) {
        if self.lines.count >= Self.linesMax * 2 { self.lines.removeFirst(Self.linesMax) }
        self.lines.append("\(time) ms  \(line)")
    }

    var text: String { self.lines.suffix(Self.linesMax).joined(separator: "\n") }
}

/// A promise that a run has broken.
struct Violation: Error, CustomStringConvertible {
    let what: String
    let history: String

    var description: String { "\(self.what)\n\(self.history)" }
}

/// Runs seeds and, where one fails, looks for the smallest run that does.
enum Seeds {
    /// - Parameters:
    ///   - sizes: how much happens in a run, smallest first; the last is the whole one.
    ///   - run: returns what went wrong.
    static func failure(
        _ seed: UInt64, sizes: [Int], _ run: (_ seed: UInt64, _ size: Int) -> Violation?
    ) -> String? {
        guard let whole: Int = sizes.last, var found: Violation = run(seed, whole) else { return nil }
        var smallest: Int = whole
        for size: Int in sizes {
            if let violation: Violation = run(seed, size) {
                found = violation
                smallest = size
                break
            }
        }
        return "seed \(seed), size \(smallest): \(found)"
    }
}
