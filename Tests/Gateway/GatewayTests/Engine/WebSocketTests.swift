import GatewayConfiguration
import Glibc
import Testing

@testable import Gateway

/// Handshakes of RFC 6455 and RFC 8441, and the bytes behind them.
struct WebSocketTests {
    private static let handshake: String =
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    private static let agreed: String =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

    /// Agrees, greets, and sends back what comes until the other side ends.
    private static func echo() throws -> RawUpstream {
        try RawUpstream { (session: RawUpstream.Session) in
            guard session.request() != nil else { return }
            session.send(self.agreed + "hello")
            while let bytes: [UInt8] = session.socket.receive(), !bytes.isEmpty { session.socket.send(bytes) }
            session.socket.close()
        }
    }

    @Test func passesBytesBothWaysUntilOneSideEnds() async throws {
        let upstream: RawUpstream = try Self.echo()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        // The first frame goes along with the handshake.
        client.send(Self.handshake + "early")
        let head: RawMessage = RawMessage(head: client.receive(until: "\r\n\r\n"))
        #expect(head.status == 101)
        #expect(head.field("upgrade") == "websocket")
        #expect(head.field("connection") == "Upgrade")
        #expect(head.field("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(client.receive(exactly: 10) == Array("helloearly".utf8))
        for size in [1, 1000, 200_000] {
            let bytes: [UInt8] = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
            onThread { client.send(bytes) }
            #expect(client.receive(exactly: size) == bytes)
        }
        let request: RawMessage = try #require(upstream.requests.first)
        #expect(request.field("upgrade") == "websocket")
        #expect(request.field("sec-websocket-key") == "dGhlIHNhbXBsZSBub25jZQ==")
        client.finishWriting()
        #expect(client.receiveAll() == "")
        #expect(await eventually { gateway.upstreamConnections == 0 && gateway.engine.blockCount == 0 })
        await gateway.stop()
    }

    @Test func passesARefusalOnAndKeepsTheConnection() async throws {
        let upstream: RawUpstream = try .answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        for _ in 0..<2 {
            client.send(Self.handshake)
            let message: RawMessage = client.receiveMessage()
            #expect(message.status == 403)
            #expect(message.text == "no")
        }
        await gateway.stop()
    }

    @Test(arguments: [
        "POST /chat HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET /chat HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nabc",
    ]) func refusesHandshakesThatAreNone(request: String) async throws {
        let upstream: RawUpstream = try Self.echo()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        #expect(try gateway.exchange(request).status == 501)
        #expect(upstream.requests.isEmpty)
        await gateway.stop()
    }

    /// A switch nobody asked for would make the rest of the connection unreadable.
    @Test func refusesASwitchThatWasNotAskedFor() async throws {
        let upstream: RawUpstream = try .answering(Self.agreed)
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 502)
        await gateway.stop()
    }

    @Test func outlivesSnapshots() async throws {
        let upstream: RawUpstream = try Self.echo()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send(Self.handshake)
        _ = client.receive(until: "hello")
        for number in 0..<20 {
            let document: GatewayDocument = try GatewayUnderTest.document([upstream.port])
            let next: Snapshot = Snapshot.compile(document, previous: nil, carrying: gateway.live).snapshot
            await gateway.engine.apply(next)
            client.send("n\(number);")
            #expect(client.receive(until: ";") == "n\(number);")
        }
        await gateway.stop()
    }

    /// Extended CONNECT: the stream is the tunnel.
    @Test func opensOverAStream() async throws {
        let upstream: RawUpstream = try Self.echo()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        peer.headers(
            1,
            [
                (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"),
                (":authority", "a"), ("sec-websocket-version", "13"),
            ], ends: false)
        var seen: [UInt8] = []
        var status: Bool = false
        while seen.count < 5, let frame: HTTP2Peer.Frame = peer.next() {
            if frame.type == HTTP2Peer.Kind.headers { status = true }
            if frame.type == HTTP2Peer.Kind.data { seen += frame.payload }
        }
        #expect(status)
        #expect(seen == Array("hello".utf8))
        peer.data(1, Array("ping".utf8))
        seen = []
        while seen.count < 4, let frame: HTTP2Peer.Frame = peer.next() {
            if frame.type == HTTP2Peer.Kind.data { seen += frame.payload }
        }
        #expect(seen == Array("ping".utf8))
        let request: RawMessage = try #require(upstream.requests.first)
        #expect(request.startLine == "GET /chat HTTP/1.1")
        #expect(request.field("sec-websocket-key")?.count == 24)
        peer.data(1, [], ends: true)
        let response: HTTP2Peer.Response = peer.response(1)
        #expect(response.status == 200)
        #expect(response["sec-websocket-accept"] == nil)
        #expect(await eventually { gateway.upstreamConnections == 0 })
        await gateway.stop()
    }
}

/// Calls of gRPC as they look on the wire.
struct GRPCTests {
    private static func call(_ more: [(String, String)] = []) -> [(String, String)] {
        HTTP2Peer.request(
            "POST", "/pkg.Service/Method", [("content-type", "application/grpc"), ("te", "trailers")] + more)
    }

    @Test func carriesACallThroughToTrailers() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                session.send(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "5\r\nreply\r\n0\r\ngrpc-status: 0\r\n\r\n")
            }
        }
        // The gateway in between speaks HTTP/2, as a server of gRPC does.
        let back: GatewayUnderTest = try await .start([upstream.port])
        let front: GatewayUnderTest = try await .start([back.port]) { $0.upstream.http2 = true }
        let peer: HTTP2Peer = try HTTP2Peer(port: front.port)
        // Seen from the second gateway, the target of the call would have to speak HTTP/2 too.
        let refused: HTTP2Peer.Response = peer.exchange(1, Self.call())
        #expect(refused["grpc-status"] == "12")
        let plain: HTTP2Peer.Response = peer.exchange(
            3, HTTP2Peer.request("POST", "/x", [("content-type", "application/grpc-web")]))
        #expect(plain.text == "reply")
        #expect(plain.trailer("grpc-status") == "0")
        await front.stop()
        await back.stop()
    }

    @Test func answersInTheWordsOfGRPC() async throws {
        let closed: RefusingPort = try RefusingPort()
        let gateway: GatewayUnderTest = try await .start([closed.port]) { $0.upstream.http2 = true }
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        let response: HTTP2Peer.Response = peer.exchange(1, Self.call())
        #expect(response.status == 200)
        #expect(response["content-type"] == "application/grpc")
        #expect(response["grpc-status"] == "14")
        #expect(response["grpc-message"] == RequestReason.upstreamConnectFailed.sentence)
        #expect(response.body.isEmpty)
        withExtendedLifetime(closed) {}
        await gateway.stop()
    }

    @Test func endsACallWhenItsTimeIsOver() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let bytes: [UInt8] = session.socket.receive(), !bytes.isEmpty {}
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port]) { $0.upstream.http2 = true }
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        let response: HTTP2Peer.Response = peer.exchange(1, Self.call([("grpc-timeout", "150m")]))
        #expect(response["grpc-status"] == "4")
        await gateway.stop()
    }

    @Test func everyReasonHasASentenceThatNeedsNoEncoding() {
        for reason in RequestReason.allCases {
            #expect(reason.sentence.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "%") })
            #expect((1...16).contains(reason.grpcStatus))
        }
    }
}
