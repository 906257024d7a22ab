import COpenSSL
import Glibc

/// Why a certificate was revoked (RFC 5280 section 5.3.1).
package enum RevocationReason: String, Sendable, CaseIterable {
    case unspecified
    case keyCompromise = "key-compromise"
    case affiliationChanged = "affiliation-changed"
    case superseded
    case cessationOfOperation = "cessation-of-operation"
    case privilegeWithdrawn = "privilege-withdrawn"

    /// As the list has it.
    var code: Int64 {
        switch self {
        case .unspecified: 0
        case .keyCompromise: 1
        case .affiliationChanged: 3
        case .superseded: 4
        case .cessationOfOperation: 5
        case .privilegeWithdrawn: 9
        }
    }
}

/// A revoked certificate as a list names it.
package struct RevokedCertificate: Sendable {
    /// Big-endian.
    package let serial: [UInt8]
    /// Seconds since 1970 UTC.
    package let at: Int64
    package let reason: RevocationReason

    package init(serial: [UInt8], at: Int64, reason: RevocationReason) {
        self.serial = serial
        self.at = at
        self.reason = reason
    }
}

extension IssuingAuthority {
    /// The list of revoked certificates (RFC 5280 section 5), signed, in DER.
    ///
    /// - Parameters:
    ///   - number: greater than that of every list before.
    ///   - thisUpdate: seconds since 1970 UTC.
    ///   - nextUpdate: when there will be another one at the latest; who checks does not trust it any longer.
    package func revocationList(
        number: Int64, thisUpdate: Int64, nextUpdate: Int64, revoked: [RevokedCertificate]
    ) throws(CryptoError) -> [UInt8] {
        guard let list: OpaquePointer = X509_CRL_new() else { throw OpenSSLErrors.failure("making a list") }
        defer { X509_CRL_free(list) }
        guard X509_CRL_set_version(list, 1) == 1,
            X509_CRL_set_issuer_name(list, X509_get_subject_name(self.identity.certificate.pointer)) == 1,
            Self.with(thisUpdate, { X509_CRL_set1_lastUpdate(list, $0) == 1 }),
            Self.with(nextUpdate, { X509_CRL_set1_nextUpdate(list, $0) == 1 })
        else { throw OpenSSLErrors.failure("making a list of revoked certificates") }
        for entry in revoked {
            guard Self.add(entry, to: list) else {
                throw OpenSSLErrors.failure("making a list of revoked certificates")
            }
        }
        guard X509_CRL_sort(list) == 1, self.addExtensions(to: list, number: number),
            X509_CRL_sign(list, self.identity.key.pointer, SHA256.algorithm) > 0
        else { throw OpenSSLErrors.failure("signing a list of revoked certificates") }
        var start: UnsafeMutablePointer<UInt8>?
        let count: Int32 = i2d_X509_CRL(list, &start)
        guard count > 0, let start: UnsafeMutablePointer<UInt8> else {
            throw OpenSSLErrors.failure("writing a list of revoked certificates")
        }
        defer { CRYPTO_free(start, "", 0) }
        return Array(UnsafeBufferPointer(start: start, count: Int(count)))
    }

    private static func with(_ seconds: Int64, _ use: (UnsafeMutablePointer<ASN1_TIME>) -> Bool) -> Bool {
        guard let time: UnsafeMutablePointer<ASN1_TIME> = ASN1_TIME_set(nil, time_t(seconds)) else { return false }
        defer { ASN1_TIME_free(time) }
        return use(time)
    }

    private static func add(_ entry: RevokedCertificate, to list: OpaquePointer) -> Bool {
        guard let revoked: OpaquePointer = X509_REVOKED_new() else { return false }
        guard let number: OpaquePointer = BN_bin2bn(entry.serial, Int32(entry.serial.count), nil) else {
            X509_REVOKED_free(revoked)
            return false
        }
        defer { BN_free(number) }
        guard let serial: UnsafeMutablePointer<ASN1_INTEGER> = BN_to_ASN1_INTEGER(number, nil) else {
            X509_REVOKED_free(revoked)
            return false
        }
        defer { ASN1_INTEGER_free(serial) }
        var isFilled: Bool =
            X509_REVOKED_set_serialNumber(revoked, serial) == 1
            && Self.with(entry.at) { X509_REVOKED_set_revocationDate(revoked, $0) == 1 }
        // No reason is said by leaving it out.
        if isFilled, entry.reason != .unspecified {
            guard let reason: UnsafeMutablePointer<ASN1_ENUMERATED> = ASN1_ENUMERATED_new() else {
                X509_REVOKED_free(revoked)
                return false
            }
            defer { ASN1_ENUMERATED_free(reason) }
            isFilled =
                ASN1_ENUMERATED_set_int64(reason, entry.reason.code) == 1
                && X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, reason, 0, 0) == 1
        }
        // The list owns it once it has it.
        guard isFilled, X509_CRL_add0_revoked(list, revoked) == 1 else {
            X509_REVOKED_free(revoked)
            return false
        }
        return true
    }

    private func addExtensions(to list: OpaquePointer, number: Int64) -> Bool {
        guard let value: UnsafeMutablePointer<ASN1_INTEGER> = ASN1_INTEGER_new() else { return false }
        defer { ASN1_INTEGER_free(value) }
        guard ASN1_INTEGER_set_int64(value, number) == 1,
            X509_CRL_add1_ext_i2d(list, NID_crl_number, value, 0, 0) == 1
        else { return false }
        var context = X509V3_CTX()
        X509V3_set_ctx(&context, self.identity.certificate.pointer, nil, nil, list, 0)
        guard
            let made: OpaquePointer = X509V3_EXT_conf_nid(
                nil, &context, NID_authority_key_identifier, "keyid:always")
        else { return false }
        defer { X509_EXTENSION_free(made) }
        return X509_CRL_add_ext(list, made, -1) == 1
    }
}
