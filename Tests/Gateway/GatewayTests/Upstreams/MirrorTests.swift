import EventLoops
import GatewayConfiguration
import Synchronization
import Testing

@testable import Gateway

/// Copies of requests that go to a mirror.
struct MirrorTests {
    private static let answer: String = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    private static func gateway(
        _ target: RawUpstream, _ mirror: String, change: (inout MirrorDefinition) -> Void = { _ in }
    ) async throws -> GatewayUnderTest {
        var definition: MirrorDefinition = MirrorDefinition(
            url: try TargetURL(parsing: mirror), timeout: .seconds(60))
        change(&definition)
        return try await .start([target.port]) { (api: inout APIDefinition) in api.upstream.mirror = definition }
    }

    private static func firstLine(_ message: RawMessage) -> String { String(message.head.prefix { $0 != "\r\n" }) }

    private static func counts(_ gateway: GatewayUnderTest) -> MirrorCounts {
        gateway.snapshot.upstreams[0].state.mirror
    }

    @Test(arguments: [
        "GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n\r\n",
        "HEAD /a?b=c HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n\r\n",
        "POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nContent-Length: 5\r\n\r\nhello",
        "POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: 1\r\n\r\n",
    ])
    func theMirrorGetsWhatTheTargetGot(_ request: String) async throws {
        let target: RawUpstream = try .answering(Self.answer)
        let mirror: RawUpstream = try .answering("HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nsour")
        let gateway: GatewayUnderTest = try await Self.gateway(target, "http://127.0.0.1:\(mirror.port)/base")
        let client: RawSocket = try gateway.connect()
        client.send(request)
        #expect(client.receiveMessage(bodyless: request.hasPrefix("HEAD")).status == 200)
        let counts: MirrorCounts = Self.counts(gateway)
        #expect(await eventually { counts.answered.load(ordering: .relaxed) == 1 })
        let copy: RawMessage = try #require(mirror.requests.first)
        let original: RawMessage = try #require(target.requests.first)
        #expect(Self.firstLine(copy) == Self.firstLine(original).replacing(" /a", with: " /base/a"))
        #expect(copy.field("host") == "127.0.0.1:\(mirror.port)")
        #expect(copy.field("x-one") == "1" && copy.field("connection") == "close")
        #expect(copy.text == original.text && copy.trailers == original.trailers)
        #expect(counts.inFlight.load(ordering: .relaxed) == 0)
        client.close()
        await gateway.stop()
    }

    /// A body that comes in pieces.
    @Test func aBodyInPiecesIsCopiedWhole() async throws {
        let target: RawUpstream = try .answering(Self.answer)
        let mirror: RawUpstream = try .answering(Self.answer)
        let gateway: GatewayUnderTest = try await Self.gateway(target, "http://127.0.0.1:\(mirror.port)")
        let client: RawSocket = try gateway.connect()
        let pieces: Int = 20
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \(pieces * 1000)\r\n\r\n")
        for piece in 0..<pieces {
            client.send(String(repeating: Character(Unicode.Scalar(UInt8(65 + piece))), count: 1000))
            usleepALittle()
        }
        #expect(client.receiveMessage().status == 200)
        let counts: MirrorCounts = Self.counts(gateway)
        #expect(await eventually { counts.answered.load(ordering: .relaxed) == 1 })
        #expect(mirror.requests.first?.text == target.requests.first?.text)
        #expect(mirror.requests.first?.text.utf8.count == pieces * 1000)
        client.close()
        await gateway.stop()
    }

    /// The mirror takes connections and says nothing: clients get their answers, and what is too much is not sent.
    @Test func aMirrorThatHangsHoldsNobody() async throws {
        let gate: Counter = Counter()
        let target: RawUpstream = try .answering(Self.answer)
        let mirror: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            while !gate.isFinished { usleepALittle() }
        }
        let gateway: GatewayUnderTest = try await Self.gateway(target, "http://127.0.0.1:\(mirror.port)") {
            $0.copiesMax = 2
        }
        for _ in 0..<10 {
            #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").status == 200)
        }
        let counts: MirrorCounts = Self.counts(gateway)
        #expect(counts.refused.load(ordering: .relaxed) == 8)
        #expect(await eventually { mirror.requests.count == 2 })
        gate.finish()
        #expect(await eventually { counts.inFlight.load(ordering: .relaxed) == 0 })
        #expect(counts.failed.load(ordering: .relaxed) == 2)
        await gateway.stop()
    }

    @Test func aMirrorThatIsGoneHoldsNobody() async throws {
        let target: RawUpstream = try .answering(Self.answer)
        let port: RefusingPort = try RefusingPort()
        let gateway: GatewayUnderTest = try await Self.gateway(target, "http://127.0.0.1:\(port.port)")
        for _ in 0..<5 { #expect(try gateway.exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n").status == 200) }
        let counts: MirrorCounts = Self.counts(gateway)
        #expect(await eventually { counts.failed.load(ordering: .relaxed) == 5 })
        await gateway.stop()
    }

    @Test(arguments: [
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n01234567890",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n",
    ])
    func longBodiesAreNotCopied(_ request: String) async throws {
        let target: RawUpstream = try .answering(Self.answer)
        let mirror: RawUpstream = try .answering(Self.answer)
        let gateway: GatewayUnderTest = try await Self.gateway(target, "http://127.0.0.1:\(mirror.port)") {
            $0.bodyBytesMax = 10
        }
        #expect(try gateway.exchange(request).status == 200)
        let counts: MirrorCounts = Self.counts(gateway)
        #expect(counts.unfit.load(ordering: .relaxed) == 1)
        // What fits is copied: of the two requests only this one arrives.
        #expect(try gateway.exchange("GET /short HTTP/1.1\r\nHost: h\r\n\r\n").status == 200)
        #expect(await eventually { counts.answered.load(ordering: .relaxed) == 1 })
        #expect(mirror.requests.map { Self.firstLine($0) } == ["GET /short HTTP/1.1"])
        await gateway.stop()
    }

    /// The client leaves in the middle of its body: there is nothing whole to copy.
    @Test func aRequestThatBreaksOffIsNotCopied() async throws {
        let target: RawUpstream = try .answering(Self.answer)
        let mirror: RawUpstream = try .answering(Self.answer)
        let gateway: GatewayUnderTest = try await Self.gateway(target, "http://127.0.0.1:\(mirror.port)")
        let client: RawSocket = try gateway.connect()
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhello")
        #expect(await eventually { gateway.upstreamConnections == 1 })
        client.close()
        let counts: MirrorCounts = Self.counts(gateway)
        #expect(await eventually { counts.unfit.load(ordering: .relaxed) == 1 })
        #expect(mirror.requests.isEmpty)
        await gateway.stop()
    }

    @Test func aWebSocketIsNotCopied() async throws {
        let target: RawUpstream = try .answering(Self.answer)
        let mirror: RawUpstream = try .answering(Self.answer)
        let gateway: GatewayUnderTest = try await Self.gateway(target, "http://127.0.0.1:\(mirror.port)")
        let upgrade: String =
            "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        _ = try gateway.exchange(upgrade)
        #expect(target.requests.count == 1)
        #expect(try gateway.exchange("GET /after HTTP/1.1\r\nHost: h\r\n\r\n").status == 200)
        let counts: MirrorCounts = Self.counts(gateway)
        #expect(await eventually { counts.answered.load(ordering: .relaxed) == 1 })
        #expect(mirror.requests.map { Self.firstLine($0) } == ["GET /after HTTP/1.1"])
        await gateway.stop()
    }
}
