import GatewayConfiguration
import Testing

@testable import Gateway

/// OPTIONS and TRACE with `Max-Forwards` (RFC 9110, 7.6.2).
struct MaxForwardsTests {
    private static func start(_ upstream: RawUpstream, pipeline: Bool) async throws -> GatewayUnderTest {
        let all: PathPattern = try PathPattern(parsing: "/all")
        let some: PathPattern = try PathPattern(parsing: "/some")
        let trace: PathPattern = try PathPattern(parsing: "/trace")
        return try await .start(
            [upstream.port], policies: pipeline ? [.idempotency(IdempotencyPolicy())] : []
        ) { api in
            api.routes = [
                RouteDefinition(path: all), RouteDefinition(path: some, methods: ["PUT", "OPTIONS"]),
                RouteDefinition(path: trace, methods: ["TRACE"]),
            ]
        }
    }

    @Test(
        arguments: [
            ("OPTIONS /all", 204, "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, TRACE"),
            ("OPTIONS /some", 204, "PUT, OPTIONS"),
            ("OPTIONS /none", 404, nil), ("TRACE /trace", 405, "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"),
        ] as [(String, Int, String?)])
    func answersWhatMayNotBePassedOn(_ line: String, status: Int, allow: String?) async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await Self.start(upstream, pipeline: false)
        let answer: RawMessage = try gateway.exchange("\(line) HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n")
        #expect(answer.status == status)
        let named: [Substring]? = answer.field("allow")?.replacing(" ", with: "").split(separator: ",").sorted()
        #expect(named == allow?.replacing(" ", with: "").split(separator: ",").sorted())
        #expect(upstream.requests.isEmpty)
        await gateway.stop()
        upstream.stop()
    }

    @Test(
        arguments: [false, true],
        [
            ("OPTIONS", "1", "0"), ("OPTIONS", "17", "16"), ("TRACE", "2", "1"), ("OPTIONS", "99999999999", "99999"),
            ("OPTIONS", "x", "x"), ("OPTIONS", "-1", "-1"), ("GET", "0", "0"), ("GET", "7", "7"),
        ])
    func takesOneOff(_ pipeline: Bool, row: (String, String, String)) async throws {
        let (method, sent, arrives): (String, String, String) = row
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await Self.start(upstream, pipeline: pipeline)
        let answer: RawMessage = try gateway.exchange(
            "\(method) /\(method == "TRACE" ? "trace" : "all") HTTP/1.1\r\nHost: a\r\nmax-forwards: \(sent)\r\nX-A: b\r\n\r\n"
        )
        #expect(answer.status == 200)
        let arrived: RawMessage = try #require(upstream.requests.first)
        #expect(arrived.field("max-forwards") == arrives)
        #expect(arrived.field("x-a") == "b")
        #expect(arrived.head.lowercased().ranges(of: "max-forwards").count == 1)
        await gateway.stop()
        upstream.stop()
    }
}
