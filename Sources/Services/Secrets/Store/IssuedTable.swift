import Bytes
import Crypto
import JSON
import Store
import Time

/// The table `pki_certificates`.
enum IssuedTable {
    private static let columns: String = """
        tenant, certificate_id, authority_id, serial, fingerprint, common_name, names, cert_usage, purpose, holder,
        not_before, not_after, certificate, renews, renewed_by, revoked_at, reason, created_at, created_by
        """

    private static func record(_ row: Row) throws(StoreError) -> CertificateRecord {
        let names: [JSONValue] = (try? JSONReader.parse(try row.text(6)))?.elements ?? []
        return CertificateRecord(
            tenant: try row.text(0), id: try row.text(1), authority: try row.text(2), serial: try row.text(3),
            fingerprint: try row.text(4), commonName: try row.text(5), names: names.compactMap(\.text),
            usage: IssuingAuthority.Usage(rawValue: try row.text(7)) ?? .client,
            purpose: CertificateRecord.Purpose(rawValue: try row.text(8)) ?? .general, holder: try row.text(9),
            notBefore: try row.int(10), notAfter: try row.int(11), pem: try row.text(12),
            renews: try row.optionalText(13), renewedBy: try row.optionalText(14),
            revokedAt: try row.optionalInt(15).map { Timestamp(milliseconds: $0) },
            reason: try row.optionalText(16).flatMap { RevocationReason(rawValue: $0) },
            createdAt: Timestamp(milliseconds: try row.int(17)), createdBy: try row.text(18))
    }

    static func find(_ id: String, tenant: String, in store: any Queryable) throws -> CertificateRecord? {
        try store.first(
            "SELECT \(Self.columns) FROM pki_certificates WHERE tenant = $1 AND certificate_id = $2", .text(tenant),
            .text(id), decode: { (row: Row) throws(StoreError) -> CertificateRecord in try Self.record(row) })
    }

    /// The one with this SHA-256.
    static func find(fingerprint: [UInt8], tenant: String, in store: any Queryable) throws -> CertificateRecord? {
        try store.first(
            "SELECT \(Self.columns) FROM pki_certificates WHERE tenant = $1 AND fingerprint = $2", .text(tenant),
            .text(Hex.encode(fingerprint)),
            decode: { (row: Row) throws(StoreError) -> CertificateRecord in try Self.record(row) })
    }

    /// The newest of a holder.
    static func newest(
        _ purpose: CertificateRecord.Purpose, holder: String, tenant: String, in store: any Queryable
    ) throws -> CertificateRecord? {
        try store.first(
            """
            SELECT \(Self.columns) FROM pki_certificates WHERE tenant = $1 AND purpose = $2 AND holder = $3
            ORDER BY certificate_id DESC LIMIT 1
            """, .text(tenant), .text(purpose.rawValue), .text(holder),
            decode: { (row: Row) throws(StoreError) -> CertificateRecord in try Self.record(row) })
    }

    /// Which certificates a list is about.
    struct Filter: Sendable {
        var state: CertificateRecord.State?
        /// Only those that end before, seconds since 1970 UTC.
        var endsBefore: Int64?
    }

    /// The newest first.
    static func all(
        tenant: String, before: String?, _ filter: Filter, now: Timestamp, limit: Int, in store: any Queryable
    ) throws -> [CertificateRecord] {
        var condition: String = "tenant = $1 AND certificate_id < $2"
        switch filter.state {
        case nil: break
        case .revoked: condition += " AND revoked_at IS NOT NULL"
        case .expired: condition += " AND revoked_at IS NULL AND not_after <= $3"
        case .valid: condition += " AND revoked_at IS NULL AND not_after > $3"
        }
        // Named in every case: a parameter that a statement does not have is refused.
        condition += " AND ($3 >= 0) AND not_after <= $4"
        return try store.rows(
            """
            SELECT \(Self.columns) FROM pki_certificates WHERE \(condition) ORDER BY certificate_id DESC LIMIT $5
            """, .text(tenant), .text(before ?? "~"), .int(now.seconds), .int(filter.endsBefore ?? Int64.max),
            .int(Int64(limit)),
            decode: { (row: Row) throws(StoreError) -> CertificateRecord in try Self.record(row) })
    }

    static func countValid(tenant: String, now: Timestamp, in store: any Queryable) throws -> Int64 {
        try store.first(
            "SELECT count(*) FROM pki_certificates WHERE tenant = $1 AND not_after > $2 AND revoked_at IS NULL",
            .text(tenant), .int(now.seconds)
        ) { try $0.int(0) } ?? 0
    }

    /// - Parameter sealed: the key, where the platform keeps it.
    static func insert(_ record: CertificateRecord, sealed: [UInt8]?, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO pki_certificates
                (tenant, certificate_id, authority_id, serial, fingerprint, common_name, names, cert_usage, purpose,
                 holder, not_before, not_after, certificate, renews, sealed, alerted, created_at, created_by)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0, $16, $17)
            """, .text(record.tenant), .text(record.id), .text(record.authority), .text(record.serial),
            .text(record.fingerprint), .text(record.commonName),
            .text(JSONValue.array(record.names.map { .string($0) }).jsonText), .text(record.usage.rawValue),
            .text(record.purpose.rawValue), .text(record.holder), .int(record.notBefore), .int(record.notAfter),
            .text(record.pem), record.renews.map { .text($0) } ?? .null, sealed.map { .bytes($0) } ?? .null,
            .int(record.createdAt.milliseconds), .text(record.createdBy))
        guard let renews: String = record.renews else { return }
        try transaction.execute(
            "UPDATE pki_certificates SET renewed_by = $3 WHERE tenant = $1 AND certificate_id = $2",
            .text(record.tenant), .text(renews), .text(record.id))
    }

    static func revoke(
        _ record: CertificateRecord, _ reason: RevocationReason, in transaction: Transaction
    ) throws {
        try transaction.execute(
            "UPDATE pki_certificates SET revoked_at = $3, reason = $4 WHERE tenant = $1 AND certificate_id = $2",
            .text(record.tenant), .text(record.id), .int(transaction.now.milliseconds), .text(reason.rawValue))
    }

    /// What the list of an authority names: who was revoked and has not ended.
    static func revoked(by authority: String, now: Timestamp, in store: any Queryable) throws -> [RevokedCertificate] {
        try store.rows(
            """
            SELECT serial, revoked_at, reason FROM pki_certificates
            WHERE authority_id = $1 AND revoked_at IS NOT NULL AND not_after > $2 ORDER BY serial
            """, .text(authority), .int(now.seconds)
        ) {
            RevokedCertificate(
                serial: Hex.decode(try $0.text(0)) ?? [], at: try $0.int(1) / 1_000,
                reason: RevocationReason(rawValue: try $0.text(2)) ?? .unspecified)
        }
    }

    /// The key of a certificate where the platform keeps it, sealed.
    static func sealedKey(_ record: CertificateRecord, in store: any Queryable) throws -> [UInt8]? {
        try store.first(
            "SELECT sealed FROM pki_certificates WHERE tenant = $1 AND certificate_id = $2 AND sealed IS NOT NULL",
            .text(record.tenant), .text(record.id)
        ) { try $0.bytes(0) }
    }

    static func sealName(_ id: String) -> String { "certificate/\(id)" }

    // MARK: Ends

    /// Those that end soon and were neither renewed nor revoked, with the days they were told of last.
    static func ending(before: Int64, now: Timestamp, limit: Int, in store: any Queryable) throws -> [(
        record: CertificateRecord, told: Int64
    )] {
        try store.rows(
            """
            SELECT \(Self.columns), alerted FROM pki_certificates
            WHERE not_after > $1 AND not_after <= $2 AND revoked_at IS NULL AND renewed_by IS NULL
            ORDER BY not_after, certificate_id LIMIT $3
            """, .int(now.seconds), .int(before), .int(Int64(limit))
        ) { (row: Row) throws(StoreError) -> (record: CertificateRecord, told: Int64) in
            (try Self.record(row), try row.int(19))
        }
    }

    static func setAlerted(_ days: Int64, _ record: CertificateRecord, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE pki_certificates SET alerted = $3 WHERE tenant = $1 AND certificate_id = $2", .text(record.tenant),
            .text(record.id), .int(days))
    }
}
