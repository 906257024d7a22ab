import COpenSSL

/// A certificate and its private key.
package struct CertifiedKey: Sendable {
    package let certificate: Certificate
    package let key: PrivateKey

    package init(certificate: Certificate, key: PrivateKey) {
        self.certificate = certificate
        self.key = key
    }
}

/// Issues certificates for the demo and for tests. Keys are P-256.
///
/// It keeps no list of what it issued and revokes nothing: `IssuingAuthority` is what a PKI is made of.
package final class CertificateAuthority: Sendable {
    package static let lifetimeDefault: Duration = .seconds(365 * 86_400)

    /// The authority's own certificate: what clients trust.
    package let identity: CertifiedKey

    /// A fresh authority of this name: a root that signs itself, or an intermediate one under `parent`, which must be a root.
    package init(
        name: String, under parent: CertificateAuthority? = nil, lifetime: Duration = .seconds(10 * 365 * 86_400)
    ) throws(CryptoError) {
        let key: PrivateKey = try .generate(.p256)
        let draft: CertificateDraft = CertificateDraft(
            commonName: name, validity: CertificateDraft.validity(lifetime),
            extensions: [
                (NID_basic_constraints, "critical,CA:TRUE,pathlen:\(parent == nil ? 1 : 0)"),
                (NID_key_usage, "critical,keyCertSign,cRLSign"),
                (NID_subject_key_identifier, "hash"),
            ])
        self.identity = CertifiedKey(
            certificate: try draft.signed(for: key.key, by: parent?.identity, own: key), key: key)
    }

    /// A server's certificate for these DNS names (also `*.example.com`) and IP addresses.
    package func issueServer(
        names: [String], lifetime: Duration = CertificateAuthority.lifetimeDefault
    ) throws(CryptoError) -> CertifiedKey {
        guard !names.isEmpty else { throw .malformed("a server certificate needs at least one name") }
        return try self.issue(commonName: names.first ?? "", names: names, usage: "serverAuth", lifetime)
    }

    /// A client's certificate; `name` becomes the common name.
    package func issueClient(
        name: String, lifetime: Duration = CertificateAuthority.lifetimeDefault
    ) throws(CryptoError) -> CertifiedKey {
        try self.issue(commonName: name, names: [], usage: "clientAuth", lifetime)
    }

    /// A server's certificate that stands for itself: clients must be told to trust exactly this one.
    package static func selfSigned(
        names: [String], lifetime: Duration = CertificateAuthority.lifetimeDefault
    ) throws(CryptoError) -> CertifiedKey {
        let key: PrivateKey = try .generate(.p256)
        let draft: CertificateDraft = CertificateDraft(
            commonName: names.first ?? "", validity: CertificateDraft.validity(lifetime),
            extensions: [
                (NID_basic_constraints, "critical,CA:FALSE"),
                (NID_key_usage, "critical,digitalSignature"),
                (NID_ext_key_usage, "serverAuth"),
                (NID_subject_key_identifier, "hash"),
                (NID_subject_alt_name, try CertificateDraft.alternativeNames(names)),
            ])
        return CertifiedKey(certificate: try draft.signed(for: key.key, by: nil, own: key), key: key)
    }

    private func issue(
        commonName: String, names: [String], usage: String, _ lifetime: Duration
    ) throws(CryptoError) -> CertifiedKey {
        let key: PrivateKey = try .generate(.p256)
        var extensions: [(Int32, String)] = [
            (NID_basic_constraints, "critical,CA:FALSE"),
            (NID_key_usage, "critical,digitalSignature"),
            (NID_ext_key_usage, usage),
            (NID_subject_key_identifier, "hash"),
            (NID_authority_key_identifier, "keyid:always"),
        ]
        if !names.isEmpty {
            extensions.append((NID_subject_alt_name, try CertificateDraft.alternativeNames(names)))
        }
        let draft = CertificateDraft(
            commonName: commonName, validity: CertificateDraft.validity(lifetime), extensions: extensions)
        return CertifiedKey(certificate: try draft.signed(for: key.key, by: self.identity), key: key)
    }
}
