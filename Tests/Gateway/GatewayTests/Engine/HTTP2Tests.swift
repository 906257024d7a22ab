import GatewayConfiguration
import Glibc
import Synchronization
import Testing

@testable import Gateway

/// Requests over HTTP/2 by prior knowledge, in front of upstreams of HTTP/1.1 that write down what came.
struct HTTP2Tests {
    @Test func servesStreamsOneAfterTheOther() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        for number in 0..<5 {
            let response: HTTP2Peer.Response = peer.exchange(
                UInt32(1 + 2 * number), HTTP2Peer.request("GET", "/x?n=\(number)", [("x-a", "b")]))
            #expect(response.status == 200)
            #expect(response.text.hasPrefix("GET /x?n=\(number) HTTP/1.1\r\n"))
            #expect(response.text.contains("x-a: b\r\n"))
            #expect(response["content-length"] == "\(response.body.count)")
        }
        #expect(upstream.connectionCount == 1)
        #expect(gateway.engine.connectionCount == 1)
        await gateway.stop()
    }

    @Test func servesManyStreamsAtOnce() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        for number in 0..<100 { peer.headers(UInt32(1 + 2 * number), HTTP2Peer.request("GET", "/n\(number)")) }
        for number in (0..<100).reversed() {
            let response: HTTP2Peer.Response = peer.response(UInt32(1 + 2 * number))
            #expect(response.text.hasPrefix("GET /n\(number) "))
        }
        peer.socket.close()
        #expect(await eventually { gateway.engine.connectionCount == 0 && gateway.engine.blockCount == 0 })
        await gateway.stop()
    }

    /// With the length said and without, in pieces.
    @Test(arguments: [true, false], [0, 1, 1000, 40_000]) func carriesBodiesUp(hasLength: Bool, size: Int) async throws
    {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        let body: [UInt8] = (0..<size).map { UInt8(97 + $0 % 26) }
        let more: [(String, String)] = hasLength ? [("content-length", "\(size)")] : []
        peer.headers(1, HTTP2Peer.request("POST", "/up", more), ends: false)
        var sent: Int = 0
        while sent < size {
            let piece: Int = min(9_999, size - sent)
            peer.data(1, Array(body[sent..<sent + piece]))
            sent += piece
        }
        peer.data(1, [], ends: true)
        let response: HTTP2Peer.Response = peer.response(1)
        #expect(response.status == 200)
        #expect(upstream.requests.first?.body == body)
        await gateway.stop()
    }

    /// More than every window, both ways: the windows are opened again as bytes move on.
    @Test func carriesLargeBodiesThroughSmallWindows() async throws {
        let size: Int = 3_000_000
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            guard let request: RawMessage = session.request() else { return }
            session.socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(request.body.count)\r\n\r\n")
            session.socket.send(request.body)
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let port: UInt16 = gateway.port
        let response: HTTP2Peer.Response = try await offPool {
            let peer: HTTP2Peer = try HTTP2Peer(port: port)
            peer.headers(1, HTTP2Peer.request("POST", "/up"), ends: false)
            var connectionWindow: Int = 65_535
            var streamWindow: Int = 65_535
            var sent: Int = 0
            while sent < size {
                let piece: Int = min(16_384, size - sent, connectionWindow, streamWindow)
                if piece == 0 {
                    guard let frame: HTTP2Peer.Frame = peer.next() else { return HTTP2Peer.Response() }
                    // The gateway's settings change the window of open streams (RFC 9113, 6.9.2).
                    if frame.type == HTTP2Peer.Kind.settings, let window: Int = HTTP2Peer.initialWindow(frame) {
                        streamWindow += window - 65_535
                    }
                    if frame.type == HTTP2Peer.Kind.windowUpdate {
                        if frame.stream == 0 { connectionWindow += Int(frame.word(0)) }
                        if frame.stream == 1 { streamWindow += Int(frame.word(0)) }
                    }
                    continue
                }
                peer.data(1, [UInt8](repeating: 120, count: piece), ends: sent + piece == size)
                connectionWindow -= piece
                streamWindow -= piece
                sent += piece
            }
            return peer.response(1)
        }
        #expect(response.status == 200)
        #expect(response.body.count == size)
        #expect(response.body.allSatisfy { $0 == 120 })
        await gateway.stop()
    }

    @Test func carriesTrailersAndInterimResponses() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            session.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            session.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n")
            session.send("0\r\nX-Sum: 42\r\n\r\n")
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        peer.headers(1, HTTP2Peer.request("POST", "/t", [("trailer", "x-up")]), ends: false)
        peer.data(1, [104, 105])
        peer.headers(1, [("x-up", "17")], ends: true)
        let response: HTTP2Peer.Response = peer.response(1)
        #expect(response.interim.first?.contains { $0 == ("link", "</a>") } == true)
        #expect(response.text == "hello")
        #expect(response.trailer("x-sum") == "42")
        #expect(response["transfer-encoding"] == nil)
        #expect(upstream.requests.first?.text == "hi")
        #expect(upstream.requests.first?.trailers == ["x-up: 17"])
        await gateway.stop()
    }

    @Test func answersHeadAndNothing() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                session.send(
                    request.startLine.hasPrefix("HEAD")
                        ? "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n" : "HTTP/1.1 204 No Content\r\n\r\n")
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        let head: HTTP2Peer.Response = peer.exchange(1, HTTP2Peer.request("HEAD", "/"))
        #expect(head["content-length"] == "77")
        #expect(head.body.isEmpty && head.reset == nil)
        #expect(peer.exchange(3, HTTP2Peer.request("DELETE", "/")).status == 204)
        await gateway.stop()
    }

    @Test func joinsCookiesAndKeepsOneHost() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port]) { $0.upstream.preserveHost = true }
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        let fields: [(String, String)] = [("cookie", "a=1"), ("host", "A"), ("cookie", "b=2")]
        let response: HTTP2Peer.Response = peer.exchange(1, HTTP2Peer.request("GET", "/c", fields))
        #expect(response.text.contains("cookie: a=1; b=2\r\n"))
        #expect(response.text.lowercased().split(separator: "\r\n").count { $0 == "host: a" } == 1)
        await gateway.stop()
    }

    /// What no request of HTTP/1.1 could say, or what two servers could read differently.
    @Test(arguments: [
        ("another host", HTTP2Peer.request("GET", "/", [("host", "b")])),
        ("a line break in a value", HTTP2Peer.request("GET", "/", [("x", "a\r\nx-b: c")])),
        ("a NUL in a value", HTTP2Peer.request("GET", "/", [("x", "a\0b")])),
        ("a field of the connection", HTTP2Peer.request("GET", "/", [("connection", "close")])),
        ("a transfer coding", HTTP2Peer.request("GET", "/", [("transfer-encoding", "chunked")])),
        ("capital letters", HTTP2Peer.request("GET", "/", [("X-A", "b")])),
        ("a space in the path", HTTP2Peer.request("GET", "/ HTTP/1.1")),
        ("a line break in the path", HTTP2Peer.request("GET", "/\r\nx: y")),
        ("a line break in the method", HTTP2Peer.request("GET / HTTP/1.1\r\nx: y\r\n\r\nGET", "/")),
        ("a path without slash", HTTP2Peer.request("GET", "x")),
        ("an unknown pseudo-header", HTTP2Peer.request("GET", "/", [(":x", "y")])),
        ("two paths", HTTP2Peer.request("GET", "/", [(":path", "/b")])),
        ("no path", [(":method", "GET"), (":scheme", "http"), (":authority", "a")]),
        ("a body shorter than it said", HTTP2Peer.request("POST", "/", [("content-length", "5")])),
        ("a length that is none", HTTP2Peer.request("POST", "/", [("content-length", "5x")])),
    ]) func refuses(name: String, fields: [(String, String)]) async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        let response: HTTP2Peer.Response = peer.exchange(1, fields)
        #expect(response.status == 400 || response.reset == 1, "\(name): \(response)")
        #expect(upstream.requests.isEmpty)
        // The connection goes on.
        #expect(peer.exchange(3, HTTP2Peer.request("GET", "/")).status == 200)
        await gateway.stop()
    }

    /// Without a path the authority stands in the request line and in Host: both need room.
    @Test(arguments: [900, 1_500, 3_000, 12_000, 30_000])
    func survivesLongAuthoritiesWithoutPath(length: Int) async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let authority: String = String(repeating: "a", count: length)
        for method in ["CONNECT", "GET"] {
            let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
            let response: HTTP2Peer.Response = peer.exchange(
                1, [(":method", method), (":authority", authority), ("x-field", "1")])
            #expect(response.status >= 400 || response.reset != nil || response.goAway != nil)
            peer.socket.close()
        }
        #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 200)
        #expect(upstream.requests.count == 1)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    @Test func answersLargeHeadsWithTheirStatus() async throws {
        let upstream: RawUpstream = try .echoing()
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        let block: [UInt8] = HTTP2Peer.block(
            HTTP2Peer.request("GET", "/", (0..<5).map { ("x-\($0)", String(repeating: "v", count: 8000)) }))
        peer.send(HTTP2Peer.Kind.headers, flags: 1, stream: 1, Array(block[..<16_000]))
        peer.send(HTTP2Peer.Kind.continuation, stream: 1, Array(block[16_000..<32_000]))
        peer.send(HTTP2Peer.Kind.continuation, flags: 4, stream: 1, Array(block[32_000...]))
        let response: HTTP2Peer.Response = peer.response(1)
        #expect(response.status == 431)
        #expect(response["content-type"] == "application/problem+json")
        let long: String = "/" + String(repeating: "p", count: 9000)
        #expect(peer.exchange(3, HTTP2Peer.request("GET", long)).status == 414)
        #expect(peer.exchange(5, HTTP2Peer.request("GET", "/")).status == 200)
        await gateway.stop()
    }

    @Test func endsTheUpstreamsWorkWithAStream() async throws {
        let ended: Atomic<Bool> = Atomic(false)
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            while let bytes: [UInt8] = session.socket.receive(), !bytes.isEmpty {}
            ended.store(true, ordering: .relaxed)
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        peer.headers(1, HTTP2Peer.request("GET", "/slow"))
        #expect(await eventually { upstream.requests.count == 1 })
        peer.send(HTTP2Peer.Kind.reset, stream: 1, HTTP2Peer.bytes(8, 4))
        #expect(await eventually { ended.load(ordering: .relaxed) })
        #expect(gateway.engine.connectionCount == 1)
        await gateway.stop()
    }

    @Test func waitsForAWindow() async throws {
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port, settings: [(4, 3)])
        peer.opensWindows = false
        peer.headers(1, HTTP2Peer.request("GET", "/"))
        var body: [UInt8] = []
        while body.count < 10 {
            guard let frame: HTTP2Peer.Frame = peer.next() else { break }
            guard frame.type == HTTP2Peer.Kind.data else { continue }
            body += frame.payload
            #expect(frame.payload.count <= 3)
            peer.send(HTTP2Peer.Kind.windowUpdate, stream: 1, HTTP2Peer.bytes(3, 4))
        }
        #expect(body == Array("0123456789".utf8))
        await gateway.stop()
    }

    @Test func saysGoodbyeAndServesWhatIsOpen() async throws {
        let gate: Atomic<Bool> = Atomic(false)
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            while !gate.load(ordering: .relaxed) { sched_yield() }
            session.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        peer.headers(1, HTTP2Peer.request("GET", "/"))
        #expect(await eventually { upstream.requests.count == 1 })
        let engine: GatewayEngine = gateway.engine
        let drained: Task<Void, Never> = Task { await engine.drain(deadline: .seconds(600)) }
        #expect(peer.untilGoAway() == 0)
        gate.store(true, ordering: .relaxed)
        #expect(peer.response(1).text == "done")
        // The connection ends by itself.
        while peer.next() != nil {}
        await drained.value
    }
}

/// Ways to make work that cost a client little, each ended by its own limit.
struct HTTP2AbuseTests {
    private static func gateway() async throws -> (GatewayUnderTest, RawUpstream) {
        let upstream: RawUpstream = try .echoing()
        return (try await .start([upstream.port]), upstream)
    }

    private static func met(_ gateway: GatewayUnderTest, _ abuse: HTTP2Abuse) async -> Bool {
        await eventually { gateway.engine.http2Count(abuse) == 1 && gateway.engine.connectionCount == 0 }
    }

    @Test func boundsFramesThatMoveNothing() async throws {
        let cases: [(HTTP2Abuse, [UInt8], Int)] = [
            (.settingsFlood, HTTP2Peer.frame(HTTP2Peer.Kind.settings, []), 150),
            (.pingFlood, HTTP2Peer.frame(HTTP2Peer.Kind.ping, [UInt8](repeating: 1, count: 8)), 7_000),
            (
                .priorityFlood,
                HTTP2Peer.frame(HTTP2Peer.Kind.priority, stream: 1, [0, 0, 0, 0, 1]), 12_000
            ),
        ]
        for (abuse, frame, count) in cases {
            let (gateway, _): (GatewayUnderTest, RawUpstream) = try await Self.gateway()
            let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
            peer.socket.send((0..<count).flatMap { _ in frame })
            #expect(await Self.met(gateway, abuse), "\(abuse)")
            await gateway.stop()
        }
    }

    @Test func boundsEmptyData() async throws {
        let (gateway, _): (GatewayUnderTest, RawUpstream) = try await Self.gateway()
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        peer.headers(1, HTTP2Peer.request("POST", "/"), ends: false)
        peer.socket.send((0..<1500).flatMap { _ in HTTP2Peer.frame(HTTP2Peer.Kind.data, stream: 1, []) })
        #expect(await Self.met(gateway, .emptyDataFlood))
        await gateway.stop()
    }

    @Test func boundsRapidResets() async throws {
        let (gateway, _): (GatewayUnderTest, RawUpstream) = try await Self.gateway()
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        var bytes: [UInt8] = []
        for number in 0..<700 {
            let stream: UInt32 = UInt32(1 + 2 * number)
            bytes += HTTP2Peer.frame(
                HTTP2Peer.Kind.headers, flags: 5, stream: stream, HTTP2Peer.block(HTTP2Peer.request("GET", "/")))
            bytes += HTTP2Peer.frame(HTTP2Peer.Kind.reset, stream: stream, HTTP2Peer.bytes(8, 4))
        }
        peer.socket.send(bytes)
        #expect(peer.untilGoAway() == 11)
        #expect(await Self.met(gateway, .rapidReset))
        await gateway.stop()
    }

    /// The client makes the gateway reset streams instead: by opening a window beyond its limit.
    @Test func boundsResetsTheClientProvokes() async throws {
        let (gateway, _): (GatewayUnderTest, RawUpstream) = try await Self.gateway()
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        var bytes: [UInt8] = []
        for number in 0..<700 {
            let stream: UInt32 = UInt32(1 + 2 * number)
            bytes += HTTP2Peer.frame(
                HTTP2Peer.Kind.headers, flags: 5, stream: stream, HTTP2Peer.block(HTTP2Peer.request("GET", "/")))
            bytes += HTTP2Peer.frame(
                HTTP2Peer.Kind.windowUpdate, stream: stream, HTTP2Peer.bytes(0x7FFF_FFFF, 4))
        }
        peer.socket.send(bytes)
        #expect(await Self.met(gateway, .rapidReset))
        await gateway.stop()
    }

    @Test func boundsHeaderBlocksThatGoOn() async throws {
        let (gateway, _): (GatewayUnderTest, RawUpstream) = try await Self.gateway()
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        peer.send(HTTP2Peer.Kind.headers, flags: 1, stream: 1, HTTP2Peer.block(HTTP2Peer.request("GET", "/")))
        for _ in 0..<50 {
            peer.send(HTTP2Peer.Kind.continuation, stream: 1, HTTP2Peer.block([("x", "y")]))
        }
        _ = peer.untilGoAway()
        #expect(await Self.met(gateway, .headerBlock))
        await gateway.stop()
    }

    /// A small block that unfolds to a list of a megabyte: one long field put into the table, then named again and again.
    @Test func boundsListsThatUnfold() async throws {
        let (gateway, _): (GatewayUnderTest, RawUpstream) = try await Self.gateway()
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        var block: [UInt8] = HTTP2Peer.block(HTTP2Peer.request("GET", "/"))
        block += [0x40] + HTTP2Peer.block([("x-a", String(repeating: "v", count: 3000))]).dropFirst()
        block += [UInt8](repeating: 0x80 | 62, count: 1000)
        peer.send(HTTP2Peer.Kind.headers, flags: 5, stream: 1, block)
        _ = peer.untilGoAway()
        #expect(await Self.met(gateway, .headerList))
        await gateway.stop()
    }

    @Test(arguments: ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"])
    func endsConnectionsThatSpeakSomethingElse(text: String) async throws {
        let (gateway, upstream): (GatewayUnderTest, RawUpstream) = try await Self.gateway()
        let client: RawSocket = try gateway.connect()
        client.send(text)
        while let bytes: [UInt8] = client.receive(), !bytes.isEmpty {}
        #expect(await eventually { gateway.engine.connectionCount == 0 && gateway.engine.blockCount == 0 })
        #expect(upstream.requests.isEmpty)
        await gateway.stop()
    }

    @Test func countsOverSpansOfTime() {
        var flood: HTTP2FloodGuard = HTTP2FloodGuard()
        var admitted: [Bool] = (0..<101).map { _ in flood.admits(.settings, now: 5) }
        #expect(admitted == [Bool](repeating: true, count: 100) + [false])
        admitted = [flood.admits(.ping, now: 6), flood.admits(.settings, now: 6 + HTTP2FloodGuard.span)]
        #expect(admitted == [true, true])
    }
}
