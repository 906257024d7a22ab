import EventLoops
import HTTP

/// Wakes a client's exchange for its next try.
final class RetryTimer: Timer {
    /// Cleared before the connection goes.
    unowned(unsafe) var client: ClientConnection?

    override func fired() { self.client?.relaunch() }
}

/// Exchanges whose upstream says when they are tried again.
///
/// All that went upstream is copied from the first byte, up to a bound; when a try fails, or answers what shall not count, the copy
/// goes to another target, now or after a pause. As soon as an answer is passed on, the copy is let go.
extension ClientConnection {
    /// Bytes of a head with the largest body that is kept. Below the largest block by more than another target's address adds.
    static let copyBytesMax: Int = 168 * 1024

    var hasRetryRules: Bool { self.exchange.isSteered && self.steered?.retries != nil }

    /// Keeps what goes upstream first.
    func keepCopy(_ block: ByteBlock) {
        guard let steered: SteeredExchange = self.steered, let rules: RetryRules = steered.retries else { return }
        self.limitTry(rules)
        guard block.count <= ClientConnection.copyBytesMax,
            self.exchange.requestBytes <= UInt64(rules.bodyBytesMax)
        else { return }
        var copy: ByteBlock = self.loop.blocks.take(block.count)
        copy.append(UnsafeRawPointer(block.base + block.start), block.count)
        steered.copy = copy
        steered.copyMarks = self.exchange.marks
    }

    /// Keeps more of the body that goes upstream, as long as it is not too long.
    func copySent(_ bytes: UnsafeRawPointer, _ count: Int) {
        guard let steered: SteeredExchange = self.steered, var copy: ByteBlock = steered.copy,
            let rules: RetryRules = steered.retries
        else { return }
        if copy.count + count <= ClientConnection.copyBytesMax,
            self.exchange.requestBytes <= UInt64(rules.bodyBytesMax)
        {
            self.loop.blocks.append(bytes, count, to: &copy)
            steered.copy = copy
        } else {
            self.loop.blocks.give(copy)
            steered.copy = nil
        }
    }

    /// No other try is possible or needed.
    func endRetries() {
        guard let steered: SteeredExchange = self.steered else { return }
        if let copy: ByteBlock = steered.copy {
            self.loop.blocks.give(copy)
            steered.copy = nil
        }
        if let timer: RetryTimer = steered.retryTimer {
            self.loop.events.cancel(timer)
            timer.client = nil
            steered.retryTimer = nil
        }
    }

    private func limitTry(_ rules: RetryRules) {
        self.exchange.limit = self.exchange.deadline
        guard rules.tryTimeout > 0 else { return }
        self.exchange.limit = min(self.exchange.deadline, self.loop.events.now &+ rules.tryTimeout)
    }

    /// Tries again after a failure at a target; false when another rule decides. Takes the block.
    func retryFailed(_ failure: UpstreamFailure, _ block: ByteBlock?, isStale: Bool) -> Bool {
        let condition: RetryRules.Condition?
        switch failure {
        case .connectFailed, .connectTimeout: condition = .connectFailure
        case .reset: condition = .reset(isUnsent: block.map { $0.start == 0 } ?? false)
        case .refused: condition = .reset(isUnsent: true)
        case .timeout: condition = .timeout
        case .invalidResponse: condition = nil
        }
        if let condition, self.tryAgain(after: condition) {
            if let block: ByteBlock = block { self.loop.blocks.give(block) }
            self.resumeInput()
            return true
        }
        // A kept connection that was just being closed is no failure of a target: see `nextAttempt`.
        if isStale { return false }
        if let block: ByteBlock = block { self.loop.blocks.give(block) }
        self.answer(failure.reason)
        self.resumeInput()
        return true
    }

    /// Whether an answer is dropped and the request tried again: then that has begun when this returns.
    func retriesAnswer(_ head: HTTPResponseHead, _ bytes: UnsafeRawPointer) -> Bool {
        guard let steered: SteeredExchange = self.steered, let rules: RetryRules = steered.retries,
            steered.copy != nil, steered.attempt < rules.attempts
        else { return false }
        let condition: RetryRules.Condition = .status(head.status, retryAfter: self.retryAfter(head, bytes))
        guard rules.covers(condition, self.exchange.method) else { return false }
        let asked: UInt64 = self.exchange.asked
        let spent: UInt32 = asked == 0 ? 0 : Exchange.microseconds(from: asked, to: self.loop.events.now)
        let member: Int = steered.member
        let admission: Admission = steered.admission
        self.attemptFailed(.none, status: head.status)
        // The account of this try is closed only when there is another one.
        steered.member = -1
        guard self.tryAgain(after: condition) else {
            steered.member = member
            steered.admission = admission
            return false
        }
        let now: UInt64 = self.loop.events.now
        self.exchange.group?._withUnsafeGuaranteedRef { (group: UpstreamGroup) in
            if member >= 0 {
                group.steering?.close(
                    member, .answered(status: head.status, microseconds: spent), admission, now: now)
            }
        }
        return true
    }

    /// Seconds of `Retry-After`, where it is a number; a date counts as too long to wait for.
    private func retryAfter(_ head: HTTPResponseHead, _ bytes: UnsafeRawPointer) -> Int? {
        for index in 0..<head.fieldCount where self.loop.responseTable.fields[index].known == .retryAfter {
            let field: HTTPField = self.loop.responseTable.fields[index]
            var seconds: Int = 0
            for offset in 0..<Int(field.valueCount) {
                let byte: UInt8 = bytes.load(fromByteOffset: Int(field.valueStart) + offset, as: UInt8.self)
                guard byte >= 0x30, byte <= 0x39, seconds < 100_000_000 else { return Int.max }
                seconds = seconds * 10 + Int(byte - 0x30)
            }
            return field.valueCount == 0 ? nil : seconds
        }
        return nil
    }

    /// Begins another try, now or after a pause; false when rules, attempts, budget or time do not allow one.
    func tryAgain(after condition: RetryRules.Condition) -> Bool {
        guard let steered: SteeredExchange = self.steered, let rules: RetryRules = steered.retries,
            steered.copy != nil, !self.exchange.responseComposed, steered.attempt < rules.attempts,
            rules.covers(condition, self.exchange.method), let group: Unmanaged<UpstreamGroup> = self.exchange.group
        else { return false }
        let loop: GatewayLoop = self.loop
        let now: UInt64 = loop.events.now
        let pause: UInt64 = rules.pause(before: steered.attempt + 1, condition, using: &loop.random)
        guard now &+ pause < self.exchange.deadline else { return false }
        let isAllowed: Bool = group._withUnsafeGuaranteedRef { $0.steering?.takeRetry(rules, now: now) ?? false }
        guard isAllowed else { return false }
        steered.attempt += 1
        if pause == 0 {
            self.relaunch()
            return true
        }
        let timer: RetryTimer = steered.retryTimer ?? RetryTimer()
        timer.client = self
        steered.retryTimer = timer
        loop.events.schedule(timer, at: now &+ pause)
        return true
    }

    /// Sends the copy to a target that was not tried, or to any when all were.
    func relaunch() {
        guard self.phase == .exchange, self.upstream == nil, let steered: SteeredExchange = self.steered,
            let copy: ByteBlock = steered.copy, let rules: RetryRules = steered.retries
        else { return }
        guard let pool: TargetPool = self.chooseForRetry(steered) else {
            self.answer(self.noTargetReason)
            self.resumeInput()
            return
        }
        self.limitTry(rules)
        self.exchange.asked = 0
        self.exchange.marks = steered.copyMarks
        var block: ByteBlock = self.loop.blocks.take(copy.count)
        block.append(UnsafeRawPointer(copy.base + copy.start), copy.count)
        self.readdress(&block, to: pool)
        self.launch(block, pool, fresh: false)
        self.resumeInput()
    }

    private func chooseForRetry(_ steered: SteeredExchange) -> TargetPool? {
        guard let group: Unmanaged<UpstreamGroup> = self.exchange.group else { return nil }
        return group._withUnsafeGuaranteedRef { (group: UpstreamGroup) -> TargetPool? in
            guard let steering: Steering = group.steering else { return nil }
            if let pool: TargetPool = self.steer(steering, steered) { return pool }
            if steered.tried.isEmpty { return nil }
            steered.tried = MemberSet()
            return self.steer(steering, steered)
        }
    }
}
