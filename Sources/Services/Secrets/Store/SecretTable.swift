import Contracts
import Store
import Time

/// The tables `secrets` and `secret_versions`.
enum SecretTable {
    private static let columns: String =
        "tenant, name, description, version, created_at, updated_at, updated_by"

    /// What a version's value is sealed under.
    static func sealName(_ name: String, version: Int64) -> String { "secret/\(name)/\(version)" }

    private static func secret(_ row: Row) throws -> Secret {
        Secret(
            tenant: try row.text(0), name: try row.text(1), description: try row.text(2), version: try row.int(3),
            createdAt: Timestamp(milliseconds: try row.int(4)), updatedAt: Timestamp(milliseconds: try row.int(5)),
            updatedBy: try row.text(6))
    }

    static func find(_ name: String, tenant: String, in store: any Queryable) throws -> Secret? {
        try store.first(
            "SELECT \(Self.columns) FROM secrets WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL",
            .text(tenant), .text(name), decode: Self.secret(_:))
    }

    /// The last version a name ever had, also when it was deleted; 0 when it had none.
    static func lastVersion(_ name: String, tenant: String, in store: any Queryable) throws -> Int64 {
        try store.first(
            "SELECT version FROM secrets WHERE tenant = $1 AND name = $2", .text(tenant), .text(name)
        ) { try $0.int(0) } ?? 0
    }

    /// By name.
    static func all(tenant: String, after: String, limit: Int, in store: any Queryable) throws -> [Secret] {
        try store.rows(
            """
            SELECT \(Self.columns) FROM secrets WHERE tenant = $1 AND name > $2 AND deleted_at IS NULL
            ORDER BY name LIMIT $3
            """, .text(tenant), .text(after), .int(Int64(limit)), decode: Self.secret(_:))
    }

    /// The secrets a tenant has.
    static let counted: String = "FROM secrets WHERE tenant = $1 AND deleted_at IS NULL"

    static func count(tenant: String, in store: any Queryable) throws -> Int64 {
        try store.first("SELECT count(*) \(Self.counted)", .text(tenant)) { try $0.int(0) } ?? 0
    }

    /// Writes a secret with a further version, and destroys the oldest of too many.
    static func put(_ secret: Secret, sealed: [UInt8], in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO secrets (tenant, name, description, version, created_at, updated_at, updated_by)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (tenant, name) DO UPDATE SET description = excluded.description, version = excluded.version,
                created_at = excluded.created_at, updated_at = excluded.updated_at, updated_by = excluded.updated_by,
                deleted_at = NULL
            """, .text(secret.tenant), .text(secret.name), .text(secret.description), .int(secret.version),
            .int(secret.createdAt.milliseconds), .int(secret.updatedAt.milliseconds), .text(secret.updatedBy))
        try transaction.execute(
            """
            INSERT INTO secret_versions (tenant, name, version, sealed, created_at, created_by)
            VALUES ($1, $2, $3, $4, $5, $6)
            """, .text(secret.tenant), .text(secret.name), .int(secret.version), .bytes(sealed),
            .int(secret.updatedAt.milliseconds), .text(secret.updatedBy))
        try transaction.execute(
            "DELETE FROM secret_versions WHERE tenant = $1 AND name = $2 AND version <= $3", .text(secret.tenant),
            .text(secret.name), .int(secret.version - Int64(Secret.versionsMax)))
    }

    static func setDescription(_ secret: Secret, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE secrets SET description = $3, updated_at = $4, updated_by = $5 WHERE tenant = $1 AND name = $2",
            .text(secret.tenant), .text(secret.name), .text(secret.description), .int(secret.updatedAt.milliseconds),
            .text(secret.updatedBy))
    }

    /// Destroys every value; the name keeps its count.
    static func delete(_ secret: Secret, in transaction: Transaction) throws {
        try transaction.execute(
            "DELETE FROM secret_versions WHERE tenant = $1 AND name = $2", .text(secret.tenant), .text(secret.name))
        try transaction.execute(
            "UPDATE secrets SET deleted_at = $3, description = '' WHERE tenant = $1 AND name = $2",
            .text(secret.tenant), .text(secret.name), .int(transaction.now.milliseconds))
    }

    /// The newest first.
    static func versions(_ secret: Secret, in store: any Queryable) throws -> [SecretVersion] {
        try store.rows(
            """
            SELECT version, created_at, created_by FROM secret_versions WHERE tenant = $1 AND name = $2
            ORDER BY version DESC
            """, .text(secret.tenant), .text(secret.name)
        ) {
            SecretVersion(
                version: try $0.int(0), createdAt: Timestamp(milliseconds: try $0.int(1)), createdBy: try $0.text(2))
        }
    }

    /// - Returns: whether there was such a version.
    static func deleteVersion(_ version: Int64, of secret: Secret, in transaction: Transaction) throws -> Bool {
        try transaction.execute(
            "DELETE FROM secret_versions WHERE tenant = $1 AND name = $2 AND version = $3", .text(secret.tenant),
            .text(secret.name), .int(version)) > 0
    }

    /// The value of a version; nil when there is no such version.
    static func value(
        _ name: String, version: Int64, tenant: String, _ sealer: any TenantSealer, in store: any Queryable
    ) throws -> String? {
        let sealed: [UInt8]? = try store.first(
            "SELECT sealed FROM secret_versions WHERE tenant = $1 AND name = $2 AND version = $3", .text(tenant),
            .text(name), .int(version)
        ) { try $0.bytes(0) }
        guard let sealed: [UInt8] else { return nil }
        let value: [UInt8]? = try sealer.open(
            sealed, name: Self.sealName(name, version: version), tenant: tenant, key: "", in: store)
        return value.map { String(decoding: $0, as: UTF8.self) }
    }
}
