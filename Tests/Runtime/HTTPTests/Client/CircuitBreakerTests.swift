import Testing

@testable import HTTP

@Suite struct CircuitBreakerTests {
    private static let second: UInt64 = 1_000_000_000
    private static let trial: UInt64 = 10 * Self.second

    @Test func opensAfterSoManyFailuresInARowAndNotBefore() {
        var breaker: CircuitBreaker = CircuitBreaker()
        for _ in 1..<CircuitBreaker.failuresMax { breaker.failed(now: Self.second) }
        #expect(breaker.admit(now: Self.second, trial: Self.trial) == nil)
        breaker.succeeded()
        for _ in 1..<CircuitBreaker.failuresMax { breaker.failed(now: Self.second) }
        #expect(!breaker.isOpen, "a success in between begins anew")
        breaker.failed(now: Self.second)
        #expect(breaker.isOpen)
        #expect(breaker.admit(now: Self.second, trial: Self.trial) == Self.second)
        // Calls that were under way change nothing.
        breaker.failed(now: Self.second + 5)
        #expect(breaker.admit(now: Self.second, trial: Self.trial) == Self.second)
    }

    @Test func oneCallTriesAndItsEndDecides() {
        var breaker: CircuitBreaker = CircuitBreaker()
        for _ in 0..<CircuitBreaker.failuresMax { breaker.failed(now: 0) }
        #expect(breaker.admit(now: Self.second, trial: Self.trial) == nil)
        #expect(breaker.admit(now: Self.second, trial: Self.trial) == Self.trial, "a second one waits for it")
        breaker.saidNothing()
        #expect(breaker.admit(now: Self.second, trial: Self.trial) == nil)
        breaker.succeeded()
        #expect(breaker == CircuitBreaker())
    }

    @Test func aTrialThatNeverEndsIsFollowedByAnother() {
        var breaker: CircuitBreaker = CircuitBreaker()
        for _ in 0..<CircuitBreaker.failuresMax { breaker.failed(now: 0) }
        #expect(breaker.admit(now: Self.second, trial: Self.trial) == nil)
        #expect(breaker.admit(now: Self.second + Self.trial, trial: Self.trial) == nil)
    }

    @Test func staysOpenLongerEachTimeUpToAnEnd() {
        var breaker: CircuitBreaker = CircuitBreaker()
        for _ in 0..<CircuitBreaker.failuresMax { breaker.failed(now: 0) }
        var now: UInt64 = 0
        for seconds in [1, 2, 4, 8, 10, 10] as [UInt64] {
            #expect(breaker.admit(now: now, trial: Self.trial) == seconds * Self.second)
            now += seconds * Self.second
            #expect(breaker.admit(now: now, trial: Self.trial) == nil)
            breaker.failed(now: now)
        }
    }
}
