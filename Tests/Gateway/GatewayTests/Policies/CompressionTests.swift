import CBrotli
import CZlib
import CZstd
import GatewayConfiguration
import Glibc
import Testing

@testable import Gateway

struct CompressionTests {
    /// Undoes a coding with the libraries' own decoders.
    static func decoded(_ bytes: [UInt8], _ coding: String?, room: Int = 8 << 20) -> [UInt8]? {
        var out: [UInt8] = [UInt8](repeating: 0, count: room)
        switch coding {
        case nil: return bytes
        case "gzip":
            var stream: z_stream = z_stream()
            inflateInit2_(&stream, 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
            defer { inflateEnd(&stream) }
            var input: [UInt8] = bytes
            let result: Int32 = input.withUnsafeMutableBufferPointer { source in
                out.withUnsafeMutableBufferPointer { target in
                    stream.next_in = source.baseAddress
                    stream.avail_in = UInt32(source.count)
                    stream.next_out = target.baseAddress
                    stream.avail_out = UInt32(target.count)
                    return inflate(&stream, Z_FINISH)
                }
            }
            return result == Z_STREAM_END ? Array(out[..<Int(stream.total_out)]) : nil
        case "br":
            var count: Int = room
            let result: BrotliDecoderResult = BrotliDecoderDecompress(bytes.count, bytes, &count, &out)
            return result == BROTLI_DECODER_RESULT_SUCCESS ? Array(out[..<count]) : nil
        case "zstd":
            let state: OpaquePointer? = ZSTD_createDCtx()
            defer { ZSTD_freeDCtx(state) }
            return bytes.withUnsafeBytes { (source: UnsafeRawBufferPointer) -> [UInt8]? in
                out.withUnsafeMutableBytes { (target: UnsafeMutableRawBufferPointer) -> [UInt8]? in
                    var input: ZSTD_inBuffer = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
                    var output: ZSTD_outBuffer = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
                    while true {
                        let left: Int = ZSTD_decompressStream(state, &output, &input)
                        if ZSTD_isError(left) != 0 { return nil }
                        if left == 0 { return Array(target[..<output.pos]) }
                        if input.pos == input.size { return nil }
                    }
                }
            }
        default: return nil
        }
    }

    private static let body: String = String(repeating: "{\"name\": \"value\", \"number\": 1234}\n", count: 300)

    private static func answer(_ fields: String = "Content-Type: application/json\r\n", body: String = body) -> String {
        "HTTP/1.1 200 OK\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private func start(_ upstream: RawUpstream, _ policy: CompressionPolicy = CompressionPolicy()) async throws
        -> GatewayUnderTest
    { try await .start([upstream.port], policies: [.compression(policy)]) }

    @Test(
        arguments: [
            ("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "br"),
            ("gzip;q=0.9, br;q=0.8", "gzip"),
            ("gzip;q=1.0, zstd;q=1", "zstd"), ("*", "br"), ("*;q=0, gzip", "gzip"), ("x-gzip", "gzip"),
            ("GZIP", "gzip"),
            ("br;q=0, *", "zstd"), ("gzip;q=0", nil), ("identity", nil), ("deflate", nil),
            ("identity;q=1, gzip;q=0.5", nil),
            ("", nil), ("br;q=2", nil), ("br;q=x, gzip;q=0.001", "gzip"), (";;, ,gzip", "gzip"), (nil, nil),
        ] as [(String?, String?)])
    func choosesACoding(accepted: String?, coding: String?) async throws {
        let upstream: RawUpstream = try .answering(Self.answer())
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let line: String = accepted.map { "Accept-Encoding: \($0)\r\n" } ?? ""
        let client: RawSocket = try gateway.connect()
        for _ in 0..<2 {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\(line)\r\n")
            let response: RawMessage = client.receiveMessage()
            #expect(response.field("content-encoding") == coding)
            #expect(response.field("vary") == "Accept-Encoding")
            #expect(Self.decoded(response.body, coding) == Array(Self.body.utf8))
            if coding != nil { #expect(response.body.count < Self.body.utf8.count / 5) }
        }
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    /// What goes as it is, and whether it varies all the same.
    @Test(arguments: [
        ("Content-Type: image/png\r\n", false), ("", false),
        ("Content-Type: application/json\r\nContent-Encoding: br\r\n", false),
        ("Content-Type: text/event-stream\r\n", false),
        ("Content-Type: text/plain\r\nCache-Control: no-transform\r\n", false),
        ("Content-Type: text/plain\r\nContent-Range: bytes 0-1/2\r\n", false),
        ("Content-Type: text/plain\r\nContent-Encoding: identity\r\n", true),
        ("Content-Type: TEXT/HTML; charset=utf-8\r\n", true), ("Content-Type: application/problem+json\r\n", true),
    ])
    func concernsSomeResponses(fields: String, isCompressed: Bool) async throws {
        let upstream: RawUpstream = try .answering(Self.answer(fields))
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let response: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        #expect((response.field("content-encoding") == "gzip") == isCompressed)
        #expect((response.field("vary") != nil) == isCompressed)
        #expect(isCompressed || response.text == Self.body)
        await gateway.stop()
        upstream.stop()
    }

    @Test func shortBodiesGoAsTheyAre() async throws {
        let upstream: RawUpstream = try .answering(Self.answer(body: "short"))
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let response: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        #expect(response.lines == ["Content-Type: application/json", "Vary: Accept-Encoding", "Content-Length: 5"])
        await gateway.stop()
        upstream.stop()
    }

    @Test func weakensTagsAndExtendsVary() async throws {
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let request: RawMessage = session.request() {
                if request.field("if-none-match") != nil {
                    session.send("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nVary: Origin\r\n\r\n")
                } else {
                    session.send(
                        Self.answer("Content-Type: text/css\r\nETag: \"x\"\r\nVary: Origin\r\nAccept-Ranges: bytes\r\n")
                    )
                }
            }
        }
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let first: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n")
        #expect(first.field("etag") == "W/\"x\"")
        #expect(first.field("vary") == "Origin, Accept-Encoding")
        #expect(first.field("accept-ranges") == nil)
        let second: RawMessage = try gateway.exchange(
            "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\nIf-None-Match: W/\"x\"\r\n\r\n", bodyless: true)
        #expect(second.status == 304)
        #expect(second.field("etag") == "W/\"x\"")
        let plain: RawMessage = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(plain.field("etag") == "\"x\"")
        let head: RawMessage = try gateway.exchange(
            "HEAD / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n", bodyless: true)
        #expect(head.status == 200)
        await gateway.stop()
        upstream.stop()
    }

    /// Each piece of a body of unknown length can be read when it came.
    @Test(arguments: ["gzip", "br", "zstd"]) func passesPiecesOnAsTheyCome(_ coding: String) async throws {
        let goOn: Mutexed<Bool> = Mutexed(false)
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            _ = session.request()
            session.send(
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"
            )
            while !goOn.value { usleep(1000) }
            session.send("6\r\nsecond\r\n0\r\n\r\n")
        }
        let gateway: GatewayUnderTest = try await self.start(upstream)
        let client: RawSocket = try gateway.connect()
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: \(coding)\r\n\r\n")
        let head: String = client.receive(until: "\r\n\r\n")
        #expect(head.contains("Transfer-Encoding: chunked"))
        // The first piece is here before the upstream says more.
        let line: String = client.receive(until: "\r\n")
        let size: Int = try #require(Int(line.dropLast(), radix: 16))
        var all: [UInt8] = client.receive(exactly: size)
        #expect(size > 0)
        goOn.change { $0 = true }
        _ = client.receive(exactly: 2)
        while true {
            let line: String = client.receive(until: "\r\n")
            guard let size: Int = Int(line.dropLast(), radix: 16), size > 0 else { break }
            all += client.receive(exactly: size)
            _ = client.receive(exactly: 2)
        }
        #expect(Self.decoded(all, coding) == Array("firstsecond".utf8))
        client.close()
        await gateway.stop()
        upstream.stop()
    }

    /// More than any buffer, of every kind of content.
    @Test(arguments: CompressionPolicy.Algorithm.allCases) func codersKeepEveryByte(
        _ algorithm: CompressionPolicy.Algorithm
    ) throws {
        var numbers: SeededNumbers = SeededNumbers(seed: 7)
        for size in [0, 1, 1000, 65_536, 1_000_003] {
            for isRandom in [false, true] {
                let body: [UInt8] = (0..<size).map { (index: Int) -> UInt8 in
                    isRandom ? UInt8(truncatingIfNeeded: numbers.next()) : UInt8(truncatingIfNeeded: index / 7)
                }
                for piece in [1 << 20, 4096] {
                    let coder: BodyCoder = try #require(BodyCoder.make(algorithm))
                    var out: [UInt8] = []
                    var position: Int = 0
                    while position < body.count {
                        let end: Int = min(body.count, position + piece)
                        let isFlushed: Bool = piece == 4096 && position % 8192 == 0
                        let isCoded: Bool = body[position..<end].withUnsafeBytes {
                            coder.code($0, flushes: isFlushed, into: &out)
                        }
                        #expect(isCoded)
                        position = end
                    }
                    #expect(coder.finish(into: &out))
                    #expect(Self.decoded(out, algorithm.rawValue) == body)
                }
            }
        }
    }

    /// A stored response is compressed once, for those who take it.
    @Test func theCacheStoresWhatWasCompressed() async throws {
        let upstream: RawUpstream = try .answering(
            Self.answer("Content-Type: application/json\r\nCache-Control: max-age=60\r\nETag: \"x\"\r\n"))
        let gateway: GatewayUnderTest = try await .start(
            [upstream.port], policies: [.compression(CompressionPolicy()), .cache(CachePolicy())])
        for (accepted, coding) in [("br", "br"), ("gzip", "gzip"), ("br", "br"), ("GZIP", "gzip"), ("identity", nil)]
            as [(String, String?)]
        {
            let response: RawMessage = try gateway.exchange(
                "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: \(accepted)\r\n\r\n")
            #expect(response.field("content-encoding") == coding)
            #expect(Self.decoded(response.body, coding) == Array(Self.body.utf8))
        }
        #expect(upstream.requests.count == 3)
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }
}
