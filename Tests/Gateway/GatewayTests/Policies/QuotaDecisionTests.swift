import GatewayConfiguration
import Testing

@testable import Gateway

/// Quotas, requests at once and spike arrest as requests meet them.
struct QuotaDecisionTests {
    private static func loop(_ policies: String, plan: String = "", route: String = "") throws -> DecidingLoop {
        DecidingLoop(
            try Sample.snapshot(
                """
                apis:
                  - id: a
                    routes: [{path: /a\(route)}, {path: /open, policies: [anonymous, {api_key: {header: K}}]}]
                    upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
                    policies: [{api_key: {header: K}}\(policies)]
                applications:
                  - {id: one, keys: [{value: k1}, {value: k2}], subscriptions: [{api: a, plan: gold}]}
                  - {id: two, keys: [{value: k3}], subscriptions: [{api: a, plan: gold}]}
                plans:
                  - {id: gold\(plan)}
                """))
    }

    private static func call(_ key: String?, path: String = "/a", remote: String = "192.0.2.1") -> SampleRequest {
        SampleRequest(path: path, headers: key.map { [("K", $0)] } ?? [], remote: remote)
    }

    @Test func aPlansQuotaLastsUntilTheMonthEnds() throws {
        let loop: DecidingLoop = try Self.loop("", plan: ", quota: {limit: 4, window: month}")
        #expect(loop.count(9, Self.call("k1")) == 4)
        #expect(loop.count(9, Self.call("k2")) == 0)
        #expect(loop.decide(Self.call("k1")) == "quota-exceeded")
        #expect(
            loop.headerLines
                == "Retry-After: 1440000\r\nRateLimit-Policy: \"plan-quota\";q=4;w=2592000\r\nRateLimit: \"plan-quota\";r=0;t=1440000\r\n"
        )
        #expect(loop.count(9, Self.call("k3")) == 4)
        loop.advance(seconds: 17 * 86_400)
        #expect(loop.count(9, Self.call("k1")) == 4)
        #expect(RequestReason.quotaExceeded.status == 429)
    }

    @Test func allLimitsOfAPlanCount() throws {
        let loop: DecidingLoop = try Self.loop(
            "", plan: ", rate_limit: {limit: 5, window: 1m}, quota: {limit: 7, window: day}, concurrency: 20")
        #expect(loop.count(9, Self.call("k1")) == 5)
        loop.advance(seconds: 60)
        // The quota has two left; what the rate limit refused did not count with it.
        #expect(loop.decide(Self.call("k1")) == "none")
        #expect(loop.decide(Self.call("k1")) == "none")
        #expect(loop.decide(Self.call("k1")) == "quota-exceeded")
    }

    @Test func requestsAtOnceAreHeldUntilReleased() throws {
        let loop: DecidingLoop = try Self.loop(", {concurrency: {limit: 2, by: application}}", plan: ", concurrency: 9")
        #expect(loop.decide(Self.call("k1")) == "none")
        let first: HeldPlaces = loop.lastHeld
        #expect(first.count == 2)
        #expect(loop.decide(Self.call("k2")) == "none")
        #expect(loop.decide(Self.call("k1")) == "too-many-at-once")
        #expect(loop.lastHeld.count == 0)
        #expect(
            loop.headerLines.contains(
                "RateLimit-Policy: \"api\";q=2;qu=\"concurrent-requests\", \"plan\";q=9;qu=\"concurrent-requests\"\r\n"),
            "\(loop.headerLines)")
        #expect(loop.decide(Self.call("k3")) == "none")
        loop.snapshot.release(first)
        #expect(loop.count(9, Self.call("k1")) == 1)
    }

    @Test func callersWithoutSubscriptionShareACount() throws {
        let loop: DecidingLoop = try Self.loop(", {quota: {limit: 3, window: day}}")
        #expect(loop.count(9, Self.call("k1")) == 3)
        #expect(loop.count(9, Self.call(nil, path: "/open", remote: "192.0.2.7")) == 3)
        #expect(loop.count(9, Self.call(nil, path: "/open", remote: "192.0.2.8")) == 0)
    }

    @Test func aSpikeArrestComesBeforeAuthentication() throws {
        let loop: DecidingLoop = try Self.loop(", {spike_arrest: {limit: 2, window: 1s}}")
        #expect(loop.decide(Self.call("guess")) == "credentials-unknown")
        #expect(loop.decide(Self.call("k1")) == "rate-limited")
        loop.advance(seconds: 1)
        #expect(loop.count(9, Self.call("k1")) == 1)
    }

    @Test func aDividedLimitFollowsTheNumberOfGateways() throws {
        let loop: DecidingLoop = try Self.loop(
            ", {rate_limit: {limit: 10, window: 1m}}, {rate_limit: {limit: 8, window: 1m, scope: gateway}}")
        loop.snapshot.live.limitShare = 2
        #expect(loop.count(20, Self.call("k1")) == 5)
        loop.advance(seconds: 60)
        loop.snapshot.live.limitShare = 1
        #expect(loop.count(20, Self.call("k1")) == 8)
    }

    @Test func aSharedLimitWithoutItsCountersIsDividedOpenOrClosed() throws {
        let loop: DecidingLoop = try Self.loop(", {rate_limit: {limit: 10, window: 1m, scope: shared}}")
        loop.snapshot.live.limitShare = 2
        #expect(loop.count(20, Self.call("k1")) == 5)
        loop.advance(seconds: 60)
        loop.snapshot.live.sharedLimitsDivisor = 1
        #expect(loop.count(20, Self.call("k1")) == 10)
        loop.advance(seconds: 60)
        loop.snapshot.live.sharedLimitsDivisor = 0
        #expect(loop.count(20, Self.call("k1")) == 0)
    }
}

extension DecidingLoop {
    var lastHeld: HeldPlaces { self.decision.forwarding.held }
}
