import GatewayConfiguration
import Synchronization

/// A limit of an API, route, plan or tenant as requests meet it.
struct CompiledLimit: BitwiseCopyable, Sendable {
    enum Subject: UInt8, BitwiseCopyable {
        case api, application, key, ip, header, plan, claim, tenant
    }

    var rule: LimitRule
    var subject: Subject
    /// Whether counts go to the other gateways: then a second word behind the first holds what they do not know yet.
    var isShared: Bool
    var isQuota: Bool
    /// Whether it counts before callers are known.
    var isEarly: Bool
    /// Place in the snapshot's words of the one word of `api` and `tenant`, and of what callers without subscription share; -1: none.
    var own: Int32
    /// For `application` and `key`: place among the words of a subscription.
    var slot: Int32
    /// What one request takes; 0: what the route says.
    var cost: UInt32
    /// Tells this limit's subjects from other limits' in the shared table.
    var seed: UInt64
    /// Name of the field for `header`.
    var header: TextRange
    /// Place in `Snapshot.claimPaths` for `claim`.
    var claim: Int32 = -1
    /// The limit's name as a structured-field string with its quotes.
    var name: TextRange
    /// The configured limit and window, as `RateLimit-Policy` states them.
    var quota: UInt64
    var windowSeconds: UInt64

    /// What one request takes of it, whose route says `route`.
    @inline(__always)
    func cost(_ route: UInt32) -> UInt32 { self.cost > 0 ? self.cost : route }

    /// What a request is refused with that this limit has no room for.
    var refusal: RequestReason {
        // Whoever asks for more must know whom to ask.
        if self.subject == .tenant { return self.isQuota ? .tenantQuotaExceeded : .tenantRateLimited }
        switch self.rule.algorithm {
        case .aligned: return self.isQuota ? .quotaExceeded : .rateLimited
        case .concurrent: return .tooManyAtOnce
        case .window, .tokenBucket, .sliding: return .rateLimited
        }
    }

    static let none: CompiledLimit = CompiledLimit(
        rule: LimitRule(concurrent: 1, scope: .gateway), subject: .api, isShared: false, isQuota: false, isEarly: false,
        own: -1, slot: -1, cost: 1, seed: 0, header: TextRange(), name: TextRange(), quota: 0, windowSeconds: 0)

    /// Limits that can apply to one request at most: the API's, the route's, the plan's and the tenant's.
    static let perRequestMax: Int = 2 * PolicyDefinition.countMax + 3 + TenantLimits.countMax
}

/// Where a subject's count is: a word of its own, or a fingerprint in the shared table.
struct LimitPlace: BitwiseCopyable {
    var word: UnsafeMutablePointer<LimitWord>?
    /// Place of the word in the snapshot's words; -1: none.
    var wordIndex: Int32
    var fingerprint: UInt64
    /// Place of the limit in `Snapshot`'s table.
    var limit: Int32

    // The table is reached through `live` only where it is needed: a reference taken for every request would be a count that
    // all loops write.

    func wouldAdmit(_ rule: LimitRule, _ live: LiveState, at time: DecisionTime, cost: UInt64) -> Bool {
        let now: UInt64 = time.reading(for: rule)
        if let word { return rule.wouldAdmit(word.pointee.load(ordering: .relaxed), now: now, cost: cost) }
        return live.subjects.wouldAdmit(self.fingerprint, rule: rule, now: now, cost: cost)
    }

    func take(_ rule: LimitRule, isShared: Bool, _ live: LiveState, at time: DecisionTime, cost: UInt64) -> Bool {
        let now: UInt64 = time.reading(for: rule)
        guard let word else { return live.subjects.take(self.fingerprint, rule: rule, now: now, cost: cost) }
        guard rule.take(word.pointee, now: now, cost: cost) else { return false }
        if isShared { rule.adjust((word + 1).pointee, by: Int64(cost), now: now) }
        return true
    }

    func giveBack(_ rule: LimitRule, isShared: Bool, _ live: LiveState, at time: DecisionTime, cost: UInt64) {
        let now: UInt64 = time.reading(for: rule)
        guard let word else { return live.subjects.giveBack(self.fingerprint, rule: rule, now: now, cost: cost) }
        rule.giveBack(word.pointee, now: now, cost: cost)
        if isShared { rule.giveBack((word + 1).pointee, now: now, cost: cost) }
    }

    func standing(_ rule: LimitRule, _ live: LiveState, at time: DecisionTime, cost: UInt64) -> LimitStanding {
        let now: UInt64 = time.reading(for: rule)
        if let word { return rule.standing(word.pointee.load(ordering: .relaxed), now: now, cost: cost) }
        return live.subjects.standing(self.fingerprint, rule: rule, now: now, cost: cost)
    }
}

/// The places of one request's limits, in the order they are counted. Memory of a loop, reused.
struct LimitReceipts: ~Copyable {
    let places: UnsafeMutablePointer<LimitPlace> = .allocate(capacity: CompiledLimit.perRequestMax)
    /// Places known so far.
    var count: Int = 0

    deinit { self.places.deallocate() }
}
