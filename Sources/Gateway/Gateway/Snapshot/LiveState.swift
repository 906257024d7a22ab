import GatewayConfiguration
package import Synchronization

/// What outlives a snapshot: counts of limits, health of targets, identities for records. One for each process.
///
/// A snapshot looks up what it needs by stable ids while it is compiled and reaches it by pointer or index at run time; so a
/// swap forgets nothing whose ids are unchanged. Counts of subjects that no snapshot knows any more are dropped at the next
/// compilation.
package final class LiveState: Sendable {
    private struct Kept {
        var limits: [String: LimitBox] = [:]
        var targets: [String: TargetState] = [:]
        var upstreams: [String: UpstreamState] = [:]
        var generation: UInt64 = 0
    }

    private let kept: Mutex<Kept> = Mutex(Kept())
    /// At a fixed address, so that a decision reads it without a reference to this object.
    let share: LimitShare = LimitShare()
    /// Counts by address and header value.
    let subjects: SubjectTable
    /// Names behind the numbers in records.
    package let identities: IdentityTable
    /// Turns header values into fingerprints.
    let hash: ByteHash
    /// Moves when a target's health does.
    let healthEpoch: HealthEpoch = HealthEpoch()

    /// Requests with an idempotency key.
    let idempotency: IdempotencyStore = IdempotencyStore()
    /// Stages that every route gets besides those of its policies; nil: none.
    let stageExtension: StageExtension?

    /// `subjectsMax` is a power of two: how many addresses and header values are counted at once.
    package convenience init(subjectsMax: Int = SubjectTable.subjectsMax) {
        self.init(subjectsMax: subjectsMax, stageExtension: nil)
    }

    init(subjectsMax: Int = SubjectTable.subjectsMax, stageExtension: StageExtension?) {
        self.stageExtension = stageExtension
        self.subjects = SubjectTable(capacity: subjectsMax)
        self.identities = IdentityTable()
        self.hash = .process
    }

    /// Gateways that share every limit: each admits its part. Set by the link, read by every request. 1 or more.
    package var limitShare: Int {
        get { Int(truncatingIfNeeded: self.share.divisor.pointee.load(ordering: .relaxed)) }
        set { self.share.divisor.pointee.store(UInt64(max(1, newValue)), ordering: .relaxed) }
    }

    /// Addresses and header values whose counts were pushed out before they had expired.
    package var subjectEvictions: UInt64 { self.subjects.evictions }

    deinit {
        self.share.divisor.deinitialize(count: 1)
        self.share.divisor.deallocate()
    }

    /// Starts a compilation: what it asks for from now on is kept.
    func beginGeneration() {
        self.kept.withLock { $0.generation += 1 }
    }

    /// The word of a limit's subject, the same one for the same key as long as snapshots ask for it.
    func limit(_ key: String) -> LimitBox {
        self.kept.withLock { kept in
            if let box: LimitBox = kept.limits[key] {
                box.generation = kept.generation
                return box
            }
            let box: LimitBox = LimitBox(generation: kept.generation)
            kept.limits[key] = box
            return box
        }
    }

    /// The state of an upstream target, the same one for the same key.
    func target(_ key: String) -> TargetState {
        self.kept.withLock { kept in
            if let state: TargetState = kept.targets[key] {
                state.generation.store(kept.generation, ordering: .relaxed)
                return state
            }
            let state: TargetState = TargetState(key: key, epoch: self.healthEpoch)
            state.generation.store(kept.generation, ordering: .relaxed)
            kept.targets[key] = state
            return state
        }
    }

    /// The state of an API's upstream, the same one for the same key.
    func upstream(_ key: String) -> UpstreamState {
        self.kept.withLock { kept in
            let state: UpstreamState = kept.upstreams[key] ?? UpstreamState(key: key)
            state.generation.store(kept.generation, ordering: .relaxed)
            kept.upstreams[key] = state
            return state
        }
    }

    /// Ends a compilation: drops what it did not ask for. Snapshots still in use keep their own references.
    func endGeneration() {
        self.kept.withLock { kept in
            let generation: UInt64 = kept.generation
            var stale: [String] = []
            for (key, box) in kept.limits where box.generation != generation { stale.append(key) }
            for key in stale { kept.limits[key] = nil }
            stale.removeAll()
            for (key, state) in kept.targets where state.generation.load(ordering: .relaxed) != generation {
                stale.append(key)
            }
            for key in stale { kept.targets[key] = nil }
            stale.removeAll()
            for (key, state) in kept.upstreams where state.generation.load(ordering: .relaxed) != generation {
                stale.append(key)
            }
            for key in stale { kept.upstreams[key] = nil }
        }
    }

    /// Words kept for limits; for tests and metrics.
    package var limitCount: Int { self.kept.withLock { $0.limits.count } }
}

/// How many gateways share every limit. The memory belongs to `LiveState`, which every snapshot holds.
struct LimitShare: @unchecked Sendable {
    // Safe to share: the number is atomic.
    let divisor: UnsafeMutablePointer<Atomic<UInt64>>

    init() {
        self.divisor = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: 1)
        self.divisor.initialize(to: Atomic(1))
    }
}

/// Owns the word of one limit and subject, at an address that does not change.
final class LimitBox: @unchecked Sendable {
    // Safe to share: the word is atomic, `generation` is only touched under the lock of `LiveState`.
    let word: UnsafeMutablePointer<LimitWord>
    fileprivate var generation: UInt64

    fileprivate init(generation: UInt64) {
        self.word = UnsafeMutablePointer<LimitWord>.allocate(capacity: 1)
        self.word.initialize(to: LimitWord(0))
        self.generation = generation
    }

    deinit {
        self.word.deinitialize(count: 1)
        self.word.deallocate()
    }
}

/// What a gateway has learned of one target of one API. All loops share it; every field is atomic.
package final class TargetState: Sendable {
    /// `tenant/api url`.
    package let key: String
    /// Failures in a row.
    package let failures: Atomic<Int> = Atomic(0)
    /// Left out until this moment of the monotonic clock in nanoseconds; 0: in.
    package let ejectedUntil: Atomic<UInt64> = Atomic(0)
    /// Requests on their way; counted only where an upstream asks for it.
    package let inFlight: Atomic<Int> = Atomic(0)
    /// Connections open, of all loops.
    package let connections: Atomic<Int> = Atomic(0)
    /// `TargetFlags`.
    let flags: Atomic<UInt32> = Atomic(0)
    /// Monotonic nanoseconds when it came back; 0: it was never out.
    let upSince: Atomic<UInt64> = Atomic(0)
    /// How often it was taken out.
    let ejections: Atomic<UInt64> = Atomic(0)
    let openings: Atomic<UInt64> = Atomic(0)
    /// Requests that wait for a connection, of all loops, and those that waited in vain or could not.
    let waiting: Atomic<Int> = Atomic(0)
    let queueRefused: Atomic<UInt64> = Atomic(0)
    let sums: TargetSums = TargetSums()
    /// For a breaker whose scope is the target.
    let breaker: Mutex<CircuitBreaker> = Mutex(CircuitBreaker())
    let epoch: HealthEpoch
    fileprivate let generation: Atomic<UInt64> = Atomic(0)

    init(key: String, epoch: HealthEpoch = HealthEpoch()) {
        self.key = key
        self.epoch = epoch
    }
}
