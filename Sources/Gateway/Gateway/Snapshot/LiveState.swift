package import EventLoops
import GatewayConfiguration
package import HTTP
package import Synchronization

/// What outlives a snapshot: counts of limits, health of targets, identities for records. One for each process.
///
/// A snapshot looks up what it needs by stable ids while it is compiled and reaches it by pointer or index at run time; so a
/// swap forgets nothing whose ids are unchanged. Counts of a subject are dropped with the last snapshot that knows it.
package final class LiveState: Sendable {
    private struct Kept {
        var limits: KeptObjects<LimitBox> = KeptObjects()
        /// Those of `limits` that are shared.
        var counters: KeptObjects<LimitBox> = KeptObjects()
        var targets: KeptObjects<TargetState> = KeptObjects()
        var upstreams: KeptObjects<UpstreamState> = KeptObjects()
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
    /// What other gateways know of idempotency keys and nonces.
    package let claims: SharedClaims = SharedClaims()
    /// Connections of clients, where policies limit them.
    let connections: ConnectionCounts = ConnectionCounts()
    /// Stored responses.
    let cache: CacheStore
    /// What came of checking messages.
    let validation: ValidationCounters = ValidationCounters()
    /// How policies ask other services.
    let calls: ExternalCalls
    /// Caches, keys of issuers and threads of authentication.
    let authentication: AuthenticationServices

    /// Stages that every route gets besides those of its policies; nil: none.
    let stageExtension: StageExtension?

    /// `subjectsMax` is a power of two: how many addresses and header values are counted at once.
    /// `egress` says where policies may ask other services; default: everywhere.
    package convenience init(
        subjectsMax: Int = SubjectTable.subjectsMax,
        egress: @escaping @Sendable (SocketAddress) -> EgressVerdict = { _ in .allow }
    ) {
        self.init(
            subjectsMax: subjectsMax, authentication: AuthenticationSettings(), stageExtension: nil, egress: egress)
    }

    init(
        subjectsMax: Int = SubjectTable.subjectsMax, authentication: AuthenticationSettings = AuthenticationSettings(),
        stageExtension: StageExtension?, cache: CacheStore = CacheStore(),
        egress: @escaping @Sendable (SocketAddress) -> EgressVerdict = { _ in .allow }
    ) {
        self.cache = cache
        self.calls = ExternalCalls(egress: egress)
        self.authentication = AuthenticationServices(authentication, claims: self.claims, egress: egress)
        self.stageExtension = stageExtension
        self.subjects = SubjectTable(capacity: subjectsMax)
        self.identities = IdentityTable()
        self.hash = .process
    }

    /// Gateways that share every limit: each admits its part. Set by the link, read by every request. 1 or more.
    package var limitShare: Int {
        get { self.share.gateways }
        set { self.share.divisor.pointee.store(UInt64(max(1, newValue)), ordering: .relaxed) }
    }

    /// By what shared rate limits are divided: 1 as long as counts are exchanged; nil: as the others, since they are not; 0:
    /// nothing is admitted.
    package var sharedLimitsDivisor: Int? {
        get {
            let divisor: UInt64 = (self.share.divisor + 1).pointee.load(ordering: .relaxed)
            return divisor == .max ? nil : Int(truncatingIfNeeded: divisor)
        }
        set {
            let divisor: UInt64 = newValue.map { UInt64(max(0, $0)) } ?? .max
            (self.share.divisor + 1).pointee.store(divisor, ordering: .relaxed)
        }
    }

    /// Addresses and header values whose counts were pushed out before they had expired.
    package var subjectEvictions: UInt64 { self.subjects.evictions }

    deinit {
        self.share.divisor.deinitialize(count: 2)
        self.share.divisor.deallocate()
    }

    /// The word of a limit's subject, the same one for the same key as long as a snapshot has it.
    func limit(_ key: String, rule: LimitRule, sharing: CounterSharing?) -> LimitBox {
        self.kept.withLock { kept in
            if let box: LimitBox = kept.limits[key] { return box }
            let box: LimitBox = LimitBox(counter: sharing.map { SharedCounter(key: key, sharing: $0, rule: rule) })
            kept.limits.keep(box, key)
            if sharing != nil { kept.counters.keep(box, key) }
            return box
        }
    }

    /// The words whose counts are exchanged with other gateways.
    var counters: [LimitBox] { self.kept.withLock { $0.counters.all } }

    /// The state of an upstream target, the same one for the same key.
    func target(_ key: String) -> TargetState {
        self.kept.withLock { kept in
            if let state: TargetState = kept.targets[key] { return state }
            let state: TargetState = TargetState(key: key, epoch: self.healthEpoch)
            kept.targets.keep(state, key)
            return state
        }
    }

    /// The state of an API's upstream, the same one for the same key.
    func upstream(_ key: String) -> UpstreamState {
        self.kept.withLock { kept in
            if let state: UpstreamState = kept.upstreams[key] { return state }
            let state: UpstreamState = UpstreamState(key: key)
            kept.upstreams.keep(state, key)
            return state
        }
    }

    /// Words kept for limits; for tests and metrics.
    package var limitCount: Int { self.kept.withLock { $0.limits.all.count } }
}

/// Objects by key as long as somebody else holds them.
private struct KeptObjects<Object: AnyObject> {
    private struct Reference {
        weak var object: Object?
    }

    private static var sweepMin: Int { 1024 }

    private var references: [String: Reference] = [:]
    /// Beyond this many, those are looked for that are gone. Twice what was left the last time: a constant cost for each one kept.
    private var sweepAt: Int = KeptObjects.sweepMin

    subscript(key: String) -> Object? { self.references[key]?.object }

    var all: [Object] { self.references.values.compactMap { $0.object } }

    mutating func keep(_ object: Object, _ key: String) {
        if self.references.count >= self.sweepAt {
            self.references = self.references.filter { $0.value.object != nil }
            self.sweepAt = max(Self.sweepMin, self.references.count * 2)
        }
        self.references[key] = Reference(object: object)
    }
}

/// How many gateways share every limit. The memory belongs to `LiveState`, which every snapshot holds.
struct LimitShare: @unchecked Sendable {
    // Safe to share: the numbers are atomic.

    /// Gateways that divide limits; behind it by what shared limits are divided, `.max`: by the same.
    let divisor: UnsafeMutablePointer<Atomic<UInt64>>

    init() {
        self.divisor = UnsafeMutablePointer<Atomic<UInt64>>.allocate(capacity: 2)
        self.divisor.initialize(to: Atomic(1))
        (self.divisor + 1).initialize(to: Atomic(.max))
    }

    /// Gateways that divide limits, 1 or more.
    var gateways: Int { Int(truncatingIfNeeded: self.divisor.pointee.load(ordering: .relaxed)) }

    /// The rule of a limit as this gateway keeps it now.
    @inline(__always)
    func rule(_ limit: CompiledLimit) -> LimitRule {
        var divisor: UInt64 = self.divisor.pointee.load(ordering: .relaxed)
        if !limit.isShared { return limit.rule.isDivided ? limit.rule.shared(by: divisor) : limit.rule }
        if limit.isQuota { return limit.rule }
        let shared: UInt64 = (self.divisor + 1).pointee.load(ordering: .relaxed)
        if shared != .max { divisor = shared }
        if divisor == 1 { return limit.rule }
        var rule: LimitRule = limit.rule
        rule.limit = divisor == 0 ? 0 : max(1, rule.limit / divisor)
        return rule
    }
}

/// Owns the word of one limit and subject, at an address that does not change; of what is shared also the word behind it, with
/// what the other gateways do not know yet.
final class LimitBox: @unchecked Sendable {
    // Safe to share: the words are atomic.
    let word: UnsafeMutablePointer<LimitWord>
    /// Nil: counted by this gateway alone.
    let counter: SharedCounter?

    private var wordCount: Int { self.counter == nil ? 1 : 2 }

    fileprivate init(counter: SharedCounter?) {
        let count: Int = counter == nil ? 1 : 2
        self.word = UnsafeMutablePointer<LimitWord>.allocate(capacity: count)
        for index in 0..<count { (self.word + index).initialize(to: LimitWord(0)) }
        self.counter = counter
    }

    deinit {
        self.word.deinitialize(count: self.wordCount)
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

    init(key: String, epoch: HealthEpoch = HealthEpoch()) {
        self.key = key
        self.epoch = epoch
    }
}
