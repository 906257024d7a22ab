import Glibc
import Synchronization

/// Counts of limits whose subjects are not known beforehand (addresses, header values): a bounded table without locks.
///
/// A slot holds a fingerprint of (limit, subject), the limit's word, and when that word is as good as unused. A subject lives in
/// one of the `neighbourhood` slots its fingerprint points to. Where all of them are taken, the first one to expire makes room:
/// mostly it has expired already, and nothing is lost; else that subject starts afresh, which `evictions` counts.
///
/// Exactness: a subject's count is exact while it is in the table. Subjects that arrive for the first time at the same moment on
/// several loops may, only while others are being pushed out, be counted twice from 1.
final class SubjectTable: Sendable {
    private struct Slot: ~Copyable {
        /// 0: empty. 1: being given to another subject.
        let fingerprint: Atomic<UInt64> = Atomic(0)
        let word: LimitWord = LimitWord(0)
        let expiry: Atomic<UInt64> = Atomic(0)
    }

    private let slots: SlotMemory
    private let mask: Int
    /// Subjects pushed out before their count had expired.
    private let evictionCount: Atomic<UInt64> = Atomic(0)

    /// Subjects kept at most in one process; 24 bytes each, touched only when used.
    static let subjectsMax: Int = 131_072
    /// Slots a subject may be in.
    private static let neighbourhood: Int = 16
    private static let claimed: UInt64 = 1
    /// Looks at a slot that is being given away before it is passed over.
    private static let spinsMax: Int = 200

    /// `capacity` is a power of two of at least `neighbourhood` slots.
    init(capacity: Int = SubjectTable.subjectsMax) {
        precondition(capacity >= Self.neighbourhood && capacity & (capacity - 1) == 0)
        self.slots = SlotMemory(count: capacity)
        self.mask = capacity - 1
    }

    var evictions: UInt64 { self.evictionCount.load(ordering: .relaxed) }

    /// Whether a request of this subject would be admitted, without counting it.
    func wouldAdmit(_ fingerprint: UInt64, rule: LimitRule, now: UInt64) -> Bool {
        let index: Int = self.find(Self.usable(fingerprint))
        return index < 0 || rule.wouldAdmit(self.slots.base[index].word.load(ordering: .relaxed), now: now)
    }

    /// Counts a request of this subject if it is admitted.
    func take(_ fingerprint: UInt64, rule: LimitRule, now: UInt64) -> Bool {
        let key: UInt64 = Self.usable(fingerprint)
        let index: Int = self.findOrClaim(key, now: now)
        // Every slot of the neighbourhood is being given away right now: nothing to count in, and refusing would be wrong.
        guard index >= 0 else { return true }
        self.slots.base[index].expiry.store(rule.expiry(now: now), ordering: .relaxed)
        return rule.take(self.slots.base[index].word, now: now)
    }

    /// Gives back what `take` counted.
    func giveBack(_ fingerprint: UInt64, rule: LimitRule, now: UInt64) {
        let index: Int = self.find(Self.usable(fingerprint))
        if index >= 0 { rule.giveBack(self.slots.base[index].word, now: now) }
    }

    func standing(_ fingerprint: UInt64, rule: LimitRule, now: UInt64) -> LimitStanding {
        let index: Int = self.find(Self.usable(fingerprint))
        return rule.standing(index < 0 ? 0 : self.slots.base[index].word.load(ordering: .relaxed), now: now)
    }

    private static func usable(_ fingerprint: UInt64) -> UInt64 { fingerprint > 1 ? fingerprint : fingerprint &+ 2 }

    private func find(_ key: UInt64) -> Int {
        for step in 0..<Self.neighbourhood {
            let index: Int = (Int(truncatingIfNeeded: key) &+ step) & self.mask
            if self.slots.base[index].fingerprint.load(ordering: .acquiring) == key { return index }
        }
        return -1
    }

    private func findOrClaim(_ key: UInt64, now: UInt64) -> Int {
        let found: Int = self.find(key)
        if found >= 0 { return found }
        for _ in 0..<Self.spinsMax {
            let index: Int = self.claim(key, now: now)
            if index >= 0 { return index }
        }
        return -1
    }

    /// One try to find the subject or make room for it; -1: somebody else changed the neighbourhood, look again.
    private func claim(_ key: UInt64, now: UInt64) -> Int {
        var victim: Int = -1
        var victimKey: UInt64 = 0
        var victimExpiry: UInt64 = .max
        var sawClaimed: Bool = false
        for step in 0..<Self.neighbourhood {
            let index: Int = (Int(truncatingIfNeeded: key) &+ step) & self.mask
            let seen: UInt64 = self.slots.base[index].fingerprint.load(ordering: .acquiring)
            if seen == key { return index }
            if seen == Self.claimed {
                sawClaimed = true
                continue
            }
            let expiry: UInt64 = seen == 0 ? 0 : self.slots.base[index].expiry.load(ordering: .relaxed)
            if victim < 0 || expiry < victimExpiry {
                victim = index
                victimKey = seen
                victimExpiry = expiry
            }
            // An empty slot: nobody is behind it, unless a neighbour is just being claimed, perhaps for this very subject.
            if seen == 0 { break }
        }
        if sawClaimed || victim < 0 { return -1 }
        let (isOurs, _): (Bool, UInt64) = self.slots.base[victim].fingerprint.compareExchange(
            expected: victimKey, desired: Self.claimed, ordering: .acquiringAndReleasing)
        guard isOurs else { return -1 }
        if victimKey != 0 && victimExpiry > now { self.evictionCount.wrappingAdd(1, ordering: .relaxed) }
        self.slots.base[victim].word.store(0, ordering: .relaxed)
        self.slots.base[victim].expiry.store(now, ordering: .relaxed)
        self.slots.base[victim].fingerprint.store(key, ordering: .releasing)
        return victim
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
