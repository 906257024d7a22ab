/// What `Snapshot.decide` does before it asks who calls: encoded slashes, addresses, declared size, limits by address.
final class AdmissionStage: RequestStage, @unchecked Sendable {
    init() { super.init(rank: .admission) }

    override var isBuiltIn: Bool { true }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        let isAdmitted: Bool = context.snapshot.admit(
            request, context.rules, hasEncodedSlash: context.hasEncodedSlash, at: context.time, &decision)
        return isAdmitted ? .next : .reject
    }
}

/// API keys, where no other kind of credentials is taken.
final class KeyStage: RequestStage, @unchecked Sendable {
    init() { super.init(rank: .authentication) }

    override var isBuiltIn: Bool { true }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        let rules: RouteRules = context.rules
        if rules.access == .open { return .next }
        context.caller = context.snapshot.identify(request, rules, at: context.time, &decision)
        return decision.reason == .none ? .next : .reject
    }
}

/// Limits of API, route and plan; then the prefix of the path is known to go.
final class LimitStage: RequestStage, @unchecked Sendable {
    init() { super.init(rank: .limits) }

    override var isBuiltIn: Bool { true }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        let isAdmitted: Bool = context.snapshot.limit(
            request, context.rules, context.caller, at: context.time, &decision)
        return isAdmitted ? .next : .reject
    }
}
