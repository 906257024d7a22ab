import EventLoops

/// Whether calls to a server that fails are made at all: a pure rule, with the clock given.
///
/// closed → (`failuresMax` failures in a row) → open → (`pause` later) one call may try: it closes the circuit when it succeeds, else
/// the circuit opens again, each time twice as long, up to `pauseMax`.
package struct CircuitBreaker: Sendable, Equatable {
    /// Failures in a row that open the circuit.
    package static let failuresMax: Int = 5
    /// How long it stays open at first, and at last.
    package static let pause: Duration = .seconds(1)
    package static let pauseMax: Duration = .seconds(10)

    /// Failures since the last success.
    package private(set) var failures: Int = 0
    /// Nanoseconds of the monotonic clock until which nothing is tried; nil: the circuit is closed.
    private var openUntil: UInt64?
    private var pauseNanoseconds: UInt64 = 0
    /// Until when the one call that tries may take: then another one may.
    private var trialUntil: UInt64?

    package init() {}

    package var isOpen: Bool { self.openUntil != nil }

    /// Whether a call may be made now. - Returns: nil when it may, otherwise nanoseconds until the next one may.
    ///
    /// - Parameter trial: how long a call takes at most, nanoseconds: no other one is made beside it while the circuit is open.
    package mutating func admit(now: UInt64, trial: UInt64) -> UInt64? {
        guard let openUntil: UInt64 = self.openUntil else { return nil }
        if now < openUntil { return openUntil - now }
        if let trialUntil: UInt64 = self.trialUntil, now < trialUntil { return trialUntil - now }
        self.trialUntil = now + trial
        return nil
    }

    package mutating func succeeded() { self = CircuitBreaker() }

    package mutating func failed(now: UInt64) {
        self.failures += 1
        // Calls that began before the circuit opened say nothing new.
        guard self.failures >= Self.failuresMax, !self.isOpen || self.trialUntil != nil else { return }
        let first: UInt64 = Self.pause.clampedNanoseconds
        self.pauseNanoseconds = min(max(first, self.pauseNanoseconds * 2), Self.pauseMax.clampedNanoseconds)
        self.openUntil = now + self.pauseNanoseconds
        self.trialUntil = nil
    }

    /// A call ended without saying anything about the server: the next one tries.
    package mutating func saidNothing() { self.trialUntil = nil }
}
