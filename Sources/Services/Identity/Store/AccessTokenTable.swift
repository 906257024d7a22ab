import Contracts
import Store
import Time

/// The table `access_tokens`.
enum AccessTokenTable {
    private static let columns: String =
        "tenant, owner_id, token_id, name, sha256, hint, scopes, created_at, expires_at"

    static func insert(_ token: AccessToken, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO access_tokens (\(Self.columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            """, .text(token.tenant), .text(token.ownerID), .text(token.id), .text(token.name), .text(token.sha256),
            .text(token.hint), .text(token.scopes.map(\.description).joined(separator: " ")),
            .int(token.createdAt.milliseconds), .int(token.expiresAt.milliseconds))
    }

    /// One that works, by its hash.
    static func find(sha256: String, now: Timestamp, in store: any Queryable) throws -> AccessToken? {
        try store.first(
            """
            SELECT \(Self.columns) FROM access_tokens WHERE sha256 = $1 AND revoked_at IS NULL AND expires_at > $2
            """, .text(sha256), .int(now.milliseconds), decode: Self.decode)
    }

    /// Those of an owner that work, by id.
    static func of(
        owner: String, after: String, limit: Int, now: Timestamp, in store: any Queryable
    ) throws -> [AccessToken] {
        try store.rows(
            """
            SELECT \(Self.columns) FROM access_tokens
            WHERE owner_id = $1 AND token_id > $2 AND revoked_at IS NULL AND expires_at > $3 ORDER BY token_id LIMIT $4
            """, .text(owner), .text(after), .int(now.milliseconds), .int(Int64(limit)), decode: Self.decode)
    }

    /// - Returns: whether it worked until now.
    static func revoke(_ id: String, owner: String, in transaction: Transaction) throws -> Bool {
        try transaction.execute(
            """
            UPDATE access_tokens SET revoked_at = $3
            WHERE token_id = $1 AND owner_id = $2 AND revoked_at IS NULL AND expires_at > $3
            """, .text(id), .text(owner), .int(transaction.now.milliseconds)) > 0
    }

    /// - Returns: the tokens that worked until now.
    static func revokeAll(owner: String, in transaction: Transaction) throws -> [String] {
        try transaction.rows(
            """
            UPDATE access_tokens SET revoked_at = $2 WHERE owner_id = $1 AND revoked_at IS NULL AND expires_at > $2
            RETURNING token_id
            """, .text(owner), .int(transaction.now.milliseconds)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }

    /// Tokens that have not expired and do not work any more: what authentication must know.
    static func revoked(now: Timestamp, in store: any Queryable) throws -> [String] {
        try store.rows(
            "SELECT token_id FROM access_tokens WHERE revoked_at IS NOT NULL AND expires_at > $1",
            .int(now.milliseconds)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }

    static func isRevoked(_ id: String, in store: any Queryable) throws -> Bool {
        try store.first("SELECT 1 FROM access_tokens WHERE token_id = $1 AND revoked_at IS NULL", .text(id)) {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        } == nil
    }

    private static func decode(_ row: Row) throws(StoreError) -> AccessToken {
        AccessToken(
            tenant: try row.text(0), ownerID: try row.text(1), id: try row.text(2), name: try row.text(3),
            sha256: try row.text(4), hint: try row.text(5),
            scopes: try row.text(6).split(separator: " ").compactMap { Permission(parsing: String($0)) },
            createdAt: Timestamp(milliseconds: try row.int(7)), expiresAt: Timestamp(milliseconds: try row.int(8)))
    }
}
