import Contracts
import Store
import Time

/// The tables `user_groups` and `group_members`.
enum GroupTable {
    private static let columns: String = "tenant, group_id, name, roles, created_at, version"

    /// - Parameter reference: the group's id or name.
    static func find(_ reference: String, tenant: String, in store: any Queryable) throws -> Group? {
        let column: String = reference.hasPrefix(Group.idPrefix) ? "group_id" : "name"
        let found: Stored? = try store.first(
            "SELECT \(Self.columns) FROM user_groups WHERE tenant = $1 AND \(column) = $2", .text(tenant),
            .text(reference), decode: Self.decode)
        return try found.map { try $0.group(in: store) }
    }

    /// By name.
    static func all(tenant: String, after: String, limit: Int, in store: any Queryable) throws -> [Group] {
        let found: [Stored] = try store.rows(
            "SELECT \(Self.columns) FROM user_groups WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3",
            .text(tenant), .text(after), .int(Int64(limit)), decode: Self.decode)
        return try found.map { try $0.group(in: store) }
    }

    /// What a user holds by groups.
    static func grants(ofMember user: String, in store: any Queryable) throws -> [Grant] {
        let found: [Stored] = try store.rows(
            """
            SELECT g.tenant, g.group_id, g.name, g.roles, g.created_at, g.version
            FROM group_members m JOIN user_groups g ON g.tenant = m.tenant AND g.group_id = m.group_id
            WHERE m.user_id = $1 ORDER BY g.tenant, g.name
            """, .text(user), decode: Self.decode)
        var grants: [Grant] = []
        for stored in found { grants += try stored.group(in: store).grants }
        return grants
    }

    static func insert(_ group: Group, in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO user_groups (\(Self.columns)) VALUES ($1, $2, $3, $4, $5, $6)", .text(group.tenant),
            .text(group.id), .text(group.name), .text(RoleNames.text(group.roles)),
            .int(group.createdAt.milliseconds), .int(group.version))
    }

    static func update(_ group: Group, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE user_groups SET roles = $3, version = $4 WHERE tenant = $1 AND group_id = $2",
            .text(group.tenant), .text(group.id), .text(RoleNames.text(group.roles)), .int(group.version))
    }

    static func delete(_ group: Group, in transaction: Transaction) throws {
        try transaction.execute(
            "DELETE FROM group_members WHERE tenant = $1 AND group_id = $2", .text(group.tenant), .text(group.id))
        try transaction.execute(
            "DELETE FROM user_groups WHERE tenant = $1 AND group_id = $2", .text(group.tenant), .text(group.id))
    }

    /// Members by id.
    static func members(of group: Group, after: String, limit: Int, in store: any Queryable) throws -> [String] {
        try store.rows(
            """
            SELECT user_id FROM group_members WHERE tenant = $1 AND group_id = $2 AND user_id > $3
            ORDER BY user_id LIMIT $4
            """, .text(group.tenant), .text(group.id), .text(after), .int(Int64(limit))
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }

    /// Every group the user is in.
    static func all(ofMember user: String, in store: any Queryable) throws -> [Group] {
        let keys: [(tenant: String, id: String)] = try store.rows(
            "SELECT tenant, group_id FROM group_members WHERE user_id = $1 ORDER BY tenant, group_id", .text(user)
        ) { (row: Row) throws(StoreError) -> (tenant: String, id: String) in (try row.text(0), try row.text(1)) }
        return try keys.compactMap { (key: (tenant: String, id: String)) throws -> Group? in
            try Self.find(key.id, tenant: key.tenant, in: store)
        }
    }

    static func memberCount(of group: Group, in store: any Queryable) throws -> Int {
        Int(
            try store.first(
                "SELECT count(*) FROM group_members WHERE tenant = $1 AND group_id = $2", .text(group.tenant),
                .text(group.id)
            ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } ?? 0)
    }

    /// - Returns: whether the user was no member before.
    static func add(_ user: String, to group: Group, in transaction: Transaction) throws -> Bool {
        try transaction.execute(
            """
            INSERT INTO group_members (tenant, group_id, user_id) VALUES ($1, $2, $3)
            ON CONFLICT (tenant, group_id, user_id) DO NOTHING
            """, .text(group.tenant), .text(group.id), .text(user)) > 0
    }

    /// - Returns: whether the user was a member.
    static func remove(_ user: String, from group: Group, in transaction: Transaction) throws -> Bool {
        try transaction.execute(
            "DELETE FROM group_members WHERE tenant = $1 AND group_id = $2 AND user_id = $3", .text(group.tenant),
            .text(group.id), .text(user)) > 0
    }

    private struct Stored {
        let tenant: String
        let id: String
        let name: String
        let roles: String
        let createdAt: Timestamp
        let version: Int64

        func group(in store: any Queryable) throws -> Group {
            Group(
                tenant: self.tenant, id: self.id, name: self.name,
                roles: try RoleNames.read(self.roles, tenant: self.tenant, in: store), createdAt: self.createdAt,
                version: self.version)
        }
    }

    private static func decode(_ row: Row) throws(StoreError) -> Stored {
        Stored(
            tenant: try row.text(0), id: try row.text(1), name: try row.text(2), roles: try row.text(3),
            createdAt: Timestamp(milliseconds: try row.int(4)), version: try row.int(5))
    }
}

/// Roles as a column holds them: their names, parted by spaces.
enum RoleNames {
    static func text(_ roles: [Role]) -> String { roles.map(\.rawValue).joined(separator: " ") }

    /// Roles that are there no more give nothing.
    static func read(_ text: String, tenant: String, in store: any Queryable) throws -> [Role] {
        var roles: [Role] = []
        for name in text.split(separator: " ") {
            if let role: Role = try RoleTable.find(String(name), tenant: tenant, in: store) { roles.append(role) }
        }
        return roles
    }
}
