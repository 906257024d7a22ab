import GatewayConfiguration
import Testing

@testable import Gateway

struct MockTests {
    private static let text: PolicyDefinition = .mock(
        MockPolicy(status: 203, fields: [HeaderField(name: "x-a", value: "1")], body: Array("hello".utf8)))

    private func start(_ policy: PolicyDefinition) async throws -> (GatewayUnderTest, RawUpstream) {
        let upstream: RawUpstream = try .echoing()
        return (try await .start([upstream.port], policies: [policy]), upstream)
    }

    @Test func answersWithoutTheUpstream() async throws {
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await self.start(Self.text)
        let client: RawSocket = try gateway.connect()
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            client.send(request)
            let response: RawMessage = client.receiveMessage()
            #expect(response.startLine == "HTTP/1.1 203 Non-Authoritative Information")
            #expect(response.text == "hello")
            #expect(response.field("x-a") == "1")
            #expect(response.field("date") != nil)
            #expect(response.field("connection") == nil)
        }
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        let head: RawMessage = client.receiveMessage(bodyless: true)
        #expect(head.field("content-length") == "5")
        client.send("GET / HTTP/1.0\r\n\r\n")
        let old: String? = client.receiveAll()
        #expect(old?.hasSuffix("Connection: close\r\n\r\nhello") == true)
        #expect(upstream.connectionCount == 0)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// More than the largest buffer of a connection, to a client that reads late.
    @Test func sendsLargeAnswersInPieces() async throws {
        let body: [UInt8] = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        let (gateway, _): (GatewayUnderTest, RawUpstream) = try await self.start(.mock(MockPolicy(body: body)))
        let client: RawSocket = try gateway.connect(receiveBuffer: 4096)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in 0..<2 {
            let response: RawMessage = client.receiveMessage()
            #expect(response.status == 200)
            #expect(response.body == body)
        }
        client.close()
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// Limits, keys and addresses are decided before, as on any route.
    @Test func policiesBeforeItStillDecide() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port],
            policies: [
                Self.text, .apiKey(APIKeyPolicy(header: "x-key")),
                .rateLimit(RateLimitPolicy(limit: 1, window: .seconds(3600), by: .ip)),
                .requestSize(RequestSizePolicy(bytesMax: 10)),
            ])
        #expect(try gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n").status == 413)
        #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 401)
        #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 429)
        await gateway.stop()
    }
}
