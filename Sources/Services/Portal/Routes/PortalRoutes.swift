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
                let found: [PublishedAPI] = try await context.read {
                    try catalog.publishedAPIs(
                        tenants: Self.reach(of: caller), after: page.after ?? "", limit: page.limit + 1, in: $0)
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
                return try await context.read { reader in
                    let found: [Subscription] = try SubscriptionTable.owned(
                        by: caller.id, tenants: Self.reach(of: caller), after: page.after ?? "", limit: page.limit + 1,
                        in: reader)
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

    private static func json(_ api: PublishedAPI) -> JSONValue {
        .object([
            "id": .string(api.record.id), "tenant": .string(api.record.tenant), "name": .string(api.record.name),
            "title": .string(api.title), "base_path": .string(api.basePath),
            "latest_revision": .int(api.record.latestRevision),
        ])
    }
}
