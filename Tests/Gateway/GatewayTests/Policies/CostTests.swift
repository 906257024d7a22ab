import GatewayConfiguration
import Synchronization
import Testing

@testable import Gateway

/// Requests that take more than one from what limits them.
struct CostTests {
    private final class Word: Sendable {
        private let value: LimitWord = LimitWord(0)

        func take(_ rule: LimitRule, _ now: UInt64, cost: UInt32 = 1) -> Bool {
            rule.take(self.value, now: now, cost: rule.cost(cost))
        }

        func giveBack(_ rule: LimitRule, _ now: UInt64, cost: UInt32) {
            rule.giveBack(self.value, now: now, cost: rule.cost(cost))
        }

        func wouldAdmit(_ rule: LimitRule, _ now: UInt64, cost: UInt32) -> Bool {
            rule.wouldAdmit(self.value.load(ordering: .relaxed), now: now, cost: rule.cost(cost))
        }

        func standing(_ rule: LimitRule, _ now: UInt64, cost: UInt32 = 1) -> LimitStanding {
            rule.standing(self.value.load(ordering: .relaxed), now: now, cost: rule.cost(cost))
        }
    }

    private static func loop(_ policies: String, route: String = "", plan: String = "") throws -> DecidingLoop {
        DecidingLoop(
            try Sample.snapshot(
                """
                apis:
                  - id: a
                    routes: [{path: /cheap}, {path: /dear, cost: 5\(route)}]
                    upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
                    policies: [{api_key: {header: K}}\(policies)]
                applications:
                  - {id: one, keys: [{value: k1}], subscriptions: [{api: a, plan: gold}]}
                plans:
                  - {id: gold\(plan)}
                """))
    }

    private static let cheap: SampleRequest = SampleRequest(path: "/cheap", headers: [("K", "k1")])
    private static let dear: SampleRequest = SampleRequest(path: "/dear", headers: [("K", "k1")])

    @Test(arguments: ["window", "token_bucket", "sliding_window"], ["api", "ip", "application"])
    func aDearRouteTakesMoreOfTheLimit(algorithm: String, by: String) throws {
        let loop: DecidingLoop = try Self.loop(
            ", {rate_limit: {limit: 12, window: 10s, by: \(by), algorithm: \(algorithm)}}")
        #expect(loop.count(9, Self.dear) == 2)
        // Two are left: not enough for a dear one.
        #expect(loop.headerLines.contains(";r=2"), "\(loop.headerLines)")
        #expect(loop.count(9, Self.cheap) == 2)
    }

    @Test func costsCountInPlansAndQuotas() throws {
        let loop: DecidingLoop = try Self.loop(
            ", {quota: {limit: 11, window: month}}", plan: ", rate_limit: {limit: 100, window: 1m}, concurrency: 3")
        #expect(loop.decide(Self.dear) == "none")
        #expect(loop.lastHeld.count == 1)
        #expect(loop.decide(Self.dear) == "none")
        #expect(loop.decide(Self.dear) == "quota-exceeded")
        // What was refused took nothing from the plan either, and a request at once is one whatever it costs.
        #expect(loop.decide(Self.cheap) == "none")
        #expect(loop.decide(Self.cheap) == "quota-exceeded")
    }

    @Test func aLimitMaySayWhatARequestTakes() throws {
        let loop: DecidingLoop = try Self.loop(
            ", {rate_limit: {limit: 10, window: 1m, cost: 2, name: two}}, {rate_limit: {limit: 6, window: 1m, name: routes}}"
        )
        #expect(loop.decide(Self.dear) == "none")
        #expect(loop.decide(Self.dear) == "rate-limited")
        #expect(loop.headerLines.contains("RateLimit: \"two\";r=8;t=60, \"routes\";r=1;t=60"), "\(loop.headerLines)")
        #expect(loop.decide(Self.cheap) == "none")
        #expect(loop.decide(Self.cheap) == "rate-limited")
        #expect(loop.headerLines.contains("\"two\";r=6"), "\(loop.headerLines)")
    }

    @Test func whatCostsMoreThanTheLimitPassesAlone() throws {
        let loop: DecidingLoop = try Self.loop(", {rate_limit: {limit: 3, window: 1m}}")
        #expect(loop.decide(Self.dear) == "none")
        #expect(loop.decide(Self.cheap) == "rate-limited")
        loop.advance(seconds: 61)
        #expect(loop.decide(Self.cheap) == "none")
        #expect(loop.decide(Self.dear) == "rate-limited")
    }

    @Test(arguments: [
        LimitRule(limit: 10, window: .seconds(10), algorithm: .window),
        LimitRule(limit: 10, window: .seconds(10), algorithm: .tokenBucket),
        LimitRule(limit: 10, window: .seconds(10), algorithm: .slidingWindow),
        LimitRule(limit: 10, window: .day),
    ]) func whatIsGivenBackIsWholeAgain(_ rule: LimitRule) {
        let now: UInt64 = 86_400_000_000_000 * 1000
        let word: Word = Word()
        #expect(word.take(rule, now, cost: 4))
        #expect(word.take(rule, now, cost: 4))
        #expect(!word.take(rule, now, cost: 4))
        #expect(word.standing(rule, now, cost: 4).retryNanoseconds > 0)
        #expect(word.standing(rule, now).remaining == 2)
        #expect(word.standing(rule, now).retryNanoseconds == 0)
        word.giveBack(rule, now, cost: 4)
        #expect(word.standing(rule, now).remaining == 6)
        word.giveBack(rule, now, cost: 4)
        #expect(word.standing(rule, now).remaining == 10)
    }

    @Test(arguments: [
        LimitRule(limit: 10, window: .seconds(10), algorithm: .window),
        LimitRule(limit: 10, window: .seconds(10), algorithm: .tokenBucket),
        LimitRule(limit: 10, window: .seconds(10), algorithm: .slidingWindow),
    ]) func aDearRequestPassesWhenItIsTold(_ rule: LimitRule) {
        let now: UInt64 = 86_400_000_000_000 * 1000 + 2_000_000_000
        let word: Word = Word()
        for _ in 0..<8 { #expect(word.take(rule, now)) }
        let wait: UInt64 = word.standing(rule, now, cost: 4).retryNanoseconds
        #expect(wait > 0)
        #expect(!word.wouldAdmit(rule, now + wait - 10_000_000, cost: 4))
        #expect(word.wouldAdmit(rule, now + wait + 1, cost: 4))
    }
}
