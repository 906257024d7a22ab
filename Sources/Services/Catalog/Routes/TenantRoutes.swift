import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

extension CatalogService {
    var tenantRoutes: [Route] {
        let tag: String = Self.name
        return [
            Route(
                "POST", "/v1/tenants", operationID: "createTenant", tag: tag,
                summary: "Creates a tenant with a target, five environments and three plans",
                access: .platform(Permission("catalog", "tenant", "write")), body: .json(Self.newTenant),
                answers: [Answer(201, "The tenant", schema: Self.tenantSchema)]
            ) { try await Self.createTenant($0) },
            Route(
                "GET", "/v1/tenants", operationID: "listTenants", tag: tag, summary: "The tenants the caller reaches",
                access: .authenticated, query: QueryParameter.page,
                answers: [Answer(200, "Tenants by name", schema: Schema.page(Self.tenantSchema))]
            ) { try await Self.listTenants($0) },
            Route(
                "GET", "/v1/tenants/{tenant}", operationID: "getTenant", tag: tag, summary: "One tenant",
                access: .tenant(Permission("catalog", "tenant", "read")),
                answers: [Answer(200, "The tenant", schema: Self.tenantSchema)]
            ) { context in
                let (tenant, ending): (Tenant, EndingRecord?) = try await context.read { reader in
                    (
                        try Self.tenant(context.tenant, in: reader),
                        try TenantEndingTable.find(context.tenant, in: reader)
                    )
                }
                var object: JSONObject = tenant.json.object ?? [:]
                if let ending: EndingRecord { object["ends_at"] = .string(ending.dueAt.rfc3339) }
                return .json(.object(object), version: tenant.version)
            },
            Route(
                "PATCH", "/v1/tenants/{tenant}", operationID: "updateTenant", tag: tag, summary: "Changes a tenant",
                access: .tenant(Permission("catalog", "tenant", "write")), body: .json(Self.tenantChange),
                answers: [Answer(200, "The tenant", schema: Self.tenantSchema)]
            ) { try await Self.updateTenant($0) },
            Route(
                "GET", "/v1/tenants/{tenant}/quotas", operationID: "getQuotas", tag: tag,
                summary:
                    "The most a tenant may have of what, and the requests its APIs may get; what is not named has no quota",
                access: .tenant(Permission("catalog", "tenant", "read")),
                answers: [Answer(200, "Quotas by name", schema: TenantQuota.schema)]
            ) { context in
                .json(
                    .object(
                        try await context.read { reader in
                            _ = try Self.tenant(context.tenant, in: reader)
                            return try TenantQuota.all(tenant: context.tenant, in: reader)
                        }))
            },
            Route(
                "PUT", "/v1/tenants/{tenant}/quotas", operationID: "setQuotas", tag: tag,
                summary: "Sets all quotas of a tenant. What it has beyond them stays.",
                access: .platform(Permission("catalog", "quota", "write")), body: .json(TenantQuota.schema),
                answers: [Answer(200, "Quotas by name", schema: TenantQuota.schema)]
            ) { try await Self.setQuotas($0) },
        ]
    }

    private static let displayName: JSONValue = Schema.text(min: 1, max: 200)
    private static let newTenant: JSONValue = Schema.object(
        ["name": Schema.text(min: 1, max: 63), "display_name": displayName], required: ["name"])
    private static let tenantChange: JSONValue = Schema.object(
        ["display_name": displayName], required: ["display_name"])
    private static let tenantSchema: JSONValue = Schema.object(
        [
            "name": Schema.text(max: 63), "display_name": displayName, "created_at": Schema.time,
            "ends_at": Schema.time,
        ])

    /// The tenant of the path. It may be missing for callers who reach all tenants.
    static func tenant(_ name: String, in store: any Queryable) throws -> Tenant {
        guard let tenant: Tenant = try TenantTable.find(name, in: store) else {
            throw APIProblem.notFound("tenant", name)
        }
        return tenant
    }

    /// Checks a name that becomes part of paths and host names.
    static func requireSlug(_ name: String, pointer: String) throws {
        if let problem: String = Slug.validate(name) { throw APIProblem.invalid(pointer, problem) }
    }

    private static func createTenant(_ context: RequestContext) async throws -> HTTPResponse {
        let name: String = context.body["name"]?.text ?? ""
        try Self.requireSlug(name, pointer: "/name")
        let displayName: String = context.body["display_name"]?.text ?? name
        let author: Author = context.author
        return try await context.change { transaction in
            guard try TenantTable.find(name, in: transaction) == nil else {
                throw APIProblem.conflict("There is a tenant '\(name)' already.")
            }
            guard try !TenantTable.isTaken(name, in: transaction) else {
                throw APIProblem.conflict(
                    "There was a tenant '\(name)'. Its history is kept under its name: choose another.")
            }
            let tenant: Tenant = Tenant(name: name, displayName: displayName, version: 1, createdAt: transaction.now)
            try TenantTable.insert(tenant, in: transaction)
            try Self.audit("tenant.created", tenant, author, in: transaction)
            try Self.insertDefaults(tenant: name, author, in: transaction)
            return .created(tenant.json, location: "/v1/tenants/\(name)", version: 1)
        }
    }

    /// What every tenant begins with, each with an audit entry of its own: the log tells of all that is there.
    private static func insertDefaults(tenant: String, _ author: Author, in transaction: Transaction) throws {
        let target: Target = Target(
            name: TenantDefaults.target, kind: "own", gatewayGroup: TenantDefaults.gatewayGroup, version: 1)
        try TargetTable.put(target, tenant: tenant, in: transaction)
        try author.audit(
            "target.created", tenant: tenant, resource: .init(type: "target", id: target.name, version: target.version),
            changes: target.json.object ?? [:], in: transaction)
        for environment in TenantDefaults.environments(tenant: tenant) {
            try EnvironmentTable.put(environment, tenant: tenant, in: transaction)
            try author.audit(
                "environment.created", tenant: tenant,
                resource: .init(type: "environment", id: environment.name, version: environment.version),
                changes: environment.json.object ?? [:], in: transaction)
        }
        for plan in TenantDefaults.plans {
            try PlanTable.put(plan, tenant: tenant, in: transaction)
            try Self.audit("plan.created", plan, tenant, author, in: transaction)
            try GatewayChanges.touch(.plan, tenant: tenant, id: plan.name, in: transaction)
        }
    }

    /// The after-image: the tenant with its quotas.
    private static func audit(_ event: String, _ tenant: Tenant, _ author: Author, in transaction: Transaction) throws {
        var changes: JSONObject = tenant.json.object ?? [:]
        changes["quotas"] = .object(try TenantQuota.all(tenant: tenant.name, in: transaction))
        try author.audit(
            event, tenant: tenant.name,
            resource: AuditEntry.Resource(type: "tenant", id: tenant.name, version: tenant.version),
            changes: changes, in: transaction)
    }

    private static func setQuotas(_ context: RequestContext) async throws -> HTTPResponse {
        let quotas: JSONObject = context.body.object ?? [:]
        let author: Author = context.author
        return try await context.change { transaction in
            let old: Tenant = try Self.tenant(context.tenant, in: transaction)
            try context.requireMatch(version: old.version)
            let tenant: Tenant = Tenant(
                name: old.name, displayName: old.displayName, version: old.version + 1, createdAt: old.createdAt)
            try TenantTable.update(tenant, in: transaction)
            let before: JSONObject = try TenantQuota.ofRequests(tenant: tenant.name, in: transaction)
            try TenantQuota.set(quotas, tenant: tenant.name, in: transaction)
            if try TenantQuota.ofRequests(tenant: tenant.name, in: transaction) != before {
                try GatewayChanges.touch(.tenant, tenant: tenant.name, id: tenant.name, in: transaction)
            }
            try Self.audit("tenant.quotas-changed", tenant, author, in: transaction)
            return .json(
                .object(try TenantQuota.all(tenant: tenant.name, in: transaction)), version: tenant.version)
        }
    }

    private static func listTenants(_ context: RequestContext) async throws -> HTTPResponse {
        let page: Page = try context.page()
        let caller: Caller = context.caller
        let tenants: [Tenant] = try await context.read { reader in
            if caller.reachesAllTenants {
                return try TenantTable.all(after: page.after ?? "", limit: page.limit + 1, in: reader)
            }
            var own: [Tenant] = []
            for name in caller.tenants where name > page.after ?? "" && own.count <= page.limit {
                if let tenant: Tenant = try TenantTable.find(name, in: reader) { own.append(tenant) }
            }
            return own
        }
        return .json(page.envelope(tenants, key: { $0.name }, json: { $0.json }))
    }

    private static func updateTenant(_ context: RequestContext) async throws -> HTTPResponse {
        let displayName: String = context.body["display_name"]?.text ?? ""
        let author: Author = context.author
        return try await context.change { transaction in
            let old: Tenant = try Self.tenant(context.tenant, in: transaction)
            try context.requireMatch(version: old.version)
            let tenant: Tenant = Tenant(
                name: old.name, displayName: displayName, version: old.version + 1, createdAt: old.createdAt)
            try TenantTable.update(tenant, in: transaction)
            try Self.audit("tenant.updated", tenant, author, in: transaction)
            return .json(tenant.json, version: tenant.version)
        }
    }
}
