import Bytes
import Crypto
import HTTP
import JSON
import Synchronization
import Time
import Tokens

@testable import Identity

/// An identity provider without a network: metadata, keys, codes bound to their PKCE challenge, tokens in the form of Keycloak's.
/// Everything about it can be spoilt.
final class FakeProvider: OutgoingCalls {
    /// What a test may change.
    struct Behaviour: Sendable {
        var idClaims: JSONObject = [:]
        var accessClaims: JSONObject = [:]
        var userinfo: JSONObject = [:]
        var metadata: JSONObject = [:]
        /// The status of everything; 0 for no answer at all.
        var status: Int = 200
        /// That of the token endpoint, while everything else answers.
        var tokenStatus: Int = 200
        var audience: String = "passerelle-web"
        /// What the answer of the token endpoint has beside or in place of the tokens; null removes a member.
        var answer: JSONObject = [:]
        var algorithm: JWTAlgorithm = .rs256
        var keyID: String? = "k1"
        var subject: String = "f3a1"
    }

    private struct Asked: Sendable {
        let challenge: String
        let nonce: String
        let redirectURI: String
    }

    private struct State: Sendable {
        var behaviour: Behaviour = Behaviour()
        var codes: [String: Asked] = [:]
        var calls: [String] = []
        var keys: [(id: String, key: PrivateKey)] = []
    }

    let issuer: String
    private let clock: any WallClock
    private let state: Mutex<State>

    static let secret: String = "s3cret of the client/+"

    init(_ issuer: String = "https://idp.example/realms/staff", clock: any WallClock) throws {
        self.issuer = issuer
        self.clock = clock
        self.state = Mutex(State(keys: [("k1", try TestSigningKey.key.get())]))
    }

    func change(_ body: (inout Behaviour) -> Void) { self.state.withLock { body(&$0.behaviour) } }
    func setKeys(_ keys: [(id: String, key: PrivateKey)]) { self.state.withLock { $0.keys = keys } }

    /// Paths that were called.
    var calls: [String] { self.state.withLock { $0.calls } }

    /// What a user does there: signs in. - Returns: the code.
    func authorize(_ location: String) -> String {
        guard let query: Substring = location.split(separator: "?", maxSplits: 1).last,
            let parameters: QueryParameters = try? QueryParameters.parse(String(query))
        else { return "" }
        let code: String = Random.token(prefix: "code-", bytes: 8)
        self.state.withLock {
            $0.codes[code] = Asked(
                challenge: parameters["code_challenge"] ?? "", nonce: parameters["nonce"] ?? "",
                redirectURI: parameters["redirect_uri"] ?? "")
        }
        return code
    }

    func send(_ request: HTTPClientRequest, bytesMax: Int) async throws(OutgoingCallError) -> OutgoingAnswer {
        let behaviour: Behaviour = self.state.withLock { state in
            state.calls.append("\(request.method.name) \(request.url.path)")
            return state.behaviour
        }
        guard behaviour.status > 0 else { throw OutgoingCallError("nobody answers") }
        let value: JSONValue? = self.answer(request, behaviour)
        let status: Int = request.method == .post ? behaviour.tokenStatus : behaviour.status
        return OutgoingAnswer(
            status: value == nil ? 400 : status, fields: HTTPFields(), bytes: value?.serialized() ?? [])
    }

    private func answer(_ request: HTTPClientRequest, _ behaviour: Behaviour) -> JSONValue? {
        let base: String = String(self.issuer.dropFirst("https://idp.example".count))
        switch request.url.path {
        case "\(base)/.well-known/openid-configuration":
            var metadata: JSONObject = [
                "issuer": .string(self.issuer), "authorization_endpoint": .string("\(self.issuer)/auth"),
                "token_endpoint": .string("\(self.issuer)/token"), "jwks_uri": .string("\(self.issuer)/keys"),
                "userinfo_endpoint": .string("\(self.issuer)/userinfo"),
                "authorization_response_iss_parameter_supported": true,
            ]
            for member in behaviour.metadata.members { metadata[member.key] = member.value }
            return .object(metadata)
        case "\(base)/keys":
            let keys: [JWK] = self.state.withLock { $0.keys }.compactMap { key in
                (try? key.key.publicKey()).map { JWK(keyID: key.id, algorithm: nil, key: $0) }
            }
            return try? JWKSet(keys: keys).json()
        case "\(base)/userinfo": return .object(behaviour.userinfo)
        case "\(base)/token": return self.tokens(request, behaviour)
        default: return nil
        }
    }

    private func tokens(_ request: HTTPClientRequest, _ behaviour: Behaviour) -> JSONValue? {
        guard let form: QueryParameters = try? QueryParameters.parseForm(request.body), let code: String = form["code"],
            let asked: Asked = self.state.withLock({ $0.codes.removeValue(forKey: code) }),
            Base64.encodeURL(SHA256.hash(form["code_verifier"] ?? "")) == asked.challenge,
            form["redirect_uri"] == asked.redirectURI,
            request.fields["Authorization"]
                == "Basic " + Base64.encode(Array("passerelle-web:\(PercentCoding.encode(Self.secret))".utf8))
        else { return nil }
        let access: String = self.accessToken()
        var claims: JSONObject = [
            "iss": .string(self.issuer), "sub": .string(behaviour.subject), "aud": .string(behaviour.audience),
            "nonce": .string(asked.nonce), "iat": .int(self.seconds), "exp": .int(self.seconds + 300),
            "preferred_username": "Ada Lovelace",
        ]
        for member in behaviour.idClaims.members { claims[member.key] = member.value }
        var answer: JSONObject = [
            "access_token": .string(access), "token_type": "Bearer", "id_token": .string(self.sign(claims)),
        ]
        for member in behaviour.answer.members { answer[member.key] = member.value }
        return .object(answer)
    }

    private var seconds: Int64 { self.clock.now().milliseconds / 1_000 }

    /// An access token as the provider makes it for a client, with changes.
    func accessToken(_ changes: JSONObject = [:], type: String = "JWT") -> String {
        let behaviour: Behaviour = self.state.withLock { $0.behaviour }
        var claims: JSONObject = [
            "iss": .string(self.issuer), "sub": .string(behaviour.subject),
            "aud": .array(["account", "passerelle-api"]),
            "iat": .int(self.seconds), "exp": .int(self.seconds + 300), "preferred_username": "Ada Lovelace",
        ]
        for member in behaviour.accessClaims.members + changes.members { claims[member.key] = member.value }
        return self.sign(claims, type: type)
    }

    func sign(_ claims: JSONObject, type: String = "JWT") -> String {
        let (behaviour, keys): (Behaviour, [(id: String, key: PrivateKey)]) = self.state.withLock {
            ($0.behaviour, $0.keys)
        }
        guard let key: PrivateKey = keys.last?.key else { return "" }
        return
            (try? JWT.sign(
                claims: claims, key: key, keyID: behaviour.keyID, algorithm: behaviour.algorithm, type: type)) ?? ""
    }

    /// The settings of a provider whose rules are about roles of the realm, of a client, and groups.
    func settings(_ name: String = "staff") -> IdentityProviderSettings {
        var settings: IdentityProviderSettings = IdentityProviderSettings(
            name: name, label: "Staff <1>", issuer: self.issuer, clientID: "passerelle-web",
            clientSecret: Self.secret)
        settings.audiences = ["passerelle-api"]
        func rule(_ claim: String, _ value: String, _ role: String, _ tenant: String?) -> RoleRule? {
            ClaimPath(claim).map { RoleRule(claim: $0, value: value, role: role, tenant: tenant) }
        }
        settings.rules = [
            rule("/realm_access/roles", "apim-admin", "platform-admin", nil),
            rule("/resource_access/passerelle/roles", "auditor", "auditor", "acme"),
            rule("groups", "/apim/*/devops", "devops", "*"),
            rule("groups", "/apim/*/own", "own-role", "*"),
            rule("is_viewer", "true", "viewer", "acme"),
        ].compactMap { $0 }
        return settings
    }
}
