import Bytes
import Crypto
import GatewayConfiguration
import HTTP
import JSON

/// Lets a request with a key through once (draft-ietf-httpapi-idempotency-key-header): its repetitions get the answer again while it
/// is kept, 409 while it is worked on, and 422 when they are not the same request.
///
/// A key belongs to a caller and a route. A caller without application or subject is known by address. What is free here is then
/// claimed where all gateways see it, if there is such a place: the request waits for that.
final class IdempotencyStage: RequestStage, @unchecked Sendable {
    private let policy: IdempotencyPolicy
    private let header: [UInt8]
    private let methods: MethodSet
    private let tenant: String
    private let place: String
    private let store: IdempotencyStore
    private let shared: SharedClaims

    init(_ policy: IdempotencyPolicy, tenant: String, route: String, store: IdempotencyStore, shared: SharedClaims) {
        self.policy = policy
        self.header = Array(policy.header.utf8)
        self.methods = MethodSet(names: policy.methods)
        self.tenant = tenant
        self.place = route
        self.store = store
        self.shared = shared
        super.init(rank: .idempotency)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        guard self.methods.contains(request.method) else { return .next }
        if let work: SharedClaimWork = context.work as? SharedClaimWork { return self.apply(work, context, &decision) }
        let index: Int = self.header.withUnsafeBytes { request.fields.index(of: $0) }
        if index < 0 { return self.policy.isRequired ? decision.refuse(.idempotencyKeyInvalid) : .next }
        let value: UnsafeRawBufferPointer = request.fields.value(at: index)
        let isRepeated: Bool = self.header.withUnsafeBytes { request.fields.index(of: $0, from: index + 1) >= 0 }
        guard !isRepeated, IdempotencyStage.isKey(value) else { return decision.refuse(.idempotencyKeyInvalid) }
        guard let body: [UInt8] = context.body else { return .needsBody(max: self.policy.bodyBytesMax) }
        let key: [UInt8] = self.key(value, request, context)
        let now: UInt64 = context.time.monotonic
        let fingerprint: [UInt8] = Self.fingerprint(request, context, body)
        switch self.store.claim(key, fingerprint: fingerprint, now: now) {
        case .first(let claim):
            let kept: IdempotencyClaim = IdempotencyClaim(
                store: self.store, key: key, claim: claim, keptFor: self.policy.keptFor,
                answerBytesMax: self.policy.answerBytesMax)
            guard self.shared.isShared else { return self.pass(kept, context) }
            return .suspend(
                SharedClaimWork(
                    kept, fingerprint: fingerprint, seal: self.seal(of: key), claims: self.shared))
        case .inProgress: return Self.refuseForNow(&decision)
        case .mismatch: return decision.refuse(.idempotencyMismatch)
        case .unrepeatable: return decision.refuse(.idempotencyUnrepeatable)
        case .full: return decision.refuse(.overloaded)
        case .done(let answer): return .answer(Self.replayed(answer))
        }
    }

    private func pass(_ claim: IdempotencyClaim, _ context: PolicyContext) -> StageOutcome {
        context.setNote(claim)
        // The answer is kept for the repetition of a client that lost its connection.
        context.outlivesClient = true
        return .next
    }

    private static func refuseForNow(_ decision: inout Decision) -> StageOutcome {
        decision.refuse(.idempotencyInProgress, Array("Retry-After: 1\r\n".utf8))
    }

    /// What all gateways together know of the key.
    ///
    /// A claim that is not passed on is given up before the answer goes out: a client that repeats its request at once must not
    /// meet its own claim.
    private func apply(
        _ work: SharedClaimWork, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        // There once: the work is applied once.
        guard let claim: IdempotencyClaim = work.takeClaim() else { return Self.refuseForNow(&decision) }
        switch work.outcome {
        case .first, .open: return self.pass(claim, context)
        case .closed:
            claim.release()
            return decision.refuse(.policyUnavailable)
        case .known(let bytes):
            claim.release()
            // What does not open was written by another version, or with another secret: it is safe not to do the request again.
            guard let record: IdempotencyRecord = work.seal.open(bytes) else { return Self.refuseForNow(&decision) }
            guard record.fingerprint == work.fingerprint else { return decision.refuse(.idempotencyMismatch) }
            switch record.state {
            case .inProgress: return Self.refuseForNow(&decision)
            case .unrepeatable: return decision.refuse(.idempotencyUnrepeatable)
            case .done(let answer): return .answer(Self.replayed(answer))
            }
        }
    }

    private static func replayed(_ answer: LocalAnswer) -> LocalAnswer {
        var answer: LocalAnswer = answer
        answer.fields.add("Idempotent-Replayed", "true")
        answer.reason = .replayed
        answer.enters = .end
        return answer
    }

    private static func isKey(_ value: UnsafeRawBufferPointer) -> Bool {
        guard value.count > 0, value.count <= IdempotencyPolicy.keyBytesMax else { return false }
        for byte in value where byte < 0x21 || byte > 0x7E { return false }
        return true
    }

    /// What all gateways keep of a key is sealed for those who know it.
    private func seal(of key: [UInt8]) -> IdempotencySeal {
        IdempotencySeal(
            name: "idempotency:\(self.tenant):\(Hex.encode(SHA256.hash(key)))", request: key,
            secrets: self.shared.secrets)
    }

    /// Place, caller and key, apart by bytes that none of them holds. The same at every gateway.
    private func key(_ value: UnsafeRawBufferPointer, _ request: RequestView, _ context: PolicyContext) -> [UInt8] {
        var key: [UInt8] = Array(self.place.utf8)
        key.append(0)
        if context.caller.application >= 0 {
            key.append(contentsOf: "a".utf8)
            key.append(contentsOf: context.snapshot.applications[Int(context.caller.application)].id.utf8)
        }
        if let subject: String = context.subject {
            // No id holds a space, and a subject is its issuer's: neither can be moved into the other.
            let issuer: String = context.identity?.claims?["iss"]?.text ?? ""
            key.append(contentsOf: " s\(subject.utf8.count) \(subject)\(issuer)".utf8)
        }
        if context.caller.application < 0, context.subject == nil {
            key.append(contentsOf: "i\(request.remote.high),\(request.remote.low)".utf8)
        }
        key.append(0)
        key.append(contentsOf: value)
        return key
    }

    private static func fingerprint(_ request: RequestView, _ context: PolicyContext, _ body: [UInt8]) -> [UInt8] {
        var hasher: SHA256Context = SHA256Context()
        hasher.update([request.method.rawValue, 0])
        hasher.update(request.path)
        hasher.update([0])
        hasher.update(request.query)
        hasher.update([0])
        hasher.update(body)
        return hasher.finish()
    }
}

/// Keeps the answer to a request that has taken its key.
final class IdempotencyAnswerStage: ResponseStage, @unchecked Sendable {
    init() { super.init(rank: .idempotencyStore) }

    override func makeFilter(_ head: ResponseHead, _ context: PolicyContext) -> ResponseFilter? {
        guard let claim: IdempotencyClaim = context.note(IdempotencyClaim.self) else { return nil }
        // "Not now" is no answer: the request was not done, and may be tried again.
        if head.status == 429 || head.status == 503 {
            claim.release()
            return nil
        }
        return IdempotencyFilter(claim, context)
    }
}

private final class IdempotencyFilter: ResponseFilter {
    private let claim: IdempotencyClaim
    private unowned(unsafe) let context: PolicyContext
    private var answer: LocalAnswer?
    private var body: [UInt8] = []

    init(_ claim: IdempotencyClaim, _ context: PolicyContext) {
        self.claim = claim
        self.context = context
        super.init()
    }

    override func head(_ head: ResponseHead) -> HeadOutcome {
        self.answer = LocalAnswer(status: head.status, fields: head.fields)
        return .pass
    }

    override func body(_ bytes: UnsafeRawBufferPointer, _ out: inout FilterOutput) {
        guard self.answer != nil else { return }
        if self.body.count + bytes.count > self.claim.answerBytesMax {
            self.answer = nil
            self.body = []
            return
        }
        self.body.append(contentsOf: bytes)
    }

    override func end(_ out: inout FilterOutput) {
        if !self.body.isEmpty { self.answer?.body = [self.body] }
        self.claim.complete(self.answer, now: self.context.time.monotonic)
    }

    override func abandoned() { self.claim.release() }
}
