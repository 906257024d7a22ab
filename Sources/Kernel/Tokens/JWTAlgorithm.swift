package import Crypto

/// The signature algorithms of tokens (RFC 7518 section 3.1, RFC 8037). Those with shared secrets and `none` do not exist here,
/// so no token can ask for them.
package enum JWTAlgorithm: String, Sendable, CaseIterable {
    case rs256 = "RS256"
    case ps256 = "PS256"
    case es256 = "ES256"
    /// With Ed25519.
    case edDSA = "EdDSA"

    /// The signature behind the name; it is tied to one kind of key.
    package var scheme: SignatureScheme {
        switch self {
        case .rs256: return .rsaPKCS1SHA256
        case .ps256: return .rsaPSSSHA256
        case .es256: return .ecdsaP256SHA256
        case .edDSA: return .ed25519
        }
    }
}
