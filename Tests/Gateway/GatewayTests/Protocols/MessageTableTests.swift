import GatewayConfiguration
import JSON
import Testing

@testable import Gateway

/// RFC 9110 and RFC 9112 case by case, each raw on a socket, in front of an upstream that writes down what arrives.
struct MessageTableTests {
    static let refused: [GoldenCase] = GoldenCase.table("refused")
    static let taken: [GoldenCase] = GoldenCase.table("taken")
    static let brokenBodies: [GoldenCase] = GoldenCase.table("broken-bodies")

    private static let good: String = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
    private static let smuggled: String = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"

    @Test func thereAreCases() {
        #expect(Self.refused.count > 100)
        #expect(Self.taken.count > 50)
        #expect(Self.brokenBodies.count > 20)
    }

    /// Alone, with a request right behind it, behind a good one, and in two pieces: one answer says why, the connection ends, and the
    /// upstream gets the good request and nothing else.
    @Test(arguments: MessageTableTests.refused) func refuses(_ sample: GoldenCase) async throws {
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let text: String = sample.text("send")
        let bytes: [UInt8] = [UInt8](text.utf8)
        let good: [UInt8] = [UInt8](Self.good.utf8)
        let half: Int = bytes.count / 2
        var goodOnes: Int = 0
        for pieces in [
            [bytes], [bytes + [UInt8](Self.smuggled.utf8)], [good + bytes],
            [Array(bytes[..<half]), Array(bytes[half...])],
        ] {
            let client: RawSocket = try gateway.connect()
            for piece in pieces { client.send(piece) }
            if pieces[0].starts(with: good) {
                goodOnes += 1
                #expect(client.receiveMessage().status == 200)
            }
            // A line that has not ended could go on.
            if !text.contains("\r\n\r\n") { client.finishWriting() }
            let answer: RawMessage = client.receiveMessage()
            guard !answer.head.isEmpty || text.contains("\r\n\r\n") else { continue }
            #expect(Int64(answer.status) == sample["status"]?.integer)
            #expect(answer.field("content-type") == "application/problem+json")
            #expect(answer.field("connection") == "close")
            #expect(client.receiveAll() == "")
        }
        #expect(upstream.requests.map { $0.startLine } == Array(repeating: "GET /good HTTP/1.1", count: goodOnes))
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// Exactly what arrives, and what the client gets. Behind it the connection carries another request, unless it has ended.
    @Test(arguments: MessageTableTests.taken) func passesOn(_ sample: GoldenCase) async throws {
        let reply: String = sample["reply"]?.text ?? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                session.send(
                    request.startLine.contains("/good") ? "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" : reply)
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send(sample.text("send"))
        for expected in sample["answers"]?.elements ?? [] {
            let answer: RawMessage = client.receiveMessage(bodyless: expected["bodyless"] == true)
            #expect(Int64(answer.status) == expected["status"]?.integer)
            if let body: String = expected["body"]?.text { #expect(answer.text == body) }
            for line in expected["fields"]?.texts ?? [] { #expect(answer.lines.contains(line)) }
            for name in expected["without"]?.texts ?? [] { #expect(answer.field(name) == nil) }
            if let trailers: [String] = expected["trailers"]?.texts { #expect(answer.trailers == trailers) }
        }
        let target: String = "127.0.0.1:\(upstream.port)"
        let wanted: [String] = (sample["arrives"]?.texts ?? []).map {
            $0.replacing("{target}", with: target)
        }
        #expect(upstream.requests.map { Self.whole($0) } == wanted)
        if sample["closes"] == true {
            #expect(client.receiveAll() == "")
        } else {
            client.send(Self.good)
            #expect(client.receiveMessage().text == "good")
        }
        #expect(!upstream.requests.contains { $0.startLine.contains("evil") })
        client.close()
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// Head, body without its framing, and trailers, each on a line of its own.
    private static func whole(_ request: RawMessage) -> String {
        request.head + request.text + request.trailers.map { "\n" + $0 }.joined()
    }

    /// A body that breaks when its request is already on its way: the upstream never sees the end of it, nor what follows.
    @Test(arguments: MessageTableTests.brokenBodies) func neverCompletes(_ sample: GoldenCase) async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            let all: String = session.socket.receiveAll() ?? "reset"
            session.upstream.record(RawMessage(head: all))
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        #expect(await eventually { upstream.connectionCount == 1 })
        client.send(sample.text("body") + Self.smuggled)
        #expect(client.receiveMessage().status == 400)
        #expect(client.receiveAll() == "")
        #expect(await eventually { upstream.requests.count == 1 })
        let arrived: String = upstream.requests[0].head
        #expect(!arrived.hasSuffix("0\r\n\r\n"))
        #expect(!arrived.contains("/evil"))
        #expect(upstream.connectionCount == 1)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }
}

/// RFC 6455: handshakes, and frames of the two ends, which pass as they are.
struct HandshakeTableTests {
    static let cases: [GoldenCase] = GoldenCase.table("rfc6455")

    @Test func thereAreCases() { #expect(Self.cases.count > 30) }

    @Test(arguments: HandshakeTableTests.cases) func followsTheRFC(_ sample: GoldenCase) async throws {
        let reply: String = sample.text("reply")
        let switches: Bool = sample["switches"] == true
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                session.send(reply)
                guard switches else { continue }
                while let bytes: [UInt8] = session.socket.receive(), !bytes.isEmpty { session.socket.send(bytes) }
                return session.socket.close()
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send(sample.text("send"))
        let answer: RawMessage = client.receiveMessage(bodyless: switches)
        #expect(Int64(answer.status) == sample["status"]?.integer)
        for line in sample["has"]?.texts ?? [] { #expect(answer.lines.contains(line)) }
        if switches {
            #expect(answer.field("upgrade")?.lowercased() == "websocket")
            #expect(answer.field("connection")?.lowercased() == "upgrade")
            #expect(answer.field("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
            let frames: [UInt8] = Self.bytes(sample["frames"]?.text ?? "8100")
            onThread { client.send(frames) }
            #expect(client.receive(exactly: frames.count) == frames)
            client.finishWriting()
            #expect(client.receiveAll() == "")
        }
        if sample["arrives"] == .null {
            #expect(upstream.requests.isEmpty)
        } else {
            let request: RawMessage = try #require(upstream.requests.first)
            for line in sample["arrives"]?.texts ?? [] { #expect(request.lines.contains(line)) }
            for name in sample["lacks"]?.texts ?? [] { #expect(request.field(name) == nil) }
            #expect(upstream.requests.count == 1)
        }
        await gateway.stop()
    }

    static func bytes(_ hexadecimal: String) -> [UInt8] {
        let digits: [Character] = Array(hexadecimal)
        return stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
    }
}
