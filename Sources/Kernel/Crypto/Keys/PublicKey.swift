import Bytes
import COpenSSL

/// A public key: checks signatures.
package final class PublicKey: Sendable {
    let key: KeyHandle

    init(_ key: KeyHandle) {
        self.key = key
    }

    package var kind: KeyKind { self.key.kind }

    /// Reads `-----BEGIN PUBLIC KEY-----` (SubjectPublicKeyInfo, RFC 5280 section 4.1).
    package convenience init(pem: String) throws(CryptoError) {
        try PEM.check(pem)
        let bio = MemoryBIO(pem)
        guard let pointer: OpaquePointer = copenssl_read_public_key(bio.handle) else {
            ERR_clear_error()
            throw .malformed("expected a public key in PEM (-----BEGIN PUBLIC KEY-----)")
        }
        self.init(try KeyHandle(adopting: pointer))
    }

    /// `-----BEGIN PUBLIC KEY-----` …
    package func pem() throws(CryptoError) -> String {
        let bio = MemoryBIO()
        guard PEM_write_bio_PUBKEY(bio.handle, self.key.pointer) == 1 else {
            throw OpenSSLErrors.failure("writing a public key")
        }
        return bio.text
    }

    /// Whether `signature` was made over `message` with the private half of this key. False also when the scheme does not
    /// belong to this kind of key: a key never checks anything but its own signatures.
    package func isValid(_ signature: [UInt8], for message: [UInt8], scheme: SignatureScheme) -> Bool {
        guard let encoded: [UInt8] = SignatureEncoding.openSSL(signature, scheme) else { return false }
        return self.isValid(asn1: encoded, for: message, scheme: scheme)
    }

    /// The same for ECDSA signatures in DER, the sequence of r and s, as certificates and authenticators have them; other schemes
    /// have one form only.
    package func isValid(asn1 encoded: [UInt8], for message: [UInt8], scheme: SignatureScheme) -> Bool {
        guard scheme.keyKind == self.kind else { return false }
        guard let context: OpaquePointer = EVP_MD_CTX_new() else { return false }
        defer {
            EVP_MD_CTX_free(context)
            ERR_clear_error()
        }
        var keyContext: OpaquePointer?
        let digest: OpaquePointer? = scheme.digest
        guard EVP_DigestVerifyInit(context, &keyContext, digest, nil, self.key.pointer) == 1,
            SignatureEncoding.setPadding(keyContext, scheme)
        else { return false }
        return EVP_DigestVerify(context, encoded, encoded.count, message, message.count) == 1
    }
}

/// Differences between OpenSSL's signatures and ours.
enum SignatureEncoding {
    static func setPadding(_ context: OpaquePointer?, _ scheme: SignatureScheme) -> Bool {
        guard scheme.isPSS else { return true }
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, Int32(scheme.hashLength)) > 0
    }

    /// What OpenSSL checks: for ECDSA the DER form of r and s. Nil when the length is wrong.
    static func openSSL(_ signature: [UInt8], _ scheme: SignatureScheme) -> [UInt8]? {
        let coordinateLength: Int = scheme.keyKind.coordinateLength
        guard coordinateLength > 0 else { return signature }
        guard signature.count == 2 * coordinateLength else { return nil }
        let first: [UInt8] = DER.integer(signature[0..<coordinateLength])
        let second: [UInt8] = DER.integer(signature[coordinateLength...])
        return [0x30] + DER.length(first.count + second.count) + first + second
    }

    /// What we show: for ECDSA r and s in the curve's length each.
    static func fixed(_ signature: [UInt8], _ scheme: SignatureScheme) throws(CryptoError) -> [UInt8] {
        let coordinateLength: Int = scheme.keyKind.coordinateLength
        guard coordinateLength > 0 else { return signature }
        let parsed: OpaquePointer? = signature.withUnsafeBufferPointer {
            (bytes: UnsafeBufferPointer<UInt8>) -> OpaquePointer? in
            var start: UnsafePointer<UInt8>? = bytes.baseAddress
            return d2i_ECDSA_SIG(nil, &start, bytes.count)
        }
        guard let parsed: OpaquePointer else { throw OpenSSLErrors.failure("signing") }
        defer { ECDSA_SIG_free(parsed) }
        var fixed: [UInt8] = [UInt8](repeating: 0, count: 2 * coordinateLength)
        let isWritten: Bool = fixed.withUnsafeMutableBufferPointer {
            (output: inout UnsafeMutableBufferPointer<UInt8>) -> Bool in
            guard let start: UnsafeMutablePointer<UInt8> = output.baseAddress else { return false }
            return BN_bn2binpad(ECDSA_SIG_get0_r(parsed), start, Int32(coordinateLength)) == coordinateLength
                && BN_bn2binpad(ECDSA_SIG_get0_s(parsed), start + coordinateLength, Int32(coordinateLength))
                    == coordinateLength
        }
        guard isWritten else { throw OpenSSLErrors.failure("signing") }
        return fixed
    }
}

/// The little of DER that signatures need.
private enum DER {
    /// A length of at most 255: the short form where it fits.
    static func length(_ count: Int) -> [UInt8] { count < 0x80 ? [UInt8(count)] : [0x81, UInt8(count)] }

    /// INTEGER of an unsigned big-endian number of at most 126 bytes: no superfluous zeros, one where the top bit is set.
    static func integer(_ number: ArraySlice<UInt8>) -> [UInt8] {
        var content: [UInt8] = Array(number.drop { $0 == 0 })
        if content.isEmpty || content[0] >= 0x80 { content.insert(0, at: 0) }
        return [0x02, UInt8(content.count)] + content
    }
}
