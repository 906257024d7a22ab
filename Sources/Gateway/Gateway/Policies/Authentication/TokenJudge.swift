import Crypto
import GatewayConfiguration
import JSON
import Time
import Tokens

/// Judges tokens by one `jwt` policy. Immutable but for the keys; shared by all loops.
final class TokenJudge: Sendable {
    enum Verdict {
        case accepted(CachedIdentity)
        case refused(TokenError)
        /// The issuer's keys are not known, or none of them is the one the token names: asking for them may help.
        case needsKeys(KeyProvider)
        /// The signature takes too long to be checked on a loop.
        case slow
    }

    private struct Issuer: Sendable {
        let name: String
        let rules: TokenRules
        let keys: KeyProvider
    }

    let policy: JWTPolicy
    /// Tells its verdicts from other judges' in the cache.
    let id: UInt64
    private let issuers: [Issuer]
    private let revoked: Set<String>

    init(_ policy: JWTPolicy, id: UInt64, services: AuthenticationServices) {
        self.policy = policy
        self.id = id
        self.revoked = Set(policy.revoked)
        var issuers: [Issuer] = []
        for issuer in policy.issuers {
            let keys: KeyProvider = services.provider(issuer.keys, issuer: issuer.issuer)
            issuers.append(Issuer(name: issuer.issuer, rules: issuer.rules, keys: keys))
        }
        self.issuers = issuers
    }

    /// Verifies a token. Some 20 to 120 µs; with `isPatient` also what takes up to milliseconds, and is for other threads.
    func judge(_ token: [UInt8], digest: KeyDigest, at time: DecisionTime, isPatient: Bool) -> Verdict {
        do throws(TokenError) {
            let parts: UnverifiedToken = try UnverifiedToken(token)
            let claimed: [UInt8] = Array((parts.claimedIssuer ?? "").utf8)
            guard let issuer: Issuer = self.issuers.first(where: { Array($0.name.utf8) == claimed }) else {
                throw .wrongIssuer
            }
            guard let (keys, version): (JWKSet, UInt64) = issuer.keys.current(now: time.monotonic) else {
                return .needsKeys(issuer.keys)
            }
            do throws(TokenError) {
                _ = try parts.candidates(keys, issuer.rules)
            } catch {
                if error.mayBeCuredByFreshKeys, issuer.keys.mayRefresh(now: time.monotonic) {
                    return .needsKeys(issuer.keys)
                }
                throw error
            }
            if !isPatient && Self.isSlow(parts.header.algorithm) { return .slow }
            let verified: VerifiedToken = try parts.verify(
                keys: keys, rules: issuer.rules, now: Timestamp(seconds: time.wallSeconds))
            return .accepted(try self.accept(verified, issuer, digest: digest, version: version))
        } catch {
            return .refused(error)
        }
    }

    private func accept(
        _ token: VerifiedToken, _ issuer: Issuer, digest: KeyDigest, version: UInt64
    ) throws(TokenError) -> CachedIdentity {
        if !self.revoked.isEmpty, let id: String = token.claims["jti"]?.text, self.revoked.contains(id) {
            throw .claimNotAccepted("jti")
        }
        let identity: VerifiedIdentity = VerifiedIdentity(
            method: .jwt, claims: token.claims, scopes: token.scopes, clientClaims: self.policy.clientClaims,
            groupsClaim: self.policy.groupsClaim)
        return CachedIdentity(
            digest: digest, verifier: self.id, expires: token.expiresAt.adding(issuer.rules.leeway).seconds,
            identity: identity, keys: issuer.keys, keysVersion: version)
    }

    /// P-384 and P-521 have no fast code in OpenSSL 3: their checks take longer than ten requests.
    private static func isSlow(_ algorithm: JWTAlgorithm?) -> Bool { algorithm == .es384 || algorithm == .es512 }
}

/// Waits for an issuer's keys.
final class KeyWork: PolicyWork, @unchecked Sendable {
    // Safe to share: holds constants.
    private let provider: KeyProvider

    private let longest: UInt64

    init(_ provider: KeyProvider, waitedFor longest: UInt64) {
        self.provider = provider
        self.longest = longest
    }

    override var timeout: UInt64 { self.longest }

    override func start(_ done: @escaping @Sendable () -> Void) {
        self.provider.refresh(now: MonotonicClock.now(), done)
    }
}

/// Verifies a token away from the loop.
final class TokenWork: PolicyWork, @unchecked Sendable {
    // Safe to share: `verdict` is written before `done` is called and read after, on the loop that `done` reaches.
    private let judge: TokenJudge
    private let token: [UInt8]
    private let digest: KeyDigest
    private let time: DecisionTime
    private let workers: AuthenticationWorkers
    private(set) var verdict: TokenJudge.Verdict?

    init(
        _ judge: TokenJudge, _ token: [UInt8], digest: KeyDigest, at time: DecisionTime,
        _ workers: AuthenticationWorkers
    ) {
        self.judge = judge
        self.token = token
        self.digest = digest
        self.time = time
        self.workers = workers
    }

    override func start(_ done: @escaping @Sendable () -> Void) {
        let isTaken: Bool = self.workers.submit {
            self.verdict = self.judge.judge(self.token, digest: self.digest, at: self.time, isPatient: true)
            done()
        }
        // Without a verdict the stage answers 503.
        if !isTaken { done() }
    }
}
