package import Crypto

/// The signature algorithms of tokens (RFC 7518 section 3.1, RFC 8037). Those with shared secrets and `none` do not exist here,
/// so no token can ask for them.
package enum JWTAlgorithm: String, Sendable, CaseIterable {
    case rs256 = "RS256"
    case rs384 = "RS384"
    case rs512 = "RS512"
    case ps256 = "PS256"
    case ps384 = "PS384"
    case ps512 = "PS512"
    /// ECDSA: each with the one curve its name stands for, P-256, P-384 and P-521.
    case es256 = "ES256"
    case es384 = "ES384"
    case es512 = "ES512"
    /// With Ed25519.
    case edDSA = "EdDSA"

    /// The signature behind the name; it is tied to one kind of key.
    package var scheme: SignatureScheme {
        switch self {
        case .rs256: return .rsaPKCS1SHA256
        case .rs384: return .rsaPKCS1SHA384
        case .rs512: return .rsaPKCS1SHA512
        case .ps256: return .rsaPSSSHA256
        case .ps384: return .rsaPSSSHA384
        case .ps512: return .rsaPSSSHA512
        case .es256: return .ecdsaP256SHA256
        case .es384: return .ecdsaP384SHA384
        case .es512: return .ecdsaP521SHA512
        case .edDSA: return .ed25519
        }
    }
}
