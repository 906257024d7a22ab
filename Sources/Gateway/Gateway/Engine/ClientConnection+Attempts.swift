import EventLoops

/// Tries of an exchange at targets, for the spans that tell of them.
extension ClientConnection {
    /// A try at a target begins; the one before it, if there was one, has failed. The block holds the request's head.
    @inline(__always)
    func beginAttempt(_ target: IdentityNumber, _ block: ByteBlock) {
        if self.exchange.attempts > 0 { self.tellFailedAttempt(block) }
        if self.exchange.attempts < .max { self.exchange.attempts &+= 1 }
        self.exchange.attemptStarted = self.loop.events.now
        self.exchange.target = target
    }

    /// The try under way has failed. When no other one follows, the request's record says so.
    func attemptFailed(_ reason: RequestReason, status: Int = 0) {
        self.exchange.attemptEnded = self.loop.events.now
        self.exchange.attemptReason = reason
        self.exchange.attemptStatus = UInt16(truncatingIfNeeded: status)
    }

    /// Tells of the try that failed, and gives the next one a span of its own in the head that goes to its target.
    private func tellFailedAttempt(_ block: ByteBlock) {
        guard let ring: AttemptRing = self.loop.attempts, self.exchange.span != 0 else { return }
        let number: UInt8 = self.exchange.attempts
        let delay: UInt64 = self.exchange.attemptStarted &- self.exchange.started
        ring.add(
            AttemptRecord(
                span: self.exchange.span, started: self.exchange.startedWall &+ Int64(clamping: delay),
                durationMicroseconds: Exchange.microseconds(
                    from: self.exchange.attemptStarted, to: self.exchange.attemptEnded),
                target: self.exchange.target, status: self.exchange.attemptStatus,
                reason: self.exchange.attemptReason, number: number))
        let marks: ReplayMarks = self.exchange.marks
        // The head is at the block's start.
        let place: Int = Int(marks.hostEnd) + Int(marks.span)
        guard marks.span > 0, number < .max, place + 16 <= block.end else { return }
        let next: UInt64 = AttemptRecord.span(number + 1, of: self.exchange.span)
        for digit in 0..<16 {
            let nibble: UInt8 = UInt8(truncatingIfNeeded: next >> UInt64(60 - digit * 4)) & 0x0F
            (block.base + place + digit).storeBytes(
                of: nibble < 10 ? 0x30 + nibble : 0x57 + nibble, as: UInt8.self)
        }
    }
}
