import GatewayConfiguration
import Glibc
import Testing

@testable import Gateway

struct BodyTests {
    /// A body whose every byte depends on its place.
    static func pattern(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = [UInt8](repeating: 0, count: count)
        var state: UInt32 = 12345
        for index in 0..<count {
            state = state &* 1_664_525 &+ 1_013_904_223
            bytes[index] = UInt8(truncatingIfNeeded: state >> 24)
        }
        return bytes
    }

    static func chunked(_ bytes: [UInt8], _ size: Int) -> [UInt8] {
        var out: [UInt8] = []
        var start: Int = 0
        while start < bytes.count {
            let end: Int = min(start + size, bytes.count)
            out += [UInt8]("\(String(end - start, radix: 16))\r\n".utf8)
            out += bytes[start..<end]
            out += [13, 10]
            start = end
        }
        return out + [UInt8]("0\r\n\r\n".utf8)
    }

    /// Bodies in both directions, of sizes around every buffer's, by length and in chunks.
    @Test(
        arguments: [0, 1, 100, 1900, 2048, 16_000, 16_500, 65_000, 65_536, 70_000, 1_000_000, 6_000_000], [true, false])
    func passesBodiesOfAnySizeBothWays(size: Int, isChunked: Bool) async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                if isChunked {
                    session.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    session.socket.send(BodyTests.chunked(request.body, 10_000))
                } else {
                    session.send("HTTP/1.1 200 OK\r\nContent-Length: \(request.body.count)\r\n\r\n")
                    session.socket.send(request.body)
                }
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let body: [UInt8] = BodyTests.pattern(size)
        let client: RawSocket = try gateway.connect()
        for _ in 0..<2 {
            let framing: String = isChunked ? "Transfer-Encoding: chunked" : "Content-Length: \(size)"
            let head: [UInt8] = [UInt8]("POST /up HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n".utf8)
            client.send(head + (isChunked ? BodyTests.chunked(body, 7000) : body))
            let response: RawMessage = client.receiveMessage()
            #expect(response.status == 200)
            let isSame: Bool = response.body == body
            #expect(isSame, "\(response.body.count) of \(size) bytes")
        }
        #expect(upstream.requests.allSatisfy { $0.body == body })
        #expect(upstream.connectionCount == 1)
        await gateway.stop()
    }

    @Test func dropsChunkExtensionsAndDangerousTrailers() async throws {
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let response: RawMessage = try gateway.exchange(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                + "3;ext=1\r\nabc\r\n0;last\r\nX-Sum: 9\r\nContent-Length: 4\r\nAuthorization: x\r\n\r\n")
        #expect(response.status == 200)
        let request: RawMessage = upstream.requests[0]
        #expect(request.text == "abc")
        #expect(request.trailers == ["X-Sum: 9"])
        #expect(request.field("trailer") == "X-Sum")
        await gateway.stop()
    }

    @Test func passesTrailersOfResponsesOn() async throws {
        let upstream: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Grpc-Status\r\n\r\n1\r\na\r\n0\r\nGrpc-Status: 0\r\n\r\n"
        )
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let response: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(response.text == "a")
        #expect(response.trailers == ["Grpc-Status: 0"])
        await gateway.stop()
    }

    /// A byte at a time, in both directions.
    @Test func readsAnyPieces() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                for byte in "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: 1\r\n\r\n".utf8 {
                    session.socket.send([byte])
                    usleep(200)
                }
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        for byte in "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nS: 1\r\n\r\n"
            .utf8
        {
            client.send([byte])
            usleep(200)
        }
        let response: RawMessage = client.receiveMessage()
        #expect(response.text == "ok")
        #expect(response.trailers == ["T: 1"])
        #expect(upstream.requests[0].text == "abc")
        #expect(upstream.requests[0].trailers == ["S: 1"])
        await gateway.stop()
    }

    @Test func letsAClientWaitForContinue() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            let head: String = session.socket.receive(until: "\r\n\r\n")
            #expect(head.contains("Expect: 100-continue"))
            session.send("HTTP/1.1 100 Continue\r\n\r\n")
            let body: [UInt8] = session.socket.receive(exactly: 5)
            session.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\(String(decoding: body, as: UTF8.self))")
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        #expect(client.receive(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
        client.send("hello")
        #expect(client.receiveMessage().text == "hello")
        await gateway.stop()
    }

    @Test func aResponseBeforeTheEndOfTheBodyEndsTheConnection() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.socket.receive(until: "\r\n\r\n")
            session.send("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
            _ = session.socket.receive()
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        let response: RawMessage = client.receiveMessage()
        #expect(response.status == 413)
        #expect(response.field("connection") == "close")
        #expect(client.receiveAll() == "")
        await gateway.stop()
    }

    /// While the upstream does not read, the gateway takes no more than its buffers hold from a client that sends without end.
    @Test func pushesBackOnASenderWhoseUpstreamDoesNotRead() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.socket.receive(until: "\r\n\r\n")
            sleep(4)
        }
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [.requestSize(RequestSizePolicy(bytesMax: 1 << 40))])
        let client: RawSocket = try gateway.connect()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        let block: [UInt8] = [UInt8](repeating: 1, count: 1 << 20)
        var limit: timeval = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(client.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var sent: Int = 0
        while true {
            let count: Int = Glibc.send(client.fd, block, block.count, Int32(MSG_NOSIGNAL))
            if count <= 0 { break }
            sent += count
        }
        // Two kernel buffers a side, however large the system makes them, and one block of our own.
        #expect(sent < 64 << 20)
        #expect(gateway.engine.blockCount <= 4)
        client.close(abruptly: true)
        await gateway.stop()
    }

    @Test func pushesBackOnAnUpstreamWhoseClientDoesNotRead() async throws {
        let sent: Counter = Counter()
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            guard session.request() != nil else { return }
            session.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            var limit: timeval = timeval(tv_sec: 1, tv_usec: 0)
            setsockopt(session.socket.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            let block: [UInt8] = [UInt8](repeating: 1, count: 1 << 20)
            while true {
                let count: Int = Glibc.send(session.socket.fd, block, block.count, Int32(MSG_NOSIGNAL))
                if count <= 0 { break }
                sent.add(count)
            }
            sent.finish()
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let client: RawSocket = try gateway.connect(receiveBuffer: 16_384)
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = client.receive(until: "\r\n\r\n")
        #expect(await eventually { sent.isFinished })
        #expect(sent.value < 64 << 20)
        #expect(gateway.engine.blockCount <= 4)
        client.close(abruptly: true)
        await gateway.stop()
    }
}
