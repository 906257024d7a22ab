import GatewayConfiguration
import Testing

@testable import Gateway

/// What the gateway does with bytes that two programs could understand differently: nothing of them reaches an upstream.
struct RefusalTests {
    private static let start: String = "POST /x HTTP/1.1\r\nHost: a\r\n"

    static let smuggled: [(String, Int)] = [
        (
            start
                + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
            400
        ),
        (start + "Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello", 400),
        (start + "Content-Length: 5, 5\r\n\r\nhello", 400),
        (start + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (start + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
        (start + "Transfer-Encoding:\u{B}chunked\r\n\r\n0\r\n\r\n", 400),
        (start + "X: a\r\n Transfer-Encoding: chunked\r\n\r\n", 400),
        (start + "X: a\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (start + "X: a\rTransfer-Encoding: chunked\r\n\r\n", 400),
        (start + "Content-Length: +5\r\n\r\nhello", 400), (start + "Content-Length: 0x5\r\n\r\nhello", 400),
        ("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", 400), ("GET /x HTTP/1.1\r\n\r\n", 400),
        ("GET /x HTTP/1.1\nHost: a\n\n", 400),
        ("GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /x HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n", 400), ("GET /x HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("GET /a/%2e%2E/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a%2fb HTTP/1.1\r\nHost: a\r\n\r\n", 400), ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        (start + "Expect: something\r\n\r\n", 417), ("\u{16}\u{3}\u{1}\u{2}\u{0}", 400),
    ]

    @Test(arguments: RefusalTests.smuggled) func nothingOfIt(text: String, status: Int) async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send(text)
        let response: RawMessage = client.receiveMessage()
        #expect(response.status == status)
        #expect(response.field("content-type") == "application/problem+json")
        // What cannot be understood ends the connection; a request that was understood and not wanted does not.
        let isUnderstood: Bool = response.text.contains("path-refused") || response.text.contains("method-not-allowed")
        #expect((response.field("connection") == "close") == !isUnderstood)
        if !isUnderstood { #expect(client.receiveAll() == "") }
        #expect(upstream.requests.isEmpty)
        #expect(upstream.connectionCount == 0)
        await gateway.stop()
    }

    /// A body that breaks its framing when its request is already on its way: the upstream never sees a complete request.
    @Test(arguments: ["5\r\nhelloX\r\n", "5\nhello\r\n0\r\n\r\n", "zz\r\n", "5\r\nhello\r\n0\r\nBad Trailer\r\n\r\n"])
    func aBrokenBodyNeverCompletes(body: String) async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            let all: String? = session.socket.receiveAll()
            var message: RawMessage = RawMessage(head: all ?? "reset")
            message.body = [UInt8]((all ?? "").utf8)
            session.upstream.record(message)
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        #expect(await eventually { upstream.connectionCount == 1 })
        client.send(body)
        let response: RawMessage = client.receiveMessage()
        #expect(response.status == 400)
        #expect(client.receiveAll() == "")
        #expect(await eventually { upstream.requests.count == 1 })
        #expect(!upstream.requests[0].text.hasSuffix("0\r\n\r\n"))
        await gateway.stop()
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "HTTP/1.1 200 OK\r\nX: y\n\r\n", "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 999 No\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "garbage garbage garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ])
    func aBrokenResponseIsABadGateway(response: String) async throws {
        let upstream: RawUpstream = try .answering(response)
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        let answer: RawMessage = client.receiveMessage()
        #expect(answer.status == 502)
        #expect(answer.text.contains("urn:passerelle:problem:upstream-invalid-response"))
        await gateway.stop()
    }

    /// What follows a response belongs to no request: it is never given to the next one.
    @Test func bytesBehindAResponseAreNotTheNextOne() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                session.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        for _ in 0..<3 {
            client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(client.receiveMessage().text == "ok")
        }
        #expect(upstream.connectionCount == 3)
        await gateway.stop()
    }

    @Test func aTruncatedResponseIsSeenByTheClient() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            guard let request: RawMessage = session.request() else { return }
            let isChunked: Bool = request.startLine.contains("/chunked")
            session.send(
                "HTTP/1.1 200 OK\r\n\(isChunked ? "Transfer-Encoding: chunked" : "Content-Length: 10")\r\n\r\n")
            session.send(isChunked ? "3\r\nabc\r\n" : "abc")
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        for path in ["/chunked", "/length"] {
            let client: RawSocket = try gateway.connect()
            client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            let head: String = client.receive(until: "\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 200 OK"))
            let rest: String = client.receiveAll() ?? "reset"
            #expect(!rest.contains("0\r\n\r\n"))
            #expect(rest.utf8.count < 10)
        }
        await gateway.stop()
    }
}
