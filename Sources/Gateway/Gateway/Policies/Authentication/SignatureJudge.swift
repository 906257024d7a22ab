import Crypto
import GatewayConfiguration
import Synchronization

/// Judges signed requests by one `hmac` policy (RFC 9421 with hmac-sha256, RFC 9530 for bodies).
struct SignatureJudge: Sendable {
    enum Verdict {
        /// No field of a signature.
        case absent
        case accepted(credential: Credential, keyID: String)
        case refused(RequestReason, AuthenticationCounters.Result)
        /// Good so far; the body is needed to check its digest.
        case needsBody
        /// Good so far; the other gateways are asked whether they know the nonce.
        case wait(PolicyWork)
        /// No place to remember the nonce.
        case unavailable(RequestReason)
    }

    let policy: SignaturePolicy
    private let windowSeconds: Int64

    static let nonceBytesMax: Int = 256

    init(_ policy: SignaturePolicy) {
        self.policy = policy
        self.windowSeconds = max(1, policy.window.components.seconds)
    }

    func judge(_ request: RequestView, _ context: PolicyContext, _ services: AuthenticationServices) -> Verdict {
        guard let input: [UInt8] = SignatureBase.field("signature-input", request),
            let field: [UInt8] = SignatureBase.field("signature", request)
        else { return .absent }
        guard let signature: MessageSignature = MessageSignature(input: input, signature: field),
            let keyID: String = signature.keyID, let created: Int64 = signature.created
        else { return .refused(.signatureInvalid, .malformed) }
        let now: Int64 = context.time.wallSeconds
        guard abs(now - created) <= self.windowSeconds, signature.expires.map({ $0 > now }) ?? true else {
            return .refused(.signatureInvalid, .expired)
        }
        if signature.nonce == nil && self.policy.requiresNonce { return .refused(.signatureInvalid, .malformed) }
        if let nonce: String = signature.nonce, nonce.utf8.count > Self.nonceBytesMax {
            return .refused(.signatureInvalid, .malformed)
        }
        let hasBody: Bool = request.contentLength != 0
        guard self.coversEnough(signature, hasQuery: request.query.count > 0, hasBody: hasBody) else {
            return .refused(.signatureInvalid, .notAccepted)
        }
        let name: CredentialName = CredentialName(kind: .hmac, name: keyID)
        guard
            let credential: Credential = context.snapshot.credentials.find(
                name.digest, kind: .hmac, tenant: context.rules.tenant),
            case .hmac(_, let secret) = context.snapshot.credentialKind(credential)
        else { return .refused(.signatureInvalid, .unknownCredential) }
        guard
            let base: [UInt8] = SignatureBase.make(
                signature, request, method: context.methodBytes, isSecure: context.isSecure),
            HMACSHA256.isValid(signature.signature, for: base, key: secret)
        else { return .refused(.signatureInvalid, .badSignature) }
        if hasBody {
            guard let body: [UInt8] = context.body else { return .needsBody }
            guard let stated: [UInt8] = SignatureBase.field("content-digest", request).flatMap(ContentDigest.sha256),
                ConstantTime.equals(stated, SHA256.hash(body))
            else { return .refused(.signatureInvalid, .badSignature) }
        }
        return self.remember(signature, keyID, created: created, now: now, credential, context, services)
    }

    /// What must be covered for a signature to mean this request: else it could be moved to another one.
    private func coversEnough(_ signature: MessageSignature, hasQuery: Bool, hasBody: Bool) -> Bool {
        let covered: Set<String> = Set(signature.components)
        let hasTarget: Bool = covered.contains("@target-uri")
        guard covered.contains("@method"), hasTarget || covered.contains("@authority"),
            hasTarget || covered.contains("@path") || covered.contains("@request-target")
        else { return false }
        if hasQuery && !hasTarget && !covered.contains("@query") && !covered.contains("@request-target") {
            return false
        }
        if hasBody && !covered.contains("content-digest") { return false }
        for component in self.policy.components where !covered.contains(component) { return false }
        return true
    }

    /// The last step: a nonce counts as used only when all else is good.
    private func remember(
        _ signature: MessageSignature, _ keyID: String, created: Int64, now: Int64, _ credential: Credential,
        _ context: PolicyContext, _ services: AuthenticationServices
    ) -> Verdict {
        guard let nonce: String = signature.nonce else { return .accepted(credential: credential, keyID: keyID) }
        let tenant: String = context.api.key.tenant
        let text: String = "\(tenant) \(keyID)\u{0}\(nonce)"
        guard let digest: KeyDigest = KeyDigest(bytes: SHA256.hash(text)) else { return .unavailable(.overloaded) }
        if let asked: NonceWork = context.note(NonceWork.self), asked.digest == digest {
            switch asked.outcome {
            case .first, .open: return .accepted(credential: credential, keyID: keyID)
            case .known: return .refused(.signatureReplayed, .replayed)
            case .closed: return .unavailable(.policyUnavailable)
            }
        }
        let until: Int64 = created + self.windowSeconds + 1
        switch services.nonces.note(digest, until: until, now: now) {
        case .fresh: break
        case .seen: return .refused(.signatureReplayed, .replayed)
        case .full: return .unavailable(.overloaded)
        }
        guard services.claims.isShared else { return .accepted(credential: credential, keyID: keyID) }
        let work: NonceWork = NonceWork(
            digest, key: "nonce:\(tenant):\(digest.hex)", keptFor: .seconds(max(1, until - now)),
            claims: services.claims)
        // Other methods may wait for work of theirs before this one is asked again.
        context.setNote(work)
        return .wait(work)
    }
}

/// Asks all gateways whether they know a nonce; from then on they do.
final class NonceWork: PolicyWork, @unchecked Sendable {
    // Safe to share: constants, and the outcome behind its lock.
    let digest: KeyDigest
    private let key: String
    private let keptFor: Duration
    private let claims: SharedClaims
    private let result: Mutex<SharedClaims.Outcome> = Mutex(.closed)

    init(_ digest: KeyDigest, key: String, keptFor: Duration, claims: SharedClaims) {
        self.digest = digest
        self.key = key
        self.keptFor = keptFor
        self.claims = claims
    }

    var outcome: SharedClaims.Outcome { self.result.withLock { $0 } }

    override func start(_ done: @escaping @Sendable () -> Void) {
        Task {
            let outcome: SharedClaims.Outcome = await self.claims.claim(
                .nonce, self.key, [UInt8(ascii: "1")], keptFor: self.keptFor)
            self.result.withLock { $0 = outcome }
            done()
        }
    }
}
