import Glibc
import Synchronization

/// Counts of limits whose subjects are not known beforehand (addresses, header values): a bounded table without locks.
///
/// A slot holds a fingerprint of (limit, subject), the limit's word, and when that word is as good as unused. A subject lives in
/// one of the `neighbourhood` slots its fingerprint points to. Where all of them are taken, the first one to expire makes room:
/// mostly it has expired already, and nothing is lost; else that subject starts afresh, which `evictions` counts.
///
/// A slot changes hands in steps that each are one compare-and-exchange, and no thread ever waits for another:
/// 1. the word is set to "never used" (a new count in between makes this fail);
/// 2. the fingerprint is replaced by the new subject's *provisional* one, which look-ups do not take;
/// 3. the neighbourhood is looked through: where the subject has a slot already, or a provisional one further to the front,
///    this one is given up; a provisional one further back is taken away from whoever put it there;
/// 4. the fingerprint is made final. Who lost in step 3 fails here and looks again.
/// Of two threads that bring the same subject at the same time at least one sees the other in step 3, so a subject never has two
/// slots, and its count is exact while it is in the table.
final class SubjectTable: Sendable {
    private struct Slot: ~Copyable {
        /// What the slot belongs to; see `Mark`.
        let fingerprint: Atomic<UInt64> = Atomic(0)
        let word: LimitWord = LimitWord(0)
        let expiry: Atomic<UInt64> = Atomic(0)
    }

    /// Forms of a fingerprint: `empty`, `vacant`, or a subject's with the lowest bit telling final from provisional.
    private enum Mark {
        static let empty: UInt64 = 0
        /// Given up; a slot never becomes empty again, so that look-ups may stop at an empty one.
        static let vacant: UInt64 = 1

        static func final(_ fingerprint: UInt64) -> UInt64 { (fingerprint > 3 ? fingerprint : fingerprint &+ 4) | 1 }

        static func provisional(_ final: UInt64) -> UInt64 { final & ~1 }
    }

    private let slots: SlotMemory
    private let mask: Int
    /// Subjects pushed out before their count had expired.
    private let evictionCount: Atomic<UInt64> = Atomic(0)

    /// Subjects kept at most in one process; 24 bytes each, touched only when used.
    static let subjectsMax: Int = 131_072
    /// Slots a subject may be in.
    private static let neighbourhood: Int = 16
    /// Tries to count before a request is let through uncounted: each failed one means that another thread got on.
    private static let triesMax: Int = 1000

    /// `capacity` is a power of two of at least `neighbourhood` slots.
    init(capacity: Int = SubjectTable.subjectsMax) {
        precondition(capacity >= Self.neighbourhood && capacity & (capacity - 1) == 0)
        self.slots = SlotMemory(count: capacity)
        self.mask = capacity - 1
    }

    var evictions: UInt64 { self.evictionCount.load(ordering: .relaxed) }

    /// Whether a request of this subject would be admitted, without counting it.
    func wouldAdmit(_ fingerprint: UInt64, rule: LimitRule, now: UInt64, cost: UInt64 = 1) -> Bool {
        let index: Int = self.find(Mark.final(fingerprint))
        return index < 0 || rule.wouldAdmit(self.slots.base[index].word.load(ordering: .relaxed), now: now, cost: cost)
    }

    /// Counts a request of this subject if it is admitted.
    func take(_ fingerprint: UInt64, rule: LimitRule, now: UInt64, cost: UInt64 = 1) -> Bool {
        let key: UInt64 = Mark.final(fingerprint)
        let expiry: UInt64 = rule.expiry(now: now)
        for _ in 0..<Self.triesMax {
            var index: Int = self.find(key)
            if index < 0 { index = self.claim(key, now: now, expiry: expiry) }
            if index < 0 { continue }
            if self.slots.base[index].expiry.load(ordering: .relaxed) < expiry {
                self.slots.base[index].expiry.max(expiry, ordering: .relaxed)
            }
            let isAdmitted: Bool = rule.take(self.slots.base[index].word, now: now, cost: cost)
            // The slot may have gone to another subject since it was found (only when this one had expired): count again.
            if self.slots.base[index].fingerprint.load(ordering: .acquiring) == key { return isAdmitted }
            if isAdmitted { rule.giveBack(self.slots.base[index].word, now: now, cost: cost) }
        }
        return true
    }

    /// Gives back what `take` counted.
    func giveBack(_ fingerprint: UInt64, rule: LimitRule, now: UInt64, cost: UInt64 = 1) {
        let index: Int = self.find(Mark.final(fingerprint))
        if index >= 0 { rule.giveBack(self.slots.base[index].word, now: now, cost: cost) }
    }

    func standing(_ fingerprint: UInt64, rule: LimitRule, now: UInt64, cost: UInt64 = 1) -> LimitStanding {
        let index: Int = self.find(Mark.final(fingerprint))
        return rule.standing(index < 0 ? 0 : self.slots.base[index].word.load(ordering: .relaxed), now: now, cost: cost)
    }

    private func index(_ key: UInt64, _ step: Int) -> Int { (Int(truncatingIfNeeded: key >> 1) &+ step) & self.mask }

    private func find(_ key: UInt64) -> Int {
        for step in 0..<Self.neighbourhood {
            let index: Int = self.index(key, step)
            let seen: UInt64 = self.slots.base[index].fingerprint.load(ordering: .acquiring)
            if seen == key { return index }
            if seen == Mark.empty { return -1 }
        }
        return -1
    }

    /// One try to give a subject a slot; -1: look again.
    private func claim(_ key: UInt64, now: UInt64, expiry: UInt64) -> Int {
        var victim: Int = -1
        var victimMark: UInt64 = 0
        var victimWord: UInt64 = 0
        var victimExpiry: UInt64 = .max
        for step in 0..<Self.neighbourhood {
            let index: Int = self.index(key, step)
            // The word before the mark: when it is still the same below, nobody has taken the slot over since.
            let word: UInt64 = self.slots.base[index].word.load(ordering: .acquiring)
            let mark: UInt64 = self.slots.base[index].fingerprint.load(ordering: .acquiring)
            if mark == key { return index }
            if mark == Mark.provisional(key) { return self.settle(key, at: step) }
            var slotExpiry: UInt64 = 0
            if mark > Mark.vacant { slotExpiry = self.slots.base[index].expiry.load(ordering: .relaxed) }
            if slotExpiry < victimExpiry {
                victim = step
                victimMark = mark
                victimWord = word
                victimExpiry = slotExpiry
            }
            if mark == Mark.empty { break }
        }
        guard victim >= 0 else { return -1 }
        let slot: UnsafeMutablePointer<Slot> = self.slots.base + self.index(key, victim)
        if victimWord != 0 {
            let (isReset, _): (Bool, UInt64) = slot.pointee.word.compareExchange(
                expected: victimWord, desired: 0, ordering: .acquiringAndReleasing)
            if !isReset { return -1 }
        }
        slot.pointee.expiry.max(expiry, ordering: .relaxed)
        guard self.replace(victimMark, by: Mark.provisional(key), at: slot) else { return -1 }
        if victimExpiry > now { self.evictionCount.wrappingAdd(1, ordering: .relaxed) }
        return self.settle(key, at: victim)
    }

    /// Steps 3 and 4 for the provisional slot at `step`, whoever put it there.
    private func settle(_ key: UInt64, at step: Int) -> Int {
        let provisional: UInt64 = Mark.provisional(key)
        let own: UnsafeMutablePointer<Slot> = self.slots.base + self.index(key, step)
        for other in 0..<Self.neighbourhood where other != step {
            let slot: UnsafeMutablePointer<Slot> = self.slots.base + self.index(key, other)
            let mark: UInt64 = slot.pointee.fingerprint.load(ordering: .sequentiallyConsistent)
            if mark == Mark.empty { break }
            if mark == key || (mark == provisional && other < step) {
                _ = self.replace(provisional, by: Mark.vacant, at: own)
                return -1
            }
            // It became final meanwhile, or was given up: look again.
            if mark == provisional && !self.replace(provisional, by: Mark.vacant, at: slot) { return -1 }
        }
        return self.replace(provisional, by: key, at: own) ? self.index(key, step) : -1
    }

    private func replace(_ mark: UInt64, by next: UInt64, at slot: UnsafeMutablePointer<Slot>) -> Bool {
        slot.pointee.fingerprint.compareExchange(
            expected: mark, desired: next, ordering: .sequentiallyConsistent
        ).exchanged
    }

    /// Zeroed memory of slots, freed with the table.
    private final class SlotMemory: @unchecked Sendable {
        // Safe to share: every field of a slot is atomic.
        let base: UnsafeMutablePointer<Slot>

        /// Zeroed pages are not touched before they are used; a slot of zero bytes is `Slot()`, three atomic zeros.
        init(count: Int) {
            guard let memory: UnsafeMutableRawPointer = calloc(count, MemoryLayout<Slot>.stride) else {
                preconditionFailure("out of memory for the subjects of rate limits")
            }
            self.base = memory.bindMemory(to: Slot.self, capacity: count)
        }

        deinit { free(self.base) }
    }
}
