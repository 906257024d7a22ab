import Store
import Time

/// The tables `applications` and `api_keys`.
enum ApplicationTable {
    /// - Parameter reference: the application's name or its id.
    static func find(_ reference: String, tenant: String, in store: any Queryable) throws -> Application? {
        let column: String = reference.hasPrefix("app_") ? "application_id" : "name"
        return try store.first(
            "SELECT \(Application.columns) FROM applications WHERE tenant = $1 AND \(column) = $2", .text(tenant),
            .text(reference), decode: Application.init(_:))
    }

    /// By name. - Parameter owner: only this user's; nil for all.
    static func all(
        tenant: String, owner: String?, after: String, limit: Int, in store: any Queryable
    ) throws -> [Application] {
        guard let owner: String else {
            return try store.rows(
                "SELECT \(Application.columns) FROM applications WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3",
                .text(tenant), .text(after), .int(Int64(limit)), decode: Application.init(_:))
        }
        return try store.rows(
            """
            SELECT \(Application.columns) FROM applications WHERE tenant = $1 AND name > $2 AND owner = $4
            ORDER BY name LIMIT $3
            """, .text(tenant), .text(after), .int(Int64(limit)), .text(owner), decode: Application.init(_:))
    }

    /// One user's applications in these tenants, by id. - Parameter tenants: nil for all tenants.
    static func owned(
        by owner: String, tenants: [String]?, after: String, limit: Int, in store: any Queryable
    ) throws -> [Application] {
        guard let tenants: [String] else {
            return try store.rows(
                """
                SELECT \(Application.columns) FROM applications WHERE owner = $1 AND application_id > $2
                ORDER BY application_id LIMIT $3
                """, .text(owner), .text(after), .int(Int64(limit)), decode: Application.init(_:))
        }
        var found: [Application] = []
        for tenant in tenants {
            found += try store.rows(
                """
                SELECT \(Application.columns) FROM applications WHERE tenant = $4 AND owner = $1 AND application_id > $2
                ORDER BY application_id LIMIT $3
                """, .text(owner), .text(after), .int(Int64(limit)), .text(tenant), decode: Application.init(_:))
        }
        found.sort { $0.id < $1.id }
        return Array(found.prefix(limit))
    }

    static func insert(_ application: Application, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO applications (tenant, application_id, name, owner, created_at, version)
            VALUES ($1, $2, $3, $4, $5, $6)
            """, .text(application.tenant), .text(application.id), .text(application.name), .text(application.owner),
            .int(application.createdAt.milliseconds), .int(application.version))
    }

    /// Removes the application with its keys and subscriptions.
    static func delete(_ application: Application, in transaction: Transaction) throws {
        for table in ["api_keys", "subscriptions", "applications"] {
            try transaction.execute(
                "DELETE FROM \(table) WHERE tenant = $1 AND application_id = $2", .text(application.tenant),
                .text(application.id))
        }
    }
}

enum APIKeyTable {
    /// Keys that work at `now`, oldest first.
    static func usable(
        application id: String, tenant: String, now: Timestamp, in store: any Queryable
    ) throws -> [APIKey] {
        try store.rows(
            """
            SELECT \(APIKey.columns) FROM api_keys WHERE tenant = $1 AND application_id = $2
                AND (expires_at IS NULL OR expires_at > $3) ORDER BY key_id
            """, .text(tenant), .text(id), .int(now.milliseconds), decode: APIKey.init(_:))
    }

    static func find(
        _ keyID: String, application id: String, tenant: String, in store: any Queryable
    ) throws -> APIKey? {
        try store.first(
            "SELECT \(APIKey.columns) FROM api_keys WHERE tenant = $1 AND application_id = $2 AND key_id = $3",
            .text(tenant), .text(id), .text(keyID), decode: APIKey.init(_:))
    }

    static func insert(_ key: APIKey, application id: String, tenant: String, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO api_keys (tenant, application_id, key_id, sha256, hint, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, NULL)
            """, .text(tenant), .text(id), .text(key.id), .text(key.sha256), .text(key.hint),
            .int(key.createdAt.milliseconds))
    }

    /// Lets the application's keys end at `time`, unless they end earlier.
    static func expireAll(application id: String, tenant: String, at time: Timestamp, in transaction: Transaction)
        throws
    {
        try transaction.execute(
            """
            UPDATE api_keys SET expires_at = $3 WHERE tenant = $1 AND application_id = $2
                AND (expires_at IS NULL OR expires_at > $3)
            """, .text(tenant), .text(id), .int(time.milliseconds))
    }

    /// - Returns: whether there was such a key.
    static func delete(
        _ keyID: String, application id: String, tenant: String, in transaction: Transaction
    ) throws -> Bool {
        try transaction.execute(
            "DELETE FROM api_keys WHERE tenant = $1 AND application_id = $2 AND key_id = $3", .text(tenant), .text(id),
            .text(keyID)) > 0
    }

    /// Removes keys that ended before `now`: they only take room.
    static func deleteExpired(application id: String, tenant: String, now: Timestamp, in transaction: Transaction)
        throws
    {
        try transaction.execute(
            "DELETE FROM api_keys WHERE tenant = $1 AND application_id = $2 AND expires_at <= $3", .text(tenant),
            .text(id),
            .int(now.milliseconds))
    }
}
