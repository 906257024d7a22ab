import Testing
import Time

@testable import EventLog

@Suite struct RetryTests {
    private static func at(_ seconds: Int64) -> Timestamp { Timestamp(seconds: seconds) }

    private static func entry(_ offset: Int64, _ key: String?, due: Int64 = 0) -> RetryEntry {
        RetryEntry(offset: offset, key: key.map { Array($0.utf8) }, tries: 1, due: at(due))
    }

    @Test func triesOnlyTheOldestRecordOfAKey() {
        var queue: RetryQueue = RetryQueue()
        queue.insert(Self.entry(5, "a", due: 10))
        queue.insert(Self.entry(6, "a", due: 0))
        queue.insert(Self.entry(7, "b", due: 3))
        #expect(queue.isBlocked(Array("a".utf8)) && !queue.isBlocked(Array("c".utf8)) && !queue.isBlocked(nil))
        #expect(queue.due(at: Self.at(2)) == nil)
        #expect(queue.nextDue() == Self.at(3))
        #expect(queue.due(at: Self.at(3))?.offset == 7)
        queue.remove(Self.entry(7, "b"), now: Self.at(3))
        #expect(queue.nextDue() == Self.at(10))
        queue.remove(Self.entry(5, "a"), now: Self.at(10))
        #expect(queue.due(at: Self.at(10))?.offset == 6)
        queue.remove(Self.entry(6, "a"), now: Self.at(10))
        #expect(queue.count == 0 && queue.nextDue() == nil && !queue.isBlocked(Array("a".utf8)))
    }

    @Test func letsRecordsWithoutAKeyWaitForNobody() {
        var queue: RetryQueue = RetryQueue()
        queue.insert(Self.entry(1, nil, due: 9))
        queue.insert(Self.entry(2, nil, due: 4))
        #expect(queue.due(at: Self.at(5))?.offset == 2)
        #expect(queue.count == 2)
    }

    @Test func putsARedrivenRecordBeforeLaterOnesOfItsKey() {
        var queue: RetryQueue = RetryQueue()
        queue.insert(Self.entry(8, "a", due: 1))
        queue.insert(Self.entry(3, "a", due: 2))
        #expect(queue.due(at: Self.at(1)) == nil)
        #expect(queue.due(at: Self.at(2))?.offset == 3)
    }

    @Test func takesARecordOnlyOnce() {
        var queue: RetryQueue = RetryQueue()
        queue.insert(Self.entry(8, "a"))
        queue.insert(Self.entry(8, "a"))
        #expect(queue.count == 1)
    }

    @Test func postponesAHead() {
        var queue: RetryQueue = RetryQueue()
        queue.insert(Self.entry(1, "a", due: 1))
        queue.postpone(Self.entry(1, "a"), due: Self.at(20), tries: 2, waits: 1)
        #expect(queue.due(at: Self.at(19)) == nil)
        #expect(queue.due(at: Self.at(20)) == RetryEntry(offset: 1, key: [97], tries: 2, waits: 1, due: Self.at(20)))
    }

    @Test func triesAtOnceWhatWasPutOffBeforeTheClockWasSetBack() {
        var queue: RetryQueue = RetryQueue(pauseMax: .seconds(60))
        queue.insert(Self.entry(1, "a", due: 10_000))
        #expect(queue.due(at: Self.at(9_950)) == nil)
        #expect(queue.due(at: Self.at(9_930))?.offset == 1)
    }

    /// Against a plain model: the due record is always the one with the earliest time among the heads of all keys.
    @Test func agreesWithAPlainModel() {
        var random: SplitMix = SplitMix(seed: 42)
        var queue: RetryQueue = RetryQueue(pauseMax: .seconds(10_000))
        var model: [RetryEntry] = []
        for offset: Int64 in 0..<2000 {
            let key: String = "k\(random.next() % 20)"
            let entry: RetryEntry = Self.entry(offset, key, due: Int64(random.next() % 1000))
            queue.insert(entry)
            model.append(entry)
            if random.next() % 3 > 0 {
                let now: Timestamp = Self.at(Int64(random.next() % 1000))
                let due: RetryEntry? = queue.due(at: now)
                #expect(due == Self.due(in: model, at: now))
                guard let due: RetryEntry else { continue }
                if random.next() % 2 == 0 {
                    queue.remove(due, now: now)
                    model.removeAll { $0.offset == due.offset }
                    if let next: Int = model.firstIndex(where: { $0.key == due.key }) {
                        model[next].due = min(model[next].due, now)
                    }
                } else {
                    let later: Timestamp = now.adding(.seconds(Int64(random.next() % 50)))
                    queue.postpone(due, due: later, tries: 2, waits: 0)
                    let index: Int = model.firstIndex { $0.offset == due.offset } ?? 0
                    model[index].due = later
                    model[index].tries = 2
                }
            }
        }
        #expect(queue.count == model.count)
    }

    private static func due(in model: [RetryEntry], at now: Timestamp) -> RetryEntry? {
        var heads: [[UInt8]: RetryEntry] = [:]
        for entry: RetryEntry in model where heads[entry.key ?? []] == nil { heads[entry.key ?? []] = entry }
        let due: [RetryEntry] = heads.values.filter { $0.due <= now }
        return due.min { $0.due == $1.due ? $0.offset < $1.offset : $0.due < $1.due }
    }

    @Test func doublesThePauseUpToItsLimit() {
        var options: ConsumerOptions = ConsumerOptions()
        options.triesMax = 5
        options.backoff = .seconds(1)
        options.backoffMax = .seconds(3)
        let rules: RetryRules = RetryRules(options)
        for (tries, pause): (Int, Int64) in [(0, 1), (1, 2), (2, 3), (3, 3)] {
            #expect(
                rules.decide(.retry(after: nil, reason: "x"), tries: tries, waits: 0, now: Self.at(100))
                    == .again(due: Self.at(100 + pause), tries: tries + 1, waits: 0, reason: "x"))
        }
        #expect(
            rules.decide(.retry(after: nil, reason: "x"), tries: 4, waits: 0, now: Self.at(100))
                == .dead(tries: 5, reason: "x"))
        #expect(
            rules.decide(.retry(after: .seconds(7)), tries: 0, waits: 0, now: Self.at(100))
                == .again(due: Self.at(107), tries: 1, waits: 0, reason: ""))
    }

    @Test func neverGivesUpWhileTheOtherSideIsUnavailable() {
        var options: ConsumerOptions = ConsumerOptions()
        options.triesMax = 1
        options.unavailableBackoffMax = .seconds(30)
        let rules: RetryRules = RetryRules(options)
        #expect(
            rules.decide(.unavailable(reason: "down"), tries: 0, waits: 100_000, now: Self.at(0))
                == .again(due: Self.at(30), tries: 0, waits: 100_001, reason: "down"))
    }

    @Test func givesUpAtOnceWhatIsPoisoned() {
        let rules: RetryRules = RetryRules(ConsumerOptions())
        #expect(
            rules.decide(.poison(reason: "bad"), tries: 0, waits: 0, now: Self.at(0)) == .dead(tries: 1, reason: "bad"))
    }

    @Test func keepsReasonsShort() {
        let rules: RetryRules = RetryRules(ConsumerOptions())
        let long: String = String(repeating: "é", count: 5000)
        guard case .dead(_, let reason) = rules.decide(.poison(reason: long), tries: 0, waits: 0, now: Self.at(0))
        else {
            Issue.record("expected a dead letter")
            return
        }
        #expect(reason.utf8.count <= RetryRules.reasonBytesMax + 2)
    }
}

/// A small generator with a seed, so that a failure can be repeated.
struct SplitMix {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var word: UInt64 = self.state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }
}
