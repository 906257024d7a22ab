import GatewayConfiguration
import Glibc
import Testing

@testable import Gateway

/// Snapshots that follow one another while connections live much longer than any of them.
struct SwapTests {
    private static let swapsPerSecond: Int = 10

    /// `SWAP_SECONDS`: a minute where there is time for it.
    private static var seconds: Int { getenv("SWAP_SECONDS").flatMap { Int(String(cString: $0)) } ?? 3 }

    /// Agrees to every handshake and sends back what comes.
    private static func webSocketServer() throws -> RawUpstream {
        try RawUpstream { (session: RawUpstream.Session) in
            guard session.request() != nil else { return }
            session.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
            while let bytes: [UInt8] = session.socket.receive(), !bytes.isEmpty { session.socket.send(bytes) }
            session.socket.close()
        }
    }

    /// Answers every call of gRPC at once, sends back each message, and says 0 when the caller has ended.
    private static func grpcServer() throws -> RawUpstream {
        try RawUpstream { (session: RawUpstream.Session) in
            let socket: RawSocket = session.socket
            _ = socket.receive(exactly: 24)
            socket.send(HTTP2Peer.frame(HTTP2Peer.Kind.settings, []))
            while true {
                let head: [UInt8] = socket.receive(exactly: 9)
                guard head.count == 9 else { return }
                let length: Int = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
                let payload: [UInt8] = length == 0 ? [] : socket.receive(exactly: length)
                let stream: UInt32 = head[5...8].reduce(0) { $0 << 8 | UInt32($1) }
                switch head[3] {
                case HTTP2Peer.Kind.settings where head[4] & 1 == 0:
                    socket.send(HTTP2Peer.frame(HTTP2Peer.Kind.settings, flags: 1, []))
                case HTTP2Peer.Kind.headers:
                    let fields: [UInt8] = [0x88] + HTTP2Peer.block([("content-type", "application/grpc")])
                    socket.send(HTTP2Peer.frame(HTTP2Peer.Kind.headers, flags: 4, stream: stream, fields))
                case HTTP2Peer.Kind.data:
                    if !payload.isEmpty {
                        socket.send(HTTP2Peer.frame(HTTP2Peer.Kind.data, stream: stream, payload))
                    }
                    guard head[4] & 1 == 1 else { break }
                    let trailers: [UInt8] = HTTP2Peer.block([("grpc-status", "0")])
                    socket.send(HTTP2Peer.frame(HTTP2Peer.Kind.headers, flags: 5, stream: stream, trailers))
                default: break
                }
            }
        }
    }

    private static func api(_ id: String, _ paths: [String], _ port: UInt16) throws -> APIDefinition {
        var api: APIDefinition = try GatewayUnderTest.document([port]).apis[0]
        api.id = id
        api.routes = try paths.map { RouteDefinition(path: try PathPattern(parsing: $0)) }
        return api
    }

    /// A change of everything that is not about where the streams go.
    private static func change(_ document: inout GatewayDocument, _ number: Int) throws {
        for index in document.apis.indices {
            document.apis[index].name = "change \(number)"
            document.apis[index].policies.removeAll { $0.kind == "rate_limit" }
            if number % 2 == 0 {
                document.apis[index].policies.append(
                    .rateLimit(RateLimitPolicy(limit: 1_000_000, window: .seconds(1))))
            }
        }
        let extra: APIDefinition = try self.api("extra-\(number % 7)", ["/extra-\(number)/*"], 9)
        if number % 3 == 0 {
            document.apis.removeAll { $0.id.hasPrefix("extra-") }
        } else if !document.apis.contains(where: { $0.id == extra.id }) {
            document.apis.insert(extra, at: number % document.apis.count)
        }
    }

    /// One message there and back on each stream; the streams that failed.
    private static func exchange(_ sockets: [RawSocket], _ calls: [HTTP2Peer], _ number: Int) -> [String] {
        var lost: [String] = []
        let text: String = "message \(number);"
        for (index, socket) in sockets.enumerated() {
            socket.send(text)
            if socket.receive(until: ";") != text { lost.append("WebSocket \(index) at change \(number)") }
        }
        for (index, call) in calls.enumerated() {
            call.data(1, Array(text.utf8))
            var received: [UInt8] = []
            while received.count < text.utf8.count, let frame: HTTP2Peer.Frame = call.next() {
                if frame.type == HTTP2Peer.Kind.data { received += frame.payload }
                if frame.type == HTTP2Peer.Kind.reset || frame.endsStream && frame.stream == 1 { break }
            }
            if received != Array(text.utf8) { lost.append("call \(index) at change \(number)") }
        }
        return lost
    }

    private static func work(_ gateway: GatewayUnderTest, _ done: Counter, _ failed: Counter, _ stop: Counter) {
        guard let client: RawSocket = try? gateway.connect() else { return failed.add(1) }
        defer { client.close() }
        while !stop.isFinished {
            client.send("GET /load/x HTTP/1.1\r\nHost: a\r\n\r\n")
            let response: RawMessage = client.receiveMessage()
            if response.status == 200 { done.add(1) } else { failed.add(1) }
            if response.status == 0 { return }
        }
    }

    @Test func nothingIsDroppedTenTimesASecond() async throws {
        let chat: RawUpstream = try Self.webSocketServer()
        let calls: RawUpstream = try Self.grpcServer()
        let plain: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        var service: APIDefinition = try Self.api("service", ["/pkg.Service/*"], calls.port)
        service.upstream.http2 = true
        var document: GatewayDocument = GatewayDocument(apis: [
            try Self.api("chat", ["/chat"], chat.port), service, try Self.api("load", ["/load/*"], plain.port),
        ])
        let gateway: GatewayUnderTest = try await .start(document, workers: 2)
        var sockets: [RawSocket] = []
        var peers: [HTTP2Peer] = []
        for _ in 0..<4 {
            let socket: RawSocket = try gateway.connect()
            socket.send(
                "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            _ = try await offPool { socket.receive(until: "\r\n\r\n") }
            sockets.append(socket)
            let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
            peer.headers(
                1,
                HTTP2Peer.request(
                    "POST", "/pkg.Service/Talk", [("content-type", "application/grpc"), ("te", "trailers")]),
                ends: false)
            peers.append(peer)
        }
        let streams: Streams = Streams(sockets, peers)
        let (done, failed, stop, left): (Counter, Counter, Counter, Counter) = (
            Counter(), Counter(), Counter(), Counter()
        )
        for _ in 0..<4 {
            onThread {
                Self.work(gateway, done, failed, stop)
                left.add(1)
            }
        }
        var snapshot: Snapshot = gateway.snapshot
        for number in 1...(Self.seconds * Self.swapsPerSecond) {
            try Self.change(&document, number)
            let next: (snapshot: Snapshot, quarantined: [Quarantine]) = Snapshot.compile(
                document, previous: snapshot, carrying: gateway.live)
            #expect(next.quarantined.isEmpty)
            snapshot = next.snapshot
            await gateway.engine.apply(snapshot)
            let lost: [String] = try await offPool { Self.exchange(streams.sockets, streams.peers, number) }
            #expect(lost.isEmpty)
            if !lost.isEmpty { break }
            try await Task.sleep(for: .milliseconds(1000 / Self.swapsPerSecond))
        }
        stop.finish()
        #expect(await eventually { left.value == 4 })
        #expect(failed.value == 0, "\(done.value) requests went well")
        #expect(done.value > Self.swapsPerSecond)
        // Streams end when their ends say so.
        let statuses: [String?] = try await offPool {
            streams.peers.map { (peer: HTTP2Peer) -> String? in
                peer.data(1, [], ends: true)
                return peer.response(1).trailer("grpc-status")
            }
        }
        #expect(statuses == ["0", "0", "0", "0"])
        for socket in sockets { socket.finishWriting() }
        #expect(try await offPool { streams.sockets.allSatisfy { $0.receiveAll() == "" } })
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// Clients of one test, used by one thread after the other.
    private final class Streams: @unchecked Sendable {
        // Safe to share: the test waits for each use before the next.
        let sockets: [RawSocket]
        let peers: [HTTP2Peer]

        init(_ sockets: [RawSocket], _ peers: [HTTP2Peer]) {
            self.sockets = sockets
            self.peers = peers
        }
    }
}
