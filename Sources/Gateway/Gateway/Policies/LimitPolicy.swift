import GatewayConfiguration
import Tokens

/// A policy that counts requests, of whichever kind.
enum LimitPolicy: Sendable {
    case rate(RateLimitPolicy)
    case quota(QuotaPolicy)
    case concurrency(ConcurrencyPolicy)
    case spike(SpikeArrestPolicy)

    var rule: LimitRule {
        switch self {
        case .rate(let policy):
            return LimitRule(
                limit: policy.limit, window: policy.window, algorithm: policy.algorithm, scope: policy.scope)
        case .quota(let policy): return LimitRule(limit: policy.limit, window: policy.window)
        case .concurrency(let policy): return LimitRule(concurrent: policy.limit, scope: policy.scope)
        case .spike(let policy):
            return LimitRule(spike: policy.limit, window: policy.window, burst: policy.burst)
        }
    }

    /// The number the limit is stated with; of a spike arrest not what its rule admits at once.
    var stated: Int64 {
        switch self {
        case .rate(let policy): return policy.limit
        case .quota(let policy): return policy.limit
        case .concurrency(let policy): return policy.limit
        case .spike(let policy): return policy.limit
        }
    }

    var by: RateLimitPolicy.Subject {
        switch self {
        case .rate(let policy): return policy.by
        case .quota(let policy): return policy.by
        case .concurrency(let policy): return policy.by
        case .spike(let policy): return policy.by
        }
    }

    var header: String? {
        if case .rate(let policy) = self { return policy.header }
        return nil
    }

    var claim: ClaimPath? {
        if case .rate(let policy) = self { return policy.claim }
        return nil
    }

    var name: String? {
        switch self {
        case .rate(let policy): return policy.name
        case .quota(let policy): return policy.name
        case .concurrency(let policy): return policy.name
        case .spike: return nil
        }
    }

    /// How counts reach the other gateways; nil: not at all.
    var sharing: CounterSharing? {
        switch self {
        case .rate(let policy): return policy.scope == .shared ? .limit : nil
        case .quota: return .quota
        case .concurrency, .spike: return nil
        }
    }

    /// What one request takes; 0: what its route says.
    var cost: UInt32 {
        switch self {
        case .rate(let policy): return policy.cost.map { UInt32(clamping: $0) } ?? 0
        case .quota: return 0
        // They count requests.
        case .concurrency, .spike: return 1
        }
    }

    var isQuota: Bool {
        if case .quota = self { return true }
        return false
    }

    /// Whether it counts before callers are known.
    var isEarly: Bool {
        if case .spike = self { return true }
        return self.by == .ip
    }

    /// Names its way of counting: the same as long as a change may keep what was counted.
    var kind: String {
        switch self {
        case .rate(let policy):
            let window: Int64 = DefinitionText.milliseconds(policy.window)
            let scope: String = policy.scope == .shared ? " shared" : ""
            return
                "\(policy.by.rawValue) \(policy.header ?? policy.claim?.text ?? "") \(policy.algorithm.rawValue) \(window)\(scope)"
        case .quota(let policy): return "\(policy.by.rawValue) quota \(policy.window.rawValue)"
        case .concurrency(let policy): return "\(policy.by.rawValue) concurrency"
        case .spike(let policy):
            return "\(policy.by.rawValue) spike \(DefinitionText.milliseconds(policy.window))"
        }
    }
}
