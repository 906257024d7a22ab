package import JSON
package import Store

/// The most a tenant may have of something, set by the platform's administrators. A tenant without a quota has none.
///
/// The service that makes the thing asks in the transaction that makes it: `try TenantQuota.apis.require(…)`. Requests to its APIs
/// are counted by gateways.
package enum TenantQuota: String, Sendable, CaseIterable {
    case apis
    case applications
    case environments
    case groups
    case plans
    /// Requests to all of its APIs in a month of the calendar.
    case requestsPerMonth = "requests_per_month"
    /// Requests to all of its APIs in a second.
    case requestsPerSecond = "requests_per_second"
    case secrets
    case serviceAccounts = "service_accounts"
    case subscriptions
    case users

    /// What a quota can be set to. Those of requests are what a gateway's limits take.
    package var range: ClosedRange<Int64> {
        switch self {
        case .requestsPerMonth: 1...1_000_000_000_000
        case .requestsPerSecond: 1...100_000_000
        default: 0...1_000_000
        }
    }

    /// Whether gateways keep it.
    private var isOfRequests: Bool { self == .requestsPerMonth || self == .requestsPerSecond }

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

    /// What a tenant has of everything that can have a quota, and what it may have at most. Of requests a second nobody here knows
    /// how many there are, and of those in a month only where there is a quota.
    ///
    /// - Parameter counts: how many there are, by the quota's name: `SELECT count(*) FROM apis WHERE tenant = $1`.
    package static func use(tenant: String, counts: [String: String], in store: any Queryable) throws -> JSONObject {
        var object: JSONObject = JSONObject()
        for quota in Self.allCases {
            let limit: Int64? = try quota.limit(tenant: tenant, in: store)
            var used: Int64?
            if let statement: String = counts[quota.rawValue], limit != nil || !quota.isOfRequests {
                used = try store.first(statement, .text(tenant)) { try $0.int(0) } ?? 0
            } else if !quota.isOfRequests {
                continue
            }
            object[quota.rawValue] = .object([
                "used": used.map { .int($0) } ?? .null, "limit": limit.map { .int($0) } ?? .null,
            ])
        }
        return object
    }

    /// The quotas that gateways keep, by name.
    package static func ofRequests(tenant: String, in store: any Queryable) throws -> JSONObject {
        var object: JSONObject = JSONObject()
        for quota in Self.allCases where quota.isOfRequests {
            if let limit: Int64 = try quota.limit(tenant: tenant, in: store) { object[quota.rawValue] = .int(limit) }
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
        for quota in Self.allCases { properties[quota.rawValue] = Schema.integer(quota.range) }
        return Schema.object(properties)
    }()
}
