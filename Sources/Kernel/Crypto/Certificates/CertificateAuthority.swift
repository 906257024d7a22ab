import COpenSSL
import Glibc

/// A certificate and its private key.
package struct CertifiedKey: Sendable {
    package let certificate: Certificate
    package let key: PrivateKey
}

/// Issues certificates: for the demo, for tests, and for links between our own processes. Keys are P-256.
///
/// It keeps no list of what it issued and revokes nothing.
package final class CertificateAuthority: Sendable {
    package static let lifetimeDefault: Duration = .seconds(365 * 86_400)
    /// Clocks of two machines differ: certificates are valid from a little before they are made.
    private static let backdatedSeconds: Int64 = 300

    /// The authority's own certificate: what clients trust.
    package let identity: CertifiedKey

    /// A fresh authority of this name: a root that signs itself, or an intermediate one under `parent`, which must be a root.
    package init(
        name: String, under parent: CertificateAuthority? = nil, lifetime: Duration = .seconds(10 * 365 * 86_400)
    ) throws(CryptoError) {
        let key: PrivateKey = try .generate(.p256)
        let draft: CertificateDraft = CertificateDraft(
            commonName: name, lifetime: lifetime,
            extensions: [
                (NID_basic_constraints, "critical,CA:TRUE,pathlen:\(parent == nil ? 1 : 0)"),
                (NID_key_usage, "critical,keyCertSign,cRLSign"),
                (NID_subject_key_identifier, "hash"),
            ])
        self.identity = CertifiedKey(certificate: try draft.signed(for: key, by: parent?.identity), key: key)
    }

    /// A server's certificate for these DNS names (also `*.example.com`) and IP addresses.
    package func issueServer(
        names: [String], lifetime: Duration = CertificateAuthority.lifetimeDefault
    ) throws(CryptoError) -> CertifiedKey {
        try self.issue(commonName: names.first ?? "", names: names, usage: "serverAuth", lifetime)
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
            commonName: names.first ?? "", lifetime: lifetime,
            extensions: [
                (NID_basic_constraints, "critical,CA:FALSE"),
                (NID_key_usage, "critical,digitalSignature"),
                (NID_ext_key_usage, "serverAuth"),
                (NID_subject_key_identifier, "hash"),
                (NID_subject_alt_name, try CertificateDraft.alternativeNames(names)),
            ])
        return CertifiedKey(certificate: try draft.signed(for: key, by: nil), key: key)
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
        let draft = CertificateDraft(commonName: commonName, lifetime: lifetime, extensions: extensions)
        return CertifiedKey(certificate: try draft.signed(for: key, by: self.identity), key: key)
    }

    /// What a certificate will say, before it is signed.
    private struct CertificateDraft {
        /// Longest common name X.509 allows (ub-common-name).
        static let commonNameMax: Int = 64

        let commonName: String
        let lifetime: Duration
        /// In OpenSSL's configuration syntax; everything in it that comes from callers is checked first.
        let extensions: [(nid: Int32, value: String)]

        /// `DNS:a,IP:b` for names that hold nothing but what names hold, so that none can smuggle in another entry.
        static func alternativeNames(_ names: [String]) throws(CryptoError) -> String {
            guard !names.isEmpty else { throw .malformed("a server certificate needs at least one name") }
            var entries: [String] = []
            for name in names {
                let isClean: Bool = name.utf8.allSatisfy {
                    ($0 | 0x20 >= UInt8(ascii: "a") && $0 | 0x20 <= UInt8(ascii: "z"))
                        || ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: ":"))
                        || [UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "*")].contains($0)
                }
                guard isClean, !name.isEmpty else {
                    throw .malformed("expected a DNS name or an IP address for the certificate")
                }
                entries.append((CertificateDraft.isAddress(name) ? "IP:" : "DNS:") + name)
            }
            return entries.joined(separator: ",")
        }

        private static func isAddress(_ name: String) -> Bool {
            var buffer = in6_addr()
            return inet_pton(AF_INET, name, &buffer) == 1 || inet_pton(AF_INET6, name, &buffer) == 1
        }

        /// The certificate for `key`, signed by `issuer` or, without one, by itself.
        func signed(for key: PrivateKey, by issuer: CertifiedKey?) throws(CryptoError) -> Certificate {
            guard let pointer: OpaquePointer = X509_new() else { throw OpenSSLErrors.failure("making a certificate") }
            let certificate = Certificate(adopting: pointer)
            let now: Int64 = Int64(time(nil))
            let subject: OpaquePointer? = X509_get_subject_name(pointer)
            let name: [UInt8] = Array(self.commonName.utf8.prefix(CertificateDraft.commonNameMax))
            guard X509_set_version(pointer, 2) == 1,
                self.setSerial(pointer),
                ASN1_TIME_set(X509_getm_notBefore(pointer), time_t(now - backdatedSeconds)) != nil,
                ASN1_TIME_set(X509_getm_notAfter(pointer), time_t(now + self.lifetime.components.seconds)) != nil,
                X509_set_pubkey(pointer, key.pointer) == 1,
                X509_NAME_add_entry_by_NID(
                    subject, NID_commonName, COPENSSL_MBSTRING_UTF8, name, Int32(name.count), -1, 0) == 1,
                X509_set_issuer_name(pointer, issuer.map { X509_get_subject_name($0.certificate.pointer) } ?? subject)
                    == 1
            else { throw OpenSSLErrors.failure("making a certificate") }
            try self.addExtensions(to: pointer, issuer: issuer?.certificate.pointer ?? pointer)
            guard X509_sign(pointer, (issuer?.key ?? key).pointer, SHA256.algorithm) > 0 else {
                throw OpenSSLErrors.failure("signing a certificate")
            }
            return certificate
        }

        /// A positive random number of 127 bits (RFC 5280 section 4.1.2.2).
        private func setSerial(_ pointer: OpaquePointer) -> Bool {
            var bytes: [UInt8] = Random.bytes(16)
            bytes[0] = bytes[0] & 0x7F | 0x40
            guard let number: OpaquePointer = BN_bin2bn(bytes, Int32(bytes.count), nil) else { return false }
            defer { BN_free(number) }
            return BN_to_ASN1_INTEGER(number, X509_get_serialNumber(pointer)) != nil
        }

        private func addExtensions(to pointer: OpaquePointer, issuer: OpaquePointer) throws(CryptoError) {
            var context = X509V3_CTX()
            X509V3_set_ctx(&context, issuer, pointer, nil, nil, 0)
            for (nid, value) in self.extensions {
                guard let made: OpaquePointer = X509V3_EXT_conf_nid(nil, &context, nid, value) else {
                    throw OpenSSLErrors.failure("making a certificate extension")
                }
                defer { X509_EXTENSION_free(made) }
                guard X509_add_ext(pointer, made, -1) == 1 else { throw OpenSSLErrors.failure("making a certificate") }
            }
        }
    }
}
