import Contracts
import Store

/// The table `second_factor_policies`: which roles count only where a second factor was shown.
enum SecondFactorPolicyTable {
    /// An empty tenant is the platform: its policy holds in every tenant.
    static func roles(tenant: String, in store: any Queryable) throws -> [String] {
        try store.rows("SELECT role FROM second_factor_policies WHERE tenant = $1 ORDER BY role", .text(tenant)) {
            (row: Row) throws(StoreError) -> String in try row.text(0)
        }
    }

    static func set(_ roles: [String], tenant: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM second_factor_policies WHERE tenant = $1", .text(tenant))
        for role in roles {
            try transaction.execute(
                "INSERT INTO second_factor_policies (tenant, role) VALUES ($1, $2)", .text(tenant), .text(role))
        }
    }

    static func all(in store: any Queryable) throws -> SecondFactorPolicies {
        var policies: SecondFactorPolicies = SecondFactorPolicies()
        let rows: [(String, String)] = try store.rows("SELECT tenant, role FROM second_factor_policies") {
            (row: Row) throws(StoreError) -> (String, String) in (try row.text(0), try row.text(1))
        }
        for (tenant, role) in rows { policies.add(role: role, tenant: tenant) }
        return policies
    }
}

/// The policies of all tenants and of the platform.
struct SecondFactorPolicies: Sendable, Equatable {
    private var roles: [String: Set<String>] = [:]

    var isEmpty: Bool { self.roles.isEmpty }

    mutating func add(role: String, tenant: String) { self.roles[role, default: []].insert(tenant) }

    /// Whether a role counts only where a second factor was shown.
    func concern(_ grant: Grant) -> Bool {
        guard let tenants: Set<String> = self.roles[grant.role.rawValue] else { return false }
        return tenants.contains("") || grant.tenant.map { tenants.contains($0) } ?? false
    }
}
