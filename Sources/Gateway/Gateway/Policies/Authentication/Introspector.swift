import Bytes
import Crypto
import GatewayConfiguration
import Glibc
import HTTP
import JSON
import Synchronization
import Time
import Tokens

/// Asks an authorization server about tokens by one `introspection` policy (RFC 7662).
final class Introspector: Sendable {
    enum Answer {
        case active(CachedIdentity)
        case inactive(CachedIdentity)
        /// No answer, or none that can be understood.
        case failed
    }

    let policy: IntrospectionPolicy
    let id: UInt64
    private let url: URLParts?
    private let authorization: String
    private let services: AuthenticationServices

    /// Longest answer read.
    private static let answerBytesMax: Int = 64 << 10

    init(_ policy: IntrospectionPolicy, id: UInt64, services: AuthenticationServices) {
        self.policy = policy
        self.id = id
        self.url = URLParts(policy.endpoint)
        // RFC 6749 section 2.3.1: both are form-encoded first.
        let pair: String = PercentCoding.encode(policy.clientID) + ":" + PercentCoding.encode(policy.clientSecret)
        self.authorization = "Basic " + Base64.encode(Array(pair.utf8))
        self.services = services
    }

    func ask(_ token: String, digest: KeyDigest) async -> Answer {
        guard let url: URLParts = self.url else { return .failed }
        var fields: HTTPFields = HTTPFields()
        fields.append("Authorization", self.authorization)
        fields.append("Content-Type", "application/x-www-form-urlencoded")
        fields.append("Accept", "application/json")
        let form: String = "token=" + PercentCoding.encode(token) + "&token_type_hint=access_token"
        let request: HTTPClientRequest = HTTPClientRequest(
            method: .post, url: url, fields: fields, body: Array(form.utf8))
        guard
            let bytes: [UInt8] = await self.services.network.send(
                request, timeout: self.policy.timeout, max: Self.answerBytesMax),
            let claims: JSONObject = (try? JSONReader.parse(bytes))?.object,
            let isActive: Bool = claims["active"]?.boolean
        else { return .failed }
        // The call may have taken a while.
        let now: Int64 = Int64(time(nil))
        let kept: Int64 = now + self.policy.cacheFor.components.seconds
        guard isActive, self.fits(claims, now: now) else {
            let until: Int64 = now + self.policy.cacheInactiveFor.components.seconds
            return .inactive(CachedIdentity(digest: digest, verifier: self.id, expires: until, identity: nil))
        }
        let identity: VerifiedIdentity = VerifiedIdentity(
            method: .introspection, claims: claims, scopes: TokenScopes.read(claims),
            clientClaims: self.policy.clientClaims, groupsClaim: self.policy.groupsClaim)
        let expires: Int64 = claims["exp"]?.integer ?? .max
        return .active(
            CachedIdentity(digest: digest, verifier: self.id, expires: min(kept, expires), identity: identity))
    }

    private func fits(_ claims: JSONObject, now: Int64) -> Bool {
        if let expires: Int64 = claims["exp"]?.integer, expires <= now { return false }
        if let notBefore: Int64 = claims["nbf"]?.integer, notBefore > now { return false }
        if let expected: String = self.policy.issuer, let issuer: String = claims["iss"]?.text,
            Array(issuer.utf8) != Array(expected.utf8)
        {
            return false
        }
        if self.policy.audiences.isEmpty { return true }
        return RequiredClaim(path: .named("aud"), values: self.policy.audiences.map { .string($0) }).isMet(by: claims)
    }
}

/// One call to an introspection endpoint.
final class IntrospectionWork: PolicyWork, @unchecked Sendable {
    // Safe to share: `answer` is written before `done` is called and read after, on the loop that `done` reaches.
    private let introspector: Introspector
    private let services: AuthenticationServices
    private let token: String
    private let digest: KeyDigest
    private(set) var answer: Introspector.Answer = .failed

    init(_ introspector: Introspector, _ services: AuthenticationServices, token: String, digest: KeyDigest) {
        self.introspector = introspector
        self.services = services
        self.token = token
        self.digest = digest
    }

    override func start(_ done: @escaping @Sendable () -> Void) {
        let underWay: Int = self.services.introspections.wrappingAdd(1, ordering: .relaxed).newValue
        guard underWay <= self.services.settings.introspectionsMax else {
            self.services.introspections.wrappingSubtract(1, ordering: .relaxed)
            done()
            return
        }
        Task.detached {
            self.answer = await self.introspector.ask(self.token, digest: self.digest)
            self.services.introspections.wrappingSubtract(1, ordering: .relaxed)
            done()
        }
    }
}
