import GatewayConfiguration

/// A description of callers by names alone, as plain values: names of applications, then of plans, in `Snapshot.accessNames`.
struct AccessRule: BitwiseCopyable {
    var nameStart: Int32
    var applicationCount: Int32
    var planCount: Int32

    static let none: AccessRule = AccessRule(nameStart: 0, applicationCount: 0, planCount: 0)
}

/// The rules of one route in the table: those that refuse, then those that let pass.
struct AccessRun: BitwiseCopyable {
    var start: Int32 = 0
    var denyCount: Int16 = 0
    var allowCount: Int16 = 0

    @inline(__always)
    var count: Int { Int(self.denyCount) + Int(self.allowCount) }
}

extension ACLPolicy {
    /// Whether the application and its plan say all: then no stage is needed to decide.
    var decidesByNames: Bool {
        self.deny.allSatisfy { $0.asksForNamesOnly } && self.allow.allSatisfy { $0.asksForNamesOnly }
    }
}

extension ACLPolicy.Rule {
    fileprivate var asksForNamesOnly: Bool { self.scopes.isEmpty && self.groups.isEmpty && self.claims.isEmpty }
}

extension Snapshot {
    /// Whether the route's rules by names let the caller pass. Compares places of texts: each text is there once.
    func permits(_ caller: Caller, _ rules: RouteRules) -> Bool {
        var application: TextRange = TextRange()
        if caller.application >= 0 {
            application = self.applicationRules.pointer(Int(caller.application)).pointee.name
        }
        var index: Int = Int(rules.accessRun.start)
        let denyEnd: Int = index + Int(rules.accessRun.denyCount)
        let allowEnd: Int = denyEnd + Int(rules.accessRun.allowCount)
        while index < denyEnd {
            if self.fits(self.accessRules[index], application, caller.plan) { return false }
            index += 1
        }
        if denyEnd == allowEnd { return true }
        while index < allowEnd {
            if self.fits(self.accessRules[index], application, caller.plan) { return true }
            index += 1
        }
        return false
    }

    private func fits(_ rule: AccessRule, _ application: TextRange, _ plan: TextRange) -> Bool {
        let start: Int = Int(rule.nameStart)
        let planStart: Int = start + Int(rule.applicationCount)
        if rule.applicationCount > 0, !self.isListed(application, start..<planStart) { return false }
        return rule.planCount == 0 || self.isListed(plan, planStart..<(planStart + Int(rule.planCount)))
    }

    private func isListed(_ name: TextRange, _ places: Range<Int>) -> Bool {
        if name.isEmpty { return false }
        for place in places where self.accessNames[place].isSame(as: name) { return true }
        return false
    }
}

extension SnapshotCompiler {
    /// Puts the rules of an ACL by names into the tables; those of other policies are a stage's.
    func accessRun(_ policies: EffectivePolicies) -> AccessRun {
        guard let policy: ACLPolicy = policies.accessControl, policy.decidesByNames else { return AccessRun() }
        let start: Int = self.tables.accessRules.count
        for rule in policy.deny + policy.allow { self.add(rule) }
        return AccessRun(
            start: Int32(start), denyCount: Int16(policy.deny.count), allowCount: Int16(policy.allow.count))
    }

    private func add(_ rule: ACLPolicy.Rule) {
        self.tables.accessRules.append(
            AccessRule(
                nameStart: Int32(self.tables.accessNames.count), applicationCount: Int32(rule.applications.count),
                planCount: Int32(rule.plans.count)))
        for name in rule.applications + rule.plans { self.tables.accessNames.append(self.text(name)) }
        self.weight += 1 + rule.applications.count + rule.plans.count
    }
}
