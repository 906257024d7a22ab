import GatewayConfiguration
import JSON
import Tokens

/// Lets callers pass by what authentication found out about them.
final class AccessControlStage: RequestStage, @unchecked Sendable {
    private let policy: ACLPolicy
    private let decidesByNames: Bool

    init(_ policy: ACLPolicy) {
        self.policy = policy
        self.decidesByNames = policy.decidesByNames
        super.init(rank: .accessControl)
    }

    override var isDecided: Bool { self.decidesByNames }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        if self.decidesByNames {
            return context.snapshot.permits(context.caller, context.rules) ? .next : decision.refuse(.accessDenied)
        }
        let application: Int32 = decision.forwarding.application
        let subscription: Int32 = decision.forwarding.subscription
        let caller: DescribedCaller = DescribedCaller(
            application: application < 0 ? nil : context.snapshot.applications[Int(application)].id,
            plan: subscription < 0 ? nil : context.snapshot.subscriptions[Int(subscription)].plan,
            scopes: context.scopes, groups: context.groups, claims: context.identity?.claims)
        for rule in self.policy.deny where rule.fits(caller, needsScopes: true) {
            return decision.refuse(.accessDenied)
        }
        if self.policy.allow.isEmpty { return .next }
        var lacksOnlyScopes: ACLPolicy.Rule?
        for rule in self.policy.allow {
            if rule.fits(caller, needsScopes: true) { return .next }
            if lacksOnlyScopes == nil, rule.fits(caller, needsScopes: false) { lacksOnlyScopes = rule }
        }
        guard let rule: ACLPolicy.Rule = lacksOnlyScopes, context.method == .jwt || context.method == .introspection
        else { return decision.refuse(.accessDenied) }
        // RFC 6750 section 3.1: says which scopes would do.
        let scopes: String = rule.scopes.joined(separator: " ")
        let realm: String = context.api.definition.id
        return decision.refuse(
            .scopeInsufficient,
            Array(
                "WWW-Authenticate: Bearer realm=\"\(realm)\", error=\"insufficient_scope\", scope=\"\(scopes)\"\r\n"
                    .utf8))
    }
}

/// A caller as rules describe callers.
struct DescribedCaller {
    let application: String?
    let plan: String?
    let scopes: [String]
    let groups: [String]
    let claims: JSONObject?
}

extension ACLPolicy.Rule {
    func fits(_ caller: DescribedCaller, needsScopes: Bool) -> Bool {
        if !self.applications.isEmpty {
            guard let application: String = caller.application, self.applications.contains(application) else {
                return false
            }
        }
        if !self.plans.isEmpty {
            guard let plan: String = caller.plan, self.plans.contains(plan) else { return false }
        }
        if !self.groups.isEmpty {
            guard self.groups.contains(where: { caller.groups.contains($0) }) else { return false }
        }
        for claim in self.claims {
            guard let claims: JSONObject = caller.claims, claim.isMet(by: claims) else { return false }
        }
        if needsScopes {
            for scope in self.scopes where !caller.scopes.contains(scope) { return false }
        }
        return true
    }
}
