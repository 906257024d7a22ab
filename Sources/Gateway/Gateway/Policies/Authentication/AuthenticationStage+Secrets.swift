import Bytes
import Crypto
import GatewayConfiguration
import TLS

/// Keys, passwords, signatures and certificates.
extension AuthenticationStage {
    // MARK: API keys

    func tryKey(_ request: RequestView, _ context: PolicyContext, _ decision: inout Decision) -> Step {
        let rules: RouteRules = context.rules
        var found: PresentedKey = PresentedKey()
        context.snapshot.findKey(request, rules, &found)
        guard found.isPresent else { return .absent }
        decision.forwarding.strippedQueryOffset = found.queryOffset
        decision.forwarding.strippedQueryLength = found.queryLength
        guard !found.isAmbiguous, found.value.count > 0, found.value.count <= KeyDefinition.bytesMax else {
            return self.refuse(.apiKey, .credentialsUnknown, .malformed)
        }
        guard let credential: Credential = context.snapshot.credential(found.value, tenant: rules.tenant, &decision)
        else { return self.refuse(.apiKey, .credentialsUnknown, .unknownCredential) }
        return self.acceptCredential(credential, Self.keyIdentity, context, &decision)
    }

    private static let keyIdentity: VerifiedIdentity = VerifiedIdentity(method: .apiKey, subject: nil)

    private func acceptCredential(
        _ credential: Credential, _ identity: VerifiedIdentity, _ context: PolicyContext, _ decision: inout Decision
    ) -> Step {
        var reason: RequestReason = .none
        guard let caller: Caller = self.bind(credential, requiresApplication: true, context, &decision, &reason) else {
            return self.refuse(identity.method, reason, reason == .credentialsExpired ? .expired : .notAccepted)
        }
        self.services.counters.count(identity.method, .accepted)
        return .accepted(identity, caller)
    }

    // MARK: Passwords

    private static let pairBytesMax: Int = 2048

    func tryBasic(_ request: RequestView, _ context: PolicyContext, _ decision: inout Decision) -> Step {
        guard let policy: BasicPolicy = self.basic else { return .absent }
        let name: [UInt8] = Self.authorization
        let index: Int = name.withUnsafeBytes { request.fields.index(of: $0) }
        guard index >= 0 else { return .absent }
        let value: UnsafeRawBufferPointer = request.fields.value(at: index)
        guard Self.hasScheme(value, Self.basicScheme) else { return .absent }
        let isAlone: Bool = name.withUnsafeBytes { request.fields.index(of: $0, from: index + 1) } < 0
        guard isAlone, let (username, password): (String, String) = Self.pair(value) else {
            return self.refuse(.basic, .credentialsUnknown, .malformed)
        }
        let user: CredentialName = CredentialName(kind: .basic, name: username)
        let credential: Credential? = context.snapshot.credentials.find(
            user.digest, kind: .basic, tenant: context.rules.tenant)
        var hash: String?
        if let credential, case .basic(_, let stored) = context.snapshot.credentialKind(credential) { hash = stored }
        // The hash is part of it: another password is another entry. The secret keeps what is stored from being tried out.
        let digest: KeyDigest =
            KeyDigest(
                bytes: HMACSHA256.authenticate(
                    Array("\(hash ?? "")\u{0}\(username)\u{0}\(password)".utf8), key: self.services.secret))
            ?? user.digest
        let verifier: UInt64 = AuthenticationServices.basicVerifier
        let now: Int64 = context.time.wallSeconds
        let identity: VerifiedIdentity = VerifiedIdentity(method: .basic, subject: username)
        if let known: CachedIdentity = self.services.cache.find(digest, verifier: verifier, now: now) {
            guard known.identity != nil, let credential else {
                return self.refuse(.basic, .credentialsUnknown, .unknownCredential)
            }
            return self.acceptCredential(credential, identity, context, &decision)
        }
        guard let work: PasswordWork = context.note(AuthenticationProgress.self)?.password else {
            let work: PasswordWork = PasswordWork(password: password, hash: hash, self.services.workers)
            context.authenticationProgress.password = work
            return .wait(work)
        }
        let isRight: Bool
        switch work.answer {
        case .unavailable:
            self.services.counters.count(.basic, .unavailable)
            return .unavailable(.overloaded)
        case .right: isRight = true
        case .wrong: isRight = false
        }
        let kept: Int64 = isRight ? policy.cacheFor.components.seconds : Self.wrongKeptSeconds
        self.services.cache.insert(
            CachedIdentity(digest: digest, verifier: verifier, expires: now + kept, identity: isRight ? identity : nil),
            now: now)
        guard isRight, let credential else { return self.refuse(.basic, .credentialsUnknown, .unknownCredential) }
        return self.acceptCredential(credential, identity, context, &decision)
    }

    /// How long a wrong password is refused without being computed again.
    private static let wrongKeptSeconds: Int64 = 5

    /// User name and password (RFC 7617 section 2): base64 of both with a colon between, UTF-8.
    private static func pair(_ value: UnsafeRawBufferPointer) -> (String, String)? {
        guard value.count <= Self.pairBytesMax else { return nil }
        let text: String = String(decoding: value[Self.basicScheme.count...].drop { $0 == 0x20 }, as: UTF8.self)
        guard let bytes: [UInt8] = Base64.decode(text), let colon: Int = bytes.firstIndex(of: 0x3a),
            let username: String = String(validating: bytes[..<colon], as: UTF8.self),
            let password: String = String(validating: bytes[(colon + 1)...], as: UTF8.self),
            !username.isEmpty, !bytes.contains(where: { $0 < 0x20 || $0 == 0x7f })
        else { return nil }
        return (username, password)
    }

    // MARK: Signatures

    func trySignature(_ request: RequestView, _ context: PolicyContext, _ decision: inout Decision) -> Step {
        guard let judge: SignatureJudge = self.signatures else { return .absent }
        switch judge.judge(request, context, self.services) {
        case .absent: return .absent
        case .needsBody: return .body
        case .wait(let work): return .wait(work)
        case .unavailable(let reason):
            self.services.counters.count(.signature, .unavailable)
            return .unavailable(reason)
        case .refused(let reason, let result): return self.refuse(.signature, reason, result)
        case .accepted(let credential, let keyID):
            return self.acceptCredential(
                credential, VerifiedIdentity(method: .signature, subject: keyID), context, &decision)
        }
    }

    // MARK: Certificates

    func tryCertificate(_ context: PolicyContext, _ decision: inout Decision) -> Step {
        guard let policy: ClientCertificatePolicy = self.certificates,
            let certificate: Certificate = context.tls?.peerCertificate
        else { return .absent }
        guard let digest: KeyDigest = KeyDigest(bytes: certificate.fingerprint) else { return .absent }
        let now: Int64 = context.time.wallSeconds
        let verifier: UInt64 = AuthenticationServices.certificateVerifier
        let identity: VerifiedIdentity
        if let known: VerifiedIdentity = self.services.cache.find(digest, verifier: verifier, now: now)?.identity {
            identity = known
        } else {
            let validity: (notBefore: Int64, notAfter: Int64) = certificate.validity
            guard now >= validity.notBefore, now < validity.notAfter else {
                return self.refuse(.clientCertificate, .credentialsExpired, .expired)
            }
            identity = Self.identity(of: certificate, digest)
            self.services.cache.insert(
                CachedIdentity(digest: digest, verifier: verifier, expires: validity.notAfter, identity: identity),
                now: now)
        }
        var reason: RequestReason = .none
        guard
            let caller: Caller = self.bind(
                identity, requiresApplication: policy.requiresApplication, context, &decision, &reason)
        else { return self.refuse(.clientCertificate, reason, .notAccepted) }
        self.services.counters.count(.clientCertificate, .accepted)
        return .accepted(identity, caller)
    }

    /// What an application may know a certificate by, the most exact first.
    private static func identity(of certificate: Certificate, _ digest: KeyDigest) -> VerifiedIdentity {
        var names: [CredentialName] = [CredentialName(kind: .fingerprint, name: digest.hex)]
        let subject: String = certificate.subject
        if !subject.isEmpty { names.append(CredentialName(kind: .subject, name: subject)) }
        for uri in certificate.uris.prefix(Self.namesMax) { names.append(CredentialName(kind: .uri, name: uri)) }
        for name in certificate.dnsNames.prefix(Self.namesMax) { names.append(CredentialName(kind: .dns, name: name)) }
        return VerifiedIdentity(method: .clientCertificate, subject: subject, credentials: names)
    }

    /// Alternative names of a certificate that are looked at.
    private static let namesMax: Int = 32
}
