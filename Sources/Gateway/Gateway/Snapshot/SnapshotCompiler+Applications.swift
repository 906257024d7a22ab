import GatewayConfiguration
import Time

extension SnapshotCompiler {
    /// Adds all applications with their keys and subscriptions. Runs after the APIs.
    func addApplications(_ document: GatewayDocument) {
        self.takePlans(document.plans)
        self.callers.definitions = document.applications
        for definition in document.applications {
            guard self.callers.places[definition.key] == nil else {
                self.quarantineApplication(definition.key, ["the id is used twice"])
                continue
            }
            self.add(definition)
        }
        _ = self.callers.takeConcerned()
        self.nameTroubled()
    }

    /// Takes out and puts in what changed of applications and plans, and what a change of APIs concerns; false when an id is used
    /// twice. Runs after the APIs.
    func updateApplications(_ document: GatewayDocument) -> Bool {
        var concerned: Set<Int> = self.callers.takeConcerned()
        if self.callers.plans != document.plans { concerned.formUnion(self.changePlans(document.plans)) }
        // Who had no key because another one has it, or no plan, may get it now.
        concerned.formUnion(self.callers.troubled)
        let (range, with): (Range<Int>, Range<Int>) = Self.difference(
            self.callers.definitions, document.applications)
        var again: [(definition: ApplicationDefinition, place: Int?)] = []
        var old: [EntryKey: ApplicationDefinition] = [:]
        for definition in self.callers.definitions[range] { old[definition.key] = definition }
        for definition in document.applications[with] {
            let earlier: ApplicationDefinition? = old.removeValue(forKey: definition.key)
            if earlier == definition { continue }
            let place: Int? = self.callers.places[definition.key]
            if (earlier == nil) != (place == nil) { return false }
            if let place { concerned.remove(place) }
            again.append((definition, place))
        }
        for key in old.keys { if let place: Int = self.callers.places[key] { concerned.remove(place) } }
        // Whoever has a key keeps it: those who want it come last.
        let troubled: Set<Int> = self.callers.troubled
        let ordered: [Int] = concerned.subtracting(troubled).sorted() + concerned.intersection(troubled).sorted()
        for place in ordered {
            if let placed: PlacedApplication = self.callers.placed[place] { again.append((placed.definition, place)) }
        }
        for key in old.keys { self.remove(key, keepsPlace: false) }
        for change in again where change.place != nil { self.remove(change.definition.key, keepsPlace: true) }
        for change in again { self.add(change.definition, place: change.place) }
        self.callers.definitions = document.applications
        self.nameTroubled()
        return true
    }

    private func nameTroubled() {
        for place in self.callers.troubled.sorted() {
            guard let placed: PlacedApplication = self.callers.placed[place] else { continue }
            for problems in placed.slots.problems { self.quarantineApplication(placed.key, problems) }
        }
    }

    private func quarantineApplication(_ key: EntryKey, _ problems: [String]) {
        self.quarantined.append(
            Quarantine(kind: .application, key: key, problems: problems, isEarlierVersionLive: false))
    }

    // MARK: Plans

    private func takePlans(_ plans: [PlanDefinition]) {
        self.callers.plans = plans
        self.callers.plansByKey = [:]
        for plan in plans { self.callers.plansByKey[plan.key] = plan }
    }

    /// Places of applications that name a plan that changed.
    private func changePlans(_ plans: [PlanDefinition]) -> Set<Int> {
        let old: [EntryKey: PlanDefinition] = self.callers.plansByKey
        self.takePlans(plans)
        var changed: [EntryKey] = []
        for (key, plan) in self.callers.plansByKey where old[key] != plan { changed.append(key) }
        for key in old.keys where self.callers.plansByKey[key] == nil { changed.append(key) }
        var concerned: Set<Int> = []
        for key in changed {
            self.callers.planLimits[key] = nil
            concerned.formUnion(self.callers.users(ofPlan: key))
        }
        return concerned
    }

    // MARK: One application

    private func add(_ definition: ApplicationDefinition, place given: Int? = nil) {
        self.boxes = []
        self.weight = 0
        let place: Int = given ?? self.takePlace()
        var slots: PlacedApplication.Slots = PlacedApplication.Slots()
        let identity: IdentityNumber = self.live.identities.number(
            Identity(kind: .application, tenant: definition.tenant, api: "", detail: definition.id))
        self.tables.applications[place] = definition.key
        self.tables.applicationRules[place] = ApplicationRules(
            identity: identity, isActive: definition.state == .active, name: self.text(definition.id))
        var keys: [String] = self.addKeys(definition, place: Int32(place), slots: &slots)
        self.addCredentials(definition, place: Int32(place), names: &keys, slots: &slots)
        self.addSubscriptions(definition, place: Int32(place), keys: keys, slots: &slots)
        self.weight += slots.subscriptions.count
        let placed: PlacedApplication = PlacedApplication(
            definition, place: place, slots: slots, boxes: self.boxes, weight: self.weight)
        self.callers.placed[place] = placed
        self.callers.places[definition.key] = place
        self.callers.enter(placed)
        self.count(weight: placed.weight, isAdded: true)
    }

    private func takePlace() -> Int {
        if let place: Int = self.callers.freePlaces.popLast() { return place }
        self.tables.applications.append(EntryKey(tenant: "", id: ""))
        self.tables.applicationRules.append(ApplicationRules(identity: .none, isActive: false))
        self.callers.placed.append(nil)
        return self.callers.placed.count - 1
    }

    private func remove(_ key: EntryKey, keepsPlace: Bool) {
        guard let place: Int = self.callers.places.removeValue(forKey: key),
            let placed: PlacedApplication = self.callers.placed[place]
        else { return }
        for (digest, kind, tenant) in placed.slots.credentials {
            self.tables.credentials.remove(home: Credential.home(digest, tenant)) {
                $0.tenant == tenant && $0.kind == kind && $0.digest == digest
            }
            self.callers.digests.remove(TenantDigest(tenant: tenant, digest: digest))
        }
        for api in placed.slots.subscriptions {
            self.tables.subscriptions.remove(home: SubscriptionRules.home(Int32(place), api)) {
                $0.application == Int32(place) && $0.api == api
            }
        }
        self.callers.leave(placed)
        self.callers.placed[place] = nil
        if !keepsPlace { self.callers.freePlaces.append(place) }
        self.count(weight: placed.weight, isAdded: false)
    }

    private func addSubscriptions(
        _ definition: ApplicationDefinition, place: Int32, keys: [String], slots: inout PlacedApplication.Slots
    ) {
        var problems: [String] = []
        for subscription in definition.subscriptions {
            let product: EntryKey = EntryKey(tenant: definition.tenant, id: subscription.api)
            guard let apis: [Int] = self.products[product], !apis.isEmpty else { continue }
            var plan: PlanDefinition?
            var isActive: Bool = subscription.state == .active
            if let id: String = subscription.plan {
                plan = self.callers.plansByKey[EntryKey(tenant: definition.tenant, id: id)]
                // Without its plan a subscription would have no limits at all: it is refused instead.
                if plan == nil {
                    isActive = false
                    problems.append(
                        "the subscription to \(subscription.api) names the plan \(id), which does not exist")
                }
            }
            let planned: PlanLimits? = plan.map { self.planLimits($0) }
            for api in apis {
                self.addSubscription(
                    subscription, of: definition, place: place, api: api, isActive: isActive, planned: planned,
                    keys: keys)
                slots.subscriptions.append(Int32(api))
            }
        }
        if !problems.isEmpty { slots.problems.append(problems) }
    }

    /// Adds the keys of an application; one that another application of the tenant has already is left out.
    private func addKeys(
        _ definition: ApplicationDefinition, place: Int32, slots: inout PlacedApplication.Slots
    ) -> [String] {
        let tenant: Int32 = self.tenant(definition.tenant)
        var kept: [String] = []
        for key in definition.keys {
            guard self.callers.digests.insert(TenantDigest(tenant: tenant, digest: key.digest)).inserted else {
                slots.problems.append([
                    "the key \(key.id ?? "without id") is already a key of an application of this tenant"
                ])
                continue
            }
            let seconds: Int64? = key.expires.map { Self.secondsRoundedUp($0.nanoseconds) }
            self.tables.credentials.insert(
                Credential(
                    digest: key.digest, tenant: tenant, application: place, ordinal: Int32(kept.count), kind: .key,
                    detail: -1, expires: seconds ?? Credential.never))
            slots.credentials.append((key.digest, .key, tenant))
            kept.append(key.digest.hex)
        }
        return kept
    }

    /// The same for its credentials of other kinds; their names go behind those of the keys.
    private func addCredentials(
        _ definition: ApplicationDefinition, place: Int32, names: inout [String], slots: inout PlacedApplication.Slots
    ) {
        let tenant: Int32 = self.tenant(definition.tenant)
        for credential in definition.credentials {
            let digest: KeyDigest = credential.digest
            guard self.callers.digests.insert(TenantDigest(tenant: tenant, digest: digest)).inserted else {
                slots.problems.append([
                    "the credential \(credential.id ?? "without id") is already one of an application of this tenant"
                ])
                continue
            }
            let seconds: Int64? = credential.expires.map { Self.secondsRoundedUp($0.nanoseconds) }
            self.tables.credentials.insert(
                Credential(
                    digest: digest, tenant: tenant, application: place, ordinal: Int32(names.count),
                    kind: credential.credentialKind, detail: Int32(self.tables.credentialDetails.count),
                    expires: seconds ?? Credential.never))
            self.tables.credentialDetails.append(credential.kind)
            self.weight += 1
            slots.credentials.append((digest, credential.credentialKind, tenant))
            names.append(digest.hex)
        }
    }

    private static func secondsRoundedUp(_ nanoseconds: Int64) -> Int64 {
        let (quotient, remainder): (Int64, Int64) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return remainder > 0 ? quotient + 1 : quotient
    }

    private func planLimits(_ plan: PlanDefinition) -> PlanLimits {
        if let limits: PlanLimits = self.callers.planLimits[plan.key] { return limits }
        var limits: PlanLimits = PlanLimits(start: Int32(self.tables.limits.count))
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
            self.tables.limits.append(
                CompiledLimit(
                    rule: word.rule, subject: .plan, isShared: word.sharing != nil, isQuota: word.sharing == .quota,
                    isEarly: false, own: -1, slot: 0, cost: word.rule.algorithm == .concurrent ? 1 : 0, seed: 0,
                    header: TextRange(),
                    name: self.text(word.sharing == .quota ? "\"plan-quota\"" : "\"plan\""), quota: word.rule.limit,
                    windowSeconds: (word.rule.windowMilliseconds + 999) / 1000))
        }
        self.callers.planLimits[plan.key] = limits
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
        let planWordStart: Int = self.tables.words.count
        for word in planned?.words ?? [] { _ = self.ownWord("\(subject)|plan|\(word.name)", word.rule, word.sharing) }
        let wordStart: Int = self.tables.words.count
        let needed: SubscribedLimits = self.placed(at: api)?.subscribed ?? SubscribedLimits()
        for word in needed.byApplication {
            _ = self.ownWord("\(word.name)|\(subject)", word.rule, word.sharing)
        }
        let keyWordStart: Int = self.tables.words.count
        if !needed.byKey.isEmpty {
            for key in keys {
                for word in needed.byKey {
                    _ = self.ownWord("\(word.name)|\(subject)|\(key)", word.rule, word.sharing)
                }
            }
        }
        self.tables.subscriptions.insert(
            SubscriptionRules(
                application: place, api: Int32(api), isActive: isActive,
                index: Int32(self.tables.subscriptionNames.count),
                identity: identity, planLimit: planned?.start ?? -1, planWordStart: Int32(planWordStart),
                planCount: Int32(planned?.words.count ?? 0), wordStart: Int32(wordStart),
                keyWordStart: Int32(keyWordStart), keyWords: Int32(needed.byKey.count),
                plan: self.text(subscription.plan ?? "")))
        self.tables.subscriptionNames.append(
            SubscriptionName(id: id, application: application.key, api: subscription.api, plan: subscription.plan))
    }
}
