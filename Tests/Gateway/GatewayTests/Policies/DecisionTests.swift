import GatewayConfiguration
import HTTP
import Testing

@testable import Gateway

/// One loop's view: decides requests against a snapshot at a moment.
final class DecidingLoop {
    var snapshot: Snapshot
    var monotonic: UInt64 = 1_000_000_000_000
    var wallSeconds: Int64 = 1_800_000_000
    private(set) var decision: Decision = Decision()

    init(_ snapshot: Snapshot) {
        self.snapshot = snapshot
    }

    func advance(seconds: Double) {
        self.monotonic += UInt64(seconds * 1_000_000_000)
        self.wallSeconds += Int64(seconds)
    }

    /// The reason's slug; `none` is forwarded.
    @discardableResult
    func decide(_ request: SampleRequest) -> String {
        request.withView { view in
            guard case .route(let index) = self.snapshot.match(view) else { return "no route" }
            var scratch: [UInt8] = [UInt8](repeating: 0, count: 4096)
            let screened: PathScreen.Result = scratch.withUnsafeMutableBytes {
                PathScreen.screen(view.path, scratch: $0)
            }
            self.snapshot.decide(
                view, route: index, hasEncodedSlash: screened.hasEncodedSlash,
                at: DecisionTime(monotonic: self.monotonic, wallSeconds: self.wallSeconds), into: &self.decision)
            return self.decision.reason.slug
        }
    }

    func count(_ tries: Int, _ request: SampleRequest) -> Int {
        var admitted: Int = 0
        for _ in 0..<tries where self.decide(request) == "none" { admitted += 1 }
        return admitted
    }

    var headerLines: String { String(decoding: self.decision.headerLines, as: UTF8.self) }
}

struct DecisionTests {
    static let keys: String = """
        apis:
          - id: orders
            tenant: acme
            routes: [{path: /orders/*}, {path: /open, policies: [anonymous]}, {path: /maybe, policies: [anonymous, {api_key: {header: X-API-Key}}]}]
            upstream: {targets: [{url: "http://127.0.0.1:9700"}], strip_prefix: /orders}
            policies: [{api_key: {header: X-API-Key, query: api_key}}]
          - id: stock
            tenant: acme
            routes: [{path: /stock}]
            upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
            policies: [{api_key: {header: X-API-Key}}]
          - id: orders
            tenant: other
            routes: [{path: /other}]
            upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
            policies: [{api_key: {header: X-API-Key}}]
        applications:
          - id: shop
            tenant: acme
            keys: [{value: shop-key}, {value: old-key, expires: 2027-01-15T08:00:00Z}]
            subscriptions: [{api: orders}, {api: stock, state: suspended}]
          - {id: idle, tenant: acme, state: suspended, keys: [{value: idle-key}], subscriptions: [{api: orders}]}
          - {id: bare, tenant: acme, keys: [{value: bare-key}]}
          - {id: shop, tenant: other, keys: [{value: other-key}, {value: both-key}], subscriptions: [{api: orders}]}
          - {id: both, tenant: acme, keys: [{value: both-key}], subscriptions: [{api: stock}]}
        """

    @Test(arguments: [
        (SampleRequest(path: "/orders/1"), "credentials-missing"),
        (SampleRequest(path: "/orders/1", headers: [("x-api-key", "shop-key")]), "none"),
        (SampleRequest(path: "/orders/1", headers: [("Accept", "*/*"), ("X-API-KEY", "shop-key")]), "none"),
        (SampleRequest(path: "/orders/1", query: "api_key=shop-key"), "none"),
        (SampleRequest(path: "/orders/1", query: "a=1&api_key=shop-key&b=2"), "none"),
        (SampleRequest(path: "/orders/1", headers: [("X-API-Key", "shop-kez")]), "credentials-unknown"),
        (SampleRequest(path: "/orders/1", headers: [("X-API-Key", "")]), "credentials-unknown"),
        (SampleRequest(path: "/orders/1", headers: [("X-API-Key", "Shop-Key")]), "credentials-unknown"),
        (SampleRequest(path: "/orders/1", query: "api_key="), "credentials-unknown"),
        (SampleRequest(path: "/orders/1", query: "api_key"), "credentials-unknown"),
        (SampleRequest(path: "/orders/1", query: "xapi_key=shop-key"), "credentials-missing"),
        // Nobody can say which of two is meant.
        (
            SampleRequest(path: "/orders/1", headers: [("X-API-Key", "shop-key"), ("X-API-Key", "x")]),
            "credentials-unknown"
        ),
        (SampleRequest(path: "/orders/1", query: "api_key=shop-key&api_key=shop-key"), "credentials-unknown"),
        (
            SampleRequest(path: "/orders/1", headers: [("X-API-Key", String(repeating: "k", count: 600))]),
            "credentials-unknown"
        ),
        (SampleRequest(path: "/orders/1", headers: [("X-API-Key", "idle-key")]), "application-suspended"),
        (SampleRequest(path: "/orders/1", headers: [("X-API-Key", "bare-key")]), "not-subscribed"),
        (SampleRequest(path: "/stock", headers: [("X-API-Key", "shop-key")]), "subscription-suspended"),
        // A key of another tenant is as unknown as any, even where ids are the same, and the other way round.
        (SampleRequest(path: "/orders/1", headers: [("X-API-Key", "other-key")]), "credentials-unknown"),
        (SampleRequest(path: "/other", headers: [("X-API-Key", "shop-key")]), "credentials-unknown"),
        (SampleRequest(path: "/other", headers: [("X-API-Key", "other-key")]), "none"),
        // The same key in two tenants opens in each what is its own.
        (SampleRequest(path: "/other", headers: [("X-API-Key", "both-key")]), "none"),
        (SampleRequest(path: "/stock", headers: [("X-API-Key", "both-key")]), "none"),
        (SampleRequest(path: "/orders/1", headers: [("X-API-Key", "both-key")]), "not-subscribed"),
        // Anonymous routes: nobody is asked, or a key may be shown and must then be right.
        (SampleRequest(path: "/open"), "none"),
        (SampleRequest(path: "/open", headers: [("X-API-Key", "nonsense")]), "none"),
        (SampleRequest(path: "/maybe"), "none"),
        (SampleRequest(path: "/maybe", headers: [("X-API-Key", "nonsense")]), "credentials-unknown"),
        (SampleRequest(path: "/maybe", headers: [("X-API-Key", "idle-key")]), "application-suspended"),
        (SampleRequest(path: "/maybe", headers: [("X-API-Key", "bare-key")]), "none"),
    ]) func identifiesCallers(_ request: SampleRequest, expected: String) throws {
        #expect(DecidingLoop(try Sample.snapshot(Self.keys)).decide(request) == expected)
    }

    @Test func aKeyExpires() throws {
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(Self.keys))
        let request: SampleRequest = SampleRequest(path: "/orders/1", headers: [("X-API-Key", "old-key")])
        loop.wallSeconds = 1_800_000_000 - 1
        #expect(loop.decide(request) == "none")
        loop.wallSeconds = 1_800_000_000
        #expect(loop.decide(request) == "credentials-expired")
        #expect(RequestReason.credentialsExpired.status == 401)
    }

    @Test func everyRefusalOfCredentialsCarriesAChallenge() throws {
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(Self.keys))
        loop.decide(SampleRequest(path: "/orders/1"))
        #expect(loop.headerLines == "WWW-Authenticate: ApiKey realm=\"orders\"\r\n")
        loop.decide(SampleRequest(path: "/orders/1", headers: [("X-API-Key", "nonsense")]))
        #expect(loop.headerLines == "WWW-Authenticate: ApiKey realm=\"orders\"\r\n")
        loop.decide(SampleRequest(path: "/orders/1", headers: [("X-API-Key", "shop-key")]))
        #expect(loop.headerLines.isEmpty)
        #expect(RequestReason.credentialsMissing.status == 401)
        #expect(RequestReason.notSubscribed.status == 403)
    }

    @Test(arguments: [
        ("api_key=shop-key", ""), ("api_key=shop-key&a=1", "a=1"), ("a=1&api_key=shop-key", "a=1"),
        ("a=1&api_key=shop-key&b=2", "a=1&b=2"), ("&api_key=shop-key&", "&"),
    ]) func theKeyIsTakenOffTheQuery(_ query: String, expected: String) throws {
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(Self.keys))
        #expect(loop.decide(SampleRequest(path: "/orders/1", query: query)) == "none")
        let forwarding: Forwarding = loop.decision.forwarding
        var left: [UInt8] = Array(query.utf8)
        left.removeSubrange(
            Int(forwarding.strippedQueryOffset)..<Int(forwarding.strippedQueryOffset + forwarding.strippedQueryLength))
        #expect(String(decoding: left, as: UTF8.self) == expected)
    }

    @Test func theKeyIsTakenOffTheHeadersAndBothPlacesWhenBothAreUsed() throws {
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(Self.keys))
        loop.decide(SampleRequest(path: "/orders/1", headers: [("A", "b"), ("X-API-Key", "shop-key")]))
        #expect(loop.decision.forwarding.strippedField == 1)
        #expect(loop.decision.forwarding.strippedQueryLength == 0)
        #expect(
            loop.decide(SampleRequest(path: "/orders/1", query: "api_key=junk", headers: [("X-API-Key", "shop-key")]))
                == "none")
        #expect(loop.decision.forwarding.strippedField == 0)
        #expect(loop.decision.forwarding.strippedQueryLength == 12)
        loop.decide(SampleRequest(path: "/open", headers: [("X-API-Key", "shop-key")]))
        #expect(loop.decision.forwarding.strippedField == -1)
    }

    @Test(arguments: [("/orders/1", 7), ("/orders", 7), ("/orders/", 7), ("/open", 0)])
    func thePrefixIsTakenOffAtASegmentsEnd(_ path: String, length: UInt32) throws {
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(Self.keys))
        #expect(loop.decide(SampleRequest(path: path, headers: [("X-API-Key", "shop-key")])) == "none")
        #expect(loop.decision.forwarding.strippedPathLength == length)
    }

    @Test func aRecordKnowsWhoCalled() throws {
        let live: LiveState = LiveState(subjectsMax: 1024)
        let loop: DecidingLoop = DecidingLoop(try Sample.snapshot(Self.keys, live: live))
        loop.decide(SampleRequest(path: "/orders/1", headers: [("X-API-Key", "shop-key")]))
        let forwarding: Forwarding = loop.decision.forwarding
        #expect(
            live.identities.identity(forwarding.routeIdentity)
                == Identity(kind: .route, tenant: "acme", api: "orders", detail: "/orders/*"))
        #expect(live.identities.identity(forwarding.applicationIdentity).detail == "shop")
        #expect(live.identities.identity(forwarding.subscriptionIdentity).detail == "shop/orders")
        #expect(loop.snapshot.subscriptions[Int(forwarding.subscription)].application.text == "acme/shop")
        // A refused caller that is known is recorded, too.
        loop.decide(SampleRequest(path: "/orders/1", headers: [("X-API-Key", "bare-key")]))
        #expect(live.identities.identity(loop.decision.forwarding.applicationIdentity).detail == "bare")
        loop.decide(SampleRequest(path: "/orders/1"))
        #expect(loop.decision.forwarding.applicationIdentity == .none)
    }

    static let guards: String = """
        apis:
          - id: a
            routes:
              - {path: /api, policies: [{request_size: 100}]}
              - {path: /allow, policies: [{ip: {allow: [10.0.0.0/8, "2001:db8::/32"], deny: [10.6.6.6]}}]}
              - {path: /deny}
              - {path: "/files/{id}"}
            upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
            policies: [{ip: {deny: [192.0.2.66]}}]
          - id: b
            encoded_slashes: keep
            routes: [{path: "/projects/{id}"}]
            upstream: {targets: [{url: "http://127.0.0.1:9700"}]}
        """

    @Test(arguments: [
        (SampleRequest(path: "/deny", remote: "192.0.2.1"), "none"),
        (SampleRequest(path: "/deny", remote: "192.0.2.66"), "address-denied"),
        // A route's list replaces the API's.
        (SampleRequest(path: "/allow", remote: "192.0.2.66"), "address-denied"),
        (SampleRequest(path: "/allow", remote: "10.1.1.1"), "none"),
        (SampleRequest(path: "/allow", remote: "10.6.6.6"), "address-denied"),
        (SampleRequest(path: "/allow", remote: "2001:db8::5"), "none"),
        (SampleRequest(path: "/allow", remote: "::1"), "address-denied"),
        (SampleRequest(path: "/api", contentLength: 100), "none"),
        (SampleRequest(path: "/api", contentLength: 101), "body-too-large"),
        (SampleRequest(path: "/api", contentLength: -1), "none"),
        (SampleRequest(path: "/deny", contentLength: 10 << 20), "none"),
        (SampleRequest(path: "/deny", contentLength: 10 << 20 + 1), "body-too-large"),
        (SampleRequest(path: "/files/a%2Fb"), "path-refused"), (SampleRequest(path: "/projects/a%2Fb"), "none"),
    ]) func guardsRoutes(_ request: SampleRequest, expected: String) throws {
        #expect(DecidingLoop(try Sample.snapshot(Self.guards)).decide(request) == expected)
    }
}
