import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

/// Limits as requests meet them: by subject, adding up, shared, surviving changes.
struct LimitDecisionTests {
    private static func document(_ policies: String, route: String = "", more: String = "") -> String {
        """
        apis:
          - id: a
            routes: [{path: /a\(route)}, {path: /free}]
            upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
            policies: [\(policies)]
        applications:
          - {id: one, keys: [{value: k1}, {value: k2}], subscriptions: [{api: a, plan: gold}]}
          - {id: two, keys: [{value: k3}], subscriptions: [{api: a}]}
        plans:
          - {id: gold\(more)}
        """
    }

    private static let key: String = "{api_key: {header: K}}, "

    private static func call(_ key: String = "k1", path: String = "/a", remote: String = "192.0.2.1") -> SampleRequest {
        SampleRequest(path: path, headers: [("K", key)], remote: remote)
    }

    @Test func anAPIsLimitCountsEverybody() throws {
        let loop: DecidingLoop = DecidingLoop(
            try Sample.snapshot(Self.document(Self.key + "{rate_limit: {limit: 10, window: 1m}}")))
        #expect(loop.count(4, Self.call("k1")) == 4)
        #expect(loop.count(20, Self.call("k3", path: "/free")) == 6)
        loop.advance(seconds: 60)
        #expect(loop.count(20, Self.call("k3")) == 10)
    }

    @Test func limitsCountTheirSubjects() throws {
        func loop(_ by: String) throws -> DecidingLoop {
            DecidingLoop(try Sample.snapshot(Self.document(Self.key + "{rate_limit: {limit: 5, window: 1m, \(by)}}")))
        }
        let application: DecidingLoop = try loop("by: application")
        #expect(application.count(9, Self.call("k1")) == 5)
        #expect(application.count(9, Self.call("k2")) == 0)
        #expect(application.count(9, Self.call("k3")) == 5)
        let key: DecidingLoop = try loop("by: key")
        #expect(key.count(9, Self.call("k1")) == 5)
        #expect(key.count(9, Self.call("k2")) == 5)
        #expect(key.count(9, Self.call("k1")) == 0)
        let address: DecidingLoop = try loop("by: ip")
        #expect(address.count(9, Self.call("k1", remote: "192.0.2.1")) == 5)
        #expect(address.count(9, Self.call("k3", remote: "192.0.2.1")) == 0)
        #expect(address.count(9, Self.call("k1", remote: "192.0.2.2")) == 5)
        // IPv6: all of a /64 is one caller.
        #expect(address.count(9, Self.call("k1", remote: "2001:db8::1")) == 5)
        #expect(address.count(9, Self.call("k1", remote: "2001:db8::ffff:2")) == 0)
        #expect(address.count(9, Self.call("k1", remote: "2001:db8:0:1::1")) == 5)
        let header: DecidingLoop = try loop("by: header, header: X-User")
        func user(_ name: String?) -> SampleRequest {
            var request: SampleRequest = Self.call()
            if let name { request.headers.append(("x-user", name)) }
            return request
        }
        #expect(header.count(9, user("ada")) == 5)
        #expect(header.count(9, user("bob")) == 5)
        #expect(header.count(9, user("Ada")) == 5)
        #expect(header.count(9, user(nil)) == 5)
        #expect(header.count(9, user(nil)) == 0)
    }

    @Test func aPlansLimitCountsEachSubscription() throws {
        let loop: DecidingLoop = DecidingLoop(
            try Sample.snapshot(Self.document(Self.key, more: ", rate_limit: {limit: 3, window: 1m}")))
        #expect(loop.count(9, Self.call("k1")) == 3)
        #expect(loop.count(9, Self.call("k2")) == 0)
        // No plan, no limit.
        #expect(loop.count(9, Self.call("k3")) == 9)
        #expect(loop.decide(Self.call("k1")) == "rate-limited")
        #expect(
            loop.headerLines
                == "Retry-After: 60\r\nRateLimit-Policy: \"plan\";q=3;w=60\r\nRateLimit: \"plan\";r=0;t=60\r\n")
        #expect(RequestReason.rateLimited.status == 429)
    }

    @Test func limitsOfAPIRouteAndPlanAddUpAndCountAllOrNothing() throws {
        let yaml: String = Self.document(
            Self.key + "{rate_limit: {limit: 10, window: 1m}}",
            route: ", policies: [{rate_limit: {limit: 6, window: 1m}}]",
            more: ", rate_limit: {limit: 4, window: 1m}")
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(yaml))
        // The plan admits four; what it refuses must not count with the API and the route.
        #expect(loop.count(50, Self.call("k1")) == 4)
        #expect(
            loop.headerLines.contains(
                "RateLimit-Policy: \"api\";q=10;w=60, \"route\";q=6;w=60, \"plan\";q=4;w=60\r\nRateLimit: \"api\";r=6;t=60, \"route\";r=2;t=60, \"plan\";r=0;t=60"
            ), "\(loop.headerLines)")
        // The route has two left for the other application, and what it refuses does not count with the API.
        #expect(loop.count(50, Self.call("k3")) == 2)
        #expect(loop.count(50, Self.call("k3", path: "/free")) == 4)
        #expect(loop.decide(Self.call("k3", path: "/free")) == "rate-limited")
    }

    @Test func anAddressLimitIsGivenBackWhenALaterLimitRefuses() throws {
        let yaml: String = Self.document(
            Self.key + "{rate_limit: {limit: 8, window: 1m, by: ip}}", more: ", rate_limit: {limit: 3, window: 1m}")
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(yaml))
        #expect(loop.count(50, Self.call("k1")) == 3)
        #expect(loop.count(50, Self.call("k3")) == 5)
    }

    @Test func wrongKeysCountWithTheAddress() throws {
        let loop: DecidingLoop = DecidingLoop(
            try Sample.snapshot(Self.document(Self.key + "{rate_limit: {limit: 5, window: 1m, by: ip}}")))
        for _ in 0..<5 { #expect(loop.decide(Self.call("guess")) == "credentials-unknown") }
        #expect(loop.decide(Self.call("guess")) == "rate-limited")
        #expect(loop.decide(Self.call("k1")) == "rate-limited")
    }

    @Test func callersWithoutApplicationAreCountedByAddress() throws {
        let policies: String = "anonymous, " + Self.key + "{rate_limit: {limit: 2, window: 1m, by: application}}"
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(Self.document(policies)))
        #expect(loop.count(9, SampleRequest(path: "/a", remote: "192.0.2.1")) == 2)
        #expect(loop.count(9, SampleRequest(path: "/a", remote: "192.0.2.2")) == 2)
        #expect(loop.count(9, Self.call("k1")) == 2)
    }

    @Test func retryAfterIsWhenTheLongestLimitLetsPass() throws {
        let policies: String =
            Self.key
            + "{rate_limit: {limit: 2, window: 10s, name: short}}, {rate_limit: {limit: 2, window: 1h, name: long}}"
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(Self.document(policies)))
        #expect(loop.count(2, Self.call()) == 2)
        loop.advance(seconds: 4.5)
        #expect(loop.decide(Self.call()) == "rate-limited")
        #expect(
            loop.headerLines
                == "Retry-After: 3596\r\nRateLimit-Policy: \"short\";q=2;w=10, \"long\";q=2;w=3600\r\nRateLimit: \"short\";r=0;t=6, \"long\";r=0;t=3596\r\n"
        )
    }

    @Test func limitsAreDividedByTheLiveGateways() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        let yaml: String = Self.document(Self.key + "{rate_limit: {limit: 10, window: 1m}}")
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(yaml, live: live))
        live.limitShare = 3
        #expect(loop.count(50, Self.call()) == 3)
        // A gateway goes away: the others take its part at once.
        live.limitShare = 2
        #expect(loop.count(50, Self.call()) == 2)
        live.limitShare = 0
        #expect(live.limitShare == 1)
        #expect(loop.count(50, Self.call()) == 5)
    }

    @Test func countsSurviveAChangeOfTheSnapshot() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        func yaml(_ limit: Int) -> String {
            Self.document(
                Self.key
                    + "{rate_limit: {limit: \(limit), window: 1m, by: application}}, {rate_limit: {limit: 100, window: 1m, by: ip}}",
                more: ", rate_limit: {limit: \(limit), window: 1m}")
        }
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(yaml(5), live: live))
        #expect(loop.count(4, Self.call()) == 4)
        loop.snapshot = Snapshot.compile(try Sample.document(yaml(7)), previous: loop.snapshot, carrying: live).snapshot
        #expect(loop.count(50, Self.call()) == 3)
        // An API that goes takes its counts along, with the last snapshot that has it.
        let counts: Int = live.limitCount
        #expect(counts > 0)
        let empty: Snapshot = Snapshot.compile(GatewayDocument(), previous: loop.snapshot, carrying: live).snapshot
        // The old snapshot still works for requests that hold it.
        #expect(loop.decide(Self.call()) == "rate-limited")
        loop.snapshot = empty
        #expect(live.limitCount == 0)
    }

    @Test func severalLoopsAdmitExactlyTheLimits() throws {
        let yaml: String = Self.document(
            Self.key + "{rate_limit: {limit: 1000, window: 1m}}, {rate_limit: {limit: 5000, window: 1m, by: ip}}",
            more: ", rate_limit: {limit: 700, window: 1m, algorithm: token_bucket}")
        let snapshot: Snapshot = try Sample.snapshot(yaml)
        // All eight as the application whose plan admits 700.
        let limited: Int = Threads.count(8) { _ in DecidingLoop(snapshot).count(500, Self.call("k1")) }
        #expect(limited == 700)
        // What is left of the API's thousand.
        let rest: Int = Threads.count(8) { _ in DecidingLoop(snapshot).count(500, Self.call("k3")) }
        #expect(rest == 300)
    }
}
