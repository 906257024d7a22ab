import Bytes
import COpenSSL
import Glibc

/// An X.509 certificate (RFC 5280).
///
/// Sendable: never changed after `init`; `X509` caches its extensions under a lock of its own.
package final class Certificate: @unchecked Sendable {
    /// The OpenSSL object, an `X509 *`: for the TLS room. It lives as long as this certificate.
    package let pointer: OpaquePointer

    /// Takes ownership of an `X509 *`.
    package init(adopting pointer: OpaquePointer) {
        self.pointer = pointer
    }

    deinit { X509_free(self.pointer) }

    /// All certificates of a PEM text, in order; at least one.
    package static func chain(pem: String) throws(CryptoError) -> [Certificate] {
        try PEM.check(pem)
        let bio = MemoryBIO(pem)
        var chain: [Certificate] = []
        while let pointer: OpaquePointer = copenssl_read_certificate(bio.handle) {
            chain.append(Certificate(adopting: pointer))
        }
        // Reading ends with an error: "no start line" when everything was read, else the text is broken.
        let isAtEnd: Bool = copenssl_is_pem_end(ERR_peek_last_error()) == 1
        ERR_clear_error()
        guard isAtEnd, !chain.isEmpty else {
            throw .malformed("expected certificates in PEM (-----BEGIN CERTIFICATE-----)")
        }
        return chain
    }

    /// `-----BEGIN CERTIFICATE-----` …
    package func pem() throws(CryptoError) -> String {
        let bio = MemoryBIO()
        guard PEM_write_bio_X509(bio.handle, self.pointer) == 1 else {
            throw OpenSSLErrors.failure("writing a certificate")
        }
        return bio.text
    }

    /// SHA-256 of the DER form: what identifies exactly this certificate.
    package var fingerprint: [UInt8] {
        var digest: [UInt8] = [UInt8](repeating: 0, count: SHA256.length)
        var length: UInt32 = 0
        let result: Int32 = X509_digest(self.pointer, SHA256.algorithm, &digest, &length)
        precondition(result == 1, "SHA-256 failed")
        return digest
    }

    /// The subject's common name, if it has one.
    package var commonName: String? { Self.commonName(in: X509_get_subject_name(self.pointer)) }

    static func commonName(in subject: OpaquePointer?) -> String? {
        let position: Int32 = X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
        guard position >= 0, let entry: OpaquePointer = X509_NAME_get_entry(subject, position) else { return nil }
        var utf8: UnsafeMutablePointer<UInt8>?
        let count: Int32 = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry))
        guard count >= 0, let utf8: UnsafeMutablePointer<UInt8> else { return nil }
        defer { CRYPTO_free(utf8, "", 0) }
        return String(decoding: UnsafeBufferPointer(start: utf8, count: Int(count)), as: UTF8.self)
    }

    /// The subject in the form of RFC 4514, such as `CN=orders,O=Acme`; empty when it has none.
    package var subject: String {
        let bio = MemoryBIO()
        let name: OpaquePointer? = X509_get_subject_name(self.pointer)
        guard X509_NAME_print_ex(bio.handle, name, 0, COPENSSL_NAME_RFC2253) >= 0 else {
            ERR_clear_error()
            return ""
        }
        return bio.text
    }

    /// The DNS names it is valid for (subject alternative names), lower case, wildcards as they are.
    package var dnsNames: [String] { self.alternativeNames(GEN_DNS).map { $0.lowercased() } }

    /// The URIs among its subject alternative names.
    package var uris: [String] { self.alternativeNames(GEN_URI) }

    /// The IP addresses among its subject alternative names.
    package var addresses: [String] { self.alternativeNames(GEN_IPADD) }

    private func alternativeNames(_ wanted: Int32) -> [String] {
        guard let raw: UnsafeMutableRawPointer = X509_get_ext_d2i(self.pointer, NID_subject_alt_name, nil, nil) else {
            return []
        }
        let names = OpaquePointer(raw)
        defer { GENERAL_NAMES_free(names) }
        return Self.texts(of: names, wanted)
    }

    /// The names of a kind in a `GENERAL_NAMES`.
    static func texts(of names: OpaquePointer, _ wanted: Int32) -> [String] {
        var result: [String] = []
        for index in 0..<copenssl_general_name_count(names) {
            var type: Int32 = 0
            let value: UnsafeMutableRawPointer? = GENERAL_NAME_get0_value(copenssl_general_name(names, index), &type)
            guard type == wanted, let value: UnsafeMutableRawPointer else { continue }
            let string: UnsafePointer<ASN1_STRING> = UnsafePointer(value.assumingMemoryBound(to: ASN1_STRING.self))
            let bytes = UnsafeBufferPointer(
                start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string)))
            result.append(
                wanted == GEN_IPADD ? AddressBlock.text(Array(bytes)) : String(decoding: bytes, as: UTF8.self))
        }
        return result
    }

    /// The number its issuer gave it, big-endian without zeros in front.
    package var serial: [UInt8] {
        guard let number: OpaquePointer = ASN1_INTEGER_to_BN(X509_get0_serialNumber(self.pointer), nil) else {
            return []
        }
        defer { BN_free(number) }
        var bytes: [UInt8] = [UInt8](repeating: 0, count: Int(BN_num_bits(number) + 7) / 8)
        _ = BN_bn2bin(number, &bytes)
        return bytes
    }

    /// The form it is signed in.
    package func der() throws(CryptoError) -> [UInt8] {
        var start: UnsafeMutablePointer<UInt8>?
        let count: Int32 = i2d_X509(self.pointer, &start)
        guard count > 0, let start: UnsafeMutablePointer<UInt8> else {
            throw OpenSSLErrors.failure("writing a certificate")
        }
        defer { CRYPTO_free(start, "", 0) }
        return Array(UnsafeBufferPointer(start: start, count: Int(count)))
    }

    /// First and last second of its validity, since 1970 UTC.
    package var validity: (notBefore: Int64, notAfter: Int64) {
        (Certificate.seconds(X509_get0_notBefore(self.pointer)), Certificate.seconds(X509_get0_notAfter(self.pointer)))
    }

    /// Whether `key` is the private half of its public key.
    package func belongs(to key: PrivateKey) -> Bool {
        defer { ERR_clear_error() }
        return X509_check_private_key(self.pointer, key.key.pointer) == 1
    }

    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var parts = tm()
        guard ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
        return Int64(timegm(&parts))
    }
}

extension PrivateKey {
    /// The OpenSSL object, an `EVP_PKEY *`: for the TLS room. It lives as long as this key.
    package var pointer: OpaquePointer { self.key.pointer }
}
