import Store
import Time

/// The tables `tenants`, `targets`, `environments` and `plans`: everything a tenant has besides its APIs.
enum TenantTable {
    static func find(_ name: String, in store: any Queryable) throws -> Tenant? {
        try store.first(
            "SELECT \(Tenant.columns) FROM tenants WHERE tenant = $1 AND deleted_at IS NULL", .text(name),
            decode: Tenant.init(_:))
    }

    /// Whether a tenant has or had the name. A deleted one keeps it: its events, audit entries and roles name it, and whoever
    /// got the name would get those.
    static func isTaken(_ name: String, in store: any Queryable) throws -> Bool {
        try store.first("SELECT 1 FROM tenants WHERE tenant = $1", .text(name)) {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        } != nil
    }

    /// Whether there was such a tenant, and is no more.
    static func hasEnded(_ name: String, in store: any Queryable) throws -> Bool {
        try store.first("SELECT 1 FROM tenants WHERE tenant = $1 AND deleted_at IS NOT NULL", .text(name)) {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        } != nil
    }

    static func all(after: String, limit: Int, in store: any Queryable) throws -> [Tenant] {
        try store.rows(
            """
            SELECT \(Tenant.columns) FROM tenants WHERE tenant > $1 AND deleted_at IS NULL ORDER BY tenant LIMIT $2
            """, .text(after), .int(Int64(limit)), decode: Tenant.init(_:))
    }

    static func insert(_ tenant: Tenant, in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO tenants (tenant, display_name, version, created_at) VALUES ($1, $2, $3, $4)",
            .text(tenant.name),
            .text(tenant.displayName), .int(tenant.version), .int(tenant.createdAt.milliseconds))
    }

    static func update(_ tenant: Tenant, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE tenants SET display_name = $2, version = $3 WHERE tenant = $1", .text(tenant.name),
            .text(tenant.displayName), .int(tenant.version))
    }

    /// Closes a tenant that ends: nothing finds it any more. The row stays with its name, which is not given again.
    static func close(_ tenant: Tenant, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE tenants SET deleted_at = $2, version = $3, display_name = '' WHERE tenant = $1", .text(tenant.name),
            .int(transaction.now.milliseconds), .int(tenant.version + 1))
    }

    static func hasAPIs(_ name: String, in store: any Queryable) throws -> Bool {
        try store.first(
            "SELECT 1 FROM apis WHERE tenant = $1 AND deleted_at IS NULL LIMIT 1", .text(name)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } != nil
    }
}

enum TargetTable {
    static func find(_ name: String, tenant: String, in store: any Queryable) throws -> Target? {
        try store.first(
            "SELECT \(Target.columns) FROM targets WHERE tenant = $1 AND name = $2", .text(tenant), .text(name),
            decode: Target.init(_:))
    }

    static func all(tenant: String, after: String, limit: Int, in store: any Queryable) throws -> [Target] {
        try store.rows(
            "SELECT \(Target.columns) FROM targets WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3",
            .text(tenant),
            .text(after), .int(Int64(limit)), decode: Target.init(_:))
    }

    static func put(_ target: Target, tenant: String, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO targets (tenant, name, kind, gateway_group, version) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant, name) DO UPDATE SET kind = excluded.kind, gateway_group = excluded.gateway_group,
                version = excluded.version
            """, .text(tenant), .text(target.name), .text(target.kind), .text(target.gatewayGroup), .int(target.version)
        )
    }
}

enum EnvironmentTable {
    static func find(_ name: String, tenant: String, in store: any Queryable) throws -> Environment? {
        try store.first(
            "SELECT \(Environment.columns) FROM environments WHERE tenant = $1 AND name = $2", .text(tenant),
            .text(name),
            decode: Environment.init(_:))
    }

    static func all(tenant: String, after: String, limit: Int, in store: any Queryable) throws -> [Environment] {
        try store.rows(
            "SELECT \(Environment.columns) FROM environments WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3",
            .text(tenant), .text(after), .int(Int64(limit)), decode: Environment.init(_:))
    }

    static func count(tenant: String, in store: any Queryable) throws -> Int {
        let count: Int64? = try store.first("SELECT COUNT(*) FROM environments WHERE tenant = $1", .text(tenant)) {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        }
        return Int(count ?? 0)
    }

    static func put(_ environment: Environment, tenant: String, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO environments (tenant, name, target, hosts, requires_promotion, version)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (tenant, name) DO UPDATE SET target = excluded.target, hosts = excluded.hosts,
                requires_promotion = excluded.requires_promotion, version = excluded.version
            """, .text(tenant), .text(environment.name), .text(environment.target), .text(environment.hostsText),
            .bool(environment.requiresPromotion), .int(environment.version))
    }
}

enum PlanTable {
    static func find(_ name: String, tenant: String, in store: any Queryable) throws -> Plan? {
        try store.first(
            "SELECT \(Plan.columns) FROM plans WHERE tenant = $1 AND name = $2", .text(tenant), .text(name),
            decode: Plan.init(_:))
    }

    static func all(tenant: String, after: String, limit: Int, in store: any Queryable) throws -> [Plan] {
        try store.rows(
            "SELECT \(Plan.columns) FROM plans WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3", .text(tenant),
            .text(after), .int(Int64(limit)), decode: Plan.init(_:))
    }

    static func count(tenant: String, in store: any Queryable) throws -> Int {
        let count: Int64? = try store.first("SELECT COUNT(*) FROM plans WHERE tenant = $1", .text(tenant)) {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        }
        return Int(count ?? 0)
    }

    static func put(_ plan: Plan, tenant: String, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO plans
                (tenant, name, rate_limit, rate_window_ms, approval, version, quota, quota_window, concurrency)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (tenant, name) DO UPDATE SET rate_limit = excluded.rate_limit,
                rate_window_ms = excluded.rate_window_ms, approval = excluded.approval, version = excluded.version,
                quota = excluded.quota, quota_window = excluded.quota_window, concurrency = excluded.concurrency
            """, .text(tenant), .text(plan.name), .optional(plan.limit), .optional(plan.windowMilliseconds),
            .bool(plan.approval), .int(plan.version), .optional(plan.quota), .optional(plan.quotaWindow),
            .optional(plan.concurrency))
    }

    static func delete(_ name: String, tenant: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM plans WHERE tenant = $1 AND name = $2", .text(tenant), .text(name))
    }
}
