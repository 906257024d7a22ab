import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

struct RetryRulesTests {
    private static let second: UInt64 = 1_000_000_000

    @Test(arguments: [
        (RetryRules.Condition.connectFailure, MethodCode.post, true), (.reset(isUnsent: true), .post, true),
        (.reset(isUnsent: false), .post, false), (.reset(isUnsent: false), .get, true), (.timeout, .get, false),
        (.status(503, retryAfter: nil), .put, true), (.status(503, retryAfter: nil), .post, false),
        (.status(500, retryAfter: nil), .get, false), (.status(503, retryAfter: 1), .get, true),
        (.status(503, retryAfter: 2), .get, false),
    ])
    func saysWhatMayBeRepeated(_ condition: RetryRules.Condition, _ method: MethodCode, _ isCovered: Bool) {
        #expect(RetryRules(RetryDefinition()).covers(condition, method) == isCovered)
    }

    @Test func methodsAndConditionsAreAsWritten() {
        let rules: RetryRules = RetryRules(
            RetryDefinition(onConnectFailure: false, onReset: false, onTimeout: true, methods: ["POST"]))
        #expect(rules.covers(.timeout, .post) && !rules.covers(.timeout, .get))
        #expect(!rules.covers(.connectFailure, .post) && !rules.covers(.reset(isUnsent: true), .post))
    }

    @Test func pausesGrowAndVary() {
        let rules: RetryRules = RetryRules(
            RetryDefinition(backoff: .milliseconds(100), backoffMax: .milliseconds(350)))
        var random: SeededNumbers = SeededNumbers(seed: 3)
        for (number, longest) in [(1, 100), (2, 200), (3, 350), (10, 350)] {
            var pauses: [UInt64] = []
            for _ in 0..<500 { pauses.append(rules.pause(before: number, .timeout, using: &random) / 1_000_000) }
            #expect((pauses.max() ?? 0) <= longest && (pauses.max() ?? 0) > UInt64(longest * 9 / 10))
            #expect((pauses.min() ?? 0) < UInt64(longest / 10))
        }
        let first: UInt64 = rules.pause(before: 1, .connectFailure, using: &random)
        #expect(first == 0, "another target does not need a rest")
        let asked: UInt64 = rules.pause(before: 1, .status(429, retryAfter: 1), using: &random)
        #expect(asked == Self.second)
    }

    /// A budget in a box, so that expectations may move it on.
    private final class Bench {
        private var budget: RetryBudget = RetryBudget()

        func note(_ now: UInt64, _ requests: UInt64) { self.budget.note(now: now, requests: requests) }

        /// How many of `count` are allowed.
        func take(_ count: Int, at now: UInt64, requests: UInt64, share: Int, min: Int) -> Int {
            var taken: Int = 0
            for _ in 0..<count where self.budget.take(now: now, requests: requests, share: share, min: min) {
                taken += 1
            }
            return taken
        }
    }

    @Test func aMinimumIsAlwaysAllowed() {
        let bench: Bench = Bench()
        #expect(bench.take(50, at: 100 * Self.second, requests: 0, share: 0, min: 2) == 20)
        #expect(bench.take(50, at: 105 * Self.second, requests: 0, share: 0, min: 2) == 0)
        #expect(bench.take(50, at: 110 * Self.second, requests: 0, share: 0, min: 2) == 20)
    }

    @Test func aShareOfTheRequestsIsAllowed() {
        let bench: Bench = Bench()
        bench.note(100 * Self.second, 0)
        #expect(bench.take(500, at: 101 * Self.second, requests: 1000, share: 20, min: 0) == 200)
        #expect(bench.take(500, at: 102 * Self.second, requests: 1500, share: 20, min: 0) == 100)
        // The requests of second 100 are forgotten, and so are its retries, of which there were none.
        #expect(bench.take(500, at: 110 * Self.second, requests: 1500, share: 20, min: 0) == 0)
        #expect(bench.take(500, at: 130 * Self.second, requests: 9000, share: 20, min: 0) == 0)
        #expect(bench.take(500, at: 131 * Self.second, requests: 9100, share: 20, min: 0) == 20)
    }
}
