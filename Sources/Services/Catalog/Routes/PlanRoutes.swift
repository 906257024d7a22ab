import Contracts
import EventLog
import HTTP
import JSON
import REST
import Store

extension CatalogService {
    var planRoutes: [Route] {
        let read: Route.Access = .tenant(Permission("catalog", "plan", "read"))
        let write: Route.Access = .tenant(Permission("catalog", "plan", "write"))
        return [
            Route(
                "GET", "/v1/tenants/{tenant}/plans", operationID: "listPlans", tag: Self.name,
                summary: "The tenant's plans", access: read, query: QueryParameter.page,
                answers: [Answer(200, "Plans by name")]
            ) { context in
                let page: Page = try context.page()
                let plans: [Plan] = try await context.read { reader in
                    _ = try Self.tenant(context.tenant, in: reader)
                    return try PlanTable.all(
                        tenant: context.tenant, after: page.after ?? "", limit: page.limit + 1, in: reader)
                }
                return .json(page.envelope(plans, key: { $0.name }, json: { $0.json }))
            },
            Route(
                "GET", "/v1/tenants/{tenant}/plans/{plan}", operationID: "getPlan", tag: Self.name, summary: "One plan",
                access: read, answers: [Answer(200, "The plan")]
            ) { context in
                let plan: Plan = try await context.read { try Self.plan(context, in: $0) }
                return .json(plan.json, version: plan.version)
            },
            Route(
                "PUT", "/v1/tenants/{tenant}/plans/{plan}", operationID: "putPlan", tag: Self.name,
                summary: "Creates or replaces a plan", access: write, body: .json(Self.planBody),
                answers: [Answer(200, "The plan")]
            ) { try await Self.putPlan($0) },
            Route(
                "DELETE", "/v1/tenants/{tenant}/plans/{plan}", operationID: "deletePlan", tag: Self.name,
                summary: "Deletes a plan without subscriptions", access: write, answers: [Answer(204, "Deleted")]
            ) { [portal] in try await Self.deletePlan($0, portal: portal) },
        ]
    }

    private static let planBody: JSONValue = Schema.object([
        "rate_limit": Schema.optional(
            Schema.object(
                ["limit": Schema.integer(1...100_000_000), "window": Schema.text(min: 2, max: 12)],
                required: ["limit", "window"])),
        "quota": Schema.optional(
            Schema.object(
                [
                    "limit": Schema.integer(1...1_000_000_000_000),
                    "window": Schema.choice(["minute", "hour", "day", "week", "month", "year"]),
                ], required: ["limit", "window"])),
        "concurrency": Schema.optional(Schema.integer(1...1_000_000)),
        "approval": Schema.boolean,
    ])

    private static func plan(_ context: RequestContext, in store: any Queryable) throws -> Plan {
        let name: String = context.parameter("plan")
        guard let plan: Plan = try PlanTable.find(name, tenant: context.tenant, in: store) else {
            throw APIProblem.notFound("plan", name)
        }
        return plan
    }

    private static func putPlan(_ context: RequestContext) async throws -> HTTPResponse {
        let name: String = context.parameter("plan")
        try Self.requireSlug(name, pointer: "path:plan")
        let limit: Int64? = context.body["rate_limit"]?["limit"]?.integer
        let window: Int64? = try Self.window(context.body["rate_limit"]?["window"]?.text)
        let quota: Int64? = context.body["quota"]?["limit"]?.integer
        let quotaWindow: String? = context.body["quota"]?["window"]?.text
        let concurrency: Int64? = context.body["concurrency"]?.integer
        let approval: Bool = context.body["approval"]?.boolean ?? false
        let author: Author = context.author
        return try await context.change { transaction in
            _ = try Self.tenant(context.tenant, in: transaction)
            let old: Plan? = try PlanTable.find(name, tenant: context.tenant, in: transaction)
            try context.requireMatch(version: old?.version ?? 0)
            if old == nil, try PlanTable.count(tenant: context.tenant, in: transaction) >= Plan.countMax {
                throw APIProblem.conflict(
                    "The tenant has \(Plan.countMax) plans, the most there can be. Delete one first.")
            }
            if old == nil {
                try TenantQuota.plans.require(
                    tenant: context.tenant, counting: "FROM plans WHERE tenant = $1", in: transaction)
            }
            let plan: Plan = Plan(
                name: name, limit: limit, windowMilliseconds: window, quota: quota, quotaWindow: quotaWindow,
                concurrency: concurrency, approval: approval,
                version: (old?.version ?? 0) + 1)
            try PlanTable.put(plan, tenant: context.tenant, in: transaction)
            try GatewayChanges.touch(.plan, tenant: context.tenant, id: name, in: transaction)
            try Self.audit(old == nil ? "plan.created" : "plan.updated", plan, context.tenant, author, in: transaction)
            return .json(plan.json, version: plan.version)
        }
    }

    private static func window(_ text: String?) throws -> Int64? {
        guard let text: String else { return nil }
        if let milliseconds: Int64 = PlanWindow.milliseconds(text) { return milliseconds }
        throw APIProblem.invalid("/rate_limit/window", "expected a duration such as 1s, 1m, 1h or 1d, at most 31d")
    }

    private static func deletePlan(_ context: RequestContext, portal: any PortalOffer) async throws -> HTTPResponse {
        let author: Author = context.author
        return try await context.change { transaction in
            let plan: Plan = try Self.plan(context, in: transaction)
            try context.requireMatch(version: plan.version)
            guard try !portal.isPlanInUse(tenant: context.tenant, plan: plan.name, in: transaction) else {
                throw APIProblem.conflict(
                    "Applications are subscribed to the plan '\(plan.name)'. Move them to another first.")
            }
            try PlanTable.delete(plan.name, tenant: context.tenant, in: transaction)
            try GatewayChanges.touch(.plan, tenant: context.tenant, id: plan.name, in: transaction)
            try Self.audit("plan.deleted", plan, context.tenant, author, in: transaction)
            return .noContent
        }
    }

    static func audit(
        _ event: String, _ plan: Plan, _ tenant: String, _ author: Author, in transaction: Transaction
    ) throws {
        try author.audit(
            event, tenant: tenant, resource: AuditEntry.Resource(type: "plan", id: plan.name, version: plan.version),
            changes: plan.json.object ?? [:], in: transaction)
    }
}
