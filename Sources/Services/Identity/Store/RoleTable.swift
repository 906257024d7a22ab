import Contracts
import JSON
import Store
import Time

/// A custom role as stored.
struct StoredRole: Sendable {
    /// Empty: the platform's, for every tenant to give.
    let tenant: String
    let role: Role
    let createdAt: Timestamp
    let version: Int64
}

/// Roles by name: the platform's own, and the table `custom_roles`.
enum RoleTable {
    private static let columns: String = "tenant, name, permissions, environments, created_at, version, labels"

    /// What `name` means in `tenant`: one of the platform's own roles, one of the tenant, or one made for all tenants.
    static func find(_ name: String, tenant: String, in store: any Queryable) throws -> Role? {
        if let role: Role = Role(rawValue: name) { return role }
        if let own: StoredRole = try Self.stored(name, tenant: tenant, in: store) { return own.role }
        return tenant.isEmpty ? nil : try Self.stored(name, tenant: "", in: store)?.role
    }

    static func stored(_ name: String, tenant: String, in store: any Queryable) throws -> StoredRole? {
        try store.first(
            "SELECT \(Self.columns) FROM custom_roles WHERE tenant = $1 AND name = $2", .text(tenant), .text(name),
            decode: Self.decode)
    }

    /// The custom roles of a tenant, or those made for all tenants, by name.
    static func all(tenant: String, in store: any Queryable) throws -> [StoredRole] {
        try store.rows(
            "SELECT \(Self.columns) FROM custom_roles WHERE tenant = $1 ORDER BY name", .text(tenant),
            decode: Self.decode)
    }

    static func put(_ stored: StoredRole, in transaction: Transaction) throws {
        let role: Role = stored.role
        try transaction.execute(
            """
            INSERT INTO custom_roles (\(Self.columns)) VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (tenant, name) DO UPDATE SET permissions = excluded.permissions,
                environments = excluded.environments, version = excluded.version, labels = excluded.labels
            """, .text(stored.tenant), .text(role.rawValue),
            .text(role.permissions.map(\.description).joined(separator: " ")),
            .text(role.conditions.environments.joined(separator: " ")), .int(stored.createdAt.milliseconds),
            .int(stored.version), .text(role.conditions.labelsJSON.jsonText))
    }

    static func delete(_ stored: StoredRole, in transaction: Transaction) throws {
        try transaction.execute(
            "DELETE FROM custom_roles WHERE tenant = $1 AND name = $2", .text(stored.tenant),
            .text(stored.role.rawValue))
    }

    /// How many users, groups and service accounts hold the role in `tenant`, or in any when that is empty.
    static func holders(_ name: String, tenant: String, in store: any Queryable) throws -> Int64 {
        var count: Int64 = 0
        for (table, condition) in [
            ("grants", "role = $1"), ("provider_grants", "role = $1"),
            ("user_groups", "(' ' || roles || ' ') LIKE '% ' || $1 || ' %'"),
            ("service_accounts", "(' ' || roles || ' ') LIKE '% ' || $1 || ' %'"),
        ] {
            count +=
                try store.first(
                    "SELECT count(*) FROM \(table) WHERE \(condition) AND (tenant = $2 OR $2 = '')", .text(name),
                    .text(tenant)
                ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } ?? 0
        }
        return count
    }

    /// The users to whom the role was given in `tenant`, or in any when that is empty, at most `limit`.
    static func users(
        with name: String, tenant: String, limit: Int, in store: any Queryable
    ) throws -> [(user: String, tenant: String)] {
        try store.rows(
            """
            SELECT user_id, tenant FROM grants WHERE role = $1 AND (tenant = $2 OR $2 = '')
            ORDER BY user_id, tenant LIMIT $3
            """, .text(name), .text(tenant), .int(Int64(limit))
        ) { (row: Row) throws(StoreError) -> (user: String, tenant: String) in (try row.text(0), try row.text(1)) }
    }

    /// What cannot be read lets nobody through: a condition that no API meets.
    private static func labels(_ text: String) -> [LabelCondition] {
        if text == "{}" { return [] }
        guard let object: JSONObject = (try? JSONReader.parse(text))?.object else {
            return [LabelCondition(key: "", values: [])]
        }
        return object.members.map { member in
            LabelCondition(key: member.key, values: (member.value.elements ?? []).compactMap { $0.text })
        }
    }

    private static func decode(_ row: Row) throws(StoreError) -> StoredRole {
        StoredRole(
            tenant: try row.text(0),
            role: Role(
                custom: try row.text(1),
                permissions: try row.text(2).split(separator: " ").compactMap { Permission(pattern: String($0)) },
                conditions: RoleConditions(
                    environments: try row.text(3).split(separator: " ").map { String($0) },
                    labels: Self.labels(try row.text(6)))),
            createdAt: Timestamp(milliseconds: try row.int(4)), version: try row.int(5))
    }
}
