import Crypto
import GatewayConfiguration

/// Judges signed requests by one `hmac` policy (RFC 9421 with hmac-sha256, RFC 9530 for bodies).
struct SignatureJudge: Sendable {
    enum Verdict {
        /// No field of a signature.
        case absent
        case accepted(credential: Credential, keyID: String)
        case refused(RequestReason, AuthenticationCounters.Result)
        /// Good so far; the body is needed to check its digest.
        case needsBody
        /// No place to remember the nonce.
        case unavailable
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
        if let nonce: String = signature.nonce {
            let text: String = "\(context.rules.tenant) \(keyID)\u{0}\(nonce)"
            guard let digest: KeyDigest = KeyDigest(bytes: SHA256.hash(text)) else { return .unavailable }
            switch services.nonces.note(digest, until: created + self.windowSeconds + 1, now: now) {
            case .fresh: break
            case .seen: return .refused(.signatureReplayed, .replayed)
            case .full: return .unavailable
            }
        }
        return .accepted(credential: credential, keyID: keyID)
    }
}
