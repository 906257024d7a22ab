import Documents
import JSON
package import Tokens

/// `jwt`: a caller brings a signed token of an issuer that is trusted here (RFC 6750 with RFC 7519 and RFC 9068).
package struct JWTPolicy: Sendable, Equatable {
    /// Whose tokens are accepted, 1 to 16. Required.
    package var issuers: [JWTIssuer]
    /// Name of the header field, lower case. In `authorization` the scheme `Bearer` is expected, in any other field the bare token.
    /// Default `authorization`.
    package var header: String
    /// Scopes that every token must have; else 403. Default: none.
    package var scopes: [String]
    /// Where the client's id stands: the first of these claims that is there. Default `client_id`, `azp`.
    package var clientClaims: [ClaimPath]
    /// Where the caller's groups stand: a text or an array of texts. Default `groups`.
    package var groupsClaim: ClaimPath
    /// Whether a token must belong to a client that is an application with a subscription to the API. Default false: a token alone
    /// is enough.
    package var requiresApplication: Bool
    /// Whether the token goes upstream. Default false.
    package var forwardsToken: Bool
    /// `jti` of tokens that are refused, at most 10,000. Default: none.
    package var revoked: [String]

    package init(
        issuers: [JWTIssuer], header: String = "authorization", scopes: [String] = [],
        clientClaims: [ClaimPath] = JWTPolicy.clientClaimsDefault,
        groupsClaim: ClaimPath = JWTPolicy.groupsClaimDefault,
        requiresApplication: Bool = false, forwardsToken: Bool = false, revoked: [String] = []
    ) {
        self.issuers = issuers
        self.header = header
        self.scopes = scopes
        self.clientClaims = clientClaims
        self.groupsClaim = groupsClaim
        self.requiresApplication = requiresApplication
        self.forwardsToken = forwardsToken
        self.revoked = revoked
    }

    package static let issuersMax: Int = 16
    package static let scopesMax: Int = 64
    package static let revokedMax: Int = 10_000
    package static let clientClaimsDefault: [ClaimPath] = ["client_id", "azp"].compactMap { ClaimPath($0) }
    package static let groupsClaimDefault: ClaimPath = ClaimPath.named("groups")
}

/// One issuer of tokens.
package struct JWTIssuer: Sendable, Equatable {
    /// What the claim `iss` says, byte by byte. Required.
    package var issuer: String
    /// Default: found by OpenID Connect discovery.
    package var keys: KeySource
    /// One of these must be among the token's audiences. Required; an empty list accepts any.
    package var audiences: [String]
    /// Default RS256, PS256, ES256, EdDSA.
    package var algorithms: [JWTAlgorithm]
    /// Values of `typ` accepted. Default `jwt`, `at+jwt`.
    package var types: [String]
    /// Whether a token without `typ` is refused. Default false.
    package var isTypeRequired: Bool
    /// How far clocks may be apart, 0 to 5 min. Default 30 s.
    package var leeway: Duration
    /// Claims that must be there with one of these values; no values: any. Default: none.
    package var claims: [RequiredClaim]

    package init(
        issuer: String, keys: KeySource = .discovery, audiences: [String],
        algorithms: [JWTAlgorithm] = JWTIssuer.algorithmsDefault, types: [String] = TokenRules.typesStandard,
        isTypeRequired: Bool = false, leeway: Duration = JWTIssuer.leewayDefault, claims: [RequiredClaim] = []
    ) {
        self.issuer = issuer
        self.keys = keys
        self.audiences = audiences
        self.algorithms = algorithms
        self.types = types
        self.isTypeRequired = isTypeRequired
        self.leeway = leeway
        self.claims = claims
    }

    package static let algorithmsDefault: [JWTAlgorithm] = [.rs256, .ps256, .es256, .edDSA]
    package static let leewayDefault: Duration = .seconds(30)
    package static let textBytesMax: Int = 2048
    package static let audiencesMax: Int = 32
    package static let claimsMax: Int = 32

    /// What `Tokens` checks.
    package var rules: TokenRules {
        TokenRules(
            issuer: self.issuer, audiences: self.audiences, algorithms: self.algorithms, types: self.types,
            isTypeRequired: self.isTypeRequired, leeway: self.leeway, claims: self.claims)
    }
}

/// Where an issuer's keys come from.
package enum KeySource: Sendable, Equatable, Hashable {
    /// From `ISSUER/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 section 4).
    case discovery
    /// A JSON Web Key Set at this URL.
    case url(String)
    /// A JSON Web Key Set in this file.
    case file(String)
    /// The set itself, as JSON text.
    case inline(String)
}

extension JWTPolicy {
    static func read(_ decoder: NodeDecoder) -> JWTPolicy? {
        let known: [String] = [
            "issuers", "header", "scopes", "client_claims", "groups_claim", "application", "forward_token", "revoked",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let issuers: [JWTIssuer]? =
            fields.required("issuers") == nil
            ? nil : fields.list("issuers", count: 1...self.issuersMax) { JWTIssuer.read($0) }
        let header: String? = fields.value("header", default: "authorization") { $0.credentialField() }
        let scopes: [String]? = fields.list("scopes", count: 0...self.scopesMax) { $0.scope() }
        let clientClaims: [ClaimPath]? =
            fields["client_claims"] == nil
            ? self.clientClaimsDefault : fields.list("client_claims", count: 1...8) { $0.claimPath() }
        let groups: ClaimPath? = fields.value("groups_claim", default: self.groupsClaimDefault) { $0.claimPath() }
        let application: Bool? = fields.choice("application", default: false, ["required": true, "optional": false])
        let forwards: Bool? = fields.boolean("forward_token", default: false)
        let revoked: [String]? = fields.list("revoked", count: 0...self.revokedMax) { $0.string(length: 1...256) }
        guard let issuers, let header, let scopes, let clientClaims, let groups, let application, let forwards,
            let revoked
        else { return nil }
        var names: Set<String> = []
        for issuer in issuers where !names.insert(issuer.issuer).inserted {
            fields.problem("expected each issuer only once")
        }
        return JWTPolicy(
            issuers: issuers, header: header, scopes: scopes, clientClaims: clientClaims, groupsClaim: groups,
            requiresApplication: application, forwardsToken: forwards, revoked: revoked)
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("issuers", list: self.issuers.map { $0.json() })
        if self.header != "authorization" { body.set("header", .string(self.header)) }
        body.set("scopes", list: self.scopes.map { .string($0) })
        if self.clientClaims != JWTPolicy.clientClaimsDefault {
            body.set("client_claims", list: self.clientClaims.map { .string($0.text) })
        }
        if self.groupsClaim != JWTPolicy.groupsClaimDefault {
            body.set("groups_claim", .string(self.groupsClaim.text))
        }
        if self.requiresApplication { body.set("application", "required") }
        if self.forwardsToken { body.set("forward_token", true) }
        body.set("revoked", list: self.revoked.map { .string($0) })
    }
}

extension JWTIssuer {
    static func read(_ decoder: NodeDecoder) -> JWTIssuer? {
        let known: [String] = [
            "issuer", "keys", "audiences", "algorithms", "types", "type_required", "leeway", "claims",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let issuer: String? = fields.string("issuer", length: 1...self.textBytesMax)
        let keys: KeySource? = fields.value("keys", default: .discovery) { KeySource.read($0) }
        let audiences: [String]? =
            fields.required("audiences") == nil
            ? nil : fields.list("audiences", count: 0...self.audiencesMax) { $0.string(length: 1...self.textBytesMax) }
        let algorithms: [JWTAlgorithm]? =
            fields["algorithms"] == nil
            ? self.algorithmsDefault
            : fields.list("algorithms", count: 1...JWTAlgorithm.allCases.count) { element in
                element.parsed("one of \(JWTAlgorithm.allCases.map(\.rawValue).joined(separator: ", "))") {
                    JWTAlgorithm(rawValue: $0)
                }
            }
        let types: [String]? =
            fields["types"] == nil
            ? TokenRules.typesStandard : fields.list("types", count: 1...16) { $0.string(length: 1...128) }
        let isTypeRequired: Bool? = fields.boolean("type_required", default: false)
        let leeway: Duration? = fields.duration("leeway", default: self.leewayDefault, in: .zero...TokenRules.leewayMax)
        let claims: [RequiredClaim]? = fields.value("claims", default: []) { RequiredClaim.readList($0) }
        guard let issuer, let keys, let audiences, let algorithms, let types, let isTypeRequired, let leeway, let claims
        else { return nil }
        if keys == .discovery && !KeySource.isURL(issuer) {
            fields.problem("expected 'keys', because discovery needs an issuer that is a URL")
        }
        return JWTIssuer(
            issuer: issuer, keys: keys, audiences: audiences, algorithms: algorithms,
            types: types.map { $0.lowercased() }, isTypeRequired: isTypeRequired, leeway: leeway, claims: claims)
    }

    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("issuer", .string(self.issuer))
        writer.set("keys", self.keys.json())
        // Also when empty: it must be said.
        writer.set("audiences", .array(self.audiences.map { .string($0) }))
        if self.algorithms != JWTIssuer.algorithmsDefault {
            writer.set("algorithms", list: self.algorithms.map { .string($0.rawValue) })
        }
        if self.types != TokenRules.typesStandard { writer.set("types", list: self.types.map { .string($0) }) }
        if self.isTypeRequired { writer.set("type_required", true) }
        writer.set("leeway", self.leeway, unless: JWTIssuer.leewayDefault)
        writer.set("claims", RequiredClaim.json(self.claims))
        return writer.value
    }
}

extension KeySource {
    package static let pathBytesMax: Int = 4096

    static func read(_ decoder: NodeDecoder) -> KeySource? {
        if decoder.node.text == "discovery" { return .discovery }
        guard let fields: NodeFields = decoder.fields(["url", "file", "jwks"]) else { return nil }
        let given: [String] = ["url", "file", "jwks"].filter { fields[$0] != nil }
        guard given.count == 1 else {
            fields.problem("expected one of 'url', 'file' and 'jwks', or the word discovery")
            return nil
        }
        if let url: NodeDecoder = fields["url"] {
            return url.parsed("a URL with http or https") { self.isURL($0) ? .url($0) : nil }
        }
        if let file: NodeDecoder = fields["file"] {
            return file.string(length: 1...self.pathBytesMax).map { .file($0) }
        }
        guard let set: NodeDecoder = fields["jwks"] else { return nil }
        let bytes: [UInt8] = set.node.json().serialized()
        do throws(TokenError) {
            let keys: JWKSet = try JWKSet(parsing: bytes)
            if keys.keys.isEmpty {
                set.problem("expected at least one public signature key (RSA, EC on P-256, P-384, P-521, or Ed25519)")
            }
        } catch {
            set.problem("\(error)")
            return nil
        }
        return .inline(String(decoding: bytes, as: UTF8.self))
    }

    static func isURL(_ text: String) -> Bool {
        guard text.utf8.count <= JWTIssuer.textBytesMax, !text.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f }) else {
            return false
        }
        for scheme in ["https://", "http://"] where text.hasPrefix(scheme) {
            return text.utf8.count > scheme.utf8.count
        }
        return false
    }

    func json() -> JSONValue? {
        switch self {
        case .discovery: return nil
        case .url(let url): return ["url": .string(url)]
        case .file(let path): return ["file": .string(path)]
        case .inline(let text): return ["jwks": (try? JSONReader.parse(text)) ?? .null]
        }
    }
}

extension RequiredClaim {
    /// A mapping from a claim to one value, a list of values, or `any`.
    static func readList(_ decoder: NodeDecoder) -> [RequiredClaim]? {
        let pairs: [(key: String, value: RequiredClaim)]? = decoder.dictionary { key, element in
            guard let path: ClaimPath = ClaimPath(key) else {
                element.problem("expected a claim's name, or a JSON pointer that begins with a slash")
                return nil
            }
            var values: [JSONValue] = []
            let nodes: [Node] = element.node.elements ?? (element.node.text == "any" ? [] : [element.node])
            for node in nodes {
                switch node.json() {
                case .string, .int, .bool: values.append(node.json())
                default: element.problem("expected texts, integers or booleans, or the word any")
                }
            }
            return RequiredClaim(path: path, values: values)
        }
        if let pairs, pairs.count > JWTIssuer.claimsMax {
            decoder.problem("expected at most \(JWTIssuer.claimsMax) claims")
            return nil
        }
        return pairs.map { $0.map(\.value) }
    }

    static func json(_ claims: [RequiredClaim]) -> JSONValue? {
        if claims.isEmpty { return nil }
        var writer: DefinitionWriter = DefinitionWriter()
        for claim in claims { writer.set(claim.path.text, .array(claim.values)) }
        return writer.value
    }
}

extension NodeDecoder {
    /// A header field that may hold a credential.
    func credentialField() -> String? {
        guard let name: String = self.fieldName() else { return nil }
        if HeaderRules.isReserved(name) { self.problem("expected a header field that can hold a token") }
        return name
    }

    func claimPath() -> ClaimPath? {
        self.parsed("a claim's name, or a JSON pointer that begins with a slash") { ClaimPath($0) }
    }

    /// A scope (RFC 6749 section 3.3): visible ASCII without quotes and backslashes.
    func scope() -> String? {
        self.parsed("a scope: 1 to 128 visible ASCII characters without quotes and backslashes") { text in
            let isScope: Bool =
                !text.isEmpty && text.utf8.count <= 128
                && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != 0x22 && $0 != 0x5c }
            return isScope ? text : nil
        }
    }
}
