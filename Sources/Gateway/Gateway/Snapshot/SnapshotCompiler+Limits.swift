import GatewayConfiguration

/// A run of limits in the snapshot's table: those by address first.
struct LimitRun {
    var start: Int32
    var addressCount: Int32
    var count: Int32
}

/// What an API's limits by application and by key ask of every subscription to it: the names of the words.
struct SubscribedLimits {
    /// At the slot of each limit by application.
    var byApplication: [String] = []
    /// At the slot of each limit by key.
    var byKey: [String] = []
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
        let start: Int = compiler.parts.limits.count
        var addressCount: Int = 0
        for limit in limits where limit.subject == .ip {
            compiler.parts.limits.append(limit)
            addressCount += 1
        }
        for limit in limits where limit.subject != .ip { compiler.parts.limits.append(limit) }
        return LimitRun(start: Int32(start), addressCount: Int32(addressCount), count: Int32(limits.count))
    }

    private mutating func compile(
        _ policy: RateLimitPolicy, place: String, name: String, ordinals: inout [String: Int],
        compiler: SnapshotCompiler
    ) -> CompiledLimit {
        // Stable while the place, the subject, the way of counting and the order among its like stay: a new number of requests
        // keeps what was counted.
        let kind: String =
            "\(policy.by.rawValue) \(policy.header ?? "") \(policy.algorithm.rawValue) \(DefinitionText.milliseconds(policy.window))"
        let ordinal: Int = ordinals[kind, default: 0]
        ordinals[kind] = ordinal + 1
        let key: String = "\(self.api.key.text)|\(place)|\(kind)|\(ordinal)"
        let rule: LimitRule = LimitRule(limit: policy.limit, window: policy.window, algorithm: policy.algorithm)
        var limit: CompiledLimit = CompiledLimit(
            rule: rule, subject: .api, word: nil, slot: -1, seed: compiler.seed(key), header: TextRange(),
            name: compiler.text("\"\(policy.name ?? name)\""), quota: rule.limit,
            windowSeconds: (rule.windowMilliseconds + 999) / 1000)
        switch policy.by {
        case .api: limit.word = compiler.word(key)
        case .application:
            limit.subject = .application
            limit.slot = Int32(self.subscribed.byApplication.count)
            self.subscribed.byApplication.append(key)
        case .key:
            limit.subject = .key
            limit.slot = Int32(self.subscribed.byKey.count)
            self.subscribed.byKey.append(key)
        case .ip: limit.subject = .ip
        case .header:
            limit.subject = .header
            limit.header = compiler.text(policy.header ?? "")
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
