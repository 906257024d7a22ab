/// The signatures made and checked here. A scheme belongs to exactly one kind of key.
package enum SignatureScheme: Sendable, CaseIterable {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2).
    case rsaPKCS1SHA256
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and 32 bytes of salt (RFC 8017 section 8.1).
    case rsaPSSSHA256
    /// ECDSA on P-256 with SHA-256; the signature is r and s, 32 bytes each (RFC 7518 section 3.4), not DER.
    case ecdsaP256SHA256
    /// Ed25519 (RFC 8032).
    case ed25519

    /// The one kind of key that can make it.
    package var keyKind: KeyKind {
        switch self {
        case .rsaPKCS1SHA256, .rsaPSSSHA256: return .rsa
        case .ecdsaP256SHA256: return .p256
        case .ed25519: return .ed25519
        }
    }
}

/// The kinds of keys used here.
package enum KeyKind: Sendable, CaseIterable {
    /// RSA: 2048 bits when generated, 2048 to 8192 when read.
    case rsa
    /// The curve NIST P-256.
    case p256
    case ed25519

    package var name: String {
        switch self {
        case .rsa: return "RSA"
        case .p256: return "P-256"
        case .ed25519: return "Ed25519"
        }
    }
}
