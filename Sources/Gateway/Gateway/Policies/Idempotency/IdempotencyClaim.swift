import Synchronization

/// A key that a request has taken: ends in a kept answer, or free. On its loop, but for what becomes of it at other gateways.
final class IdempotencyClaim: Sendable {
    private struct State: Sendable {
        var isOpen: Bool = true
        /// The same claim where all gateways see it; nil: it is not there.
        var lease: SharedClaims.Lease?
        var shared: SharedClaims?
        var seal: IdempotencySeal?
        var fingerprint: [UInt8] = []
    }

    private let store: IdempotencyStore
    private let key: [UInt8]
    private let claim: UInt64
    private let keptFor: Duration
    let answerBytesMax: Int
    private let state: Mutex<State> = Mutex(State())

    init(store: IdempotencyStore, key: [UInt8], claim: UInt64, keptFor: Duration, answerBytesMax: Int) {
        self.store = store
        self.key = key
        self.claim = claim
        self.keptFor = keptFor
        self.answerBytesMax = answerBytesMax
    }

    /// The exchange ended, whichever way: what was not completed is free again.
    deinit { self.release() }

    /// The key is claimed at all gateways.
    func share(
        _ lease: SharedClaims.Lease, fingerprint: [UInt8], seal: IdempotencySeal, _ shared: SharedClaims
    ) {
        shared.hold(lease)
        self.state.withLock { state in
            state.lease = lease
            state.shared = shared
            state.seal = seal
            state.fingerprint = fingerprint
        }
    }

    func release() {
        guard let state: State = self.end() else { return }
        self.store.release(self.key, claim: self.claim)
        if let lease: SharedClaims.Lease = state.lease { state.shared?.giveUp(lease) }
    }

    func complete(_ answer: LocalAnswer?, now: UInt64) {
        guard let state: State = self.end() else { return }
        self.store.complete(
            self.key, claim: self.claim, answer: answer, expires: now &+ self.keptFor.nanoseconds, now: now)
        guard let lease: SharedClaims.Lease = state.lease, let seal: IdempotencySeal = state.seal else { return }
        var outcome: IdempotencyRecord.State = .unrepeatable
        if let answer: LocalAnswer,
            answer.bodyCount + answer.fields.bytes.count <= IdempotencyRecord.answerBytesMax
        {
            outcome = .done(answer)
        }
        let record: IdempotencyRecord = IdempotencyRecord(fingerprint: state.fingerprint, state: outcome)
        state.shared?.settle(lease, keptFor: self.keptFor) { seal.seal(record) }
    }

    /// What there was to end; nil: it has ended before.
    private func end() -> State? {
        self.state.withLock { state in
            if !state.isOpen { return nil }
            state.isOpen = false
            return state
        }
    }
}

/// Claims a key where all gateways see it.
final class SharedClaimWork: PolicyWork, @unchecked Sendable {
    // Safe to share: constants, and the claim and the outcome behind their locks.
    let fingerprint: [UInt8]
    /// What is known of the key elsewhere opens with it.
    let seal: IdempotencySeal
    private let claims: SharedClaims
    /// Until it is taken: then the exchange alone has it. The task may hold this work for a while after it is done.
    private let claim: Mutex<IdempotencyClaim?>
    private let result: Mutex<SharedClaims.Outcome> = Mutex(.closed)

    init(_ claim: IdempotencyClaim, fingerprint: [UInt8], seal: IdempotencySeal, claims: SharedClaims) {
        self.claim = Mutex(claim)
        self.fingerprint = fingerprint
        self.seal = seal
        self.claims = claims
    }

    var outcome: SharedClaims.Outcome { self.result.withLock { $0 } }

    /// The claim, for the exchange that waited; nil: it has been taken.
    func takeClaim() -> IdempotencyClaim? { self.claim.withLock { $0.take() } }

    override func start(_ done: @escaping @Sendable () -> Void) {
        Task {
            let token: [UInt8] = self.claims.makeToken()
            let record: IdempotencyRecord = IdempotencyRecord(
                fingerprint: self.fingerprint, state: .inProgress(token: token))
            // Without a seal nothing is told to anybody, and the request is refused.
            guard let value: [UInt8] = self.seal.seal(record) else { return done() }
            let lease: SharedClaims.Lease = SharedClaims.Lease(key: self.seal.name, value: value)
            let outcome: SharedClaims.Outcome = await self.claims.claim(
                .idempotency, lease.key, lease.value, keptFor: SharedClaims.leaseTime)
            // Also when nobody waits any more: the claim then ends with this work, and with it what was just claimed.
            if outcome == .first {
                self.claim.withLock { $0 }?.share(
                    lease, fingerprint: self.fingerprint, seal: self.seal, self.claims)
            }
            self.result.withLock { $0 = outcome }
            done()
        }
    }
}
