import Contracts
import REST
import Store
import Time

/// The tables `users` and `grants`.
enum UserTable {
    private static let columns: String = "user_id, name, password_hash, state, created_at, version"

    /// - Parameter reference: the user's name or id.
    static func find(_ reference: String, in store: any Queryable) throws -> User? {
        let column: String = reference.hasPrefix(User.idPrefix) ? "user_id" : "name"
        let found: User? = try store.first(
            "SELECT \(Self.columns) FROM users WHERE \(column) = $1", .text(reference), decode: Self.decode)
        return try found.map { try Self.withGrants($0, in: store) }
    }

    /// Who signs in with this name, without their roles: one look, whoever is there.
    static func account(name: String, in store: any Queryable) throws -> User? {
        try store.first(
            "SELECT \(Self.columns) FROM users WHERE name = $1", .text(name), decode: Self.decode)
    }

    /// By name. - Parameter tenants: only users with a role in one of these; nil for all.
    static func all(tenants: [String]?, after: String, limit: Int, in store: any Queryable) throws -> [User] {
        var found: [User] = []
        if let tenants: [String] {
            for tenant in tenants {
                found += try store.rows(
                    """
                    SELECT \(Self.columns) FROM users WHERE name > $1 AND user_id IN
                        (SELECT user_id FROM grants WHERE tenant = $2 UNION
                         SELECT user_id FROM group_members WHERE tenant = $2 UNION
                         SELECT user_id FROM provider_grants WHERE tenant = $2) ORDER BY name LIMIT $3
                    """, .text(after), .text(tenant), .int(Int64(limit)), decode: Self.decode)
            }
            found.sort { $0.name < $1.name }
            var seen: Set<String> = []
            found = Array(found.filter { seen.insert($0.id).inserted }.prefix(limit))
        } else {
            found = try store.rows(
                "SELECT \(Self.columns) FROM users WHERE name > $1 ORDER BY name LIMIT $2", .text(after),
                .int(Int64(limit)), decode: Self.decode)
        }
        return try found.map { try Self.withGrants($0, in: store) }
    }

    static func isEmpty(in store: any Queryable) throws -> Bool {
        try store.first("SELECT 1 FROM users LIMIT 1") { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
            == nil
    }

    /// Whether there is an active user who administers the platform.
    static func hasAdministrator(in store: any Queryable) throws -> Bool {
        try store.first(
            """
            SELECT 1 FROM users WHERE state = 'active' AND user_id IN
                (SELECT user_id FROM grants WHERE tenant = '' AND role = $1) LIMIT 1
            """, .text(Role.platformAdmin.rawValue)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } != nil
    }

    /// The users who have a role in a tenant, or are in a group of it.
    static let members: String = """
        FROM (SELECT user_id FROM grants WHERE tenant = $1 UNION SELECT user_id FROM group_members WHERE tenant = $1
              UNION SELECT user_id FROM provider_grants WHERE tenant = $1) AS members
        """

    /// Whether a name or id is that of one user, or of somebody who is anything in one of these tenants.
    static func isKnown(
        _ reference: String, among tenants: [String], or user: String, in store: any Queryable
    ) throws -> Bool {
        var values: [SQLValue] = [.text(reference), .text(user)]
        let places: [String] = tenants.map { (tenant: String) -> String in
            values.append(.text(tenant))
            return "$\(values.count)"
        }
        let list: String = places.isEmpty ? "NULL" : places.joined(separator: ", ")
        let column: String = reference.hasPrefix(User.idPrefix) ? "user_id" : "name"
        var isKnown: Bool = false
        try store.visit(
            """
            SELECT 1 FROM users u WHERE u.\(column) = $1 AND (u.user_id = $2
                OR EXISTS (SELECT 1 FROM grants g WHERE g.user_id = u.user_id AND g.tenant IN (\(list)))
                OR EXISTS (SELECT 1 FROM group_members m WHERE m.user_id = u.user_id AND m.tenant IN (\(list)))
                OR EXISTS (SELECT 1 FROM provider_grants p WHERE p.user_id = u.user_id AND p.tenant IN (\(list))))
            """, values
        ) { (_: Row) throws(StoreError) -> Bool in
            isKnown = true
            return false
        }
        return isKnown
    }

    /// Makes sure that a tenant whose user somebody becomes has room for one more.
    static func requireRoom(for user: String, in tenants: [String], in transaction: Transaction) throws {
        for tenant in Set(tenants).sorted() {
            let isMember: Bool =
                try transaction.first("SELECT 1 \(Self.members) WHERE user_id = $2", .text(tenant), .text(user)) {
                    (row: Row) throws(StoreError) -> Int64 in try row.int(0)
                } != nil
            if isMember { continue }
            try TenantQuota.users.require(tenant: tenant, counting: Self.members, in: transaction)
        }
    }

    /// Whether a user is anything in another tenant, or on the platform.
    static func hasRolesElsewhere(_ user: String, thanIn tenant: String, in store: any Queryable) throws -> Bool {
        try store.first(
            """
            SELECT 1 FROM grants WHERE user_id = $1 AND tenant <> $2 UNION ALL
            SELECT 1 FROM group_members WHERE user_id = $1 AND tenant <> $2 UNION ALL
            SELECT 1 FROM provider_grants WHERE user_id = $1 AND tenant <> $2 LIMIT 1
            """, .text(user), .text(tenant)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } != nil
    }

    static func insert(_ user: User, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO users (user_id, name, password_hash, state, created_at, version) VALUES ($1, $2, $3, $4, $5, $6)
            """, .text(user.id), .text(user.name), .text(user.passwordHash), .text(user.state.rawValue),
            .int(user.createdAt.milliseconds), .int(user.version))
        try Self.putGrants(user, in: transaction)
    }

    static func update(_ user: User, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE users SET password_hash = $2, state = $3, version = $4 WHERE user_id = $1", .text(user.id),
            .text(user.passwordHash), .text(user.state.rawValue), .int(user.version))
        try Self.putGrants(user, in: transaction)
    }

    /// Replaces the hash of a password by another of the same. - Returns: whether it was still the one that `user` had.
    static func renewHash(of user: User, _ hash: String, in transaction: Transaction) throws -> Bool {
        try transaction.execute(
            "UPDATE users SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2", .text(user.id),
            .text(user.passwordHash), .text(hash)) > 0
    }

    /// The name becomes one that tells nothing; the account stays under its id.
    static func eraseName(of user: User, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE users SET name = $2 WHERE user_id = $1", .text(user.id),
            .text(Self.erasedName(of: user.id)))
    }

    /// What stands in the place of the name of somebody who was erased.
    static func erasedName(of id: String) -> String { "erased-\(id.dropFirst(User.idPrefix.count))" }

    private static func putGrants(_ user: User, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM grants WHERE user_id = $1", .text(user.id))
        for grant in user.grants {
            try transaction.execute(
                "INSERT INTO grants (tenant, user_id, role) VALUES ($1, $2, $3)", .text(grant.tenant ?? ""),
                .text(user.id), .text(grant.role.rawValue))
        }
    }

    private static func withGrants(_ user: User, in store: any Queryable) throws -> User {
        let held: [(role: String, tenant: String)] = try store.rows(
            "SELECT role, tenant FROM grants WHERE user_id = $1 ORDER BY tenant, role", .text(user.id)
        ) { (row: Row) throws(StoreError) -> (role: String, tenant: String) in (try row.text(0), try row.text(1)) }
        var grants: [Grant] = []
        for one in held {
            // A role that is there no more gives nothing.
            guard let role: Role = try RoleTable.find(one.role, tenant: one.tenant, in: store) else { continue }
            grants.append(Grant(role: role, tenant: one.tenant.isEmpty ? nil : one.tenant))
        }
        return User(
            id: user.id, name: user.name, passwordHash: user.passwordHash, state: user.state, grants: grants,
            inherited: try GroupTable.grants(ofMember: user.id, in: store)
                + ProviderTable.grants(of: user.id, in: store),
            createdAt: user.createdAt,
            version: user.version)
    }

    private static func decode(_ row: Row) throws(StoreError) -> User {
        User(
            id: try row.text(0), name: try row.text(1), passwordHash: try row.text(2),
            state: User.State(rawValue: try row.text(3)) ?? .disabled, grants: [],
            createdAt: Timestamp(milliseconds: try row.int(4)), version: try row.int(5))
    }
}

/// The table `sessions`.
enum SessionTable {
    private static let columns: String =
        "session_id, user_id, ip, created_at, expires_at, revoked_at, second_factor_at, provider, methods"

    static func find(_ id: String, in store: any Queryable) throws -> Session? {
        try store.first(
            "SELECT \(Self.columns) FROM sessions WHERE session_id = $1", .text(id), decode: Self.decode)
    }

    static func of(user: String, after: String, limit: Int, in store: any Queryable) throws -> [Session] {
        try store.rows(
            """
            SELECT \(Self.columns) FROM sessions WHERE user_id = $1 AND session_id > $2 ORDER BY session_id LIMIT $3
            """, .text(user), .text(after), .int(Int64(limit)), decode: Self.decode)
    }

    /// Sessions that have not expired and do not work any more: what authentication must know.
    static func revoked(now: Timestamp, in store: any Queryable) throws -> [String] {
        try store.rows(
            "SELECT session_id FROM sessions WHERE revoked_at IS NOT NULL AND expires_at > $1", .int(now.milliseconds)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }

    static func insert(_ session: Session, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO sessions (session_id, user_id, ip, created_at, expires_at, second_factor_at, provider, methods)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            """, .text(session.id), .text(session.userID), .text(session.ip), .int(session.createdAt.milliseconds),
            .int(session.expiresAt.milliseconds), session.secondFactorAt.map { .int($0.milliseconds) } ?? .null,
            session.provider.map { .text($0) } ?? .null, .text(session.methods.joined(separator: " ")))
    }

    /// Notes that the user has shown a second factor, for the first time or again.
    static func stepUp(_ id: String, by methods: [String], in transaction: Transaction) throws {
        guard let session: Session = try Self.find(id, in: transaction) else { return }
        let all: [String] =
            session.methods.filter { $0 != "mfa" } + methods.filter { !session.methods.contains($0) } + ["mfa"]
        try transaction.execute(
            "UPDATE sessions SET second_factor_at = $2, methods = $3 WHERE session_id = $1", .text(id),
            .int(transaction.now.milliseconds), .text(all.joined(separator: " ")))
    }

    /// - Returns: the sessions that worked until now.
    static func revokeAll(ofUser user: String, in transaction: Transaction) throws -> [String] {
        let ended: [String] = try transaction.rows(
            """
            UPDATE sessions SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
            RETURNING session_id
            """, .text(user), .int(transaction.now.milliseconds)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
        try RevocationTable.add(sessions: ended, in: transaction)
        return ended
    }

    /// Those that a provider has opened. - Returns: the sessions that worked until now.
    static func revokeAll(ofUser user: String, provider: String, in transaction: Transaction) throws -> [String] {
        let ended: [String] = try transaction.rows(
            """
            UPDATE sessions SET revoked_at = $2
            WHERE user_id = $1 AND provider = $3 AND revoked_at IS NULL AND expires_at > $2 RETURNING session_id
            """, .text(user), .int(transaction.now.milliseconds), .text(provider)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
        try RevocationTable.add(sessions: ended, in: transaction)
        return ended
    }

    /// - Returns: whether the session worked until now.
    static func revoke(_ id: String, in transaction: Transaction) throws -> Bool {
        let count: Int = try transaction.execute(
            "UPDATE sessions SET revoked_at = $2 WHERE session_id = $1 AND revoked_at IS NULL AND expires_at > $2",
            .text(id), .int(transaction.now.milliseconds))
        if count > 0 { try RevocationTable.add(sessions: [id], in: transaction) }
        return count > 0
    }

    /// As written; of a session from before they were, what can be said.
    private static func methods(of row: Row) throws(StoreError) -> [String] {
        if let written: String = try row.optionalText(8) { return written.split(separator: " ").map(String.init) }
        let hasSecondFactor: Bool = try !row.isNull(6)
        if try !row.isNull(7) { return hasSecondFactor ? ["mfa"] : [] }
        return hasSecondFactor ? ["pwd", "otp", "mfa"] : ["pwd"]
    }

    private static func decode(_ row: Row) throws(StoreError) -> Session {
        Session(
            id: try row.text(0), userID: try row.text(1), ip: try row.text(2),
            createdAt: Timestamp(milliseconds: try row.int(3)), expiresAt: Timestamp(milliseconds: try row.int(4)),
            isRevoked: try !row.isNull(5),
            secondFactorAt: try row.optionalInt(6).map { Timestamp(milliseconds: $0) },
            provider: try row.optionalText(7),
            methods: try Self.methods(of: row))
    }
}
