import Contracts
import Store
import Time

/// The table `service_accounts`.
enum ServiceAccountTable {
    private static let columns: String = "tenant, account_id, name, state, roles, created_by, created_at, version"

    /// - Parameter reference: the account's id or name.
    static func find(_ reference: String, tenant: String, in store: any Queryable) throws -> ServiceAccount? {
        let column: String = reference.hasPrefix(ServiceAccount.idPrefix) ? "account_id" : "name"
        let found: Stored? = try store.first(
            "SELECT \(Self.columns) FROM service_accounts WHERE tenant = $1 AND \(column) = $2", .text(tenant),
            .text(reference), decode: Self.decode)
        return try found.map { try $0.account(in: store) }
    }

    /// One by its id, in whichever tenant: for authentication, which learns the tenant by it.
    static func find(id: String, in store: any Queryable) throws -> ServiceAccount? {
        let found: Stored? = try store.first(
            "SELECT \(Self.columns) FROM service_accounts WHERE account_id = $1", .text(id), decode: Self.decode)
        return try found.map { try $0.account(in: store) }
    }

    /// By name.
    static func all(tenant: String, after: String, limit: Int, in store: any Queryable) throws -> [ServiceAccount] {
        let found: [Stored] = try store.rows(
            "SELECT \(Self.columns) FROM service_accounts WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3",
            .text(tenant), .text(after), .int(Int64(limit)), decode: Self.decode)
        return try found.map { try $0.account(in: store) }
    }

    static func insert(_ account: ServiceAccount, in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO service_accounts (\(Self.columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            .text(account.tenant), .text(account.id), .text(account.name), .text(account.state.rawValue),
            .text(RoleNames.text(account.roles)), .text(account.createdBy), .int(account.createdAt.milliseconds),
            .int(account.version))
    }

    static func update(_ account: ServiceAccount, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE service_accounts SET state = $3, roles = $4, version = $5 WHERE tenant = $1 AND account_id = $2",
            .text(account.tenant), .text(account.id), .text(account.state.rawValue),
            .text(RoleNames.text(account.roles)), .int(account.version))
    }

    static func delete(_ account: ServiceAccount, in transaction: Transaction) throws {
        try transaction.execute(
            "DELETE FROM service_accounts WHERE tenant = $1 AND account_id = $2", .text(account.tenant),
            .text(account.id))
    }

    private struct Stored {
        let tenant: String
        let id: String
        let name: String
        let state: User.State
        let roles: String
        let createdBy: String
        let createdAt: Timestamp
        let version: Int64

        func account(in store: any Queryable) throws -> ServiceAccount {
            ServiceAccount(
                tenant: self.tenant, id: self.id, name: self.name, state: self.state,
                roles: try RoleNames.read(self.roles, tenant: self.tenant, in: store), createdBy: self.createdBy,
                createdAt: self.createdAt, version: self.version)
        }
    }

    private static func decode(_ row: Row) throws(StoreError) -> Stored {
        Stored(
            tenant: try row.text(0), id: try row.text(1), name: try row.text(2),
            state: User.State(rawValue: try row.text(3)) ?? .disabled, roles: try row.text(4),
            createdBy: try row.text(5), createdAt: Timestamp(milliseconds: try row.int(6)), version: try row.int(7))
    }
}
