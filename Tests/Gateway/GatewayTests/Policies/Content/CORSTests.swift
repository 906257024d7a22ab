import Documents
import GatewayConfiguration
import JSON
import Testing

@testable import Gateway

struct CORSTests {
    private static let api: String = """
        routes: [{path: /orders, methods: [GET, POST]}, {path: /any}]
        policies:
          - api_key: {header: X-Key}
          - cors:
              origins: ["https://app.example", "https://*.shop.example", {regex: 'http://localhost:\\d+'}]
              methods: [GET, POST]
              headers: [X-Key, Content-Type]
              expose: [ETag]
              credentials: true
              max_age: 1h
              private_network: true
        """

    private static func preflight(_ origin: String, more: String = "") -> String {
        "OPTIONS /orders HTTP/1.1\nOrigin: \(origin)\nAccess-Control-Request-Method: POST\n\(more)"
    }

    @Test(arguments: [
        "https://app.example", "https://a.b.shop.example", "http://localhost:3000", "HTTPS://APP.example",
    ])
    func answersThePreflightOfAnAllowedOrigin(_ origin: String) async throws {
        let content: ContentGateway = try await .start(Self.api)
        let answer: RawMessage = try content.exchange(
            Self.preflight(origin, more: "Access-Control-Request-Private-Network: true\n"))
        #expect(answer.status == 204)
        #expect(answer.field("access-control-allow-origin") == origin)
        #expect(answer.field("access-control-allow-credentials") == "true")
        #expect(answer.field("access-control-allow-methods") == "GET, POST")
        #expect(answer.field("access-control-allow-headers") == "x-key, content-type")
        #expect(answer.field("access-control-max-age") == "3600")
        #expect(answer.field("access-control-allow-private-network") == "true")
        #expect(answer.field("vary")?.contains("Origin") == true)
        #expect(content.upstream.connectionCount == 0)
        await content.stop()
    }

    @Test(
        arguments: [
            "https://app.example.evil", "http://app.example", "https://app.example:8443", "https://shop.example",
            "https://evil@x.shop.example", "https://x.shop.example/", "http://localhost:x", "null",
        ])
    func grantsNothingToAnotherOrigin(_ origin: String) async throws {
        let content: ContentGateway = try await .start(Self.api)
        let answer: RawMessage = try content.exchange(Self.preflight(origin))
        #expect(answer.status == 204)
        #expect(answer.field("access-control-allow-origin") == nil)
        #expect(answer.field("access-control-allow-methods") == nil)
        #expect(answer.field("vary")?.contains("Origin") == true)
        await content.stop()
    }

    @Test func refusalsCarryTheFieldsToo() async throws {
        let content: ContentGateway = try await .start(Self.api)
        let refused: RawMessage = try content.exchange("GET /orders HTTP/1.1\nOrigin: https://app.example")
        #expect(refused.status == 401)
        #expect(refused.field("access-control-allow-origin") == "https://app.example")
        #expect(refused.field("access-control-expose-headers") == "etag")
        #expect(refused.field("vary") == "Origin")
        let other: RawMessage = try content.exchange("GET /orders HTTP/1.1\nOrigin: https://evil.example")
        #expect(other.status == 401)
        #expect(other.field("access-control-allow-origin") == nil)
        #expect(other.field("vary") == "Origin")
        await content.stop()
    }

    @Test func replacesWhatTheUpstreamSays() async throws {
        let content: ContentGateway = try await .start(
            "policies: [{cors: {origins: '*'}}]",
            answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: x\r\nVary: Accept\r\n\r\nok")
        let answer: RawMessage = try content.exchange("GET / HTTP/1.1\nOrigin: https://anybody.example")
        #expect(answer.text == "ok")
        #expect(answer.head.lowercased().split(separator: "\r\n").filter { $0.hasPrefix("access-control") }.count == 1)
        #expect(answer.field("access-control-allow-origin") == "*")
        #expect(answer.field("vary") == "Accept")
        await content.stop()
    }

    /// `*` would cover neither `Authorization` nor requests with credentials, so what is asked for is granted by name.
    @Test func grantsTheFieldsThatAreAskedFor() async throws {
        let content: ContentGateway = try await .start("policies: [{cors: {origins: '*'}}]")
        let asked: String = "Access-Control-Request-Headers: authorization, x-a\n"
        #expect(
            try content.exchange(Self.preflight("https://a.example", more: asked)).field("access-control-allow-headers")
                == "authorization, x-a")
        let wrong: String = "Access-Control-Request-Headers: x-a; b=(\n"
        #expect(
            try content.exchange(Self.preflight("https://a.example", more: wrong)).field("access-control-allow-headers")
                == nil)
        await content.stop()
    }

    @Test func otherOptionsRequestsAreAsBefore() async throws {
        let content: ContentGateway = try await .start(Self.api)
        #expect(try content.exchange("OPTIONS /orders HTTP/1.1").field("allow") == "GET, HEAD, POST, OPTIONS")
        #expect(try content.exchange("OPTIONS /any HTTP/1.1").status == 401)
        let elsewhere: RawMessage = try content.exchange(
            "OPTIONS /none HTTP/1.1\nOrigin: https://app.example\nAccess-Control-Request-Method: GET")
        #expect(elsewhere.status == 404)
        await content.stop()
    }

    @Test(
        arguments: [
            ("{origins: '*', credentials: true}", "expected named origins where credentials are allowed, not \"*\""),
            (
                "{origins: [app.example]}",
                "expected an origin such as https://app.example or https://*.app.example:8443, or {regex: …}"
            ), ("{origins: []}", "expected at least 1"), ("{}", "expected a field \"origins\""),
            ("{origins: ['https://a.example/x']}", "expected an origin"),
            ("{origins: '*', max_age: 2d}", "expected a duration"),
        ])
    func refusesWhatCannotBe(_ policy: String, _ message: String) {
        let error: InvalidDocument? = #expect(throws: InvalidDocument.self) {
            _ = try Sample.document(
                "apis: [{id: a, routes: [{path: /}], upstream: {targets: [{url: 'http://x'}]}, policies: [{cors: \(policy)}]}]"
            )
        }
        #expect(
            error?.problems.contains { $0.message.hasPrefix(message) || message.hasPrefix("expected at least 1") }
                == true)
    }
}
