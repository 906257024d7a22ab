import GatewayConfiguration
import JSON
import Telemetry
import Testing

@testable import Gateway

/// Every kind of rejection: its status, a problem document (RFC 9457) with the trace id, and a counter that says why.
struct RejectionTests {
    /// How a rejection comes about.
    struct Scenario: Sendable, CustomTestStringConvertible {
        let reason: RequestReason
        /// Of the one API, in JSON.
        var policies: String = "[]"
        /// Beside targets, in JSON: begins with a comma.
        var upstream: String = ""
        var route: String = #"{"path": "/*"}"#
        /// Limits of the tenant, in JSON.
        var tenant: String = "{}"
        var target: Target = .upstream
        /// Requests that are answered first, each on a connection of its own.
        var before: [String] = []
        /// A request that is on its way meanwhile and is not answered.
        var meanwhile: String?
        var request: String = Self.get("/x")
        var headTimeout: Duration = .seconds(600)

        enum Target: Sendable { case upstream, refusing, encrypted }

        var testDescription: String { self.reason.slug }

        static func get(_ path: String, _ lines: String...) -> String {
            "GET \(path) HTTP/1.1\r\nHost: a\r\n\(lines.map { $0 + "\r\n" }.joined())\r\n"
        }

        static func post(_ path: String, _ body: String, _ lines: String...) -> String {
            "POST \(path) HTTP/1.1\r\nHost: a\r\n\(lines.map { $0 + "\r\n" }.joined())Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        }
    }

    private static func get(_ path: String, key: String) -> String { Scenario.get(path, "X-API-Key: \(key)") }
    private static let key: String = #"{"api_key": {"header": "X-API-Key"}}"#
    private static let keyed: String = "[\(key)]"
    private static let document: String = """
        {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/x": {"post": {
         "requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object", "required": ["a"]}}}},
         "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": {"type": "array"}}}}}}}}}
        """
    private static let repeated: String = #"[{"idempotency": {"required": true, "answer_max": 1}}]"#
    private static let held: String = #"[{"idempotency": {"required": true}}]"#
    private static func repeatable(_ path: String, _ body: String = "a") -> String {
        Scenario.post(path, body, "Idempotency-Key: k1")
    }

    static let scenarios: [Scenario] = [
        // The request itself.
        Scenario(reason: .badRequest, request: "GET /x HTTP/1.1\r\n\r\n"),
        Scenario(reason: .pathRefused, request: Scenario.get("/a/../b")),
        Scenario(reason: .headTooLarge, request: Scenario.get("/x", "X: " + String(repeating: "a", count: 40_000))),
        Scenario(reason: .targetTooLong, request: Scenario.get("/" + String(repeating: "a", count: 9000))),
        Scenario(reason: .bodyTooLarge, policies: #"[{"request_size": 3}]"#, request: Scenario.post("/x", "four")),
        Scenario(reason: .requestTimeout, request: "GET /x HTTP/1.1\r\nHost", headTimeout: .seconds(1)),
        Scenario(reason: .versionUnsupported, request: "GET /x HTTP/3.0\r\nHost: a\r\n\r\n"),
        Scenario(reason: .expectationFailed, request: Scenario.get("/x", "Expect: more")),
        Scenario(
            reason: .upgradeRefused,
            request: "POST /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        Scenario(reason: .noRoute, route: #"{"path": "/only"}"#),
        Scenario(
            reason: .methodNotAllowed, route: #"{"path": "/x", "methods": ["PUT"]}"#),
        Scenario(
            reason: .expressionLimit, route: #"{"regex": "/(a+)+"}"#,
            request: Scenario.get("/" + String(repeating: "a", count: 40) + "b")),
        // Policies.
        Scenario(reason: .addressDenied, policies: #"[{"ip": {"deny": ["127.0.0.1"]}}]"#),
        Scenario(reason: .credentialsMissing, policies: keyed),
        Scenario(reason: .credentialsUnknown, policies: keyed, request: get("/x", key: "unknown")),
        Scenario(reason: .credentialsExpired, policies: keyed, request: get("/x", key: "expired")),
        Scenario(reason: .applicationSuspended, policies: keyed, request: get("/x", key: "suspended")),
        Scenario(reason: .notSubscribed, policies: keyed, request: get("/x", key: "stranger")),
        Scenario(reason: .subscriptionSuspended, policies: keyed, request: get("/x", key: "waiting")),
        Scenario(
            reason: .accessDenied, policies: "[\(key), {\"acl\": {\"deny\": [{\"applications\": [\"good\"]}]}}]",
            request: get("/x", key: "good")),
        Scenario(
            reason: .tokenInvalid, policies: "[TOKENS]", request: Scenario.get("/x", "Authorization: Bearer a.b.c")),
        Scenario(
            reason: .scopeInsufficient, policies: "[SCOPED]", request: Scenario.get("/x", "Authorization: Bearer TOKEN")
        ),
        Scenario(
            reason: .signatureInvalid, policies: #"[{"hmac": {}}]"#,
            request: Scenario.get(
                "/x", #"Signature-Input: s=("@method");keyid="k";created=1"#, "Signature: s=:YQ==:")),
        Scenario(
            reason: .rateLimited, policies: #"[{"rate_limit": {"limit": 1, "window": "31d"}}]"#,
            before: [Scenario.get("/x")]),
        Scenario(
            reason: .quotaExceeded, policies: #"[{"quota": {"limit": 1, "window": "year", "by": "api"}}]"#,
            before: [Scenario.get("/x")]),
        Scenario(
            reason: .tenantRateLimited, tenant: #"{"rate_limit": {"limit": 1, "window": "31d"}}"#,
            before: [Scenario.get("/x")]),
        Scenario(
            reason: .tenantQuotaExceeded, tenant: #"{"quota": {"limit": 1, "window": "year"}}"#,
            before: [Scenario.get("/x")]),
        Scenario(reason: .tooManyAtOnce, policies: #"[{"concurrency": 1}]"#, meanwhile: Scenario.get("/hold")),
        Scenario(
            reason: .policyUnavailable,
            policies: #"[{"external_authorization": {"url": "http://127.0.0.1:REFUSING/"}}]"#),
        Scenario(
            reason: .authorizationDenied,
            policies: #"[{"external_authorization": {"url": "http://127.0.0.1:UPSTREAM/deny"}}]"#),
        Scenario(
            reason: .notCached, policies: #"[{"cache": {}}]"#,
            request: Scenario.get("/x", "Cache-Control: only-if-cached")),
        Scenario(reason: .idempotencyKeyInvalid, policies: held, request: Scenario.post("/x", "a")),
        Scenario(
            reason: .idempotencyInProgress, policies: held, meanwhile: repeatable("/hold"), request: repeatable("/hold")
        ),
        Scenario(
            reason: .idempotencyMismatch, policies: held, before: [repeatable("/x")], request: repeatable("/x", "b")),
        Scenario(
            reason: .idempotencyUnrepeatable, policies: repeated, before: [repeatable("/x")], request: repeatable("/x")),
        Scenario(
            reason: .requestInvalid, policies: "[{\"validation\": {\"document\": \(document)}}]",
            request: Scenario.post("/x", "{}", "Content-Type: application/json")),
        Scenario(
            reason: .mediaTypeUnsupported, policies: "[{\"validation\": {\"document\": \(document)}}]",
            request: Scenario.post("/x", "a", "Content-Type: text/plain")),
        Scenario(
            reason: .responseInvalid,
            policies: "[{\"validation\": {\"document\": \(document), \"responses\": \"enforce\"}}]",
            request: Scenario.post("/x", #"{"a": 1}"#, "Content-Type: application/json")),
        // The upstream.
        Scenario(
            reason: .upstreamUnavailable,
            upstream: #", "passive_health": {"failures": 1, "eject_for": "1h"}"#, target: .refusing,
            before: [Scenario.get("/x")]),
        Scenario(reason: .upstreamConnectFailed, target: .refusing),
        Scenario(
            reason: .upstreamConnectTimeout, policies: #"[{"timeouts": {"connect": "100ms"}}]"#, target: .encrypted),
        Scenario(reason: .upstreamReset, request: Scenario.post("/reset", "a")),
        Scenario(
            reason: .upstreamTimeout, policies: #"[{"timeouts": {"response": "100ms"}}]"#,
            request: Scenario.get("/hold")),
        Scenario(reason: .upstreamInvalidResponse, request: Scenario.get("/garbage")),
        Scenario(
            reason: .upstreamOverloaded, upstream: #", "connections": {"max": 1}"#, meanwhile: Scenario.get("/hold")),
        Scenario(
            reason: .circuitOpen,
            upstream: #", "circuit_breaker": {"min_requests": 1, "error_share": 1, "open_for": "1h"}"#,
            before: [Scenario.get("/fails")]),
    ]

    /// What no scenario can show, and where it is tested instead.
    private static let elsewhere: [RequestReason: String] = [
        .none: "the upstream's answer", .answered: "no rejection", .cached: "no rejection", .replayed: "no rejection",
        .optionsAnswered: "no rejection", .clientClosed: "nobody hears it: RecordTests",
        .draining: "connections are cut off: LifeTests", .overloaded: "full memory and queues: PipelineTests",
        .internalError: "no input leads there", .upstreamNotHTTP2: "an answer of gRPC: GRPCTests",
        .signatureReplayed: "needs a signature: SignedRequestTests",
        .certificateRevoked: "needs a certificate: the integration suites tls and pki",
        .tooManyConnections: "needs several connections: ConnectionLimitTests",
    ]

    @Test func everyReasonHasAScenario() {
        let shown: Set<RequestReason> = Set(Self.scenarios.map { $0.reason })
        for reason in RequestReason.allCases where !shown.contains(reason) {
            #expect(Self.elsewhere[reason] != nil, "\(reason.slug)")
        }
    }

    private static let applications: String = """
        [{"id": "good", "keys": [{"value": "good"}, {"value": "expired", "expires": "2020-01-01T00:00:00Z"}],
          "subscriptions": [{"api": "test"}]},
         {"id": "suspended", "state": "suspended", "keys": [{"value": "suspended"}], "subscriptions": [{"api": "test"}]},
         {"id": "stranger", "keys": [{"value": "stranger"}]},
         {"id": "waiting", "keys": [{"value": "waiting"}], "subscriptions": [{"api": "test", "state": "suspended"}]}]
        """

    /// Does what the path says.
    private static func upstream() throws -> RawUpstream {
        try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                switch request.startLine.split(separator: " ")[1] {
                case "/hold":
                    _ = session.socket.receive()
                    return
                case "/reset": return session.socket.close(abruptly: true)
                case "/garbage": session.send("garbage\r\n\r\n")
                case "/deny": session.send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
                case "/fails": session.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
                default:
                    session.send(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull")
                }
            }
        }
    }

    private static func document(_ scenario: Scenario, _ upstream: UInt16, _ refusing: UInt16) throws -> GatewayDocument
    {
        let issuer: String = """
            {"issuer": "\(SampleIssuer.name)", "audiences": ["api"], "keys": {"jwks": \(try SampleIssuer.keysText())}}
            """
        let policies: String = scenario.policies.replacing("UPSTREAM", with: "\(upstream)")
            .replacing("REFUSING", with: "\(refusing)").replacing(
                "TOKENS", with: "{\"jwt\": {\"issuers\": [\(issuer)]}}"
            )
            .replacing("SCOPED", with: "{\"jwt\": {\"issuers\": [\(issuer)], \"scopes\": [\"admin\"]}}")
        let target: String
        switch scenario.target {
        case .upstream: target = "{\"url\": \"http://127.0.0.1:\(upstream)\"}"
        case .refusing: target = "{\"url\": \"http://127.0.0.1:\(refusing)\"}"
        case .encrypted: target = "{\"url\": \"https://127.0.0.1:\(upstream)\"}"
        }
        return try GatewayDocument.read(
            Array(
                """
                {"version": 1, "applications": \(self.applications), "apis": [{"id": "test", "routes": [\(scenario.route)],
                 "policies": \(policies), "upstream": {"targets": [\(target)]\(scenario.upstream)}}],
                 "tenants": [\(scenario.tenant)]}
                """.utf8))
    }

    private static let trace: String = "4bf92f3577b34da6a3ce929d0e0e4736"

    @Test(arguments: RejectionTests.scenarios) func saysWhatIsWrong(_ scenario: Scenario) async throws {
        let upstream: RawUpstream = try Self.upstream()
        let refusing: RefusingPort = try RefusingPort()
        let metrics: MetricRegistry = MetricRegistry()
        var settings: EngineSettings = .patient
        settings.headTimeout = scenario.headTimeout
        let gateway: GatewayUnderTest = try await .start(
            try Self.document(scenario, upstream.port, refusing.port), settings: settings, metrics: metrics)
        for request in scenario.before {
            _ = try await offPool { try gateway.exchange(request) }
        }
        let other: RawSocket = try gateway.connect()
        if let meanwhile: String = scenario.meanwhile {
            other.send(meanwhile)
            #expect(await eventually { upstream.requests.contains { $0.startLine.contains("/hold") } })
        }
        var request: String = scenario.request
        if request.contains("TOKEN") { request = request.replacing("TOKEN", with: try SampleIssuer.token()) }
        // The caller's trace is the problem's, as far as the head was understood.
        let traced: String = request.replacing(
            "Host: a\r\n", with: "Host: a\r\ntraceparent: 00-\(Self.trace)-00f067aa0ba902b7-01\r\n")
        let answer: RawMessage = try await offPool { try gateway.exchange(traced) }
        #expect(answer.status == scenario.reason.status)
        // What an authorization service says is its own.
        if scenario.reason != .authorizationDenied { try Self.check(answer, scenario.reason) }
        let counter: String = "reason=\"\(scenario.reason.slug)\"} 1\n"
        let isCounted: Bool = await eventually {
            String(decoding: metrics.prometheusText(), as: UTF8.self).split(separator: "\n").contains {
                $0.hasPrefix("passerelle_gateway_failures_total{") && ($0 + "\n").hasSuffix(counter)
            }
        }
        #expect(isCounted)
        other.close()
        await gateway.stop()
        withExtendedLifetime(refusing) {}
    }

    /// RFC 9457, section 3.
    private static func check(_ answer: RawMessage, _ reason: RequestReason) throws {
        #expect(answer.field("content-type") == "application/problem+json")
        let problem: JSONValue = try JSONReader.parse(answer.body)
        #expect(problem["type"] == .string("urn:passerelle:problem:\(reason.slug)"))
        #expect(problem["status"] == .int(Int64(reason.status)))
        #expect(problem["title"]?.text?.isEmpty == false)
        #expect(problem["detail"]?.text == reason.sentence)
        let trace: String = try #require(problem["trace_id"]?.text)
        #expect(trace.count == 32 && trace.allSatisfy { $0.isHexDigit } && trace != String(repeating: "0", count: 32))
        if reason.isOfAGoodHead { #expect(trace == Self.trace) }
    }
}

extension RequestReason {
    /// The head was read to its end, with its `traceparent`.
    fileprivate var isOfAGoodHead: Bool {
        switch self {
        case .badRequest, .headTooLarge, .targetTooLong, .requestTimeout, .versionUnsupported, .expectationFailed:
            return false
        default: return true
        }
    }
}
