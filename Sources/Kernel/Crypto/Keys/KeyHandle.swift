import COpenSSL

/// Owns an `EVP_PKEY`, the OpenSSL form of private and public keys, of an accepted kind and size.
///
/// Sendable: the key is never changed after `init`, and OpenSSL lets threads share a key for reading, signing and verifying
/// (openssl-threads(7)); its reference count is atomic.
final class KeyHandle: @unchecked Sendable {
    static let rsaBitsMin: Int32 = 2048
    /// A verification costs the square of the length: an outsider's key must not be able to stop the machine.
    static let rsaBitsMax: Int32 = 8192
    private static let rsaExponentBitsMax: Int32 = 32

    let pointer: OpaquePointer
    let kind: KeyKind

    /// Takes ownership of `pointer`, also when it throws.
    init(adopting pointer: OpaquePointer) throws(CryptoError) {
        self.pointer = pointer
        // Every property must be set before deinit can run; the kind of a refused key does not matter.
        do {
            self.kind = try KeyHandle.acceptedKind(of: pointer)
        } catch {
            self.kind = .rsa
            throw error
        }
    }

    deinit { EVP_PKEY_free(self.pointer) }

    private static func acceptedKind(of pointer: OpaquePointer) throws(CryptoError) -> KeyKind {
        if EVP_PKEY_is_a(pointer, "ED25519") == 1 { return .ed25519 }
        if EVP_PKEY_is_a(pointer, "RSA") == 1 {
            try KeyHandle.checkRSA(pointer)
            return .rsa
        }
        if EVP_PKEY_is_a(pointer, "EC") == 1 {
            return try KeyHandle.checkCurve(pointer)
        }
        throw .unsupported("a key must be RSA, EC on P-256, P-384 or P-521, or Ed25519")
    }

    private static func checkRSA(_ pointer: OpaquePointer) throws(CryptoError) {
        let bits: Int32 = EVP_PKEY_get_bits(pointer)
        guard (KeyHandle.rsaBitsMin...KeyHandle.rsaBitsMax).contains(bits) else {
            throw .unsupported("an RSA key must have 2048 to 8192 bits, this one has \(bits)")
        }
        let modulus = try BigNumber(of: pointer, OSSL_PKEY_PARAM_RSA_N)
        let exponent = try BigNumber(of: pointer, OSSL_PKEY_PARAM_RSA_E)
        guard exponent.isOdd, exponent.bits > 1, exponent.bits <= KeyHandle.rsaExponentBitsMax, modulus.isOdd else {
            throw .unsupported("an RSA key must have an odd modulus and an odd public exponent from 3 to 2^32")
        }
    }

    private static func checkCurve(_ pointer: OpaquePointer) throws(CryptoError) -> KeyKind {
        var name: [CChar] = [CChar](repeating: 0, count: 64)
        var length: Int = 0
        guard EVP_PKEY_get_utf8_string_param(pointer, OSSL_PKEY_PARAM_GROUP_NAME, &name, name.count, &length) == 1
        else {
            throw OpenSSLErrors.failure("reading an EC key")
        }
        let group = String(decoding: name.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let kind: KeyKind = KeyKind.allCases.first(where: { $0.group == group }) else {
            throw .unsupported("an EC key must be on the curve P-256, P-384 or P-521")
        }
        // RFC 5480 section 2.1.1: the curve by its name. Parameters written out may differ from it where others look at them.
        var isExplicit: Int32 = 0
        guard EVP_PKEY_get_int_param(pointer, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &isExplicit) == 1,
            isExplicit == 0
        else {
            ERR_clear_error()
            throw .unsupported("an EC key must name its curve, not write its parameters out")
        }
        guard let check: OpaquePointer = EVP_PKEY_CTX_new_from_pkey(nil, pointer, nil) else {
            throw OpenSSLErrors.failure("checking an EC key")
        }
        defer { EVP_PKEY_CTX_free(check) }
        guard EVP_PKEY_public_check(check) == 1 else {
            ERR_clear_error()
            throw .malformed("the point of an EC key must lie on the curve \(kind.name)")
        }
        return kind
    }
}

/// Owns a `BIGNUM`.
struct BigNumber: ~Copyable {
    let pointer: OpaquePointer

    /// The number `name` of a key.
    init(of key: OpaquePointer, _ name: String) throws(CryptoError) {
        var pointer: OpaquePointer?
        guard EVP_PKEY_get_bn_param(key, name, &pointer) == 1, let pointer: OpaquePointer else {
            throw OpenSSLErrors.failure("reading a key")
        }
        self.pointer = pointer
    }

    /// From big-endian bytes.
    init(_ bytes: [UInt8]) throws(CryptoError) {
        guard let pointer: OpaquePointer = BN_bin2bn(bytes, Int32(bytes.count), nil) else {
            throw OpenSSLErrors.failure("reading a number")
        }
        self.pointer = pointer
    }

    deinit { BN_free(self.pointer) }

    var bits: Int32 { BN_num_bits(self.pointer) }
    var isOdd: Bool { BN_is_odd(self.pointer) == 1 }

    /// Big-endian bytes without leading zeros.
    var bytes: [UInt8] {
        var bytes: [UInt8] = [UInt8](repeating: 0, count: Int(self.bits + 7) / 8)
        _ = BN_bn2bin(self.pointer, &bytes)
        return bytes
    }

    /// Exactly `length` big-endian bytes; nil when it does not fit.
    func bytes(length: Int) -> [UInt8]? {
        var bytes: [UInt8] = [UInt8](repeating: 0, count: length)
        return BN_bn2binpad(self.pointer, &bytes, Int32(length)) == Int32(length) ? bytes : nil
    }
}
