import GatewayConfiguration
import Time

extension SnapshotCompiler {
    /// Adds applications with their keys and subscriptions. Runs after the APIs.
    func addApplications(_ definitions: [ApplicationDefinition], plans: [PlanDefinition]) {
        var plansByKey: [EntryKey: PlanDefinition] = [:]
        for plan in plans { plansByKey[plan.key] = plan }
        var planLimits: [EntryKey: PlanLimits] = [:]
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
            var keys: [String] = self.addKeys(definition, place: place, digests: &digests)
            self.addCredentials(definition, place: place, names: &keys, digests: &digests)
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
                let planned: PlanLimits? = plan.map { self.planLimits($0, known: &planLimits) }
                for api in apis {
                    self.addSubscription(
                        subscription, of: definition, place: place, api: api, isActive: isActive, planned: planned,
                        keys: keys)
                }
            }
            if !problems.isEmpty { self.quarantineApplication(definition.key, problems) }
        }
    }

    /// Adds the keys of an application; one that another application of the tenant has already is left out.
    private func addKeys(
        _ definition: ApplicationDefinition, place: Int32, digests: inout Set<TenantDigest>
    ) -> [String] {
        let tenant: Int32 = self.tenant(definition.tenant)
        var kept: [String] = []
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
                    digest: key.digest, tenant: tenant, application: place, ordinal: Int32(kept.count), kind: .key,
                    detail: -1, expires: seconds ?? Credential.never))
            kept.append(key.digest.hex)
        }
        return kept
    }

    /// The same for its credentials of other kinds; their names go behind those of the keys.
    private func addCredentials(
        _ definition: ApplicationDefinition, place: Int32, names: inout [String], digests: inout Set<TenantDigest>
    ) {
        let tenant: Int32 = self.tenant(definition.tenant)
        for credential in definition.credentials {
            let digest: KeyDigest = credential.digest
            guard digests.insert(TenantDigest(tenant: tenant, digest: digest)).inserted else {
                self.quarantineApplication(
                    definition.key,
                    [
                        "the credential \(credential.id ?? "without id") is already one of an application of this tenant"
                    ])
                continue
            }
            let seconds: Int64? = credential.expires.map { Self.secondsRoundedUp($0.nanoseconds) }
            self.parts.credentials.append(
                Credential(
                    digest: digest, tenant: tenant, application: place, ordinal: Int32(names.count),
                    kind: credential.credentialKind, detail: Int32(self.parts.credentialDetails.count),
                    expires: seconds ?? Credential.never))
            self.parts.credentialDetails.append(credential.kind)
            names.append(digest.hex)
        }
    }

    private static func secondsRoundedUp(_ nanoseconds: Int64) -> Int64 {
        let (quotient, remainder): (Int64, Int64) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return remainder > 0 ? quotient + 1 : quotient
    }

    private func planLimits(_ plan: PlanDefinition, known: inout [EntryKey: PlanLimits]) -> PlanLimits {
        if let limits: PlanLimits = known[plan.key] { return limits }
        var limits: PlanLimits = PlanLimits(start: Int32(self.parts.limits.count))
        if let limit: PlanRateLimit = plan.rateLimit {
            let rule: LimitRule = LimitRule(
                limit: limit.limit, window: limit.window, algorithm: limit.algorithm, scope: limit.scope)
            var kind: String = "\(limit.algorithm.rawValue) \(DefinitionText.milliseconds(limit.window))"
            if limit.scope == .shared { kind += " shared" }
            limits.words.append(
                SubscribedLimits.Word(name: kind, rule: rule, sharing: limit.scope == .shared ? .limit : nil))
        }
        if let quota: PlanQuota = plan.quota {
            limits.words.append(
                SubscribedLimits.Word(
                    name: "quota \(quota.window.rawValue)", rule: LimitRule(limit: quota.limit, window: quota.window),
                    sharing: .quota))
        }
        if let concurrency: Int64 = plan.concurrency {
            limits.words.append(
                SubscribedLimits.Word(
                    name: "concurrency", rule: LimitRule(concurrent: concurrency, scope: .divided), sharing: nil))
        }
        for word in limits.words {
            self.parts.limits.append(
                CompiledLimit(
                    rule: word.rule, subject: .plan, isShared: word.sharing != nil, isQuota: word.sharing == .quota,
                    isEarly: false, own: -1, slot: 0, seed: 0, header: TextRange(),
                    name: self.text(word.sharing == .quota ? "\"plan-quota\"" : "\"plan\""), quota: word.rule.limit,
                    windowSeconds: (word.rule.windowMilliseconds + 999) / 1000))
        }
        known[plan.key] = limits
        return limits
    }

    private func addSubscription(
        _ subscription: SubscriptionDefinition, of application: ApplicationDefinition, place: Int32, api: Int,
        isActive: Bool, planned: PlanLimits?, keys: [String]
    ) {
        let id: String = subscription.id ?? "\(application.id)/\(subscription.api)"
        let identity: IdentityNumber = self.live.identities.number(
            Identity(kind: .subscription, tenant: application.tenant, api: subscription.api, detail: id))
        let subject: String = "\(application.key.text)/\(subscription.api)"
        let planWordStart: Int = self.parts.words.count
        for word in planned?.words ?? [] { _ = self.ownWord("\(subject)|plan|\(word.name)", word.rule, word.sharing) }
        let wordStart: Int = self.parts.words.count
        let needed: SubscribedLimits = self.subscribed[api]
        for word in needed.byApplication {
            _ = self.ownWord("\(word.name)|\(subject)", word.rule, word.sharing)
        }
        let keyWordStart: Int = self.parts.words.count
        if !needed.byKey.isEmpty {
            for key in keys {
                for word in needed.byKey {
                    _ = self.ownWord("\(word.name)|\(subject)|\(key)", word.rule, word.sharing)
                }
            }
        }
        self.parts.subscriptions.append(
            SubscriptionRules(
                application: place, api: Int32(api), isActive: isActive,
                index: Int32(self.parts.subscriptionNames.count),
                identity: identity, planLimit: planned?.start ?? -1, planWordStart: Int32(planWordStart),
                planCount: Int32(planned?.words.count ?? 0), wordStart: Int32(wordStart),
                keyWordStart: Int32(keyWordStart), keyWords: Int32(needed.byKey.count)))
        self.parts.subscriptionNames.append(
            SubscriptionName(id: id, application: application.key, api: subscription.api, plan: subscription.plan))
    }
}

/// A plan's limits, one behind the other in the table, and what they ask of each subscription.
private struct PlanLimits {
    let start: Int32
    var words: [SubscribedLimits.Word] = []
}

private struct TenantDigest: Hashable {
    let tenant: Int32
    let digest: KeyDigest
}
