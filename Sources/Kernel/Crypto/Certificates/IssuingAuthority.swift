import COpenSSL
import Glibc

/// An authority of a PKI: signs certificates of others, and lists of those that are revoked (RFC 5280). Keys are P-256.
///
/// Where its key is kept, what it issued and who may ask is its owner's business. Cost: some 50 microseconds a signature.
package struct IssuingAuthority: Sendable {
    /// What a certificate is for.
    package enum Usage: String, Sendable, CaseIterable {
        case server
        case client
        case both

        var extended: String {
            switch self {
            case .server: "serverAuth"
            case .client: "clientAuth"
            case .both: "serverAuth,clientAuth"
            }
        }
    }

    /// Where those who check find the list of revoked certificates, and the certificate above.
    package struct Places: Sendable {
        package let revocationList: String
        package let issuer: String

        package init(revocationList: String, issuer: String) {
            self.revocationList = revocationList
            self.issuer = issuer
        }
    }

    /// What a certificate shall say.
    package struct Wish: Sendable {
        package var commonName: String
        package var organization: String?
        /// DNS names and IP addresses.
        package var names: [String]
        package var uris: [String]
        package var usage: Usage
        /// First and last second, since 1970 UTC.
        package var validity: (notBefore: Int64, notAfter: Int64)

        package init(
            commonName: String, organization: String?, names: [String], uris: [String] = [], usage: Usage,
            validity: (notBefore: Int64, notAfter: Int64)
        ) {
            self.commonName = commonName
            self.organization = organization
            self.names = names
            self.uris = uris
            self.usage = usage
            self.validity = validity
        }
    }

    /// Its certificate and its key.
    package let identity: CertifiedKey

    package init(_ identity: CertifiedKey) { self.identity = identity }

    // MARK: Authorities

    /// A root: signs itself, and one level of authorities below it.
    package static func root(
        name: String, organization: String?, validity: (notBefore: Int64, notAfter: Int64)
    ) throws(CryptoError) -> IssuingAuthority {
        let key: PrivateKey = try .generate(.p256)
        let draft: CertificateDraft = CertificateDraft(
            commonName: name, organization: organization, validity: validity,
            extensions: [
                (NID_basic_constraints, "critical,CA:TRUE,pathlen:1"),
                (NID_key_usage, "critical,keyCertSign,cRLSign"),
                (NID_subject_key_identifier, "hash"),
            ])
        return IssuingAuthority(
            CertifiedKey(certificate: try draft.signed(for: key.key, by: nil, own: key), key: key))
    }

    /// An authority below this one, which has none below itself.
    ///
    /// - Parameter constraints: the names it may issue for; nil: any.
    package func intermediate(
        name: String, organization: String?, validity: (notBefore: Int64, notAfter: Int64),
        constraints: NameConstraints?, places: Places?
    ) throws(CryptoError) -> IssuingAuthority {
        let key: PrivateKey = try .generate(.p256)
        var extensions: [(Int32, String)] = [
            (NID_basic_constraints, "critical,CA:TRUE,pathlen:0"),
            (NID_key_usage, "critical,keyCertSign,cRLSign"),
            (NID_subject_key_identifier, "hash"),
            (NID_authority_key_identifier, "keyid:always"),
        ]
        if let constraints: NameConstraints { extensions.append((NID_name_constraints, constraints.text)) }
        extensions += Self.extensions(of: places)
        let draft: CertificateDraft = CertificateDraft(
            commonName: name, organization: organization, validity: validity, extensions: extensions)
        return IssuingAuthority(
            CertifiedKey(certificate: try draft.signed(for: key.key, by: self.identity), key: key))
    }

    private static func extensions(of places: Places?) -> [(Int32, String)] {
        guard let places: Places else { return [] }
        var extensions: [(Int32, String)] = []
        if CertificateDraft.isCleanURI(places.revocationList) {
            extensions.append((NID_crl_distribution_points, "URI:\(places.revocationList)"))
        }
        if CertificateDraft.isCleanURI(places.issuer) {
            extensions.append((NID_info_access, "caIssuers;URI:\(places.issuer)"))
        }
        return extensions
    }

    // MARK: Certificates

    /// A certificate for `key`, which is not valid longer than this authority's own.
    ///
    /// - Throws: `malformed` when a name is none, or nothing names whom it is for.
    package func issue(_ wish: Wish, for key: PublicKey, places: Places?) throws(CryptoError) -> Certificate {
        let own: (notBefore: Int64, notAfter: Int64) = self.identity.certificate.validity
        let validity: (notBefore: Int64, notAfter: Int64) = (
            max(wish.validity.notBefore, own.notBefore), min(wish.validity.notAfter, own.notAfter)
        )
        // RSA keys may also carry a session's key in TLS 1.2 (RFC 5246 section 7.4.2); all others only sign.
        let keyUsage: String =
            key.kind == .rsa ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature"
        var extensions: [(Int32, String)] = [
            (NID_basic_constraints, "critical,CA:FALSE"),
            (NID_key_usage, keyUsage),
            (NID_ext_key_usage, wish.usage.extended),
            (NID_subject_key_identifier, "hash"),
            (NID_authority_key_identifier, "keyid:always"),
        ]
        if !wish.names.isEmpty || !wish.uris.isEmpty {
            extensions.append(
                (NID_subject_alt_name, try CertificateDraft.alternativeNames(wish.names, uris: wish.uris)))
        } else if wish.usage != .client {
            throw .malformed("a server certificate needs at least one name")
        }
        extensions += Self.extensions(of: places)
        let draft: CertificateDraft = CertificateDraft(
            commonName: wish.commonName, organization: wish.organization, validity: validity, extensions: extensions)
        return try draft.signed(for: key.key, by: self.identity)
    }
}

/// The names an authority may issue for (RFC 5280 section 4.2.1.10): domains with all below them, and ranges of addresses. A kind
/// of which nothing is listed is excluded altogether.
package struct NameConstraints: Sendable, Equatable {
    package let domains: [String]
    /// `10.1.0.0/16`.
    package let ranges: [AddressBlock]

    package init(domains: [String], ranges: [AddressBlock]) {
        self.domains = domains
        self.ranges = ranges
    }

    /// Whether a DNS name (also `*.example.com`) or an address is among them.
    package func allow(_ name: String) -> Bool {
        if let address: [UInt8] = AddressBlock.bytes(name) { return self.ranges.contains { $0.contains(address) } }
        let host: String = name.hasPrefix("*.") ? String(name.dropFirst(2)) : name
        return self.domains.contains { host == $0 || host.hasSuffix(".\($0)") }
    }

    /// As OpenSSL's configuration has it.
    var text: String {
        var parts: [String] = self.domains.map { "permitted;DNS:\($0)" }
        // A domain that cannot be anybody's (RFC 6761 section 6.4): without one all were allowed.
        if self.domains.isEmpty { parts.append("permitted;DNS:invalid") }
        parts += self.ranges.map { "permitted;IP:\($0.addressText)/\($0.maskText)" }
        if self.ranges.isEmpty {
            parts.append("excluded;IP:0.0.0.0/0.0.0.0")
            parts.append("excluded;IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0")
        }
        return "critical," + parts.joined(separator: ",")
    }
}

/// A range of IP addresses.
package struct AddressBlock: Sendable, Equatable {
    private let address: [UInt8]
    private let bits: Int

    /// From `10.1.0.0/16`, `10.1.2.3` or `2001:db8::/32`; nil for anything else.
    package init?(_ text: String) {
        let parts: [Substring] = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address: [UInt8] = Self.bytes(String(parts[0])) else { return nil }
        let all: Int = address.count * 8
        guard let bits: Int = parts.count == 2 ? Int(parts[1]) : all, (0...all).contains(bits) else { return nil }
        self.bits = bits
        self.address = Self.masked(address, bits)
    }

    package var text: String { "\(self.addressText)/\(self.bits)" }
    var addressText: String { Self.text(self.address) }
    var maskText: String { Self.text(Self.masked([UInt8](repeating: 0xFF, count: self.address.count), self.bits)) }

    func contains(_ other: [UInt8]) -> Bool {
        other.count == self.address.count && Self.masked(other, self.bits) == self.address
    }

    private static func masked(_ bytes: [UInt8], _ bits: Int) -> [UInt8] {
        var masked: [UInt8] = bytes
        for index in masked.indices {
            let kept: Int = min(8, max(0, bits - index * 8))
            masked[index] &= UInt8(truncatingIfNeeded: 0xFF00 >> kept)
        }
        return masked
    }

    /// The 4 or 16 bytes of an address; nil when the text is none.
    package static func bytes(_ text: String) -> [UInt8]? {
        var four: [UInt8] = [UInt8](repeating: 0, count: 4)
        if inet_pton(AF_INET, text, &four) == 1 { return four }
        var sixteen: [UInt8] = [UInt8](repeating: 0, count: 16)
        return inet_pton(AF_INET6, text, &sixteen) == 1 ? sixteen : nil
    }

    /// Also for addresses in certificates; empty when the length is that of none.
    static func text(_ bytes: [UInt8]) -> String {
        var buffer: [CChar] = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard bytes.count == 4 || bytes.count == 16,
            inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &buffer, socklen_t(buffer.count)) != nil
        else { return "" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
