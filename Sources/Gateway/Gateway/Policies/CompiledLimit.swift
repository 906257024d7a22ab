import GatewayConfiguration
import Synchronization

/// A limit of an API, route or plan as requests meet it.
struct CompiledLimit: BitwiseCopyable, @unchecked Sendable {
    // Safe to share: `word` points to an atomic that the snapshot holding this limit keeps alive.
    enum Subject: UInt8, BitwiseCopyable {
        case api, application, key, ip, header, plan
    }

    var rule: LimitRule
    var subject: Subject
    /// The one word of `api`; nil for others.
    var word: UnsafeMutablePointer<LimitWord>?
    /// For `application` and `key`: place among the words of a subscription.
    var slot: Int32
    /// Tells this limit's subjects from other limits' in the shared table.
    var seed: UInt64
    /// Name of the field for `header`.
    var header: TextRange
    /// The limit's name as a structured-field string with its quotes.
    var name: TextRange
    /// The configured limit and window, as `RateLimit-Policy` states them.
    var quota: UInt64
    var windowSeconds: UInt64

    /// Limits that can apply to one request at most: the API's, the route's and the plan's.
    static let perRequestMax: Int = 2 * PolicyDefinition.countMax + 1
}

/// Where a subject's count is: a word of its own, or a fingerprint in the shared table.
struct LimitPlace: BitwiseCopyable {
    var word: UnsafeMutablePointer<LimitWord>?
    var fingerprint: UInt64
    /// Place of the limit in `Snapshot`'s table.
    var limit: Int32

    // The table is reached through `live` only where it is needed: a reference taken for every request would be a count that
    // all loops write.

    func wouldAdmit(_ rule: LimitRule, _ live: LiveState, now: UInt64) -> Bool {
        if let word { return rule.wouldAdmit(word.pointee.load(ordering: .relaxed), now: now) }
        return live.subjects.wouldAdmit(self.fingerprint, rule: rule, now: now)
    }

    func take(_ rule: LimitRule, _ live: LiveState, now: UInt64) -> Bool {
        if let word { return rule.take(word.pointee, now: now) }
        return live.subjects.take(self.fingerprint, rule: rule, now: now)
    }

    func giveBack(_ rule: LimitRule, _ live: LiveState, now: UInt64) {
        if let word { return rule.giveBack(word.pointee, now: now) }
        live.subjects.giveBack(self.fingerprint, rule: rule, now: now)
    }

    func standing(_ rule: LimitRule, _ live: LiveState, now: UInt64) -> LimitStanding {
        if let word { return rule.standing(word.pointee.load(ordering: .relaxed), now: now) }
        return live.subjects.standing(self.fingerprint, rule: rule, now: now)
    }
}

/// The places of one request's limits, in the order they are counted. Memory of a loop, reused.
struct LimitReceipts: ~Copyable {
    let places: UnsafeMutablePointer<LimitPlace> = .allocate(capacity: CompiledLimit.perRequestMax)
    /// Places known so far.
    var count: Int = 0

    deinit { self.places.deallocate() }
}
