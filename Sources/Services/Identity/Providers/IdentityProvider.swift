import Bytes
import Contracts
import Crypto
import HTTP
import JSON
import Time
import Tokens

/// A provider as the platform talks to it: its metadata and keys, kept for a while, and the calls of a sign-in.
actor IdentityProvider {
    /// For how long metadata and keys are believed without asking again.
    static let freshFor: Duration = .seconds(600)
    /// For how long they are believed when the provider does not answer.
    static let staleMax: Duration = .seconds(86_400)
    /// Between two calls for keys at least, whatever tokens ask for; and after a call that failed.
    static let askedEvery: Duration = .seconds(10)
    static let tokensBytesMax: Int = 64 << 10

    /// Signed tokens of providers: every algorithm there is, each with keys of its own kind; never a shared secret, never none.
    private static let algorithms: [JWTAlgorithm] = JWTAlgorithm.allCases

    private struct Known: Sendable {
        let metadata: ProviderMetadata
        let keys: JWKSet
        /// Monotonic nanoseconds.
        let at: UInt64
    }

    nonisolated let settings: IdentityProviderSettings
    private nonisolated let calls: any OutgoingCalls
    private nonisolated let clock: any WallClock
    private var known: Known?
    private var failure: (error: ProviderError, at: UInt64)?
    /// One call at a time; who comes meanwhile waits for its answer.
    private var asking: Task<Result<Known, ProviderError>, Never>?

    init(_ settings: IdentityProviderSettings, calls: any OutgoingCalls, clock: any WallClock) {
        self.settings = settings
        self.calls = calls
        self.clock = clock
    }

    // MARK: Metadata and keys

    func metadata() async throws(ProviderError) -> ProviderMetadata { try await self.current().metadata }

    private func age(_ at: UInt64) -> Duration { .nanoseconds(Int64(clamping: self.clock.monotonic() &- at)) }

    private func current() async throws(ProviderError) -> Known {
        if let known: Known = self.known, self.age(known.at) < Self.freshFor { return known }
        do throws(ProviderError) {
            return try await self.ask()
        } catch {
            if let known: Known = self.known, self.age(known.at) < Self.staleMax { return known }
            throw error
        }
    }

    /// Asks the provider, unless it has just failed to answer.
    private func ask() async throws(ProviderError) -> Known {
        if let failure, self.age(failure.at) < Self.askedEvery { throw failure.error }
        if let asking: Task<Result<Known, ProviderError>, Never> = self.asking { return try await asking.value.get() }
        let task: Task<Result<Known, ProviderError>, Never> = Task { [settings, calls, clock] in
            do throws(ProviderError) {
                return .success(try await Self.fetch(settings, calls, clock))
            } catch {
                return .failure(error)
            }
        }
        self.asking = task
        let result: Result<Known, ProviderError> = await task.value
        self.asking = nil
        switch result {
        case .success(let known):
            self.known = known
            self.failure = nil
        case .failure(let error): self.failure = (error, self.clock.monotonic())
        }
        return try result.get()
    }

    private static func fetch(
        _ settings: IdentityProviderSettings, _ calls: any OutgoingCalls, _ clock: any WallClock
    ) async throws(ProviderError) -> Known {
        guard let address: URLParts = ProviderMetadata.address(issuer: settings.issuer) else {
            throw .metadata("the issuer is no address")
        }
        let metadata: ProviderMetadata = try ProviderMetadata(
            parsing: try await Self.get(address, calls, bytesMax: ProviderMetadata.bytesMax), issuer: settings.issuer)
        let bytes: [UInt8] = try await Self.get(metadata.keysAddress, calls, bytesMax: JWKSet.bytesMax)
        do throws(TokenError) {
            return Known(metadata: metadata, keys: try JWKSet(parsing: bytes), at: clock.monotonic())
        } catch {
            throw .keys("\(error)")
        }
    }

    private static func get(
        _ address: URLParts, _ calls: any OutgoingCalls, token: String? = nil, bytesMax: Int
    ) async throws(ProviderError) -> [UInt8] {
        var fields: HTTPFields = HTTPFields()
        fields.append("Accept", "application/json")
        if let token: String { fields.append("Authorization", "Bearer \(token)") }
        do throws(OutgoingCallError) {
            let answer: OutgoingAnswer = try await calls.send(
                HTTPClientRequest(url: address, fields: fields), bytesMax: bytesMax)
            if answer.status == 200 { return answer.bytes }
            throw OutgoingCallError("it answers \(answer.status) at \(address.path)")
        } catch {
            throw .unreachable("\(error)")
        }
    }

    /// Verifies a token; one that names a key nobody knows makes us ask for the keys again, at a bounded rate.
    private func verify(_ token: String, _ rules: TokenRules) async throws(ProviderError) -> VerifiedToken {
        let known: Known = try await self.current()
        do throws(TokenError) {
            return try TokenVerifier(keys: known.keys, rules: rules, clock: self.clock).verify(token)
        } catch {
            guard error.mayBeCuredByFreshKeys, self.age(known.at) >= Self.askedEvery else { throw .token(error) }
        }
        let again: Known = try await self.ask()
        do throws(TokenError) {
            return try TokenVerifier(keys: again.keys, rules: rules, clock: self.clock).verify(token)
        } catch {
            throw .token(error)
        }
    }

    // MARK: Access tokens of its users

    /// Verifies an access token that was made for the control plane.
    func verify(accessToken token: String) async throws(ProviderError) -> ProviderPerson {
        let verified: VerifiedToken = try await self.verify(
            token,
            TokenRules(issuer: self.settings.issuer, audiences: self.settings.audiences, algorithms: Self.algorithms))
        // An id token says who somebody is, to a client; it is no key to anything.
        for claim in ["nonce", "at_hash", "c_hash"] where verified.claims[claim] != nil {
            throw .token(.wrongType)
        }
        return try self.person(verified.claims, roles: verified.claims, expiresAt: verified.expiresAt)
    }

    // MARK: Sign-in

    /// Exchanges the code of an answer and returns whom it is about.
    func exchange(
        code: String, verifier: String, nonce: String, redirectURI: String
    ) async throws(ProviderError) -> ProviderPerson {
        let metadata: ProviderMetadata = try await self.metadata()
        guard let clientID: String = self.settings.clientID, let endpoint: URLParts = metadata.tokenEndpoint else {
            throw .metadata("token_endpoint is missing, or nobody signs in there")
        }
        let answer: JSONValue = try await self.tokens(
            endpoint, clientID, isInForm: metadata.wantsSecretInForm, code: code, verifier: verifier,
            redirectURI: redirectURI)
        guard let text: String = answer["id_token"]?.text else { throw .exchange("there is no id token") }
        let idToken: VerifiedToken = try await self.verify(
            text,
            TokenRules(
                issuer: self.settings.issuer, audiences: [clientID], algorithms: Self.algorithms,
                types: ["jwt"]))
        guard let said: String = idToken.claims["nonce"]?.text, ConstantTime.equals(said, nonce) else {
            throw .token(.claimNotAccepted("nonce"))
        }
        // OpenID Connect Core section 3.1.3.7: among several it must say that we are the one.
        let isOnlyOurs: Bool = (idToken.claims["aud"]?.elements?.count ?? 1) == 1
        let azp: String? = idToken.claims["azp"]?.text
        guard azp.map({ $0 == clientID }) ?? isOnlyOurs else {
            throw .token(.claimNotAccepted("azp"))
        }
        let access: String? = answer["access_token"]?.text
        if let hash: JSONValue = idToken.claims["at_hash"], let access: String {
            try self.check(hash, of: access, idToken.algorithm)
        }
        let roles: JSONObject = try await self.roleClaims(idToken, access: access, metadata)
        var profile: JSONObject = idToken.claims
        if let access: String, self.settings.nameClaim.value(in: profile) == nil,
            self.settings.nameClaim.value(in: roles) == nil
        {
            // OpenID Connect Core section 5.4: with an access token the profile is at userinfo. Without a name it goes on, too.
            let more: JSONObject? = try? await self.userinfo(metadata, access: access, of: idToken.subject)
            for member in more?.members ?? [] where profile[member.key] == nil { profile[member.key] = member.value }
        }
        var person: ProviderPerson = try self.person(profile, roles: roles, expiresAt: idToken.expiresAt)
        person.idToken = text
        return person
    }

    private func userinfo(
        _ metadata: ProviderMetadata, access: String, of subject: String?
    ) async throws(ProviderError) -> JSONObject {
        guard let address: URLParts = metadata.userinfoEndpoint else {
            throw .exchange("there is no userinfo endpoint")
        }
        let bytes: [UInt8] = try await Self.get(address, self.calls, token: access, bytesMax: Self.tokensBytesMax)
        guard let object: JSONObject = (try? JSONReader.parse(bytes))?.object else {
            throw .claim("userinfo is not a JSON object")
        }
        guard let said: String = object["sub"]?.text, said == subject else {
            throw .claim("userinfo is of somebody else")
        }
        return object
    }

    private func check(
        _ hash: JSONValue, of access: String, _ algorithm: JWTAlgorithm
    ) throws(ProviderError) {
        // The hash function is that of the signature; only those with SHA-256 are looked at.
        guard [.rs256, .ps256, .es256].contains(algorithm) else { return }
        let expected: String = Base64.encodeURL(Array(SHA256.hash(access).prefix(16)))
        guard let said: String = hash.text, ConstantTime.equals(said, expected) else {
            throw .token(.claimNotAccepted("at_hash"))
        }
    }

    private func tokens(
        _ endpoint: URLParts, _ clientID: String, isInForm: Bool, code: String, verifier: String, redirectURI: String
    ) async throws(ProviderError) -> JSONValue {
        var form: QueryParameters = QueryParameters()
        form.append("grant_type", "authorization_code")
        form.append("code", code)
        form.append("redirect_uri", redirectURI)
        form.append("code_verifier", verifier)
        var fields: HTTPFields = HTTPFields()
        fields.append("Accept", "application/json")
        fields.append("Content-Type", "application/x-www-form-urlencoded")
        if let secret: String = self.settings.clientSecret, !isInForm {
            // RFC 6749 section 2.3.1: encoded as a form first.
            let pair: String = "\(PercentCoding.encode(clientID)):\(PercentCoding.encode(secret))"
            fields.append("Authorization", "Basic \(Base64.encode(Array(pair.utf8)))")
        } else {
            form.append("client_id", clientID)
            if let secret: String = self.settings.clientSecret { form.append("client_secret", secret) }
        }
        let answer: OutgoingAnswer
        do throws(OutgoingCallError) {
            answer = try await self.calls.send(
                HTTPClientRequest(method: .post, url: endpoint, fields: fields, body: Array(form.encoded.utf8)),
                bytesMax: Self.tokensBytesMax)
        } catch {
            throw .unreachable("\(error)")
        }
        // It may do better the next time; the code is gone, so the user begins again.
        if answer.status >= 500 || answer.status == 429 {
            throw .unreachable("the token endpoint answers \(answer.status)")
        }
        guard let value: JSONValue = try? JSONReader.parse(answer.bytes), answer.status == 200 else {
            throw .exchange("the token endpoint answers \(answer.status)")
        }
        return value
    }

    /// The claims that roles come from, verified as much as those of the id token.
    private func roleClaims(
        _ idToken: VerifiedToken, access: String?, _ metadata: ProviderMetadata
    ) async throws(ProviderError) -> JSONObject {
        let claims: JSONObject
        switch self.settings.rolesFrom {
        case .idToken: return idToken.claims
        case .accessToken:
            guard let access: String else { throw .exchange("there is no access token") }
            // Whom it is for is the provider's business: it came from the provider itself, over this very call.
            claims = try await self.verify(
                access, TokenRules(issuer: self.settings.issuer, audiences: [], algorithms: Self.algorithms)
            ).claims
        case .userinfo:
            guard let access: String else { throw .exchange("there is no access token") }
            return try await self.userinfo(metadata, access: access, of: idToken.subject)
        }
        guard let subject: String = claims["sub"]?.text, subject == idToken.subject else {
            throw .claim("roles are of somebody else")
        }
        return claims
    }

    private nonisolated func person(
        _ claims: JSONObject, roles: JSONObject, expiresAt: Timestamp
    ) throws(ProviderError) -> ProviderPerson {
        guard let subject: String = claims["sub"]?.text, !subject.isEmpty,
            subject.utf8.count <= ProviderPerson.subjectBytesMax
        else { throw .claim("there is no sub of 1 to \(ProviderPerson.subjectBytesMax) bytes") }
        let said: Double = claims["iat"]?.number ?? 0
        let seconds: Int64 = said > 0 && said < 100_000_000_000 ? Int64(said) : 0
        return ProviderPerson(
            provider: self.settings.name, issuer: self.settings.issuer, subject: subject,
            name: self.settings.nameClaim.value(in: claims)?.text ?? self.settings.nameClaim.value(in: roles)?.text,
            roles: self.settings.roles(of: roles), saidAt: Timestamp(milliseconds: seconds * 1_000),
            expiresAt: expiresAt,
            hasSecondFactor: self.settings.sawSecondFactor(claims) || self.settings.sawSecondFactor(roles))
    }
}

/// Whom a provider speaks of, and what it says.
struct ProviderPerson: Sendable {
    static let subjectBytesMax: Int = 256

    let provider: String
    let issuer: String
    /// Who it is at the issuer.
    let subject: String
    /// What the name here is made of.
    let name: String?
    let roles: [MappedRole]
    let saidAt: Timestamp
    let expiresAt: Timestamp
    let hasSecondFactor: Bool
    /// With which the provider said so, where somebody has signed in there: it wants to see it again when they sign out.
    var idToken: String?

    /// What the person is found by. The subject itself is not kept.
    var identity: String { AccessToken.hash("\(self.issuer)\n\(self.subject)") }

    /// The name of a new user: what the provider calls the person, as far as names may hold it, `@` and the provider. Nobody who
    /// exists has it by accident, and names decide nothing.
    var userName: String {
        var letters: [UInt8] = []
        for byte in (self.name ?? "").lowercased().utf8 {
            let isFine: Bool =
                (byte >= 97 && byte <= 122) || (byte >= 48 && byte <= 57) || [45, 46, 95, 64, 43].contains(byte)
            letters.append(isFine ? byte : UInt8(ascii: "-"))
        }
        var base: String = String(decoding: letters.prefix(48), as: UTF8.self)
        if base.isEmpty || base.hasPrefix(User.idPrefix) { base = "user" }
        return "\(base)@\(self.provider)"
    }
}
