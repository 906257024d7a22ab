import Crypto
import GatewayConfiguration
import Tokens

/// What is known of an exchange that had to wait: each method's work, so that no method waits twice.
final class AuthenticationProgress {
    var hasAskedForKeys: Bool = false
    var token: TokenWork?
    var introspection: IntrospectionWork?
    var password: PasswordWork?
}

extension PolicyContext {
    /// The note of this exchange; made when it is first needed.
    var authenticationProgress: AuthenticationProgress {
        if let known: AuthenticationProgress = self.note(AuthenticationProgress.self) { return known }
        let made: AuthenticationProgress = AuthenticationProgress()
        self.setNote(made)
        return made
    }
}

/// A token as it stands in a field.
enum PresentedToken {
    case absent
    case token(UnsafeRawBufferPointer)
    /// Several fields, or another form.
    case malformed
}

extension AuthenticationStage {
    // MARK: Signed tokens

    func tryToken(_ request: RequestView, _ context: PolicyContext, _ decision: inout Decision) -> Step {
        guard let judge: TokenJudge = self.tokens else { return .absent }
        switch self.presented(request, in: self.tokenField) {
        case .absent: return .absent
        case .malformed: return self.refuse(.jwt, .tokenInvalid, .malformed)
        case .token(let token):
            guard UnverifiedToken.isLikely(token) else {
                // It may be one that the introspection endpoint knows.
                return self.introspector == nil ? self.refuse(.jwt, .tokenInvalid, .malformed) : .absent
            }
            return self.tryToken(token, judge, context, &decision)
        }
    }

    private func tryToken(
        _ token: UnsafeRawBufferPointer, _ judge: TokenJudge, _ context: PolicyContext, _ decision: inout Decision
    ) -> Step {
        let digest: KeyDigest = Self.digest(token, &decision)
        let now: Int64 = context.time.wallSeconds
        if let known: CachedIdentity = self.services.cache.find(digest, verifier: judge.id, now: now),
            let identity: VerifiedIdentity = known.identity
        {
            known.keys?.refreshWhenDue(now: context.time.monotonic)
            if self.services.revocations.refuses(known) { return self.refuse(.jwt, .tokenInvalid, .notAccepted) }
            return self.acceptToken(
                identity, judge.policy.scopes, judge.policy.requiresApplication, .acceptedFromCache, context, &decision)
        }
        let progress: AuthenticationProgress? = context.note(AuthenticationProgress.self)
        var verdict: TokenJudge.Verdict
        if let work: TokenWork = progress?.token {
            guard let answer: TokenJudge.Verdict = work.verdict else {
                self.services.counters.count(.jwt, .unavailable)
                return .unavailable(.overloaded)
            }
            verdict = answer
        } else {
            verdict = judge.judge(Array(token), digest: digest, at: context.time, isPatient: false)
        }
        switch verdict {
        case .accepted(let entry):
            guard let identity: VerifiedIdentity = entry.identity else { return .refused(.tokenInvalid) }
            self.services.cache.insert(entry, now: now)
            if self.services.revocations.refuses(entry) { return self.refuse(.jwt, .tokenInvalid, .notAccepted) }
            return self.acceptToken(
                identity, judge.policy.scopes, judge.policy.requiresApplication, .accepted, context, &decision)
        case .refused(let error): return self.refuse(error)
        case .slow:
            let work: TokenWork = TokenWork(
                judge, Array(token), digest: digest, at: context.time, self.services.workers)
            context.authenticationProgress.token = work
            return .wait(work)
        case .needsKeys(let provider):
            if progress?.hasAskedForKeys != true {
                context.authenticationProgress.hasAskedForKeys = true
                return .wait(KeyWork(provider, waitedFor: self.services.settings.keysWaitedFor))
            }
            if provider.current(now: context.time.monotonic) == nil {
                self.services.counters.count(.jwt, .keysUnavailable)
                return .unavailable(.policyUnavailable)
            }
            return self.refuse(.keyNotFound)
        }
    }

    private func refuse(_ error: TokenError) -> Step {
        switch error {
        case .expired: return self.refuse(.jwt, .credentialsExpired, .expired)
        case .signatureInvalid: return self.refuse(.jwt, .tokenInvalid, .badSignature)
        case .keyNotFound: return self.refuse(.jwt, .tokenInvalid, .unknownCredential)
        case .malformed, .tooLarge, .criticalExtension: return self.refuse(.jwt, .tokenInvalid, .malformed)
        default: return self.refuse(.jwt, .tokenInvalid, .notAccepted)
        }
    }

    func refuse(
        _ method: AuthenticationMethod, _ reason: RequestReason, _ result: AuthenticationCounters.Result
    ) -> Step {
        self.services.counters.count(method, result)
        return .refused(reason)
    }

    private func acceptToken(
        _ identity: VerifiedIdentity, _ scopes: [String], _ requiresApplication: Bool,
        _ result: AuthenticationCounters.Result, _ context: PolicyContext, _ decision: inout Decision
    ) -> Step {
        for scope in scopes where !identity.scopes.contains(scope) {
            return self.refuse(identity.method, .scopeInsufficient, .notAccepted)
        }
        var reason: RequestReason = .none
        guard
            let caller: Caller = self.bind(
                identity, requiresApplication: requiresApplication, context, &decision, &reason)
        else { return self.refuse(identity.method, reason, .notAccepted) }
        self.services.counters.count(identity.method, result)
        return .accepted(identity, caller)
    }

    // MARK: Tokens that their issuer is asked about

    func tryIntrospection(_ request: RequestView, _ context: PolicyContext, _ decision: inout Decision) -> Step {
        guard let introspector: Introspector = self.introspector else { return .absent }
        switch self.presented(request, in: Self.authorization) {
        case .absent: return .absent
        case .malformed: return self.refuse(.introspection, .tokenInvalid, .malformed)
        case .token(let token):
            guard token.count <= JWT.bytesMax else { return self.refuse(.introspection, .tokenInvalid, .malformed) }
            let digest: KeyDigest = Self.digest(token, &decision)
            let policy: IntrospectionPolicy = introspector.policy
            let now: Int64 = context.time.wallSeconds
            if let known: CachedIdentity = self.services.cache.find(digest, verifier: introspector.id, now: now) {
                guard let identity: VerifiedIdentity = known.identity else {
                    return self.refuse(.introspection, .tokenInvalid, .notAccepted)
                }
                if self.services.revocations.refuses(known) {
                    return self.refuse(.introspection, .tokenInvalid, .notAccepted)
                }
                return self.acceptToken(
                    identity, policy.scopes, policy.requiresApplication, .acceptedFromCache, context, &decision)
            }
            guard let work: IntrospectionWork = context.note(AuthenticationProgress.self)?.introspection else {
                let work: IntrospectionWork = IntrospectionWork(
                    introspector, self.services, token: String(decoding: token, as: UTF8.self), digest: digest)
                context.authenticationProgress.introspection = work
                return .wait(work)
            }
            return self.judge(work.answer, policy, context, &decision)
        }
    }

    private func judge(
        _ answer: Introspector.Answer, _ policy: IntrospectionPolicy, _ context: PolicyContext,
        _ decision: inout Decision
    ) -> Step {
        switch answer {
        case .failed:
            self.services.counters.count(.introspection, .unavailable)
            return .unavailable(.policyUnavailable)
        case .inactive(let entry):
            self.services.cache.insert(entry, now: context.time.wallSeconds)
            return self.refuse(.introspection, .tokenInvalid, .notAccepted)
        case .active(let entry):
            self.services.cache.insert(entry, now: context.time.wallSeconds)
            guard let identity: VerifiedIdentity = entry.identity else { return .refused(.tokenInvalid) }
            return self.acceptToken(
                identity, policy.scopes, policy.requiresApplication, .accepted, context, &decision)
        }
    }

    // MARK: Fields

    static let authorization: [UInt8] = Array("authorization".utf8)

    /// The token in a field: behind `Bearer` in `authorization` (RFC 6750 section 2.1), bare in any other.
    func presented(_ request: RequestView, in name: [UInt8]) -> PresentedToken {
        let index: Int = name.withUnsafeBytes { request.fields.index(of: $0) }
        guard index >= 0 else { return .absent }
        let value: UnsafeRawBufferPointer = request.fields.value(at: index)
        let isAuthorization: Bool = name == Self.authorization
        if isAuthorization && !Self.hasScheme(value, Self.bearer) { return .absent }
        // Two fields: nobody can say which one the caller means.
        if name.withUnsafeBytes({ request.fields.index(of: $0, from: index + 1) }) >= 0 { return .malformed }
        var start: Int = isAuthorization ? Self.bearer.count : 0
        while start < value.count, value[start] == 0x20 { start += 1 }
        return start == value.count ? .malformed : .token(UnsafeRawBufferPointer(rebasing: value[start...]))
    }

    private static let bearer: [UInt8] = Array("bearer ".utf8)
    static let basicScheme: [UInt8] = Array("basic ".utf8)

    /// Whether a value begins with a scheme (lower case, with its space), whatever its case.
    static func hasScheme(_ value: UnsafeRawBufferPointer, _ scheme: [UInt8]) -> Bool {
        guard value.count >= scheme.count, let base: UnsafeRawPointer = value.baseAddress else { return false }
        return scheme.withUnsafeBytes { ASCIIBytes.equalIgnoringCase(base, lower: $0.baseAddress, count: scheme.count) }
    }

    static func digest(_ token: UnsafeRawBufferPointer, _ decision: inout Decision) -> KeyDigest {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { output in
            decision.hasher.hash(token, into: output)
            return KeyDigest(loading: UnsafeRawBufferPointer(output))
        }
    }
}
