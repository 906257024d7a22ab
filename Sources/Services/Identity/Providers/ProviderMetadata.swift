import HTTP
import JSON
import Tokens

/// What a provider says about itself (OpenID Connect Discovery section 3), as far as it is needed here.
struct ProviderMetadata: Sendable, Equatable {
    static let bytesMax: Int = 256 << 10

    /// Nil, like the next one, for an issuer that only signs tokens: nobody signs in there.
    let authorizationEndpoint: URLParts?
    let tokenEndpoint: URLParts?
    let userinfoEndpoint: URLParts?
    /// Where users sign out there (OpenID Connect RP-Initiated Logout section 2.1).
    let endSessionEndpoint: URLParts?
    let keysAddress: URLParts
    /// Whether the client shows its secret in the form: only where HTTP Basic is not taken.
    let wantsSecretInForm: Bool
    /// Whether answers name their issuer (RFC 9207): then they must.
    let namesIssuer: Bool

    /// Where the metadata of an issuer is; nil when the issuer is no address.
    static func address(issuer: String) -> URLParts? {
        let base: String = issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer
        guard let parts: URLParts = URLParts(base), parts.query == nil else { return nil }
        return URLParts(base + "/.well-known/openid-configuration")
    }

    /// Reads a document that came from the issuer's address.
    ///
    /// It must be about that very issuer (section 4.3), and must not lead from `https` to anything less.
    init(parsing bytes: [UInt8], issuer: String) throws(ProviderError) {
        let limits: JSONLimits = JSONLimits(depth: 16, bytes: Self.bytesMax)
        guard let value: JSONValue = try? JSONReader.parse(bytes, limits: limits), value.object != nil else {
            throw .metadata("they are not a JSON object")
        }
        guard let named: String = value["issuer"]?.text, Array(named.utf8) == Array(issuer.utf8) else {
            throw .metadata("they are of another issuer")
        }
        let isSecure: Bool = issuer.hasPrefix("https:")
        func address(_ name: String) throws(ProviderError) -> URLParts? {
            guard let member: JSONValue = value[name], member != .null else { return nil }
            guard let text: String = member.text, let parts: URLParts = URLParts(text) else {
                throw .metadata("\(name) is no address")
            }
            guard parts.scheme == .https || !isSecure else { throw .metadata("\(name) is not https") }
            return parts
        }
        self.authorizationEndpoint = try address("authorization_endpoint")
        self.tokenEndpoint = try address("token_endpoint")
        self.userinfoEndpoint = try address("userinfo_endpoint")
        self.endSessionEndpoint = try address("end_session_endpoint")
        guard let keysAddress: URLParts = try address("jwks_uri") else { throw .metadata("jwks_uri is missing") }
        self.keysAddress = keysAddress
        let methods: [String] = (value["token_endpoint_auth_methods_supported"]?.elements ?? []).compactMap(\.text)
        self.wantsSecretInForm = !methods.isEmpty && !methods.contains("client_secret_basic")
        self.namesIssuer = value["authorization_response_iss_parameter_supported"]?.boolean ?? false
        if let supported: [JSONValue] = value["code_challenge_methods_supported"]?.elements,
            !supported.contains(.string("S256"))
        {
            throw .metadata("the provider does not take PKCE with S256")
        }
    }
}

/// Why somebody does not come in by a provider, or nobody does.
///
/// The texts are for administrators, in the log; nothing of a token, a code or a secret is in them.
enum ProviderError: Error, Equatable, CustomStringConvertible {
    /// It does not answer, or the egress rules forbid its address.
    case unreachable(String)
    case metadata(String)
    case keys(String)
    /// The provider does not take the code, or answers something else than tokens.
    case exchange(String)
    case token(TokenError)
    case claim(String)

    var description: String {
        switch self {
        case .unreachable(let reason): "the provider does not answer: \(reason)"
        case .metadata(let reason): "the provider's metadata cannot be used: \(reason)"
        case .keys(let reason): "the provider's keys cannot be used: \(reason)"
        case .exchange(let reason): "the provider gives no tokens: \(reason)"
        case .token(let error): "the provider's token is not accepted: \(error)"
        case .claim(let reason): "what the provider says cannot be used: \(reason)"
        }
    }

    /// Whether it may go away by itself.
    var isTransient: Bool {
        switch self {
        case .unreachable, .metadata, .keys: true
        case .exchange, .token, .claim: false
        }
    }
}
