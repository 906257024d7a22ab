import JSON
import Store
import Time

/// The tables `pki_authorities` and `pki_names`.
enum AuthorityTable {
    private static let columns: String =
        "tenant, authority_id, kind, generation, certificate, sealed, not_after, list_number, created_at"

    private static func authority(_ row: Row) throws(StoreError) -> AuthorityRecord {
        AuthorityRecord(
            tenant: try row.text(0), id: try row.text(1),
            kind: AuthorityRecord.Kind(rawValue: try row.text(2)) ?? .root,
            generation: try row.int(3), pem: try row.text(4), sealed: try row.bytes(5), notAfter: try row.int(6),
            listNumber: try row.int(7), createdAt: Timestamp(milliseconds: try row.int(8)))
    }

    static func root(tenant: String, in store: any Queryable) throws -> AuthorityRecord? {
        try store.first(
            "SELECT \(Self.columns) FROM pki_authorities WHERE tenant = $1 AND kind = 'root'", .text(tenant),
            decode: { (row: Row) throws(StoreError) -> AuthorityRecord in try Self.authority(row) })
    }

    /// Those that issue and have issued, the newest first.
    static func issuing(tenant: String, in store: any Queryable) throws -> [AuthorityRecord] {
        try store.rows(
            """
            SELECT \(Self.columns) FROM pki_authorities WHERE tenant = $1 AND kind = 'issuing' ORDER BY generation DESC
            """, .text(tenant),
            decode: { (row: Row) throws(StoreError) -> AuthorityRecord in try Self.authority(row) })
    }

    static func find(_ id: String, tenant: String, in store: any Queryable) throws -> AuthorityRecord? {
        try store.first(
            "SELECT \(Self.columns) FROM pki_authorities WHERE tenant = $1 AND authority_id = $2", .text(tenant),
            .text(id), decode: { (row: Row) throws(StoreError) -> AuthorityRecord in try Self.authority(row) })
    }

    static func insert(_ authority: AuthorityRecord, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO pki_authorities
                (tenant, authority_id, kind, generation, certificate, sealed, not_after, list_number, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8)
            """, .text(authority.tenant), .text(authority.id), .text(authority.kind.rawValue),
            .int(authority.generation), .text(authority.pem), .bytes(authority.sealed), .int(authority.notAfter),
            .int(authority.createdAt.milliseconds))
    }

    // MARK: Lists of revoked certificates

    static func setList(
        _ bytes: [UInt8], number: Int64, of authority: AuthorityRecord, nextAt: Int64, in transaction: Transaction
    ) throws {
        try transaction.execute(
            """
            UPDATE pki_authorities SET list = $3, list_number = $4, list_at = $5, list_next = $6
            WHERE tenant = $1 AND authority_id = $2
            """, .text(authority.tenant), .text(authority.id), .bytes(bytes), .int(number),
            .int(transaction.now.seconds), .int(nextAt))
    }

    /// The list of an authority that anybody may ask for: by its id alone, which says nothing of whose it is.
    static func list(_ id: String, in store: any Queryable) throws -> (
        bytes: [UInt8], number: Int64, at: Int64, next: Int64
    )? {
        try store.first(
            "SELECT list, list_number, list_at, list_next FROM pki_authorities WHERE authority_id = $1", .text(id)
        ) { (try $0.bytes(0), try $0.int(1), try $0.int(2), try $0.int(3)) }
    }

    static func certificate(_ id: String, in store: any Queryable) throws -> String? {
        try store.first("SELECT certificate FROM pki_authorities WHERE authority_id = $1", .text(id)) {
            try $0.text(0)
        }
    }

    /// Those whose list is older than that and who have not ended.
    static func due(listedBefore: Int64, now: Int64, limit: Int, in store: any Queryable) throws -> [AuthorityRecord] {
        try store.rows(
            """
            SELECT \(Self.columns) FROM pki_authorities WHERE list_at < $1 AND not_after > $2
            ORDER BY tenant, authority_id LIMIT $3
            """, .int(listedBefore), .int(now), .int(Int64(limit)),
            decode: { (row: Row) throws(StoreError) -> AuthorityRecord in try Self.authority(row) })
    }

    // MARK: Allowed names

    /// The domains and ranges of addresses a tenant may have certificates for.
    static func allowed(tenant: String, in store: any Queryable) throws -> [String] {
        let text: String? = try store.first("SELECT names FROM pki_names WHERE tenant = $1", .text(tenant)) {
            try $0.text(0)
        }
        return ((try? JSONReader.parse(text ?? "[]"))?.elements ?? []).compactMap(\.text)
    }

    static func setAllowed(_ names: [String], tenant: String, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO pki_names (tenant, names) VALUES ($1, $2)
            ON CONFLICT (tenant) DO UPDATE SET names = excluded.names
            """, .text(tenant), .text(JSONValue.array(names.map { .string($0) }).jsonText))
    }
}
