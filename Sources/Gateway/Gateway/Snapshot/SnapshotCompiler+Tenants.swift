import GatewayConfiguration

/// The limits of a tenant over all of its APIs: places in the snapshot's table, and what keeps their words alive.
final class PlacedTenant: Sendable {
    let definition: TenantDefinition
    let limits: TenantLimits
    /// Entries of all tables that only it refers to.
    let weight: Int
    private let boxes: [LimitBox]

    init(_ definition: TenantDefinition, limits: TenantLimits, weight: Int, boxes: [LimitBox]) {
        self.definition = definition
        self.limits = limits
        self.weight = weight
        self.boxes = boxes
    }
}

/// Where a tenant's own limits stand in the table. Every route of the tenant says it, so that requests of tenants without any
/// do nothing for them.
struct TenantLimits: BitwiseCopyable, Sendable {
    var start: Int32 = 0
    /// At most `countMax`.
    var count: Int32 = 0

    /// A rate limit and a quota.
    static let countMax: Int = 2
}

extension SnapshotCompiler {
    /// Takes the limits of tenants of a document, before the APIs that refer to them.
    ///
    /// - Parameter previous: what an entry that cannot be read was before, and stays.
    func addTenants(_ next: DocumentToCompile, previous: Snapshot?) {
        var definitions: [TenantDefinition] = next.document.tenants
        for entry in next.unreadable where entry.kind == .tenant {
            let kept: TenantDefinition? = previous?.tenants.first { $0.definition.key == entry.key }?.definition
            if let kept { definitions.append(kept) }
            self.quarantined.append(
                Quarantine(
                    kind: .tenant, key: entry.key, problems: entry.problems, isEarlierVersionLive: kept != nil))
        }
        for definition in definitions { self.set(definition, of: definition.name) }
        self.tenantDefinitions = next.document.tenants
    }

    /// Takes over what changed of the limits of tenants. Costs the routes of those whose limits did.
    func updateTenants(_ tenants: [TenantDefinition]) {
        if self.tenantDefinitions == tenants { return }
        var next: [String: TenantDefinition] = [:]
        for definition in tenants { next[definition.name] = definition }
        var changed: Set<String> = []
        for (name, definition) in next where self.placedTenants[name]?.definition != definition { changed.insert(name) }
        for name in self.placedTenants.keys where next[name] == nil { changed.insert(name) }
        for name in changed { self.set(next[name], of: name) }
        self.tenantDefinitions = tenants
        for placed in self.placed where changed.contains(placed.api.key.tenant) {
            let limits: TenantLimits = self.tenantLimits(placed.api.key.tenant)
            for index in placed.firstRoute..<placed.firstRoute + placed.api.routes.count {
                self.tables.rules[index].tenantLimits = limits
            }
        }
    }

    /// The limits that routes of a tenant refer to.
    func tenantLimits(_ tenant: String) -> TenantLimits { self.placedTenants[tenant]?.limits ?? TenantLimits() }

    /// Words of the same window are the same: another number of requests keeps what was counted.
    private func set(_ definition: TenantDefinition?, of name: String) {
        let earlier: PlacedTenant? = self.placedTenants[name]
        if let earlier { self.count(weight: earlier.weight, isAdded: false) }
        guard let definition, definition.rateLimit != nil || definition.quota != nil else {
            self.placedTenants[name] = nil
            return
        }
        self.boxes = []
        self.weight = 0
        let start: Int = self.tables.limits.count
        if let limit: PlanRateLimit = definition.rateLimit {
            let rule: LimitRule = LimitRule(
                limit: limit.limit, window: limit.window, algorithm: limit.algorithm, scope: limit.scope)
            let kind: String =
                "\(limit.algorithm.rawValue) \(DefinitionText.milliseconds(limit.window)) \(limit.scope.rawValue)"
            self.addTenantLimit(name, kind, rule, limit.scope == .shared ? .limit : nil, label: "tenant")
        }
        if let quota: PlanQuota = definition.quota {
            self.addTenantLimit(
                name, "quota \(quota.window.rawValue)", LimitRule(limit: quota.limit, window: quota.window), .quota,
                label: "tenant-quota")
        }
        let limits: TenantLimits = TenantLimits(
            start: Int32(start), count: Int32(self.tables.limits.count - start))
        self.weight += Int(limits.count)
        self.count(weight: self.weight, isAdded: true)
        self.placedTenants[name] = PlacedTenant(
            definition, limits: limits, weight: self.weight, boxes: self.boxes)
    }

    /// Every request counts as one, whatever its route says it costs.
    private func addTenantLimit(
        _ tenant: String, _ kind: String, _ rule: LimitRule, _ sharing: CounterSharing?, label: String
    ) {
        // No API has an empty id: nobody else counts under this name.
        let word: Int32 = self.ownWord("\(tenant)/|tenant|\(kind)", rule, sharing)
        self.tables.limits.append(
            CompiledLimit(
                rule: rule, subject: .tenant, isShared: sharing != nil, isQuota: sharing == .quota, isEarly: false,
                own: word, slot: -1, cost: 1, seed: 0, header: TextRange(), name: self.text("\"\(label)\""),
                quota: rule.limit, windowSeconds: (rule.windowMilliseconds + 999) / 1000))
    }
}
