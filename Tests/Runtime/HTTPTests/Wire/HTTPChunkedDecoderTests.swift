import Testing

@testable import HTTP

/// What a decoder made of a body that came in pieces of a given size.
struct DecodedBody: Equatable {
    var bytes: String = ""
    var trailers: [String] = []
    var hasEnded: Bool = false
    var refusal: HTTPRefusal?
    var unconsumed: String = ""

    init(_ text: String, pieces: Int, keepsFraming: Bool, limits: HTTPLimits = .standard) {
        var decoder: HTTPChunkedDecoder = HTTPChunkedDecoder(keepsFraming: keepsFraming)
        let table: HTTPFieldTable = HTTPFieldTable(limits: limits)
        let all: [UInt8] = [UInt8](text.utf8)
        var waiting: [UInt8] = []
        var given: Int = 0
        var out: [UInt8] = []
        while given < all.count, !self.hasEnded, self.refusal == nil {
            let next: Int = min(given + pieces, all.count)
            waiting += all[given..<next]
            given = next
            var position: Int = 0
            waiting.withUnsafeBytes { (raw: UnsafeRawBufferPointer) in
                var goesOn: Bool = true
                while goesOn {
                    switch decoder.next(raw, position: &position, limits: limits, table: table) {
                    case .bytes(let start, let count): out += raw[start..<start + count]
                    case .incomplete: goesOn = false
                    case .trailers(let start, let count):
                        for index in 0..<count {
                            let field: HTTPField = table.fields[index]
                            let name: String = String(
                                decoding: raw[
                                    (start + field.nameRange.lowerBound)..<(start + field.nameRange.upperBound)],
                                as: UTF8.self)
                            let value: String = String(
                                decoding: raw[
                                    (start + field.valueRange.lowerBound)..<(start + field.valueRange.upperBound)],
                                as: UTF8.self)
                            self.trailers.append("\(name)=\(value)")
                        }
                    case .end:
                        self.hasEnded = true
                        goesOn = false
                    case .refused(let refusal):
                        self.refusal = refusal
                        goesOn = false
                    }
                }
            }
            waiting.removeFirst(position)
        }
        self.bytes = String(decoding: out, as: UTF8.self)
        self.unconsumed = String(decoding: waiting, as: UTF8.self) + String(decoding: all[given...], as: UTF8.self)
    }
}

struct HTTPChunkedDecoderTests {
    private static let pieces: [Int] = [1, 2, 3, 5, 7, 1000]

    @Test(arguments: pieces) func givesTheBody(pieces: Int) {
        let text: String = "5\r\nhello\r\nA\r\n, world\r\n!\r\n0\r\n\r\nGET /next"
        let body: DecodedBody = DecodedBody(text, pieces: pieces, keepsFraming: false)
        #expect(body.bytes == "hello, world\r\n!")
        #expect(body.hasEnded)
        #expect(body.unconsumed == "GET /next")
    }

    @Test(arguments: pieces) func givesTheBodyAsItWasFramed(pieces: Int) {
        let text: String = "5\r\nhello\r\n00a\r\n, world\r\n!\r\n0\r\n\r\n"
        let body: DecodedBody = DecodedBody(text + "X", pieces: pieces, keepsFraming: true)
        #expect(body.bytes == text)
        #expect(body.hasEnded)
        #expect(body.unconsumed == "X")
    }

    @Test(arguments: pieces) func leavesExtensionsOut(pieces: Int) {
        let text: String = "5;a=\"b\";c\r\nhello\r\n3 \t;x\r\nabc\r\n0;last\r\n\r\n"
        #expect(DecodedBody(text, pieces: pieces, keepsFraming: true).bytes == "5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n")
        #expect(DecodedBody(text, pieces: pieces, keepsFraming: false).bytes == "helloabc")
        #expect(DecodedBody(text, pieces: pieces, keepsFraming: true).hasEnded)
    }

    @Test(arguments: pieces) func givesTrailersApart(pieces: Int) {
        let text: String = "1\r\na\r\n0\r\nX-Sum: 5 \r\nGrpc-Status:0\r\n\r\nrest"
        for keepsFraming in [true, false] {
            let body: DecodedBody = DecodedBody(text, pieces: pieces, keepsFraming: keepsFraming)
            #expect(body.bytes == (keepsFraming ? "1\r\na\r\n0\r\n" : "a"))
            #expect(body.trailers == ["X-Sum=5", "Grpc-Status=0"])
            #expect(body.hasEnded)
            #expect(body.unconsumed == "rest")
        }
    }

    @Test(
        arguments: [
            ("x\r\n", .chunkSize), ("\r\n", .chunkSize), ("-1\r\n", .chunkSize), ("+1\r\n", .chunkSize),
            ("0x1\r\n", .chunkSize),
            ("1\na\r\n", .bareLineFeed), ("1\rXa", .bareCarriageReturn), ("1\r\nab\r\n", .chunkEnd),
            ("1\r\na\n0\r\n\r\n", .chunkEnd),
            ("1\r\na0\r\n\r\n", .chunkEnd), ("1\r\na\rX", .chunkEnd), ("1234567890abcdef\r\n", .chunkSize),
            (" 1\r\na\r\n", .chunkSize),
            ("1;a\nb\r\na\r\n", .bareLineFeed), ("1;a\u{0}\r\na\r\n", .chunkSize), ("1 x\r\na\r\n", .chunkExtension),
            ("1;" + String(repeating: "e", count: 300) + "\r\na\r\n", .chunkExtension), ("1,1\r\na\r\n", .chunkSize),
            ("0\r\nX : y\r\n\r\n", .trailers), ("0\r\n folded\r\n\r\n", .trailers),
            ("0\r\nX: y\nZ: a\r\n\r\n", .trailers), ("0\n\r\n", .bareLineFeed),
            ("0\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", .trailers),
            ("0\r\nX: " + String(repeating: "v", count: 9000) + "\r\n\r\n", .trailersTooLarge),
        ] as [(String, HTTPRefusal)])
    func refuses(text: String, refusal: HTTPRefusal) {
        for keepsFraming in [true, false] {
            for pieces in Self.pieces {
                let body: DecodedBody = DecodedBody(text, pieces: pieces, keepsFraming: keepsFraming)
                #expect(body.refusal == refusal, "in pieces of \(pieces)")
                #expect(!body.hasEnded)
            }
        }
    }

    @Test func waitsForMore() {
        for text in [
            "", "5", "5\r", "5\r\n", "5\r\nhel", "5\r\nhello", "5\r\nhello\r", "0\r\n", "0\r\n\r", "0\r\nX: y\r\n",
        ] {
            let body: DecodedBody = DecodedBody(text, pieces: 1, keepsFraming: true)
            #expect(!body.hasEnded && body.refusal == nil, "\(text.debugDescription)")
        }
    }
}
