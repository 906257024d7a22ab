import COpenSSL
import Glibc

/// What a certificate will say, before it is signed.
struct CertificateDraft {
    /// Longest common name and organisation X.509 allows (ub-common-name, ub-organization-name).
    static let nameMax: Int = 64
    /// Clocks of two machines differ: certificates are valid from a little before they are made.
    static let backdatedSeconds: Int64 = 300
    /// Bytes of a serial number: all of them random (RFC 5280 section 4.1.2.2 allows 20).
    static let serialBytes: Int = 16

    let commonName: String
    var organization: String?
    /// First and last second, since 1970 UTC.
    let validity: (notBefore: Int64, notAfter: Int64)
    var serial: [UInt8] = CertificateDraft.makeSerial()
    /// In OpenSSL's configuration syntax; everything in it that comes from callers is checked first.
    let extensions: [(nid: Int32, value: String)]

    /// From a little before now.
    static func validity(_ lifetime: Duration) -> (notBefore: Int64, notAfter: Int64) {
        let now: Int64 = Int64(time(nil))
        return (now - self.backdatedSeconds, now + lifetime.components.seconds)
    }

    /// A positive random number.
    static func makeSerial() -> [UInt8] {
        var bytes: [UInt8] = Random.bytes(Self.serialBytes)
        // Without a zero in front it keeps its length, so that its text has one form.
        if bytes[0] == 0 { bytes[0] = 1 }
        return bytes
    }

    /// The certificate for `key`, signed by `issuer` or, without one, by `own`.
    func signed(for key: KeyHandle, by issuer: CertifiedKey?, own: PrivateKey? = nil) throws(CryptoError) -> Certificate
    {
        guard let signer: PrivateKey = issuer?.key ?? own else {
            throw .unsupported("a certificate needs somebody who signs it")
        }
        guard let pointer: OpaquePointer = X509_new() else { throw OpenSSLErrors.failure("making a certificate") }
        let certificate = Certificate(adopting: pointer)
        let subject: OpaquePointer? = X509_get_subject_name(pointer)
        guard X509_set_version(pointer, 2) == 1, self.setSerial(pointer),
            ASN1_TIME_set(X509_getm_notBefore(pointer), time_t(self.validity.notBefore)) != nil,
            ASN1_TIME_set(X509_getm_notAfter(pointer), time_t(self.validity.notAfter)) != nil,
            X509_set_pubkey(pointer, key.pointer) == 1, self.setSubject(subject),
            X509_set_issuer_name(pointer, issuer.map { X509_get_subject_name($0.certificate.pointer) } ?? subject) == 1
        else { throw OpenSSLErrors.failure("making a certificate") }
        try self.addExtensions(to: pointer, issuer: issuer?.certificate.pointer ?? pointer)
        guard X509_sign(pointer, signer.pointer, SHA256.algorithm) > 0 else {
            throw OpenSSLErrors.failure("signing a certificate")
        }
        return certificate
    }

    private func setSerial(_ pointer: OpaquePointer) -> Bool {
        guard let number: OpaquePointer = BN_bin2bn(self.serial, Int32(self.serial.count), nil) else { return false }
        defer { BN_free(number) }
        return BN_to_ASN1_INTEGER(number, X509_get_serialNumber(pointer)) != nil
    }

    private func setSubject(_ subject: OpaquePointer?) -> Bool {
        Self.add(self.organization, NID_organizationName, to: subject)
            && Self.add(self.commonName, NID_commonName, to: subject)
    }

    /// Puts one part into a name; longer ones are cut.
    static func add(_ text: String?, _ nid: Int32, to name: OpaquePointer?) -> Bool {
        guard let text: String else { return true }
        // Whole characters only: half of one is no text.
        var bytes: [UInt8] = []
        for character in text {
            if bytes.count + character.utf8.count > Self.nameMax { break }
            bytes += Array(character.utf8)
        }
        return X509_NAME_add_entry_by_NID(name, nid, COPENSSL_MBSTRING_UTF8, bytes, Int32(bytes.count), -1, 0) == 1
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

    // MARK: Texts of extensions

    /// `DNS:a,IP:b` for names that hold nothing but what names hold, so that none can smuggle in another entry.
    static func alternativeNames(_ names: [String], uris: [String] = []) throws(CryptoError) -> String {
        guard !names.isEmpty || !uris.isEmpty else { throw .malformed("a certificate needs at least one name") }
        var entries: [String] = []
        for name in names {
            guard Self.isClean(name) else {
                throw .malformed("expected a DNS name or an IP address for the certificate")
            }
            entries.append((Self.isAddress(name) ? "IP:" : "DNS:") + name)
        }
        for uri in uris {
            guard Self.isCleanURI(uri) else { throw .malformed("expected a URI without commas for the certificate") }
            entries.append("URI:" + uri)
        }
        return entries.joined(separator: ",")
    }

    private static func isClean(_ name: String) -> Bool {
        !name.isEmpty
            && name.utf8.allSatisfy {
                ($0 | 0x20 >= UInt8(ascii: "a") && $0 | 0x20 <= UInt8(ascii: "z"))
                    || ($0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: ":"))
                    || [UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "*")].contains($0)
            }
    }

    /// Visible ASCII but what has a meaning in OpenSSL's syntax.
    static func isCleanURI(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy {
                $0 > 0x20 && $0 < 0x7F && ![0x22, 0x2C, 0x3B, 0x5C, 0x23, 0x24].contains($0)
            }
    }

    static func isAddress(_ name: String) -> Bool {
        var buffer = in6_addr()
        return inet_pton(AF_INET, name, &buffer) == 1 || inet_pton(AF_INET6, name, &buffer) == 1
    }
}
