import GatewayConfiguration
import JSON
import Tokens

/// How a caller was identified. The raw values are places in counters.
enum AuthenticationMethod: Int, Sendable, CaseIterable {
    case apiKey = 0
    case jwt = 1
    case introspection = 2
    case basic = 3
    case signature = 4
    case clientCertificate = 5

    /// As configurations and metrics say it.
    var name: String {
        switch self {
        case .apiKey: return "api_key"
        case .jwt: return "jwt"
        case .introspection: return "introspection"
        case .basic: return "basic"
        case .signature: return "hmac"
        case .clientCertificate: return "client_certificate"
        }
    }
}

/// Who calls, as a credential has proved it. Immutable: kept in caches and shared by all loops.
final class VerifiedIdentity: Sendable {
    /// Groups read from a claim at most; further ones do not count.
    private static let groupsMax: Int = 256

    let method: AuthenticationMethod
    /// The `sub` of a token, a user name, the subject of a certificate.
    let subject: String?
    let scopes: [String]
    let groups: [String]
    /// The claims of a token.
    let claims: JSONObject?
    /// Under what digest the application's credential is found, in any order of preference; empty: there is none.
    let credentials: [CredentialName]

    init(
        method: AuthenticationMethod, subject: String?, scopes: [String] = [], groups: [String] = [],
        claims: JSONObject? = nil, credentials: [CredentialName] = []
    ) {
        self.method = method
        self.subject = subject
        self.scopes = scopes
        self.groups = groups
        self.claims = claims
        self.credentials = credentials
    }

    /// What the claims of a token say, by the claims a policy names.
    convenience init(
        method: AuthenticationMethod, claims: JSONObject, scopes: [String], clientClaims: [ClaimPath],
        groupsClaim: ClaimPath
    ) {
        var client: String?
        for path in clientClaims where client == nil { client = path.value(in: claims)?.text }
        var groups: [String] = []
        switch groupsClaim.value(in: claims) {
        case .string(let one): groups = [one]
        case .array(let several): groups = several.prefix(VerifiedIdentity.groupsMax).compactMap(\.text)
        default: break
        }
        self.init(
            method: method, subject: claims["sub"]?.text, scopes: scopes, groups: groups, claims: claims,
            credentials: client.map { [CredentialName(kind: .client, name: $0)] } ?? [])
    }
}

/// What a credential of an application is found by.
struct CredentialName: Sendable {
    let kind: CredentialKind
    let digest: KeyDigest

    init(kind: CredentialKind, name: String) {
        self.kind = kind
        self.digest = CredentialDefinition.digest(kind, name)
    }
}
