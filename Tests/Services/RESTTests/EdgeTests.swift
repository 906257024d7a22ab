import Contracts
import EventLoops
import GatewayConfiguration
import HTTP
import JSON
import REST
import ServiceTestKit
import Synchronization
import Telemetry
import TestKit
import Testing

/// Whose pages may read answers, and who may send how many requests.
struct EdgeTests {
    private static func harness(_ edge: Edge) async throws -> ServiceHarness {
        try await ServiceHarness(migrations: [SampleService.migrations], edge: edge) { _ in [SampleService()] }
    }

    // MARK: CORS

    private struct Clients: ClientOrigins {
        func contains(origin: String) async -> Bool { origin == "https://spa.example" }
    }

    private static func sharing() throws -> Edge {
        var edge: Edge = Edge()
        edge.cors = CORSGrants(CORSPolicy(origins: [.exact("https://console.example")], exposed: ["etag"]))
        edge.clientOrigins = Clients()
        return edge
    }

    private static func preflight(_ harness: ServiceHarness, _ path: String, _ origin: String) async throws
        -> TestAnswer
    {
        try await harness.send(
            "OPTIONS", path, token: nil,
            fields: [
                ("Origin", origin), ("Access-Control-Request-Method", "POST"),
                ("Access-Control-Request-Headers", "authorization, idempotency-key"),
            ])
    }

    @Test func answersPreflightsBeforeAuthentication() async throws {
        let harness: ServiceHarness = try await Self.harness(Self.sharing())
        let answer: TestAnswer = try await Self.preflight(
            harness, "/v1/tenants/acme/notes", "https://console.example")
        #expect(answer.status == 204)
        #expect(answer.fields["Access-Control-Allow-Origin"] == "https://console.example")
        #expect(answer.fields["Access-Control-Allow-Headers"] == "authorization, idempotency-key")
        #expect(answer.fields["Access-Control-Allow-Credentials"] == nil)
        let refused: TestAnswer = try await Self.preflight(harness, "/v1/tenants/acme/notes", "https://evil.example")
        #expect(refused.status == 204)
        #expect(refused.fields["Access-Control-Allow-Origin"] == nil)
        #expect(refused.fields["Vary"]?.contains("Origin") == true)
    }

    @Test(arguments: [("admin", 200), ("wrong", 401)])
    func pagesOfTheSettingsReadAnswersAndRefusals(token: String, status: Int) async throws {
        let harness: ServiceHarness = try await Self.harness(Self.sharing())
        let answer: TestAnswer = try await harness.send(
            "GET", "/v1/mine", token: token, fields: [("Origin", "https://console.example")])
        #expect(answer.status == status)
        #expect(answer.fields["Access-Control-Allow-Origin"] == "https://console.example")
        #expect(answer.fields["Access-Control-Expose-Headers"] == "etag")
        #expect(answer.fields.all("Vary") == ["Origin"])
        for origin in ["https://evil.example", "null", "https://spa.example", "https://console.example.evil.example"] {
            let other: TestAnswer = try await harness.send(
                "GET", "/v1/mine", token: token, fields: [("Origin", origin)])
            #expect(other.status == status, "who may call is not decided by Origin")
            #expect(other.fields["Access-Control-Allow-Origin"] == nil, "\(origin)")
            #expect(other.fields.all("Vary") == ["Origin"])
        }
    }

    @Test(arguments: [
        ("/oauth2/token", "https://spa.example", true), ("/oauth2/userinfo", "https://SPA.example", true),
        ("/oauth2/revoke", "https://console.example", true), ("/oauth2/token", "https://evil.example", false),
        ("/oauth2/introspect", "https://spa.example", false), ("/oauth2/authorize", "https://console.example", false),
        ("/oauth2/login", "https://spa.example", false), ("/oauth2/factors", "https://console.example", false),
        ("/v1/mine", "https://spa.example", false), ("/.well-known/jwks.json", "https://evil.example", true),
        ("/.well-known/openid-configuration", "null", true),
        ("/.well-known/oauth-authorization-server", "https://evil.example", true),
        ("/metrics", "https://console.example", false),
        ("/healthz", "https://console.example", false),
    ])
    func eachPathIsSharedWithWhomItIsFor(path: String, origin: String, isShared: Bool) async throws {
        let harness: ServiceHarness = try await Self.harness(Self.sharing())
        for answer in [
            try await Self.preflight(harness, path, origin),
            try await harness.send("GET", path, token: nil, fields: [("Origin", origin)]),
        ] {
            #expect((answer.fields["Access-Control-Allow-Origin"] != nil) == isShared)
            #expect(answer.fields["Access-Control-Allow-Credentials"] == nil)
        }
    }

    @Test func withoutSettingsNothingIsSaid() async throws {
        let harness: ServiceHarness = try await Self.harness(Edge())
        let preflight: TestAnswer = try await Self.preflight(harness, "/v1/mine", "https://console.example")
        #expect(preflight.status == 405)
        let answer: TestAnswer = try await harness.send(
            "GET", "/v1/mine", fields: [("Origin", "https://console.example")])
        for one in [preflight, answer] {
            #expect(one.fields["Access-Control-Allow-Origin"] == nil)
            #expect(one.fields["Vary"] == nil)
        }
    }

    // MARK: Limits

    /// Admits so many of each sender, and says whom it was asked about.
    private final class Counting: RequestLimits {
        let senders: Mutex<[RequestSender]> = Mutex([])
        private let max: Int

        init(max: Int) { self.max = max }

        func admit(_ sender: RequestSender, now: UInt64) -> [(name: String, value: String)]? {
            self.senders.withLock { senders in
                senders.append(sender)
                return senders.count(where: { $0 == sender }) > self.max ? [("Retry-After", "7")] : nil
            }
        }
    }

    @Test func whoSendsTooManyIsToldWhenToComeBack() async throws {
        var edge: Edge = Edge()
        edge.limits = Counting(max: 2)
        let harness: ServiceHarness = try await Self.harness(edge)
        for status in [200, 200, 429, 429] {
            let answer: TestAnswer = try await harness.send("GET", "/v1/mine", token: "viewer@acme")
            #expect(answer.status == status)
            #expect(answer.fields["Retry-After"] == (status == 429 ? "7" : nil))
            if status == 429 { #expect(answer.json["type"]?.text == "urn:passerelle:problem:too-many-requests") }
        }
        #expect(try await harness.send("GET", "/v1/mine", token: "viewer@globex").status == 200, "others go on")
        #expect(try await harness.auditTypes().isEmpty, "a flood of requests is none of entries")
        let metrics: String = String(decoding: harness.services.metrics.prometheusText(), as: UTF8.self)
        #expect(metrics.contains("passerelle_rest_limited_total{sender=\"caller\"} 2"))
    }

    @Test func unknownSendersCountByAddressWhateverTheyAskFor() async throws {
        let limits: Counting = Counting(max: 100)
        var edge: Edge = Edge()
        edge.limits = limits
        let harness: ServiceHarness = try await Self.harness(edge)
        for (path, token, host) in [
            ("/v1/hello", nil, "192.0.2.7"), ("/v1/mine", nil, "192.0.2.7"), ("/v1/mine", "wrong", "192.0.2.7"),
            ("/v1/nothing", "admin", "192.0.2.7"), ("/openapi.json", nil, "192.0.2.7"),
            ("/v1/hello", nil, "2001:db8:1:2:3::4"), ("/v1/hello", nil, "2001:db8:1:2:ffff::9"),
            ("/healthz", nil, "192.0.2.7"), ("/metrics", nil, "192.0.2.7"), ("/v1/hello", "viewer@acme", "192.0.2.7"),
        ] as [(String, String?, String)] {
            _ = try await harness.send(
                "GET", path, token: token, from: try #require(SocketAddress(host: host, port: 1)))
        }
        let address: RequestSender = .address("192.0.2.7")
        let network: RequestSender = .address("2001:db8:1:2::")
        let expected: [RequestSender] = [
            address, address, address, address, address, network, network, .caller("usr_viewer_acme"),
        ]
        #expect(limits.senders.withLock { $0 } == expected)
    }
}
