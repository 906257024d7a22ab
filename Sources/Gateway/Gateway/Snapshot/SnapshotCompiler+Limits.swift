import GatewayConfiguration
import Tokens

/// A run of limits in the snapshot's table: those that count before callers are known first.
struct LimitRun {
    var start: Int32
    var addressCount: Int32
    var count: Int32
}

/// What an API's limits by application and by key ask of every subscription to it.
struct SubscribedLimits: Sendable, Equatable {
    struct Word: Sendable, Equatable {
        let name: String
        let rule: LimitRule
        let sharing: CounterSharing?
    }

    /// At the slot of each limit by application.
    var byApplication: [Word] = []
    /// At the slot of each limit by key.
    var byKey: [Word] = []
}

/// Compiles the limits of one API's routes. A route without limits of its own shares the API's run.
struct APILimitCompiler {
    private let api: CompiledAPI
    private(set) var subscribed: SubscribedLimits = SubscribedLimits()
    private var shared: LimitRun?
    /// The API's own limits once compiled, in order of definition, so that every route counts in the same words.
    private var ofAPI: [CompiledLimit] = []
    private var isOfAPIReady: Bool = false

    init(api: CompiledAPI) {
        self.api = api
    }

    mutating func run(for route: CompiledRoute, compiler: SnapshotCompiler) -> LimitRun {
        if !route.policies.hasOwnLimits, let shared: LimitRun = self.shared { return shared }
        self.compileShared(route.policies.limits, compiler: compiler)
        var limits: [CompiledLimit] = self.ofAPI
        var ordinals: [String: Int] = [:]
        for limit in route.policies.limits where limit.isOfRoute {
            limits.append(
                self.compile(
                    limit.policy, place: "route:\(route.id)", name: "route", ordinals: &ordinals, compiler: compiler))
        }
        let run: LimitRun = Self.append(limits, compiler: compiler)
        if !route.policies.hasOwnLimits { self.shared = run }
        return run
    }

    private mutating func compileShared(_ limits: [EffectivePolicies.Limit], compiler: SnapshotCompiler) {
        if self.isOfAPIReady { return }
        self.isOfAPIReady = true
        var ordinals: [String: Int] = [:]
        for limit in limits where !limit.isOfRoute {
            self.ofAPI.append(
                self.compile(limit.policy, place: "api", name: "api", ordinals: &ordinals, compiler: compiler))
        }
    }

    private static func append(_ limits: [CompiledLimit], compiler: SnapshotCompiler) -> LimitRun {
        let start: Int = compiler.tables.limits.count
        var addressCount: Int = 0
        for limit in limits where limit.isEarly {
            compiler.tables.limits.append(limit)
            addressCount += 1
        }
        for limit in limits where !limit.isEarly { compiler.tables.limits.append(limit) }
        compiler.weight += limits.count
        return LimitRun(start: Int32(start), addressCount: Int32(addressCount), count: Int32(limits.count))
    }

    private mutating func compile(
        _ policy: LimitPolicy, place: String, name: String, ordinals: inout [String: Int],
        compiler: SnapshotCompiler
    ) -> CompiledLimit {
        // Stable while the place, the subject, the way of counting and the order among its like stay: a new number of requests
        // keeps what was counted.
        let kind: String = policy.kind
        let ordinal: Int = ordinals[kind, default: 0]
        ordinals[kind] = ordinal + 1
        let key: String = "\(self.api.key.text)|\(place)|\(kind)|\(ordinal)"
        let rule: LimitRule = policy.rule
        var limit: CompiledLimit = CompiledLimit(
            rule: rule, subject: .api, isShared: policy.sharing != nil, isQuota: policy.isQuota,
            isEarly: policy.isEarly, own: -1, slot: -1, cost: policy.cost, seed: compiler.seed(key),
            header: TextRange(),
            name: compiler.text("\"\(policy.name ?? name)\""), quota: UInt64(policy.stated),
            windowSeconds: (rule.windowMilliseconds + 999) / 1000)
        // What counts in a table of all addresses and headers can neither be shared nor held until a request's end.
        let needsWord: Bool = rule.algorithm == .aligned || rule.algorithm == .concurrent
        let word: SubscribedLimits.Word = SubscribedLimits.Word(name: key, rule: rule, sharing: policy.sharing)
        switch policy.by {
        case .api: limit.own = compiler.ownWord(key, rule, policy.sharing)
        case .application:
            limit.subject = .application
            limit.slot = Int32(self.subscribed.byApplication.count)
            self.subscribed.byApplication.append(word)
            if needsWord { limit.own = compiler.ownWord("\(key)|others", rule, policy.sharing) }
        case .key:
            limit.subject = .key
            limit.slot = Int32(self.subscribed.byKey.count)
            self.subscribed.byKey.append(word)
            if needsWord { limit.own = compiler.ownWord("\(key)|others", rule, policy.sharing) }
        case .ip: limit.subject = .ip
        case .header:
            limit.subject = .header
            limit.header = compiler.text(policy.header ?? "")
        case .claim:
            limit.subject = .claim
            limit.claim = Int32(compiler.tables.claimPaths.count)
            compiler.tables.claimPaths.append(policy.claim ?? .named("sub"))
        }
        return limit
    }
}

extension SnapshotCompiler {
    /// A number that tells a limit's subjects from another's. Stable within the process, like the words.
    func seed(_ key: String) -> UInt64 {
        var text: String = key
        return text.withUTF8 { bytes in
            guard let base: UnsafePointer<UInt8> = bytes.baseAddress else { return 0 }
            return self.live.hash.hash(UnsafeRawPointer(base), count: bytes.count)
        }
    }
}
