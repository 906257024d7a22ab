import GatewayConfiguration
import Glibc
import Synchronization
import Testing

@testable import Gateway

/// Requests to targets that speak HTTP/2: another gateway, or a script that sends exactly these frames.
struct HTTP2UpstreamTests {
    /// A client of HTTP/1.1 → a gateway → (HTTP/2) → a gateway → an upstream of HTTP/1.1.
    private struct Chain {
        let front: GatewayUnderTest
        let back: GatewayUnderTest

        init(_ upstream: RawUpstream) async throws {
            self.back = try await .start([upstream.port])
            self.front = try await .start([self.back.port]) { $0.upstream.http2 = true }
        }

        func stop() async {
            await self.front.stop()
            await self.back.stop()
        }
    }

    @Test func carriesManyExchangesOnOneConnection() async throws {
        let upstream: RawUpstream = try .echoing()
        let chain: Chain = try await Chain(upstream)
        let clients: [RawSocket] = try (0..<20).map { _ in try chain.front.connect() }
        for round in 0..<3 {
            for (number, client) in clients.enumerated() {
                client.send("GET /r\(round)/n\(number)?q=1 HTTP/1.1\r\nHost: a\r\nX-A: b\r\nCookie: c=d\r\n\r\n")
            }
            for (number, client) in clients.enumerated() {
                let message: RawMessage = client.receiveMessage()
                #expect(message.text.hasPrefix("GET /r\(round)/n\(number)?q=1 HTTP/1.1\r\n"))
                #expect(message.text.contains("x-a: b\r\n"))
            }
        }
        #expect(chain.back.engine.connectionCount == 1)
        #expect(chain.front.upstreamConnections == 1)
        await chain.stop()
    }

    @Test(arguments: [0, 1, 5_000, 400_000], [true, false])
    func carriesBodiesBothWays(size: Int, isChunked: Bool) async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                let count: Int = request.body.count
                if isChunked {
                    session.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    if count > 0 { session.send(String(count, radix: 16) + "\r\n" + request.text + "\r\n") }
                    session.send("0\r\nX-Count: \(count)\r\n\r\n")
                } else {
                    session.send("HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n" + request.text)
                }
            }
        }
        let chain: Chain = try await Chain(upstream)
        let body: String = String(repeating: "z", count: size)
        let framing: String =
            isChunked
            ? "Transfer-Encoding: chunked\r\n\r\n" + (size > 0 ? String(size, radix: 16) + "\r\n\(body)\r\n" : "")
                + "0\r\n\r\n" : "Content-Length: \(size)\r\n\r\n\(body)"
        let front: GatewayUnderTest = chain.front
        let message: RawMessage = try await offPool {
            try front.exchange("POST /b HTTP/1.1\r\nHost: a\r\n\(framing)")
        }
        #expect(message.status == 200)
        #expect(message.body.count == size)
        if isChunked { #expect(message.trailers == ["x-count: \(size)"]) }
        await chain.stop()
    }

    @Test func carriesAnswersWithoutBodies() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                session.send(
                    request.startLine.hasPrefix("HEAD")
                        ? "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n" : "HTTP/1.1 204 No Content\r\n\r\n")
            }
        }
        let chain: Chain = try await Chain(upstream)
        let head: RawMessage = try chain.front.exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", bodyless: true)
        #expect(head.field("content-length") == "77")
        #expect(try chain.front.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n", bodyless: true).status == 204)
        await chain.stop()
    }

    /// HTTP/2 in, HTTP/2 out.
    @Test func joinsTwoConnectionsOfManyStreams() async throws {
        let upstream: RawUpstream = try .echoing()
        let chain: Chain = try await Chain(upstream)
        let peer: HTTP2Peer = try HTTP2Peer(port: chain.front.port)
        for number in 0..<50 { peer.headers(UInt32(1 + 2 * number), HTTP2Peer.request("GET", "/n\(number)")) }
        for number in 0..<50 {
            #expect(peer.response(UInt32(1 + 2 * number)).text.hasPrefix("GET /n\(number) "))
        }
        await chain.stop()
    }

    /// Reads the preface and the first SETTINGS, then frames until one of the type came.
    private static func awaitHeaders(_ socket: RawSocket) -> UInt32 {
        while true {
            let head: [UInt8] = socket.receive(exactly: 9)
            guard head.count == 9 else { return 0 }
            let length: Int = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
            if length > 0 { _ = socket.receive(exactly: length) }
            if head[3] == HTTP2Peer.Kind.headers { return head[5...8].reduce(0) { $0 << 8 | UInt32($1) } }
        }
    }

    /// `:status: 200` is one byte in the static table.
    private static func okay(_ stream: UInt32) -> [UInt8] {
        HTTP2Peer.frame(HTTP2Peer.Kind.headers, flags: 4, stream: stream, [0x88])
            + HTTP2Peer.frame(HTTP2Peer.Kind.data, flags: 1, stream: stream, [111, 107])
    }

    /// A stream that the target says it did not begin is sent again, also one that changes something.
    @Test func sendsRefusedStreamsAgain() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.socket.receive(exactly: 24)
            session.socket.send(HTTP2Peer.frame(HTTP2Peer.Kind.settings, []))
            let first: UInt32 = Self.awaitHeaders(session.socket)
            session.socket.send(HTTP2Peer.frame(HTTP2Peer.Kind.reset, stream: first, HTTP2Peer.bytes(7, 4)))
            let second: UInt32 = Self.awaitHeaders(session.socket)
            session.socket.send(Self.okay(second))
            _ = Self.awaitHeaders(session.socket)
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port]) { $0.upstream.http2 = true }
        let message: RawMessage = try gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        #expect(message.status == 200)
        #expect(message.text == "ok")
        #expect(upstream.connectionCount == 1)
        await gateway.stop()
    }

    /// GOAWAY with an earlier stream than ours: the request goes out again on another connection.
    @Test func replacesAConnectionThatSaysGoodbye() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.socket.receive(exactly: 24)
            session.socket.send(HTTP2Peer.frame(HTTP2Peer.Kind.settings, []))
            let stream: UInt32 = Self.awaitHeaders(session.socket)
            if session.number == 0 {
                session.socket.send(
                    HTTP2Peer.frame(HTTP2Peer.Kind.goAway, HTTP2Peer.bytes(0, 4) + HTTP2Peer.bytes(0, 4)))
                _ = Self.awaitHeaders(session.socket)
            } else {
                session.socket.send(Self.okay(stream))
                _ = Self.awaitHeaders(session.socket)
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port]) { $0.upstream.http2 = true }
        let message: RawMessage = try gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        #expect(message.status == 200)
        #expect(upstream.connectionCount == 2)
        #expect(await eventually { gateway.upstreamConnections == 1 })
        await gateway.stop()
    }

    @Test(arguments: [
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "\0\0\0", "",
    ]) func answersForTargetsThatSpeakSomethingElse(answer: String) async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.socket.receive(exactly: 24)
            session.send(answer)
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port]) { $0.upstream.http2 = true }
        let message: RawMessage = try gateway.exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        #expect(message.status == 502)
        #expect(await eventually { gateway.upstreamConnections == 0 })
        await gateway.stop()
    }

    @Test func endsStreamsThatNobodyReads() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            session.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            while let bytes: [UInt8] = session.socket.receive(), !bytes.isEmpty {}
            session.upstream.record(RawMessage(head: "ended"))
        }
        let chain: Chain = try await Chain(upstream)
        let client: RawSocket = try chain.front.connect()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = client.receive(until: "half")
        client.close(abruptly: true)
        #expect(await eventually { upstream.requests.count == 2 })
        #expect(chain.front.upstreamConnections == 1)
        await chain.stop()
    }
}
