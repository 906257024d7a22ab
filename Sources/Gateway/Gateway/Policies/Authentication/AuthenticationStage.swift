import Bytes
import Crypto
import GatewayConfiguration
import JSON
import Tokens

/// Finds out who calls, where other credentials than API keys are taken. Any one of the methods configured suffices: they are tried
/// in a fixed order, and the request is refused only when none of them accepts it.
final class AuthenticationStage: RequestStage, @unchecked Sendable {
    /// What one method makes of a request.
    enum Step {
        /// No credential of this kind.
        case absent
        case accepted(VerifiedIdentity, Caller)
        case refused(RequestReason)
        case wait(PolicyWork)
        case body
        /// It cannot be said now: something that is needed is away or has too much to do.
        case unavailable(RequestReason)
    }

    let services: AuthenticationServices
    let key: APIKeyPolicy?
    let tokens: TokenJudge?
    let introspector: Introspector?
    let basic: BasicPolicy?
    let signatures: SignatureJudge?
    let certificates: ClientCertificatePolicy?
    private let allowsAnonymous: Bool
    private let methods: [AuthenticationMethod]
    let challenge: Challenge
    /// Lower-case names of fields that hold credentials for the gateway and do not go upstream.
    private let credentialFields: [[UInt8]]
    let tokenField: [UInt8]

    /// Nil when there is nothing but API keys, which need no stage of their own.
    init?(_ context: StageContext) {
        var key: APIKeyPolicy?
        var jwt: JWTPolicy?
        var introspection: IntrospectionPolicy?
        var basic: BasicPolicy?
        var signature: SignaturePolicy?
        var certificate: ClientCertificatePolicy?
        var methods: [AuthenticationMethod] = []
        for policy in context.policies.authentication {
            switch policy {
            case .apiKey(let policy): key = policy
            case .jwt(let policy): jwt = policy
            case .introspection(let policy): introspection = policy
            case .basic(let policy): basic = policy
            case .signature(let policy): signature = policy
            case .clientCertificate(let policy): certificate = policy
            default: break
            }
        }
        // Cheapest and strongest first; a key last, because it changes the request's target.
        if certificate != nil { methods.append(.clientCertificate) }
        if jwt != nil { methods.append(.jwt) }
        if introspection != nil { methods.append(.introspection) }
        if basic != nil { methods.append(.basic) }
        if signature != nil { methods.append(.signature) }
        if methods.isEmpty { return nil }
        if key != nil { methods.append(.apiKey) }
        let services: AuthenticationServices = context.live.authentication
        self.services = services
        self.key = key
        self.tokens = jwt.map { services.judge($0) }
        self.introspector = introspection.map { services.introspector($0) }
        self.basic = basic
        self.signatures = signature.map { SignatureJudge($0) }
        self.certificates = certificate
        self.allowsAnonymous = context.policies.allowsAnonymous
        self.methods = methods
        self.challenge = Challenge(
            realm: context.api.id, methods: methods, scopes: (jwt?.scopes ?? []) + (introspection?.scopes ?? []))
        self.tokenField = Array((jwt?.header ?? "authorization").utf8)
        var fields: [String] = []
        if let jwt, !jwt.forwardsToken { fields.append(jwt.header) }
        if let introspection, !introspection.forwardsToken { fields.append("authorization") }
        if basic != nil { fields.append("authorization") }
        if signature != nil { fields += ["signature", "signature-input"] }
        if let header: String = key?.header { fields.append(header) }
        var distinct: [[UInt8]] = []
        for field in fields where !distinct.contains(Array(field.utf8)) { distinct.append(Array(field.utf8)) }
        self.credentialFields = distinct
        super.init(rank: .authentication)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        var refusal: RequestReason = .none
        var failure: RequestReason = .none
        for method in self.methods {
            switch self.attempt(method, request, context, &decision) {
            case .absent: continue
            case .accepted(let identity, let caller):
                return self.accept(identity, caller, request, context, &decision)
            case .refused(let reason): if refusal == .none { refusal = reason }
            case .unavailable(let reason): if failure == .none { failure = reason }
            case .wait(let work): return .suspend(work)
            case .body: return .needsBody(max: self.signatures?.policy.bodyBytesMax ?? 0)
            }
        }
        decision.reason = .none
        decision.headerLines.removeAll(keepingCapacity: true)
        if failure != .none { return decision.refuse(failure) }
        if refusal == .none {
            if self.allowsAnonymous {
                self.strip(request, context, &decision)
                return .next
            }
            refusal = .credentialsMissing
        }
        if refusal.status == 401 || refusal == .scopeInsufficient {
            self.challenge.write(refusal, into: &decision.headerLines)
        }
        decision.reason = refusal
        return .reject
    }

    private func attempt(
        _ method: AuthenticationMethod, _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> Step {
        switch method {
        case .apiKey: return self.tryKey(request, context, &decision)
        case .jwt: return self.tryToken(request, context, &decision)
        case .introspection: return self.tryIntrospection(request, context, &decision)
        case .basic: return self.tryBasic(request, context, &decision)
        case .signature: return self.trySignature(request, context, &decision)
        case .clientCertificate: return self.tryCertificate(context, &decision)
        }
    }

    private func accept(
        _ identity: VerifiedIdentity, _ caller: Caller, _ request: RequestView, _ context: PolicyContext,
        _ decision: inout Decision
    ) -> StageOutcome {
        decision.reason = .none
        decision.headerLines.removeAll(keepingCapacity: true)
        decision.forwarding.forgetCaller(unless: caller)
        context.identity = identity
        context.method = identity.method
        context.caller = caller
        context.caller.identity = Unmanaged.passUnretained(identity)
        context.subject = identity.subject
        context.scopes = identity.scopes
        context.groups = identity.groups
        if let claims = identity.claims { context.claims = .object(claims) }
        self.strip(request, context, &decision)
        return .next
    }

    /// Takes everything off that is a credential for the gateway: also those that were not needed, or not looked at.
    private func strip(_ request: RequestView, _ context: PolicyContext, _ decision: inout Decision) {
        for name in self.credentialFields {
            let index: Int = name.withUnsafeBytes { request.fields.index(of: $0) }
            if index < 0 { continue }
            let another: Int = name.withUnsafeBytes { request.fields.index(of: $0, from: index + 1) }
            if decision.forwarding.strippedField < 0 && another < 0 {
                decision.forwarding.strippedField = Int32(truncatingIfNeeded: index)
            } else if Int(decision.forwarding.strippedField) != index || another >= 0 {
                context.edits.removedFields.append(name)
            }
        }
        guard let query: String = self.key?.query, decision.forwarding.strippedQueryLength == 0,
            request.query.count > 0, !query.isEmpty
        else { return }
        var found: PresentedKey = PresentedKey()
        context.snapshot.findKey(request, context.rules, &found)
        decision.forwarding.strippedQueryOffset = found.queryOffset
        decision.forwarding.strippedQueryLength = found.queryLength
    }

    // MARK: Applications

    /// Connects what was proved with an application and its subscription. Nil when that fails; `reason` says why.
    func bind(
        _ identity: VerifiedIdentity, requiresApplication: Bool, _ context: PolicyContext, _ decision: inout Decision,
        _ reason: inout RequestReason
    ) -> Caller? {
        var found: Credential?
        for name in identity.credentials where found == nil {
            found = context.snapshot.credentials.find(name.digest, kind: name.kind, tenant: context.rules.tenant)
        }
        guard let found else {
            if requiresApplication {
                reason = identity.method == .clientCertificate ? .credentialsUnknown : .notSubscribed
                return nil
            }
            return .anonymous
        }
        return self.bind(found, requiresApplication: requiresApplication, context, &decision, &reason)
    }

    func bind(
        _ credential: Credential, requiresApplication: Bool, _ context: PolicyContext, _ decision: inout Decision,
        _ reason: inout RequestReason
    ) -> Caller? {
        let application: ApplicationRules = context.snapshot.applicationRules[Int(credential.application)]
        decision.forwarding.application = credential.application
        decision.forwarding.applicationIdentity = application.identity
        decision.reason = .none
        if context.time.wallSeconds >= credential.expires {
            reason = .credentialsExpired
            return nil
        }
        if !application.isActive {
            reason = .applicationSuspended
            return nil
        }
        let caller: Caller = context.snapshot.caller(
            credential, application, context.rules, needsSubscription: requiresApplication && !self.allowsAnonymous,
            &decision)
        reason = decision.reason
        return reason == .none ? caller : nil
    }
}

/// The 401 and 403 answers' challenges, ready made (RFC 9110 section 11.6.1): one field that lists every scheme accepted here.
struct Challenge: Sendable {
    private let realm: String
    private let methods: [AuthenticationMethod]
    private let scopes: String

    init(realm: String, methods: [AuthenticationMethod], scopes: [String]) {
        self.realm = realm
        self.methods = methods
        self.scopes = scopes.joined(separator: " ")
    }

    func write(_ reason: RequestReason, into lines: inout [UInt8]) {
        var challenges: [String] = []
        var hasBearer: Bool = false
        for method in self.methods {
            switch method {
            case .jwt, .introspection:
                if !hasBearer { challenges.append(self.bearer(reason)) }
                hasBearer = true
            case .basic: challenges.append("Basic realm=\"\(self.realm)\", charset=\"UTF-8\"")
            // Not registered, as there is no registered scheme for keys, signatures and certificates.
            case .apiKey: challenges.append("ApiKey realm=\"\(self.realm)\"")
            case .signature: challenges.append("Signature realm=\"\(self.realm)\"")
            case .clientCertificate: challenges.append("Certificate realm=\"\(self.realm)\"")
            }
        }
        lines.append(contentsOf: "WWW-Authenticate: \(challenges.joined(separator: ", "))\r\n".utf8)
        if self.methods.contains(.signature) {
            // RFC 9421 section 5.1: what a signature must look like.
            lines.append(
                contentsOf:
                    "Accept-Signature: sig=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\");created;keyid;nonce;alg=\"hmac-sha256\"\r\n"
                    .utf8)
        }
    }

    /// RFC 6750 section 3: no error when nothing was presented.
    private func bearer(_ reason: RequestReason) -> String {
        var text: String = "Bearer realm=\"\(self.realm)\""
        switch reason {
        case .tokenInvalid: text += ", error=\"invalid_token\", error_description=\"The token is not valid here\""
        case .credentialsExpired: text += ", error=\"invalid_token\", error_description=\"The token has expired\""
        case .scopeInsufficient: text += ", error=\"insufficient_scope\""
        default: break
        }
        if !self.scopes.isEmpty { text += ", scope=\"\(self.scopes)\"" }
        return text
    }
}
