import Contracts
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

extension PortalService {
    static let subscriptionRead: Route.Access = .tenant(Permission("portal", "subscription", "read"))
    static let subscriptionWrite: Route.Access = .tenant(Permission("portal", "subscription", "write"))
    static let subscriptionApprove: Route.Access = .tenant(Permission("catalog", "api", "write"))

    var subscriptionRoutes: [Route] {
        let base: String = "/v1/tenants/{tenant}/subscriptions"
        var routes: [Route] = [
            Route(
                "POST", base, operationID: "createSubscription", tag: Self.name,
                summary: "Subscribes an application to an API under a plan", access: Self.subscriptionWrite,
                labels: .api, body: .json(Self.newSubscription), answers: [Answer(201, "The subscription")]
            ) { [catalog] in try await Self.createSubscription($0, catalog: catalog) },
            Route(
                "GET", base, operationID: "listSubscriptions", tag: Self.name, summary: "The tenant's subscriptions",
                access: Self.subscriptionRead, labels: .list, query: QueryParameter.page,
                answers: [Answer(200, "Subscriptions by id")]
            ) { [catalog] in try await Self.listSubscriptions($0, catalog: catalog) },
            Route(
                "GET", "\(base)/{subscription}", operationID: "getSubscription", tag: Self.name,
                summary: "One subscription", access: Self.subscriptionRead, labels: .api,
                answers: [Answer(200, "The subscription")]
            ) { [catalog] context in
                try await context.read { reader in
                    let found: Subscription = try Self.subscription(context, catalog: catalog, in: reader)
                    return .json(try Self.json(found, catalog: catalog, in: reader), version: found.version)
                }
            },
            Route(
                "PATCH", "\(base)/{subscription}", operationID: "updateSubscription", tag: Self.name,
                summary: "Moves a subscription to another plan", access: Self.subscriptionWrite,
                labels: .api,
                body: .json(Schema.object(["plan": Schema.text(min: 1, max: 63)], required: ["plan"])),
                answers: [Answer(200, "The subscription")]
            ) { [catalog] in try await Self.changePlan($0, catalog: catalog) },
            Route(
                "DELETE", "\(base)/{subscription}", operationID: "deleteSubscription", tag: Self.name,
                summary: "Ends a subscription", access: Self.subscriptionWrite, labels: .api,
                answers: [Answer(204, "Ended")]
            ) { [catalog] in try await Self.deleteSubscription($0, catalog: catalog) },
        ]
        for (verb, from, to) in Self.moves {
            routes.append(
                Route(
                    "POST", "\(base)/{subscription}/\(verb)", operationID: "\(verb)Subscription", tag: Self.name,
                    summary: "From \(from.rawValue) to \(to.rawValue)", access: Self.subscriptionApprove,
                    labels: .api,
                    answers: [Answer(200, "The subscription")]
                ) { [catalog] in try await Self.move($0, from: from, to: to, catalog: catalog) })
        }
        return routes
    }

    /// The only moves between states.
    private static let moves: [(verb: String, from: Subscription.State, to: Subscription.State)] = [
        ("approve", .pending, .active), ("suspend", .active, .suspended), ("resume", .suspended, .active),
    ]

    private static let newSubscription: JSONValue = Schema.object(
        [
            "application": Schema.text(min: 1, max: 63), "api": Schema.text(min: 1, max: 63),
            "plan": Schema.text(min: 1, max: 63),
        ], required: ["application", "api", "plan"])

    /// A subscription with the names people know beside the ids.
    static func json(
        _ subscription: Subscription, catalog: any CatalogOffer, in store: any Queryable
    ) throws -> JSONValue {
        let tenant: String = subscription.tenant
        let application: Application? = try ApplicationTable.find(subscription.applicationID, tenant: tenant, in: store)
        let api: APIRecord? = try catalog.api(tenant: tenant, reference: subscription.apiID, in: store)
        return .object([
            "id": .string(subscription.id), "tenant": .string(tenant),
            "application": .string(application?.name ?? subscription.applicationID),
            "application_id": .string(subscription.applicationID), "api": .string(api?.name ?? subscription.apiID),
            "api_id": .string(subscription.apiID), "plan": .string(subscription.plan),
            "state": .string(subscription.state.rawValue), "created_at": .string(subscription.createdAt.rfc3339),
        ])
    }

    /// The subscription of the path; those of others' applications do not exist for a developer.
    private static func subscription(
        _ context: RequestContext, catalog: any CatalogOffer, in store: any Queryable
    ) throws -> Subscription {
        let id: String = context.parameter("subscription")
        let known: Subscription? = try SubscriptionTable.find(id, tenant: context.tenant, in: store)
        // For one that is not there, too: whoever may not see an API learns nothing from what is done about it.
        let labels: APILabels? = try Self.labels(ofAPI: known?.apiID ?? "api_", context, catalog: catalog, in: store)
        try context.requireAccess(labels, unknown: .notFound("subscription", id))
        guard let found: Subscription = known else { throw APIProblem.notFound("subscription", id) }
        if let owner: String = Self.onlyOwner(context, labels: labels) {
            let application: Application? = try ApplicationTable.find(
                found.applicationID, tenant: context.tenant, in: store)
            guard application?.owner == owner else { throw APIProblem.notFound("subscription", id) }
        }
        return found
    }

    /// The labels of an API, where something that the caller may do depends on them; else nothing is looked up.
    private static func labels(
        ofAPI id: String, _ context: RequestContext, catalog: any CatalogOffer, in store: any Queryable
    ) throws -> APILabels? {
        guard context.caller.dependsOnLabels(in: context.tenant) else { return nil }
        return try catalog.api(tenant: context.tenant, reference: id, in: store)?.labels
    }

    private static func createSubscription(
        _ context: RequestContext, catalog: any CatalogOffer
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        return try await context.change { transaction in
            let tenant: String = context.tenant
            try Self.requireTenant(context, catalog: catalog, in: transaction)
            let application: Application = try Self.application(
                context.body["application"]?.text ?? "", context, in: transaction)
            let reference: String = context.body["api"]?.text ?? ""
            let found: APIRecord? = try catalog.api(tenant: tenant, reference: reference, in: transaction)
            let unknown: APIProblem = APIProblem.invalid("/api", "there is no API '\(reference)'")
            try context.requireAccess(found?.labels, unknown: unknown)
            guard let api: APIRecord = found else { throw unknown }
            guard api.takesSubscriptions else {
                throw APIProblem.conflict("'\(api.name)' is not published: nobody can subscribe to it now.")
            }
            let plan: String = context.body["plan"]?.text ?? ""
            try Self.requirePlan(plan, tenant: tenant, catalog: catalog, in: transaction)
            let known: Subscription? = try SubscriptionTable.find(
                application: application.id, api: api.id, tenant: tenant, in: transaction)
            guard known == nil else {
                throw APIProblem.conflict("'\(application.name)' is subscribed to '\(api.name)' already.")
            }
            let others: Int = try SubscriptionTable.of(application: application.id, tenant: tenant, in: transaction)
                .count
            guard others < Subscription.countMax else {
                throw APIProblem.conflict(
                    "'\(application.name)' has \(Subscription.countMax) subscriptions, the most there can be. End one first."
                )
            }
            try TenantQuota.subscriptions.require(
                tenant: tenant, counting: "FROM subscriptions WHERE tenant = $1", in: transaction)
            let waits: Bool = try catalog.planNeedsApproval(tenant: tenant, name: plan, in: transaction)
            let subscription: Subscription = Subscription(
                tenant: tenant, id: Identifier.make("sub", now: transaction.now), applicationID: application.id,
                apiID: api.id, plan: plan, state: waits ? .pending : .active, createdAt: transaction.now, version: 1)
            try SubscriptionTable.insert(subscription, in: transaction)
            try Self.changed(subscription, Topics.subscriptionCreated, "subscription.created", author, in: transaction)
            return .created(
                try Self.json(subscription, catalog: catalog, in: transaction),
                location: "/v1/tenants/\(tenant)/subscriptions/\(subscription.id)", version: 1)
        }
    }

    private static func requirePlan(
        _ plan: String, tenant: String, catalog: any CatalogOffer, in store: any Queryable
    ) throws {
        guard try catalog.hasPlan(tenant: tenant, name: plan, in: store) else {
            throw APIProblem.invalid("/plan", "there is no plan '\(plan)'")
        }
    }

    /// What every change of a subscription owes: the gateways, the topic, the audit log.
    private static func changed(
        _ subscription: Subscription, _ topic: String, _ event: String, _ author: Author, in transaction: Transaction
    ) throws {
        try GatewayChanges.touch(
            .application, tenant: subscription.tenant, id: subscription.applicationID, in: transaction)
        try author.publish(
            topic, key: subscription.id, tenant: subscription.tenant, subscription.event, in: transaction)
        try author.audit(
            event, tenant: subscription.tenant,
            resource: AuditEntry.Resource(type: "subscription", id: subscription.id, version: subscription.version),
            changes: subscription.audited, in: transaction)
    }

    /// Ends a subscription, whoever asks for it.
    static func end(_ subscription: Subscription, _ author: Author, in transaction: Transaction) throws {
        try SubscriptionTable.delete(subscription, in: transaction)
        try Self.changed(subscription, Topics.subscriptionDeleted, "subscription.deleted", author, in: transaction)
    }

    private static func listSubscriptions(
        _ context: RequestContext, catalog: any CatalogOffer
    ) async throws -> HTTPResponse {
        let page: Page = try context.page()
        let owner: String? = Self.onlyOwner(context)
        return try await context.read { reader in
            try Self.requireTenant(context, catalog: catalog, in: reader)
            let found: [Subscription] =
                context.caller.dependsOnLabels(in: context.tenant)
                ? try Self.shown(context, page, catalog: catalog, in: reader)
                : try SubscriptionTable.all(
                    tenant: context.tenant, owner: owner, after: page.after ?? "", limit: page.limit + 1, in: reader)
            return .json(
                try page.envelope(found, key: { $0.id }, json: { try Self.json($0, catalog: catalog, in: reader) }))
        }
    }

    /// The subscriptions that the caller may see, where that depends on the labels of their APIs.
    private static func shown(
        _ context: RequestContext, _ page: Page, catalog: any CatalogOffer, in store: any Queryable
    ) throws -> [Subscription] {
        let isShown: (@Sendable (APILabels) -> Bool)? = context.isShown
        var known: [String: APILabels] = [:]
        return try page.rows(
            key: { $0.id },
            read: { try SubscriptionTable.all(tenant: context.tenant, owner: nil, after: $0, limit: $1, in: store) },
            where: { (subscription: Subscription) -> Bool in
                let id: String = subscription.apiID
                if known[id] == nil { known[id] = try Self.labels(ofAPI: id, context, catalog: catalog, in: store) }
                guard let labels: APILabels = known[id], isShown?(labels) ?? true else { return false }
                guard let owner: String = Self.onlyOwner(context, labels: labels) else { return true }
                return try ApplicationTable.find(subscription.applicationID, tenant: context.tenant, in: store)?.owner
                    == owner
            })
    }

    private static func changePlan(_ context: RequestContext, catalog: any CatalogOffer) async throws -> HTTPResponse {
        let author: Author = context.author
        let plan: String = context.body["plan"]?.text ?? ""
        return try await context.change { transaction in
            let old: Subscription = try Self.subscription(context, catalog: catalog, in: transaction)
            try context.requireMatch(version: old.version)
            try Self.requirePlan(plan, tenant: context.tenant, catalog: catalog, in: transaction)
            if plan == old.plan {
                return .json(try Self.json(old, catalog: catalog, in: transaction), version: old.version)
            }
            // A suspended one stays so: its owner must not turn it into one that just waits for approval.
            let waits: Bool = try catalog.planNeedsApproval(tenant: context.tenant, name: plan, in: transaction)
            let changed: Subscription = old.changed(
                plan: plan, state: waits && old.state == .active ? .pending : old.state)
            try SubscriptionTable.update(changed, in: transaction)
            try Self.changed(changed, Topics.subscriptionUpdated, "subscription.updated", author, in: transaction)
            return .json(try Self.json(changed, catalog: catalog, in: transaction), version: changed.version)
        }
    }

    private static func move(
        _ context: RequestContext, from: Subscription.State, to: Subscription.State, catalog: any CatalogOffer
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        return try await context.change { transaction in
            let old: Subscription = try Self.subscription(context, catalog: catalog, in: transaction)
            try context.requireMatch(version: old.version)
            guard old.state == from else {
                throw APIProblem.conflict(
                    "The subscription is \(old.state.rawValue); this is for one that is \(from.rawValue).")
            }
            let moved: Subscription = old.changed(state: to)
            try SubscriptionTable.update(moved, in: transaction)
            try Self.changed(
                moved, Topics.subscriptionUpdated, "subscription.\(to == .suspended ? "suspended" : "activated")",
                author,
                in: transaction)
            return .json(try Self.json(moved, catalog: catalog, in: transaction), version: moved.version)
        }
    }

    private static func deleteSubscription(
        _ context: RequestContext, catalog: any CatalogOffer
    ) async throws -> HTTPResponse {
        let author: Author = context.author
        return try await context.change { transaction in
            let subscription: Subscription = try Self.subscription(context, catalog: catalog, in: transaction)
            try context.requireMatch(version: subscription.version)
            try Self.end(subscription, author, in: transaction)
            return .noContent
        }
    }
}
