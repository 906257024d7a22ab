import Store
import Time

/// The table `subscriptions`.
enum SubscriptionTable {
    static func find(_ id: String, tenant: String, in store: any Queryable) throws -> Subscription? {
        try store.first(
            "SELECT \(Subscription.columns) FROM subscriptions WHERE tenant = $1 AND subscription_id = $2",
            .text(tenant),
            .text(id), decode: Subscription.init(_:))
    }

    static func find(
        application: String, api: String, tenant: String, in store: any Queryable
    ) throws -> Subscription? {
        try store.first(
            "SELECT \(Subscription.columns) FROM subscriptions WHERE tenant = $1 AND application_id = $2 AND api_id = $3",
            .text(tenant), .text(application), .text(api), decode: Subscription.init(_:))
    }

    /// By id. - Parameter owner: only those of this user's applications; nil for all.
    static func all(
        tenant: String, owner: String?, after: String, limit: Int, in store: any Queryable
    ) throws -> [Subscription] {
        guard let owner: String else {
            return try store.rows(
                """
                SELECT \(Subscription.columns) FROM subscriptions WHERE tenant = $1 AND subscription_id > $2
                ORDER BY subscription_id LIMIT $3
                """, .text(tenant), .text(after), .int(Int64(limit)), decode: Subscription.init(_:))
        }
        return try store.rows(
            """
            SELECT \(Subscription.columns) FROM subscriptions WHERE tenant = $1 AND subscription_id > $2
                AND application_id IN (SELECT application_id FROM applications WHERE tenant = $1 AND owner = $4)
            ORDER BY subscription_id LIMIT $3
            """, .text(tenant), .text(after), .int(Int64(limit)), .text(owner), decode: Subscription.init(_:))
    }

    /// The subscriptions of one user's applications in these tenants, by id. - Parameter tenants: nil for all tenants.
    static func owned(
        by owner: String, tenants: [String]?, after: String, limit: Int, in store: any Queryable
    ) throws -> [Subscription] {
        guard let tenants: [String] else {
            return try store.rows(
                """
                SELECT \(Subscription.columns) FROM subscriptions WHERE subscription_id > $2
                    AND (tenant, application_id) IN (SELECT tenant, application_id FROM applications WHERE owner = $1)
                ORDER BY subscription_id LIMIT $3
                """, .text(owner), .text(after), .int(Int64(limit)), decode: Subscription.init(_:))
        }
        var found: [Subscription] = []
        for tenant in tenants {
            found += try Self.all(tenant: tenant, owner: owner, after: after, limit: limit, in: store)
        }
        found.sort { $0.id < $1.id }
        return Array(found.prefix(limit))
    }

    static func of(application id: String, tenant: String, in store: any Queryable) throws -> [Subscription] {
        try store.rows(
            """
            SELECT \(Subscription.columns) FROM subscriptions WHERE tenant = $1 AND application_id = $2
            ORDER BY subscription_id
            """, .text(tenant), .text(id), decode: Subscription.init(_:))
    }

    static func of(api id: String, tenant: String, in store: any Queryable) throws -> [Subscription] {
        try store.rows(
            "SELECT \(Subscription.columns) FROM subscriptions WHERE tenant = $1 AND api_id = $2 ORDER BY subscription_id",
            .text(tenant), .text(id), decode: Subscription.init(_:))
    }

    static func insert(_ subscription: Subscription, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO subscriptions
                (tenant, subscription_id, application_id, api_id, plan, state, created_at, version)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            """, .text(subscription.tenant), .text(subscription.id), .text(subscription.applicationID),
            .text(subscription.apiID), .text(subscription.plan), .text(subscription.state.rawValue),
            .int(subscription.createdAt.milliseconds), .int(subscription.version))
    }

    static func update(_ subscription: Subscription, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE subscriptions SET plan = $3, state = $4, version = $5 WHERE tenant = $1 AND subscription_id = $2",
            .text(subscription.tenant), .text(subscription.id), .text(subscription.plan),
            .text(subscription.state.rawValue), .int(subscription.version))
    }

    static func delete(_ subscription: Subscription, in transaction: Transaction) throws {
        try transaction.execute(
            "DELETE FROM subscriptions WHERE tenant = $1 AND subscription_id = $2", .text(subscription.tenant),
            .text(subscription.id))
    }
}
