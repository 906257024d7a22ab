import Contracts
package import JSON
package import Store
package import Time

/// What the portal offers other services: questions to its tables. Holds no state, so it needs no running service.
package struct PortalQueries: PortalOffer {
    private let clock: any WallClock

    /// - Parameter clock: decides which keys have expired.
    package init(clock: any WallClock) { self.clock = clock }

    package func gatewayApplication(tenant: String, id: String, in store: any Queryable) throws -> JSONValue? {
        guard let application: Application = try ApplicationTable.find(id, tenant: tenant, in: store) else {
            return nil
        }
        var keys: [JSONValue] = []
        for key in try APIKeyTable.usable(application: id, tenant: tenant, now: self.clock.now(), in: store) {
            var entry: JSONObject = ["id": .string(key.id), "sha256": .string(key.sha256)]
            if let expires: Timestamp = key.expiresAt { entry["expires"] = .string(expires.rfc3339) }
            keys.append(.object(entry))
        }
        var subscriptions: [JSONValue] = []
        for subscription in try SubscriptionTable.of(application: id, tenant: tenant, in: store)
        where subscription.state != .pending {
            subscriptions.append(
                .object([
                    "id": .string(subscription.id), "api": .string(subscription.apiID),
                    "plan": .string(subscription.plan),
                    "state": .string(subscription.state.rawValue),
                ]))
        }
        return .object([
            "id": .string(application.id), "tenant": .string(tenant), "keys": .array(keys),
            "subscriptions": .array(subscriptions),
        ])
    }

    package func hasApplications(tenant: String, in store: any Queryable) throws -> Bool {
        try store.first("SELECT 1 FROM applications WHERE tenant = $1 LIMIT 1", .text(tenant)) {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        } != nil
    }

    package func isPlanInUse(tenant: String, plan: String, in store: any Queryable) throws -> Bool {
        try store.first(
            "SELECT 1 FROM subscriptions WHERE tenant = $1 AND plan = $2 LIMIT 1", .text(tenant), .text(plan)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } != nil
    }
}
