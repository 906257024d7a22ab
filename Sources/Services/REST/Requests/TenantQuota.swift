package import JSON
package import Store

/// The most a tenant may have of something, set by the platform's administrators. A tenant without a quota has none.
///
/// The service that makes the thing asks in the transaction that makes it: `try TenantQuota.apis.require(…)`.
package enum TenantQuota: String, Sendable, CaseIterable {
    case apis
    case applications
    case environments
    case groups
    case plans
    case secrets
    case serviceAccounts = "service_accounts"
    case subscriptions
    case users

    /// The highest a quota can be set to.
    package static let limitMax: Int64 = 1_000_000

    /// What a person calls them.
    private var words: String { self == .serviceAccounts ? "service accounts" : self == .apis ? "APIs" : self.rawValue }

    /// Makes sure that there is room for one more.
    ///
    /// - Parameter table: what holds them, and which of its rows count: `FROM apis WHERE tenant = $1`. Asked only where there is a quota.
    /// - Throws: `quota-exceeded` with the quota's name and limit.
    package func require(tenant: String, counting rows: String, in transaction: Transaction) throws {
        guard let limit: Int64 = try self.limit(tenant: tenant, in: transaction) else { return }
        let used: Int64 =
            try transaction.first("SELECT count(*) \(rows)", .text(tenant)) {
                (row: Row) throws(StoreError) -> Int64 in try row.int(0)
            } ?? 0
        guard used >= limit else { return }
        var problem: APIProblem = APIProblem(
            .quotaExceeded,
            "The tenant '\(tenant)' has \(used) \(self.words), and its quota '\(self.rawValue)' allows \(limit). Delete what is not needed, or ask the platform's administrators for more."
        )
        problem.members = ["quota": .string(self.rawValue), "limit": .int(limit), "used": .int(used)]
        throw problem
    }

    /// What a tenant has of everything that can have a quota, and what it may have at most.
    ///
    /// - Parameter rows: what counts, by the quota's name: `FROM apis WHERE tenant = $1`.
    package static func use(tenant: String, rows: [String: String], in store: any Queryable) throws -> JSONObject {
        var object: JSONObject = JSONObject()
        for quota in Self.allCases {
            guard let counted: String = rows[quota.rawValue] else { continue }
            let used: Int64 = try store.first("SELECT count(*) \(counted)", .text(tenant)) { try $0.int(0) } ?? 0
            object[quota.rawValue] = .object([
                "used": .int(used), "limit": try quota.limit(tenant: tenant, in: store).map { .int($0) } ?? .null,
            ])
        }
        return object
    }

    private func limit(tenant: String, in store: any Queryable) throws -> Int64? {
        try store.first(
            "SELECT maximum FROM tenant_quotas WHERE tenant = $1 AND name = $2", .text(tenant), .text(self.rawValue)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
    }

    /// The quotas of a tenant by name; those that are not there limit nothing.
    package static func all(tenant: String, in store: any Queryable) throws -> JSONObject {
        let found: [(name: String, limit: Int64)] = try store.rows(
            "SELECT name, maximum FROM tenant_quotas WHERE tenant = $1 ORDER BY name", .text(tenant)
        ) { (row: Row) throws(StoreError) -> (name: String, limit: Int64) in (try row.text(0), try row.int(1)) }
        var object: JSONObject = JSONObject()
        for one in found { object[one.name] = .int(one.limit) }
        return object
    }

    /// Sets every quota of a tenant: what `limits` does not name limits nothing from then on.
    package static func set(_ limits: JSONObject, tenant: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM tenant_quotas WHERE tenant = $1", .text(tenant))
        for quota in Self.allCases {
            guard let limit: Int64 = limits[quota.rawValue]?.integer else { continue }
            try transaction.execute(
                "INSERT INTO tenant_quotas (tenant, name, maximum) VALUES ($1, $2, $3)", .text(tenant),
                .text(quota.rawValue), .int(limit))
        }
    }

    /// The shape of a tenant's quotas.
    package static let schema: JSONValue = {
        var properties: JSONObject = JSONObject()
        for quota in Self.allCases { properties[quota.rawValue] = Schema.integer(0...Self.limitMax) }
        return Schema.object(properties)
    }()
}
