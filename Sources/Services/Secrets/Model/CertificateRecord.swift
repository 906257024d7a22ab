import Bytes
import Crypto
import JSON
import Time

/// A certificate that was issued, as it is kept: everything but its key.
struct CertificateRecord: Sendable {
    enum Purpose: String, Sendable {
        /// Asked for by somebody who keeps its key.
        case general = ""
        /// Of a gateway, for its link: its holder is `group/id`.
        case gateway
        /// What the platform's own servers show: its holder is the names. Its key is kept sealed.
        case controlPlane = "control-plane"
    }

    enum State: String, Sendable, CaseIterable {
        case valid
        case expired
        case revoked
    }

    /// '' is the platform.
    let tenant: String
    let id: String
    let authority: String
    /// Hexadecimal, 32 digits.
    let serial: String
    let fingerprint: String
    let commonName: String
    let names: [String]
    let usage: IssuingAuthority.Usage
    let purpose: Purpose
    let holder: String
    /// Seconds since 1970 UTC, as the certificate says.
    let notBefore: Int64
    let notAfter: Int64
    let pem: String
    /// The certificate it follows.
    let renews: String?
    /// The one that follows it.
    var renewedBy: String?
    var revokedAt: Timestamp?
    var reason: RevocationReason?
    let createdAt: Timestamp
    let createdBy: String

    func state(at now: Timestamp) -> State {
        if self.revokedAt != nil { return .revoked }
        return self.notAfter <= now.seconds ? .expired : .valid
    }

    /// As answers and the audit log have it.
    func object(at now: Timestamp) -> JSONObject {
        [
            "id": .string(self.id), "tenant": self.tenant.isEmpty ? .null : .string(self.tenant),
            "authority": .string(self.authority), "serial": .string(self.serial),
            "fingerprint": .string(self.fingerprint), "common_name": .string(self.commonName),
            "names": .array(self.names.map { .string($0) }), "usage": .string(self.usage.rawValue),
            "purpose": .string(self.purpose == .general ? "general" : self.purpose.rawValue),
            "state": .string(self.state(at: now).rawValue),
            "not_before": .string(Timestamp(seconds: self.notBefore).rfc3339),
            "not_after": .string(Timestamp(seconds: self.notAfter).rfc3339),
            "renews": self.renews.map { .string($0) } ?? .null,
            "renewed_by": self.renewedBy.map { .string($0) } ?? .null,
            "revoked_at": self.revokedAt.map { .string($0.rfc3339) } ?? .null,
            "revocation_reason": self.reason.map { .string($0.rawValue) } ?? .null,
            "created_at": .string(self.createdAt.rfc3339), "created_by": .string(self.createdBy),
        ]
    }
}

/// An authority of a tenant, or with '' of the platform: a root, or one that issues below it.
struct AuthorityRecord: Sendable {
    enum Kind: String, Sendable {
        case root
        case issuing
    }

    let tenant: String
    let id: String
    let kind: Kind
    /// Of issuing ones: counts up from 1; the newest issues. A root has 0.
    let generation: Int64
    let pem: String
    /// The key, sealed.
    let sealed: [UInt8]
    /// Seconds since 1970 UTC.
    let notAfter: Int64
    /// The number of its newest list of revoked certificates; 0 before the first.
    let listNumber: Int64
    let createdAt: Timestamp

    /// Under what its key is sealed.
    static func sealName(_ id: String) -> String { "authority/\(id)" }

    func json(url: (String) -> String) -> JSONValue {
        let fingerprint: [UInt8] = (try? Certificate.chain(pem: self.pem).first?.fingerprint) ?? []
        return .object([
            "id": .string(self.id), "generation": .int(self.generation),
            "not_after": .string(Timestamp(seconds: self.notAfter).rfc3339),
            "fingerprint": .string(Hex.encode(fingerprint)), "certificate": .string(self.pem),
            "revocation_list": .string(url("/v1/pki/\(self.id)/crl")), "created_at": .string(self.createdAt.rfc3339),
        ])
    }
}
