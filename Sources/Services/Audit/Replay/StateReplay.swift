import Contracts
import EventLog
package import JSON
package import Store
package import Time

/// Reads the audit log of one database, and before that what an older one has beyond it, into the state it tells of.
package struct StateReplay {
    /// Where to stop.
    package enum End: Sendable {
        /// Before the first entry that is later.
        case time(Timestamp)
        /// After the entry of this number.
        case entry(Int64)
        case newest
    }

    /// Where the log could not be read.
    package struct Gap: Sendable {
        package let entries: Range<Int64>
        package let reason: String
    }

    /// Bytes of the log read at once.
    private static let pageBytesMax: Int = 4 << 20

    package private(set) var state: ReplayedState = ReplayedState()
    /// The first entry that was read, and the one after the last.
    package private(set) var entries: Range<Int64> = 0..<0
    /// The last entry that was taken.
    package private(set) var last: JSONValue = .null
    package private(set) var gaps: [Gap] = []
    private let end: End
    private var isFinished: Bool = false

    package init(until end: End) { self.end = end }

    /// Whether every entry since the installation's first was taken: then nothing can be missing.
    package var isComplete: Bool { self.entries.lowerBound == 0 && self.gaps.isEmpty }

    /// Reads `newest`, after what only `base` still has.
    ///
    /// - Parameter progress: told how many entries were read.
    /// - Throws: `ReplayError.otherLog` when the two are not the same log.
    package mutating func run(
        newest: any Queryable, base: (any Queryable)?, progress: (Int64) -> Void = { _ in }
    ) throws {
        let range: Range<Int64> = try StoredLog.offsets(topic: Topics.auditLog, partition: 0, in: newest)
        var next: Int64 = range.lowerBound
        self.entries = range.lowerBound..<range.lowerBound
        if let base {
            let older: Range<Int64> = try StoredLog.offsets(topic: Topics.auditLog, partition: 0, in: base)
            try Self.requireSame(base, older, newest, range)
            next = min(older.lowerBound, range.lowerBound)
            self.entries = next..<next
            try self.read(base, from: next, to: min(older.upperBound, range.lowerBound), progress)
            next = self.isFinished ? next : max(self.entries.upperBound, min(older.upperBound, range.lowerBound))
            if !self.isFinished, next < range.lowerBound {
                self.addGap(next..<range.lowerBound, "retention removed them")
            }
        }
        try self.read(newest, from: range.lowerBound, to: range.upperBound, progress)
    }

    private mutating func read(
        _ database: some Queryable, from start: Int64, to limit: Int64, _ progress: (Int64) -> Void
    ) throws {
        var next: Int64 = start
        while next < limit && !self.isFinished {
            let batches: [StoredBatch] = try StoredLog.batches(
                topic: Topics.auditLog, partition: 0, from: next, bytesMax: Self.pageBytesMax, in: database)
            guard !batches.isEmpty else { break }
            let before: Int64 = next
            for batch in batches { self.take(batch, &next, limit) }
            guard next > before else { break }
            progress(self.entries.upperBound)
        }
        if next < limit && !self.isFinished { self.addGap(next..<limit, "they are missing") }
    }

    private mutating func take(_ batch: StoredBatch, _ next: inout Int64, _ limit: Int64) {
        for (offset, value) in batch.salvage().values where offset >= next && offset < limit && !self.isFinished {
            if offset > next { self.addGap(next..<offset, "they are missing or damaged") }
            next = offset + 1
            guard let leaf: JSONValue = try? JSONReader.parse(value) else {
                self.addGap(offset..<next, "it is no JSON")
                continue
            }
            if self.isBeyond(offset, leaf) {
                self.isFinished = true
                return
            }
            self.state.apply(leaf)
            self.last = leaf
            self.entries = self.entries.lowerBound..<next
        }
    }

    private func isBeyond(_ offset: Int64, _ leaf: JSONValue) -> Bool {
        switch self.end {
        case .newest: false
        case .entry(let number): offset > number
        case .time(let end): leaf["time"]?.text.flatMap(Timestamp.init(rfc3339:)).map { $0 > end } ?? false
        }
    }

    private mutating func addGap(_ entries: Range<Int64>, _ reason: String) {
        self.gaps.append(Gap(entries: entries, reason: reason))
    }

    /// Two databases of one installation have the same entry where both have one.
    private static func requireSame(
        _ base: any Queryable, _ older: Range<Int64>, _ newest: any Queryable, _ range: Range<Int64>
    ) throws {
        let shared: Range<Int64> = older.clamped(to: range)
        guard let number: Int64 = shared.first else { return }
        let left: [UInt8]? = try Self.leaf(number, in: base)
        let right: [UInt8]? = try Self.leaf(number, in: newest)
        guard left == right else { throw ReplayError.otherLog(entry: number) }
    }

    private static func leaf(_ number: Int64, in database: any Queryable) throws -> [UInt8]? {
        let batches: [StoredBatch] = try StoredLog.batches(
            topic: Topics.auditLog, partition: 0, from: number, bytesMax: 1, in: database)
        for batch in batches {
            for (offset, value) in batch.salvage().values where offset == number { return value }
        }
        return nil
    }
}

/// Why there is no replay.
package enum ReplayError: Error, CustomStringConvertible {
    case otherLog(entry: Int64)

    package var description: String {
        switch self {
        case .otherLog(let entry):
            "The base is of another installation, or of another past: entry \(entry) of its audit log is not the same."
        }
    }
}
