import COpenSSL

/// The signatures made and checked here. A scheme belongs to exactly one kind of key.
package enum SignatureScheme: Sendable, CaseIterable {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2) with SHA-256, 384 or 512.
    case rsaPKCS1SHA256, rsaPKCS1SHA384, rsaPKCS1SHA512
    /// RSASSA-PSS (RFC 8017 section 8.1); MGF1 with the same hash, and a salt of the hash's length.
    case rsaPSSSHA256, rsaPSSSHA384, rsaPSSSHA512
    /// ECDSA with the hash that belongs to the curve; the signature is r and s, each of the curve's length (RFC 7518 section 3.4),
    /// not DER.
    case ecdsaP256SHA256, ecdsaP384SHA384, ecdsaP521SHA512
    /// Ed25519 (RFC 8032).
    case ed25519

    /// The one kind of key that can make it.
    package var keyKind: KeyKind {
        switch self {
        case .rsaPKCS1SHA256, .rsaPKCS1SHA384, .rsaPKCS1SHA512, .rsaPSSSHA256, .rsaPSSSHA384, .rsaPSSSHA512: return .rsa
        case .ecdsaP256SHA256: return .p256
        case .ecdsaP384SHA384: return .p384
        case .ecdsaP521SHA512: return .p521
        case .ed25519: return .ed25519
        }
    }

    /// Whether it is RSASSA-PSS.
    var isPSS: Bool {
        switch self {
        case .rsaPSSSHA256, .rsaPSSSHA384, .rsaPSSSHA512: return true
        default: return false
        }
    }

    /// Bytes of the hash, and so of the salt of RSASSA-PSS.
    var hashLength: Int {
        switch self {
        case .rsaPKCS1SHA256, .rsaPSSSHA256, .ecdsaP256SHA256: return 32
        case .rsaPKCS1SHA384, .rsaPSSSHA384, .ecdsaP384SHA384: return 48
        case .rsaPKCS1SHA512, .rsaPSSSHA512, .ecdsaP521SHA512, .ed25519: return 64
        }
    }

    /// OpenSSL's object for the hash; nil for Ed25519, which brings its own.
    var digest: OpaquePointer? {
        if self == .ed25519 { return nil }
        switch self.hashLength {
        case 32: return SHA256.algorithm
        case 48: return LongDigests.sha384
        default: return LongDigests.sha512
        }
    }
}

/// Hashes that only signatures use; fetched once, as `SHA256.algorithm` is and with the same rule.
private enum LongDigests {
    nonisolated(unsafe) static let sha384: OpaquePointer = LongDigests.fetch("SHA384")
    nonisolated(unsafe) static let sha512: OpaquePointer = LongDigests.fetch("SHA512")

    private static func fetch(_ name: String) -> OpaquePointer {
        guard let algorithm: OpaquePointer = EVP_MD_fetch(nil, name, nil) else {
            preconditionFailure("this OpenSSL has no \(name): \(OpenSSLErrors.drain())")
        }
        return algorithm
    }
}

/// The kinds of keys used here.
package enum KeyKind: Sendable, CaseIterable {
    /// RSA: 2048 bits when generated, 2048 to 8192 when read.
    case rsa
    /// The curve NIST P-256.
    case p256
    /// The curve NIST P-384.
    case p384
    /// The curve NIST P-521.
    case p521
    case ed25519

    package var name: String {
        switch self {
        case .rsa: return "RSA"
        case .p256: return "P-256"
        case .p384: return "P-384"
        case .p521: return "P-521"
        case .ed25519: return "Ed25519"
        }
    }

    /// OpenSSL's name of the curve; nil for other kinds.
    var group: String? {
        switch self {
        case .p256: return "prime256v1"
        case .p384: return "secp384r1"
        case .p521: return "secp521r1"
        case .rsa, .ed25519: return nil
        }
    }

    /// Bytes of one coordinate, and of r and s, on this curve; 0 for other kinds.
    var coordinateLength: Int {
        switch self {
        case .p256: return 32
        case .p384: return 48
        case .p521: return 66
        case .rsa, .ed25519: return 0
        }
    }
}
