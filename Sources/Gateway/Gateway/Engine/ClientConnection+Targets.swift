import EventLoops
import GatewayConfiguration
import Synchronization

/// The choice of targets for one client's exchange where its upstream asks for more than turns. One for a connection, kept for
/// its next exchange.
final class SteeredExchange {
    /// The request's key; 0: none.
    var key: UInt64 = 0
    /// Targets this request was sent to, or could not be sent to.
    var tried: MemberSet = MemberSet()
    /// The target of the try under way; -1: none is.
    var member: Int = -1
    /// The version of the targets it goes to.
    var ticket: VersionChoice.Ticket = VersionChoice.Ticket(version: Candidates.any)
    var admission: Admission = Admission()
    /// The circuit was open when the last target was looked for.
    var isCircuitOpen: Bool = false

    // Retries.
    /// Nil: none are allowed.
    var retries: RetryRules?
    /// Retries made so far.
    var attempt: Int = 0
    /// All that was given to the upstream so far, from the request's first byte; nil: not kept, or too long to be.
    var copy: ByteBlock?
    /// Where the parts of the head stand in `copy`.
    var copyMarks: ReplayMarks = ReplayMarks()
    var retryTimer: RetryTimer?

    // Mirroring.
    /// All that went upstream so far, for the mirror; nil: there is no copy.
    var mirrorCopy: ByteBlock?
    var mirrorMarks: ReplayMarks = ReplayMarks()

    func begin(key: UInt64, retries: RetryRules?) {
        self.retries = retries
        self.attempt = 0
        self.key = key
        self.tried = MemberSet()
        self.member = -1
        self.isCircuitOpen = false
    }
}

extension ClientConnection {
    /// The target a new exchange goes to; nil when there is none, and `noTargetReason` says why.
    func chooseTarget(_ group: Unmanaged<UpstreamGroup>, _ view: RequestView) -> TargetPool? {
        let now: UInt64 = self.loop.events.now
        return group._withUnsafeGuaranteedRef { (group: UpstreamGroup) -> TargetPool? in
            guard let steering: Steering = group.steering else { return group.pick(now: now) }
            let steered: SteeredExchange = self.steered ?? SteeredExchange()
            self.steered = steered
            self.exchange.isSteered = true
            steered.begin(
                key: steering.plan.balance == .maglev ? steering.plan.keySource.number(view) : 0,
                retries: steering.plan.retries)
            steered.ticket =
                steering.plan.versions?.choose(view, using: &self.loop.random)
                ?? VersionChoice.Ticket(version: Candidates.any)
            if steering.plan.retries != nil { steering.state.requests.wrappingAdd(1, ordering: .relaxed) }
            return self.steer(steering, steered)
        }
    }

    /// A target other than this one; nil when there is none.
    func chooseAnother(than pool: TargetPool) -> TargetPool? {
        guard let group: Unmanaged<UpstreamGroup> = self.exchange.group else { return nil }
        let now: UInt64 = self.loop.events.now
        return group._withUnsafeGuaranteedRef { (group: UpstreamGroup) -> TargetPool? in
            guard let steering: Steering = group.steering, let steered: SteeredExchange = self.steered else {
                return group.pick(now: now, excluding: pool)
            }
            return self.steer(steering, steered)
        }
    }

    func steer(_ steering: Steering, _ steered: SteeredExchange) -> TargetPool? {
        let now: UInt64 = self.loop.events.now
        steered.isCircuitOpen = false
        let choice: Steering.Choice = steering.choose(
            now: now, key: steered.key, version: steered.ticket.version, tried: steered.tried,
            admission: &steered.admission)
        switch choice {
        case .target(let index):
            steered.member = index
            steered.tried.insert(index)
            return steering.members[index].pool
        case .none: return nil
        case .open:
            steered.isCircuitOpen = true
            return nil
        }
    }

    /// Writes the cookie that keeps a client with its version, where it has none yet.
    func composeVersionCookie() {
        guard self.exchange.isSteered, let steered: SteeredExchange = self.steered, steered.ticket.cookie != 0,
            let group: Unmanaged<UpstreamGroup> = self.exchange.group
        else { return }
        let loop: GatewayLoop = self.loop
        group._withUnsafeGuaranteedRef { (group: UpstreamGroup) in
            guard let versions: VersionChoice = group.steering?.plan.versions else { return }
            loop.out.append(versions.cookieStart)
            loop.out.append(VersionChoice.hexadecimal(steered.ticket.cookie))
            loop.out.append("; Path=/; HttpOnly; SameSite=Lax")
            if self.channel.session != nil { loop.out.append("; Secure") }
            loop.out.append("\r\n")
        }
    }

    /// Why no target was chosen.
    var noTargetReason: RequestReason {
        self.exchange.isSteered && self.steered?.isCircuitOpen == true ? .circuitOpen : .upstreamUnavailable
    }

    /// Ends the account of the try under way, if there is one.
    func closeTry(_ outcome: TryOutcome) {
        guard let steered: SteeredExchange = self.steered, steered.member >= 0,
            let group: Unmanaged<UpstreamGroup> = self.exchange.group
        else { return }
        let member: Int = steered.member
        steered.member = -1
        let now: UInt64 = self.loop.events.now
        group._withUnsafeGuaranteedRef { (group: UpstreamGroup) in
            group.steering?.close(member, outcome, steered.admission, now: now)
        }
    }

    /// The upstream answered all of it.
    func targetAnswered(_ pool: TargetPool, status: Int) {
        if !self.exchange.isSteered {
            pool.state.succeeded()
            return
        }
        self.closeTry(.answered(status: status, microseconds: self.exchange.upstreamMicroseconds))
    }

    /// The target did not take or answer the request.
    func targetFailed(_ pool: TargetPool) {
        if self.exchange.isSteered {
            self.closeTry(.failed)
        } else {
            pool.state.failed(now: self.loop.events.now, rules: pool.rules)
        }
    }
}
