import Contracts
import HTTP
import JSON
import REST
import Store

extension PortalService {
    /// What a consumer sees across tenants: the published APIs within reach, and what is the caller's own.
    var portalRoutes: [Route] {
        [
            Route(
                "GET", "/v1/portal/apis", operationID: "listPublishedAPIs", tag: Self.name,
                summary: "The published APIs the caller can subscribe to", access: .authenticated,
                query: QueryParameter.page, answers: [Answer(200, "APIs by id")]
            ) { [catalog] context in
                let page: Page = try context.page()
                let caller: Caller = context.caller
                let tenants: [String]? = Self.reach(of: caller)
                let found: [PublishedAPI] = try await context.read { reader in
                    try page.rows(
                        key: { $0.record.id },
                        read: { try catalog.publishedAPIs(tenants: tenants, after: $0, limit: $1, in: reader) },
                        where: { caller.sees($0.record.labels, tenant: $0.record.tenant) })
                }
                return .json(page.envelope(found, key: { $0.record.id }, json: { Self.json($0) }))
            },
            Route(
                "GET", "/v1/portal/applications", operationID: "listOwnApplications", tag: Self.name,
                summary: "The caller's own applications, in every tenant within reach", access: .authenticated,
                query: QueryParameter.page, answers: [Answer(200, "Applications by id")]
            ) { context in
                let page: Page = try context.page()
                let caller: Caller = context.caller
                let found: [Application] = try await context.read {
                    try ApplicationTable.owned(
                        by: caller.id, tenants: Self.reach(of: caller), after: page.after ?? "", limit: page.limit + 1,
                        in: $0)
                }
                return .json(page.envelope(found, key: { $0.id }, json: { .object($0.object) }))
            },
            Route(
                "GET", "/v1/portal/subscriptions", operationID: "listOwnSubscriptions", tag: Self.name,
                summary: "The subscriptions of the caller's own applications", access: .authenticated,
                query: QueryParameter.page, answers: [Answer(200, "Subscriptions by id")]
            ) { [catalog] context in
                let page: Page = try context.page()
                let caller: Caller = context.caller
                let tenants: [String]? = Self.reach(of: caller)
                return try await context.read { reader in
                    let found: [Subscription] = try page.rows(
                        key: { $0.id },
                        read: {
                            try SubscriptionTable.owned(
                                by: caller.id, tenants: tenants, after: $0, limit: $1, in: reader)
                        }, where: { try Self.sees($0, caller, catalog: catalog, in: reader) })
                    return .json(
                        try page.envelope(
                            found, key: { $0.id }, json: { try Self.json($0, catalog: catalog, in: reader) }))
                }
            },
        ]
    }

    /// The tenants a caller sees things of; nil for all. Who lost the last role in a tenant sees nothing of it any more, not even
    /// what was the own.
    private static func reach(of caller: Caller) -> [String]? { caller.reachesAllTenants ? nil : caller.tenants }

    /// Whether the API of a subscription is there for the caller. Looked up only where that depends on its labels.
    private static func sees(
        _ subscription: Subscription, _ caller: Caller, catalog: any CatalogOffer, in store: any Queryable
    ) throws -> Bool {
        let tenant: String = subscription.tenant
        guard caller.dependsOnLabels(in: tenant) else { return true }
        let api: APIRecord? = try catalog.api(tenant: tenant, reference: subscription.apiID, in: store)
        return api.map { caller.sees($0.labels, tenant: tenant) } ?? false
    }

    private static func json(_ api: PublishedAPI) -> JSONValue {
        .object([
            "id": .string(api.record.id), "tenant": .string(api.record.tenant), "name": .string(api.record.name),
            "title": .string(api.title), "base_path": .string(api.basePath),
            "latest_revision": .int(api.record.latestRevision),
        ])
    }
}
