import GatewayConfiguration
import Testing

@testable import Gateway

struct SecurityHeadersTests {
    private static let answer: String =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: nginx/1.2\r\nX-Powered-By: x\r\nX-Frame-Options: SAMEORIGIN\r\n\r\nok"

    @Test func everyAnswerCarriesTheFields() async throws {
        let content: ContentGateway = try await .start(
            "policies: [{security_headers: {content_security_policy: \"default-src 'none'\"}}]", answer: Self.answer)
        let answer: RawMessage = try content.exchange("GET / HTTP/1.1")
        #expect(answer.field("x-content-type-options") == "nosniff")
        #expect(answer.field("x-frame-options") == "DENY")
        #expect(answer.field("referrer-policy") == "no-referrer")
        #expect(answer.field("content-security-policy") == "default-src 'none'")
        #expect(answer.field("server") == nil)
        #expect(answer.field("x-powered-by") == nil)
        // Over a plain connection browsers ignore it.
        #expect(answer.field("strict-transport-security") == nil)
        await content.stop()
    }

    @Test func refusalsOfTheGatewayCarryThem() async throws {
        let content: ContentGateway = try await .start(
            "policies: [{security_headers: {frame_options: off}}, {api_key: {header: x-k}}]")
        let answer: RawMessage = try content.exchange("GET / HTTP/1.1")
        #expect(answer.status == 401)
        #expect(answer.field("x-content-type-options") == "nosniff")
        #expect(answer.field("x-frame-options") == nil)
        await content.stop()
    }

    @Test func theUpstreamMayHaveItsOwn() async throws {
        let content: ContentGateway = try await .start(
            "policies: [{security_headers: {keep_upstream: true, hide: [x-powered-by]}}]", answer: Self.answer)
        let answer: RawMessage = try content.exchange("GET / HTTP/1.1")
        #expect(answer.field("x-frame-options") == "SAMEORIGIN")
        #expect(answer.field("referrer-policy") == "no-referrer")
        #expect(answer.field("server") == "nginx/1.2")
        #expect(answer.field("x-powered-by") == nil)
        await content.stop()
    }

    @Test func transportSecurityIsSentOverEncryptedConnections() {
        let policy: SecurityHeadersPolicy = SecurityHeadersPolicy(
            transportSecurity: .init(maxAge: .seconds(3600), includesSubdomains: true, preload: true))
        #expect(
            policy.lines(isSecure: true).last?.value == "max-age=3600; includeSubDomains; preload")
        #expect(policy.lines(isSecure: false).allSatisfy { $0.name != "strict-transport-security" })
    }
}
