import Documents
package import JSON

/// What all APIs of a tenant are limited to together. A tenant without an entry has no such limits.
package struct TenantDefinition: Sendable, Equatable {
    /// The tenant's name. Default `default`.
    package var name: String
    /// Requests a window, of all callers together. Default: unlimited.
    package var rateLimit: PlanRateLimit?
    /// Requests in a span of the calendar, of all callers together. Default: unlimited.
    package var quota: PlanQuota?

    package init(
        name: String = EntryRules.defaultTenant, rateLimit: PlanRateLimit? = nil, quota: PlanQuota? = nil
    ) {
        self.name = name
        self.rateLimit = rateLimit
        self.quota = quota
    }

    /// A tenant is the one entry of its kind that it has.
    package var key: EntryKey { EntryKey(tenant: self.name, id: self.name) }
}

extension TenantDefinition {
    /// Over the link an entry has an id like any other; a file need not repeat it.
    static func read(_ decoder: NodeDecoder) -> TenantDefinition? {
        guard let fields: NodeFields = decoder.fields(["id", "tenant", "rate_limit", "quota"]) else { return nil }
        let name: String? = fields.tenant()
        let id: String?? = fields.optional("id") { $0.id() }
        let limit: PlanRateLimit?? = fields.optional("rate_limit") { PlanRateLimit.read($0) }
        let quota: PlanQuota?? = fields.optional("quota") { PlanQuota.read($0) }
        guard let name, let id, let limit, let quota else { return nil }
        if let id, id != name {
            fields["id"]?.problem("expected the tenant's name '\(name)', or no id, found '\(id)'")
            return nil
        }
        return TenantDefinition(name: name, rateLimit: limit, quota: quota)
    }

    package func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("id", .string(self.name))
        writer.set("tenant", .string(self.name))
        writer.set("rate_limit", self.rateLimit?.json())
        writer.set("quota", self.quota?.json())
        return writer.value
    }
}
