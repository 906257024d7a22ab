import GatewayConfiguration
import Testing

@testable import Gateway

/// A class, so that expectations may move the breaker on.
final class CircuitBreakerTests {
    private static let second: UInt64 = 1_000_000_000
    private static let rules: CircuitBreaker.Rules = CircuitBreaker.Rules(
        CircuitBreakerDefinition(errorShare: 50, requestsMin: 10, window: .seconds(10), openFor: .seconds(5), trials: 2)
    )

    private var breaker: CircuitBreaker = CircuitBreaker()

    /// Admits and ends one request; false when it was refused.
    private func run(_ isAnswered: Bool?, at now: UInt64, rules: CircuitBreaker.Rules = rules) -> Bool {
        guard self.breaker.admit(now: now, rules: rules) else { return false }
        self.breaker.record(isAnswered, period: self.breaker.period, now: now, rules: rules)
        return true
    }

    private func admit(at now: UInt64, rules: CircuitBreaker.Rules = rules) -> Bool {
        self.breaker.admit(now: now, rules: rules)
    }

    private func open(at now: UInt64) {
        for _ in 0..<10 { _ = self.run(false, at: now) }
        #expect(self.breaker.state == .open(until: now + 5 * Self.second))
    }

    @Test func opensWhenEnoughFailed() {
        for index in 0..<9 { #expect(self.run(index % 2 == 0, at: Self.second)) }
        #expect(self.breaker.state == .closed)
        // The tenth makes it five of ten.
        #expect(self.run(false, at: Self.second))
        #expect(self.breaker.state == .open(until: 6 * Self.second))
        #expect(!self.run(true, at: 2 * Self.second))
        #expect(self.breaker.secondsUntilTrial(now: 2 * Self.second) == 4)
    }

    @Test func oldFailuresAreForgotten() {
        for _ in 0..<9 { #expect(self.run(false, at: Self.second)) }
        for _ in 0..<30 { #expect(self.run(true, at: 12 * Self.second)) }
        for _ in 0..<9 { #expect(self.run(false, at: 13 * Self.second)) }
        #expect(self.breaker.state == .closed)
    }

    @Test func aFewTryAndCloseIt() {
        self.open(at: Self.second)
        let later: UInt64 = 6 * Self.second
        #expect(self.admit(at: later))
        let period: UInt32 = self.breaker.period
        #expect(self.admit(at: later))
        #expect(!self.admit(at: later), "two trials are all")
        self.breaker.record(true, period: period, now: later, rules: Self.rules)
        #expect(self.breaker.state == .halfOpen(left: 0, answered: 1))
        self.breaker.record(true, period: period, now: later, rules: Self.rules)
        #expect(self.breaker.state == .closed)
    }

    @Test func oneFailedTrialOpensItAgain() {
        self.open(at: Self.second)
        let later: UInt64 = 6 * Self.second
        #expect(self.run(true, at: later))
        #expect(self.run(false, at: later))
        #expect(self.breaker.state == .open(until: 11 * Self.second))
    }

    /// A client that leaves says nothing: its trial is given to another.
    @Test func anAbandonedTrialIsGivenBack() {
        self.open(at: Self.second)
        let later: UInt64 = 6 * Self.second
        for _ in 0..<5 { #expect(self.run(nil, at: later)) }
        #expect(self.breaker.state == .halfOpen(left: 2, answered: 0))
        #expect(self.run(true, at: later) && self.run(true, at: later))
        #expect(self.breaker.state == .closed)
    }

    /// A request that was sent before the opening ends after it: it neither closes nor opens anything.
    @Test func resultsFromBeforeDoNotCount() {
        #expect(self.admit(at: Self.second))
        let old: UInt32 = self.breaker.period
        self.open(at: Self.second)
        let later: UInt64 = 6 * Self.second
        #expect(self.admit(at: later))
        self.breaker.record(false, period: old, now: later, rules: Self.rules)
        #expect(self.breaker.state == .halfOpen(left: 1, answered: 0))
        #expect(self.breaker.inFlight == 1)
    }

    @Test func limitsWhatIsOnItsWay() {
        let rules: CircuitBreaker.Rules = CircuitBreaker.Rules(CircuitBreakerDefinition(requestsMax: 2))
        #expect(self.admit(at: 1, rules: rules) && self.admit(at: 1, rules: rules))
        #expect(!self.admit(at: 1, rules: rules))
        self.breaker.record(nil, period: 0, now: 1, rules: rules)
        #expect(self.admit(at: 1, rules: rules))
        #expect(self.breaker.state == .closed)
    }
}
