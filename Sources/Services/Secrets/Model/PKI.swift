import Bytes
import Contracts
import Crypto
import EventLog
import HTTP
import Identifiers
import JSON
import REST
import Store
import Time

/// The authorities of tenants and of the platform, within the transaction of the change: makes them where they are missing, issues,
/// revokes, and keeps the lists of what was revoked.
///
/// ```
/// root (20 years, pathlen 1)          its key signs only what follows
///  └ issuing authority (5 years, pathlen 0, name constraints)   the newest generation issues
///     └ certificates (a minute to 398 days)
/// ```
/// Keys of authorities are sealed by the key ring as everything is, and open only here, for one signature.
struct PKI: Sendable {
    /// '' in place of a tenant: the platform itself.
    static let platform: String = ""

    let sealer: KeyRingSealer
    /// Where the control plane is reached by those who check certificates, without a slash at its end.
    let publicURL: String
    /// Hears of what was revoked; nil: only lists tell of it.
    var gateways: (any GatewayRevocations)?

    /// What is to be issued.
    struct Order: Sendable {
        var key: PublicKey
        var commonName: String
        var names: [String]
        var uris: [String] = []
        var usage: IssuingAuthority.Usage
        /// Seconds.
        var lifetime: Int64
        var purpose: CertificateRecord.Purpose = .general
        var holder: String = ""
        var renews: String?
        /// The key, where the platform keeps it.
        var kept: PrivateKey?
    }

    struct Issued: Sendable {
        let record: CertificateRecord
        /// The certificate and the one it was issued by, PEM.
        let chain: String
    }

    func url(_ path: String) -> String { self.publicURL + path }

    // MARK: Authorities

    /// The root, made where it is missing.
    private func root(_ tenant: String, _ author: Author, in transaction: Transaction) throws -> AuthorityRecord {
        if let root: AuthorityRecord = try AuthorityTable.root(tenant: tenant, in: transaction) { return root }
        let now: Int64 = transaction.now.seconds
        let made: IssuingAuthority = try .root(
            name: "\(Self.title(tenant)) root", organization: Self.organization(tenant),
            validity: (now - CertificateRules.backdated, now + CertificateRules.rootLifetime))
        return try self.keep(made, tenant, .root, generation: 0, allowed: [], author, in: transaction)
    }

    /// The authority that issues, made where it is missing or has too little time left.
    func issuing(_ tenant: String, _ author: Author, in transaction: Transaction) throws -> AuthorityRecord {
        let newest: AuthorityRecord? = try AuthorityTable.issuing(tenant: tenant, in: transaction).first
        if let newest: AuthorityRecord, newest.notAfter - transaction.now.seconds > CertificateRules.issuingLeft {
            return newest
        }
        return try self.nextIssuing(tenant, author, in: transaction)
    }

    /// The next generation of the authority that issues. Those before go on being good for what they issued.
    func nextIssuing(_ tenant: String, _ author: Author, in transaction: Transaction) throws -> AuthorityRecord {
        let root: AuthorityRecord = try self.root(tenant, author, in: transaction)
        let generation: Int64 =
            (try AuthorityTable.issuing(tenant: tenant, in: transaction).first?.generation ?? 0) + 1
        let allowed: [String] = try AuthorityTable.allowed(tenant: tenant, in: transaction)
        let now: Int64 = transaction.now.seconds
        let made: IssuingAuthority = try self.open(root, in: transaction).intermediate(
            name: "\(Self.title(tenant)) issuing \(generation)", organization: Self.organization(tenant),
            validity: (
                now - CertificateRules.backdated, min(now + CertificateRules.issuingLifetime, root.notAfter)
            ), constraints: tenant == Self.platform ? nil : CertificateRules.constraints(allowed),
            places: self.places(root.id))
        return try self.keep(
            made, tenant, .issuing, generation: generation, allowed: allowed, author, in: transaction)
    }

    private static func title(_ tenant: String) -> String {
        tenant == Self.platform ? "Passerelle" : "Passerelle \(tenant)"
    }

    private static func organization(_ tenant: String) -> String {
        tenant == Self.platform ? "Passerelle platform" : tenant
    }

    private func places(_ authority: String) -> IssuingAuthority.Places {
        IssuingAuthority.Places(
            revocationList: self.url("/v1/pki/\(authority)/crl"), issuer: self.url("/v1/pki/\(authority)/certificate"))
    }

    private func keep(
        _ made: IssuingAuthority, _ tenant: String, _ kind: AuthorityRecord.Kind, generation: Int64, allowed: [String],
        _ author: Author, in transaction: Transaction
    ) throws -> AuthorityRecord {
        let id: String = Identifier.make("pki", now: transaction.now)
        let record: AuthorityRecord = AuthorityRecord(
            tenant: tenant, id: id, kind: kind, generation: generation, pem: try made.identity.certificate.pem(),
            sealed: try self.sealer.seal(
                Array(try made.identity.key.pem().utf8), name: AuthorityRecord.sealName(id), tenant: tenant, key: "",
                in: transaction), notAfter: made.identity.certificate.validity.notAfter, listNumber: 0,
            createdAt: transaction.now)
        try AuthorityTable.insert(record, in: transaction)
        try self.writeList(record, made, in: transaction)
        try author.audit(
            "certificate-authority.created", tenant: tenant,
            resource: AuditEntry.Resource(type: "certificate-authority", id: id, version: generation),
            changes: [
                "kind": .string(kind.rawValue), "generation": .int(generation),
                "fingerprint": .string(Hex.encode(made.identity.certificate.fingerprint)),
                "not_after": .string(Timestamp(seconds: record.notAfter).rfc3339),
                "allowed_names": .array(allowed.map { .string($0) }),
            ], in: transaction)
        return record
    }

    private func open(_ record: AuthorityRecord, in store: any Queryable) throws -> IssuingAuthority {
        guard
            let pem: [UInt8] = try self.sealer.open(
                record.sealed, name: AuthorityRecord.sealName(record.id), tenant: record.tenant, key: "", in: store),
            let certificate: Certificate = try Certificate.chain(pem: record.pem).first
        else { throw APIProblem.conflict("The key of the authority '\(record.id)' was destroyed.") }
        return IssuingAuthority(
            CertifiedKey(certificate: certificate, key: try PrivateKey(pem: String(decoding: pem, as: UTF8.self))))
    }

    // MARK: Certificates

    /// Issues and keeps what was ordered; whoever orders has checked it.
    func issue(
        _ order: Order, tenant: String, _ author: Author, in transaction: Transaction
    ) throws -> Issued {
        guard
            try IssuedTable.countValid(tenant: tenant, now: transaction.now, in: transaction)
                < CertificateRules.countMax
        else {
            throw APIProblem.conflict(
                "There are \(CertificateRules.countMax) certificates that have not ended. Revoke what is not needed.")
        }
        let authority: AuthorityRecord = try self.issuing(tenant, author, in: transaction)
        let now: Int64 = transaction.now.seconds
        let certificate: Certificate = try self.open(authority, in: transaction).issue(
            IssuingAuthority.Wish(
                commonName: order.commonName, organization: Self.organization(tenant), names: order.names,
                uris: order.uris, usage: order.usage,
                validity: (now - CertificateRules.backdated, now + order.lifetime)),
            for: order.key, places: self.places(authority.id))
        let id: String = Identifier.make("crt", now: transaction.now)
        let validity: (notBefore: Int64, notAfter: Int64) = certificate.validity
        let record: CertificateRecord = CertificateRecord(
            tenant: tenant, id: id, authority: authority.id, serial: Hex.encode(certificate.serial),
            fingerprint: Hex.encode(certificate.fingerprint), commonName: order.commonName, names: order.names,
            usage: order.usage, purpose: order.purpose, holder: order.holder, notBefore: validity.notBefore,
            notAfter: validity.notAfter, pem: try certificate.pem(), renews: order.renews, renewedBy: nil,
            revokedAt: nil, reason: nil, createdAt: transaction.now, createdBy: author.caller.id)
        var sealed: [UInt8]?
        if let kept: PrivateKey = order.kept {
            sealed = try self.sealer.seal(
                Array(try kept.pem().utf8), name: IssuedTable.sealName(id), tenant: tenant, key: "", in: transaction)
        }
        try IssuedTable.insert(record, sealed: sealed, in: transaction)
        try Self.audit(
            order.renews == nil ? "certificate.issued" : "certificate.renewed", record, author, in: transaction)
        return Issued(record: record, chain: record.pem + authority.pem)
    }

    static func audit(
        _ event: String, _ record: CertificateRecord, _ author: Author, in transaction: Transaction
    ) throws {
        try author.audit(
            event, tenant: record.tenant, resource: AuditEntry.Resource(type: "certificate", id: record.id),
            changes: record.object(at: transaction.now), in: transaction)
    }

    /// Revokes at once: the next list that anybody gets names it.
    func revoke(
        _ record: CertificateRecord, _ reason: RevocationReason, _ author: Author, in transaction: Transaction
    ) throws -> CertificateRecord {
        try IssuedTable.revoke(record, reason, in: transaction)
        var revoked: CertificateRecord = record
        revoked.revokedAt = transaction.now
        revoked.reason = reason
        if let authority: AuthorityRecord = try AuthorityTable.find(
            record.authority, tenant: record.tenant, in: transaction)
        {
            try self.renewList(authority, in: transaction)
        }
        // Those of gateways and of the control plane open no connection to a gateway.
        if record.purpose == .general, record.usage != .server {
            try self.gateways?.revoke(
                certificate: record.fingerprint, ends: Timestamp(seconds: record.notAfter), in: transaction)
        }
        try Self.audit("certificate.revoked", revoked, author, in: transaction)
        return revoked
    }

    // MARK: Lists

    /// Signs the list of an authority anew.
    func renewList(_ authority: AuthorityRecord, in transaction: Transaction) throws {
        try self.writeList(authority, try self.open(authority, in: transaction), in: transaction)
    }

    private func writeList(
        _ record: AuthorityRecord, _ authority: IssuingAuthority, in transaction: Transaction
    ) throws {
        let now: Int64 = transaction.now.seconds
        let number: Int64 = record.listNumber + 1
        let next: Int64 = now + CertificateRules.listLifetime
        let bytes: [UInt8] = try authority.revocationList(
            number: number, thisUpdate: now - CertificateRules.backdated, nextUpdate: next,
            revoked: try IssuedTable.revoked(by: record.id, now: transaction.now, in: transaction))
        try AuthorityTable.setList(bytes, number: number, of: record, nextAt: next, in: transaction)
    }
}
