import GatewayConfiguration
import Time

extension SnapshotCompiler {
    /// Adds applications with their keys and subscriptions. Runs after the APIs.
    func addApplications(_ definitions: [ApplicationDefinition], plans: [PlanDefinition]) {
        var plansByKey: [EntryKey: PlanDefinition] = [:]
        for plan in plans { plansByKey[plan.key] = plan }
        var planLimits: [EntryKey: Int32] = [:]
        var digests: Set<TenantDigest> = []
        for definition in definitions {
            guard self.parts.applicationDefinitions[definition.key] == nil else {
                self.quarantineApplication(definition.key, ["the id is used twice"])
                continue
            }
            self.parts.applicationDefinitions[definition.key] = definition
            let place: Int32 = Int32(self.parts.applications.count)
            self.parts.applications.append(definition.key)
            let identity: IdentityNumber = self.live.identities.number(
                Identity(kind: .application, tenant: definition.tenant, api: "", detail: definition.id))
            self.parts.applicationRules.append(
                ApplicationRules(identity: identity, isActive: definition.state == .active))
            let keys: [KeyDefinition] = self.addKeys(definition, place: place, digests: &digests)
            var problems: [String] = []
            for subscription in definition.subscriptions {
                let product: EntryKey = EntryKey(tenant: definition.tenant, id: subscription.api)
                guard let apis: [Int] = self.products[product] else { continue }
                var plan: PlanDefinition?
                var isActive: Bool = subscription.state == .active
                if let id: String = subscription.plan {
                    plan = plansByKey[EntryKey(tenant: definition.tenant, id: id)]
                    // Without its plan a subscription would have no limits at all: it is refused instead.
                    if plan == nil {
                        isActive = false
                        problems.append(
                            "the subscription to \(subscription.api) names the plan \(id), which does not exist")
                    }
                }
                let planLimit: Int32 = plan.map { self.planLimit($0, known: &planLimits) } ?? -1
                for api in apis {
                    self.addSubscription(
                        subscription, of: definition, place: place, api: api, isActive: isActive, planLimit: planLimit,
                        plan: plan, keys: keys)
                }
            }
            if !problems.isEmpty { self.quarantineApplication(definition.key, problems) }
        }
    }

    /// Adds the keys of an application; one that another application of the tenant has already is left out.
    private func addKeys(
        _ definition: ApplicationDefinition, place: Int32, digests: inout Set<TenantDigest>
    ) -> [KeyDefinition] {
        let tenant: Int32 = self.tenant(definition.tenant)
        var kept: [KeyDefinition] = []
        for key in definition.keys {
            guard digests.insert(TenantDigest(tenant: tenant, digest: key.digest)).inserted else {
                self.quarantineApplication(
                    definition.key,
                    ["the key \(key.id ?? "without id") is already a key of an application of this tenant"])
                continue
            }
            let seconds: Int64? = key.expires.map { Self.secondsRoundedUp($0.nanoseconds) }
            self.parts.credentials.append(
                Credential(
                    digest: key.digest, tenant: tenant, application: place, ordinal: Int32(kept.count),
                    expires: seconds ?? Credential.never))
            kept.append(key)
        }
        return kept
    }

    private static func secondsRoundedUp(_ nanoseconds: Int64) -> Int64 {
        let (quotient, remainder): (Int64, Int64) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return remainder > 0 ? quotient + 1 : quotient
    }

    private func planLimit(_ plan: PlanDefinition, known: inout [EntryKey: Int32]) -> Int32 {
        if let place: Int32 = known[plan.key] { return place }
        guard let limit: PlanRateLimit = plan.rateLimit else { return -1 }
        let rule: LimitRule = LimitRule(limit: limit.limit, window: limit.window, algorithm: limit.algorithm)
        let place: Int32 = Int32(self.parts.limits.count)
        self.parts.limits.append(
            CompiledLimit(
                rule: rule, subject: .plan, word: nil, slot: 0, seed: 0, header: TextRange(),
                name: self.text("\"plan\""),
                quota: rule.limit, windowSeconds: (rule.windowMilliseconds + 999) / 1000))
        known[plan.key] = place
        return place
    }

    private func addSubscription(
        _ subscription: SubscriptionDefinition, of application: ApplicationDefinition, place: Int32, api: Int,
        isActive: Bool, planLimit: Int32, plan: PlanDefinition?, keys: [KeyDefinition]
    ) {
        let id: String = subscription.id ?? "\(application.id)/\(subscription.api)"
        let identity: IdentityNumber = self.live.identities.number(
            Identity(kind: .subscription, tenant: application.tenant, api: subscription.api, detail: id))
        let subject: String = "\(application.key.text)/\(subscription.api)"
        var planWord: UnsafeMutablePointer<LimitWord>?
        if planLimit >= 0, let limit: PlanRateLimit = plan?.rateLimit {
            let kind: String = "\(limit.algorithm.rawValue) \(DefinitionText.milliseconds(limit.window))"
            planWord = self.word("plan|\(subject)|\(kind)")
        }
        let wordStart: Int = self.parts.words.count
        let needed: SubscribedLimits = self.subscribed[api]
        for limit in needed.byApplication { self.parts.words.append(self.word("application|\(limit)|\(subject)")) }
        let keyWordStart: Int = self.parts.words.count
        if !needed.byKey.isEmpty {
            for key in keys {
                for limit in needed.byKey {
                    self.parts.words.append(self.word("key|\(limit)|\(subject)|\(key.digest.hex)"))
                }
            }
        }
        self.parts.subscriptions.append(
            SubscriptionRules(
                application: place, api: Int32(api), isActive: isActive,
                index: Int32(self.parts.subscriptionNames.count),
                identity: identity, planLimit: planLimit, planWord: planWord, wordStart: Int32(wordStart),
                keyWordStart: Int32(keyWordStart), keyWords: Int32(needed.byKey.count)))
        self.parts.subscriptionNames.append(
            SubscriptionName(id: id, application: application.key, api: subscription.api, plan: subscription.plan))
    }
}

private struct TenantDigest: Hashable {
    let tenant: Int32
    let digest: KeyDigest
}
