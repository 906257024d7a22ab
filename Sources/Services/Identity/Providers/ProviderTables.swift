import Contracts
import Store
import Time

/// Who at a provider is which user.
struct ProviderIdentity: Sendable {
    /// `ProviderPerson.identity`.
    let identity: String
    let userID: String
    let provider: String
    /// When the provider said which roles the user has: older tokens change nothing.
    let saidAt: Timestamp
    /// Tokens of the provider that were made before do not work any more.
    let tokensAfter: Timestamp
}

/// The tables `provider_identities` and `provider_grants`.
enum ProviderTable {
    private static let columns: String = "identity, user_id, provider, said_at, tokens_after"

    /// Who a user is at providers.
    static func of(user: String, in store: any Queryable) throws -> [ProviderIdentity] {
        try store.rows(
            "SELECT \(Self.columns) FROM provider_identities WHERE user_id = $1 ORDER BY provider, identity",
            .text(user), decode: Self.decode)
    }

    static func find(_ identity: String, in store: any Queryable) throws -> ProviderIdentity? {
        try store.first(
            "SELECT \(Self.columns) FROM provider_identities WHERE identity = $1", .text(identity), decode: Self.decode)
    }

    static func insert(_ identity: ProviderIdentity, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO provider_identities (identity, user_id, provider, said_at, tokens_after, created_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            """, .text(identity.identity), .text(identity.userID), .text(identity.provider),
            .int(identity.saidAt.milliseconds), .int(identity.tokensAfter.milliseconds),
            .int(transaction.now.milliseconds))
    }

    static func said(_ identity: String, at: Timestamp, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE provider_identities SET said_at = $2 WHERE identity = $1", .text(identity), .int(at.milliseconds))
    }

    /// Ends the tokens that providers have made for a user until now.
    static func endTokens(ofUser user: String, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE provider_identities SET tokens_after = $2 WHERE user_id = $1", .text(user),
            .int(transaction.now.milliseconds))
    }

    /// Since when tokens of providers work for a user.
    static func tokensAfter(user: String, in store: any Queryable) throws -> Timestamp? {
        try store.first("SELECT max(tokens_after) FROM provider_identities WHERE user_id = $1", .text(user)) {
            (row: Row) throws(StoreError) -> Timestamp? in
            try row.optionalInt(0).map { Timestamp(milliseconds: $0) }
        } ?? nil
    }

    private static func decode(_ row: Row) throws(StoreError) -> ProviderIdentity {
        ProviderIdentity(
            identity: try row.text(0), userID: try row.text(1), provider: try row.text(2),
            saidAt: Timestamp(milliseconds: try row.int(3)), tokensAfter: Timestamp(milliseconds: try row.int(4)))
    }

    /// Users with roles or open sessions of providers that are not among these.
    static func missing(
        from names: Set<String>, in transaction: Transaction
    ) throws -> [(user: String, provider: String)] {
        let found: [(user: String, provider: String)] = try transaction.rows(
            """
            SELECT user_id, provider FROM provider_grants UNION
            SELECT user_id, provider FROM sessions
            WHERE provider IS NOT NULL AND revoked_at IS NULL AND expires_at > $1 ORDER BY 1, 2
            """, .int(transaction.now.milliseconds)
        ) { (row: Row) throws(StoreError) -> (user: String, provider: String) in (try row.text(0), try row.text(1)) }
        return found.filter { !names.contains($0.provider) }
    }

    // MARK: Roles

    /// The roles that providers say a user has. A role that is there no more gives nothing.
    static func grants(of user: String, in store: any Queryable) throws -> [Grant] {
        let held: [(role: String, tenant: String, provider: String)] = try store.rows(
            "SELECT role, tenant, provider FROM provider_grants WHERE user_id = $1 ORDER BY tenant, role, provider",
            .text(user)
        ) { (row: Row) throws(StoreError) -> (role: String, tenant: String, provider: String) in
            (try row.text(0), try row.text(1), try row.text(2))
        }
        var grants: [Grant] = []
        for one in held {
            guard let role: Role = try RoleTable.find(one.role, tenant: one.tenant, in: store),
                role.reachesAllTenants == one.tenant.isEmpty
            else { continue }
            grants.append(
                Grant(role: role, tenant: one.tenant.isEmpty ? nil : one.tenant, provider: one.provider))
        }
        return grants
    }

    /// The roles as the provider said them last.
    static func roles(of user: String, provider: String, in store: any Queryable) throws -> Set<MappedRole> {
        Set(
            try store.rows(
                "SELECT role, tenant FROM provider_grants WHERE user_id = $1 AND provider = $2", .text(user),
                .text(provider)
            ) { (row: Row) throws(StoreError) -> MappedRole in
                let tenant: String = try row.text(1)
                return MappedRole(role: try row.text(0), tenant: tenant.isEmpty ? nil : tenant)
            })
    }

    static func setRoles(
        _ roles: [MappedRole], of user: String, provider: String, in transaction: Transaction
    ) throws {
        try transaction.execute(
            "DELETE FROM provider_grants WHERE user_id = $1 AND provider = $2", .text(user), .text(provider))
        for role in roles {
            try transaction.execute(
                "INSERT INTO provider_grants (tenant, user_id, provider, role) VALUES ($1, $2, $3, $4)",
                .text(role.tenant ?? ""), .text(user), .text(provider), .text(role.role))
        }
    }
}
