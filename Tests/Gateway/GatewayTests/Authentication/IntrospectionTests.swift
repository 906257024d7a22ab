import Bytes
import GatewayConfiguration
import JSON
import Testing

@testable import Gateway

/// Opaque tokens, in front of a server that is asked about them.
struct IntrospectionTests {
    /// Answers by what the token is called.
    private static func server() throws -> RawUpstream {
        try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                let token: String = request.text.split(separator: "&").first.map { String($0.dropFirst(6)) } ?? ""
                var body: String = "{\"active\":false}"
                switch token {
                case "good":
                    body =
                        "{\"active\":true,\"sub\":\"alice\",\"client_id\":\"web\",\"scope\":\"read\",\"exp\":\(SampleIssuer.now + 600)}"
                case "expired": body = "{\"active\":true,\"exp\":\(SampleIssuer.now - 60)}"
                case "text": body = "{\"active\":\"true\"}"
                case "broken": body = "{"
                case "error":
                    session.send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
                    continue
                default: break
                }
                session.send("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            }
        }
    }

    private static func policy(
        _ server: RawUpstream, _ change: (inout IntrospectionPolicy) -> Void = { _ in }
    ) -> PolicyDefinition {
        var policy: IntrospectionPolicy = IntrospectionPolicy(
            endpoint: "http://127.0.0.1:\(server.port)/introspect", clientID: "gate way", clientSecret: "s:1")
        policy.timeout = .seconds(600)
        change(&policy)
        return .introspection(policy)
    }

    @Test func asksOnceAndRemembers() async throws {
        let (upstream, server): (RawUpstream, RawUpstream) = (try .echoing(), try Self.server())
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port],
            policies: [
                Self.policy(server),
                .identityHeaders(IdentityHeadersPolicy(fields: [.init(name: "x-user", source: .subject)])),
            ])
        for _ in 0..<3 {
            let answer: RawMessage = try await gateway.fetch(token: "good")
            #expect(answer.status == 200)
            #expect(answer.text.contains("x-user: alice"))
        }
        for _ in 0..<2 { #expect(try await gateway.fetch(token: "unknown").status == 401) }
        #expect(server.requests.count == 2)
        let asked: RawMessage? = server.requests.first
        #expect(asked?.startLine == "POST /introspect HTTP/1.1")
        #expect(asked?.text == "token=good&token_type_hint=access_token")
        #expect(asked?.field("authorization") == "Basic " + Base64.encode(Array("gate%20way:s%3A1".utf8)))
        await gateway.stop()
    }

    @Test(arguments: [("expired", 401), ("text", 503), ("broken", 503), ("error", 503)])
    func onlyAClearYesLetsIn(token: String, status: Int) async throws {
        let (upstream, server): (RawUpstream, RawUpstream) = (try .echoing(), try Self.server())
        let gateway: GatewayUnderTest = try await .start([upstream.port], policies: [Self.policy(server)])
        #expect(try await gateway.fetch(token: token).status == status)
        #expect(upstream.requests.isEmpty)
        await gateway.stop()
    }

    @Test func aServerThatIsAwayIsNoYes() async throws {
        let upstream: RawUpstream = try .echoing()
        let refusing: RefusingPort = try RefusingPort()
        let policy: IntrospectionPolicy = IntrospectionPolicy(
            endpoint: "http://127.0.0.1:\(refusing.port)/", clientID: "a", clientSecret: "b")
        let gateway: GatewayUnderTest = try await .start([upstream.port], policies: [.introspection(policy)])
        #expect(try await gateway.fetch(token: "good").status == 503)
        await gateway.stop()
    }

    /// Signed tokens are verified here, all others asked about.
    @Test func standsBesideSignedTokens() async throws {
        let (upstream, server): (RawUpstream, RawUpstream) = (try .echoing(), try Self.server())
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [try SampleIssuer.policy(), Self.policy(server) { $0.scopes = ["read"] }])
        #expect(try await gateway.fetch(token: try SampleIssuer.token()).status == 200)
        #expect(server.requests.isEmpty)
        #expect(try await gateway.fetch(token: "good").status == 200)
        #expect(server.requests.count == 1)
        await gateway.stop()
    }
}
