import Testing

@testable import HTTP

/// A request head read from text, with the ranges as text.
struct ReadRequest {
    var outcome: HTTPHeadOutcome
    var head: HTTPRequestHead = HTTPRequestHead()
    var fields: [(name: String, value: String, known: KnownField)] = []
    let bytes: [UInt8]

    init(_ text: String, limits: HTTPLimits = .standard) {
        self.init([UInt8](text.utf8), limits: limits)
    }

    init(_ bytes: [UInt8], limits: HTTPLimits = .standard) {
        self.bytes = bytes
        let table: HTTPFieldTable = HTTPFieldTable(limits: limits)
        var scanned: Int = 0
        var head: HTTPRequestHead = HTTPRequestHead()
        self.outcome = bytes.withUnsafeBytes {
            HTTPHeadReader.readRequest($0, scanned: &scanned, limits: limits, table: table, into: &head)
        }
        self.head = head
        guard self.outcome == .complete else { return }
        for index in 0..<head.fieldCount {
            let field: HTTPField = table.fields[index]
            self.fields.append((self.text(field.nameRange), self.text(field.valueRange), field.known))
        }
    }

    func text(_ range: Range<Int>) -> String { String(decoding: self.bytes[range], as: UTF8.self) }
}

struct HTTPRequestHeadTests {
    /// Names are looked at in pieces of eight bytes: every byte at every place, and ends of the input close behind.
    @Test func takesTokensAloneInNames() {
        let tokens: Set<UInt8> = Set(
            "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        for length in [1, 2, 7, 8, 9, 17] {
            for place in 0..<length {
                for byte: UInt8 in 0...255 where byte != 0x3A {
                    var name: [UInt8] = [UInt8](repeating: 0x61, count: length)
                    name[place] = byte
                    let read: ReadRequest = ReadRequest(
                        Array("GET / HTTP/1.1\r\nHost: a\r\n".utf8) + name + Array(":\r\n\r\n".utf8))
                    #expect((read.outcome == .complete) == tokens.contains(byte), "\(byte) at \(place) of \(length)")
                }
            }
        }
    }

    @Test func findsTheFirstByteThatIsNoLetterOrDash() {
        for place in 0..<8 {
            for byte: UInt8 in 0...255 {
                for filler: UInt8 in [0x2D, 0x61, 0x7A, 0x41, 0x5A] {
                    var bytes: [UInt8] = [UInt8](repeating: filler, count: 8)
                    bytes[place] = byte
                    let word: UInt64 = bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self).littleEndian }
                    let isPlain: Bool = byte == 0x2D || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A && byte < 0x80)
                    #expect(WireText.notLettersOrDashes(word) == (isPlain ? 0 : 0x80 << UInt64(place * 8)))
                }
            }
        }
    }

    @Test func readsAPlainRequest() {
        let read: ReadRequest = ReadRequest(
            "GET /users/7?a=b%20c HTTP/1.1\r\nHost: api.example.com:8000\r\nX-API-Key:  k1 \t\r\nEmpty:\r\n\r\nrest")
        #expect(read.outcome == .complete)
        #expect(read.head.method == .get)
        #expect(read.text(read.head.target) == "/users/7?a=b%20c")
        #expect(read.text(read.head.path) == "/users/7")
        #expect(read.text(read.head.query) == "a=b%20c")
        #expect(read.text(read.head.host) == "api.example.com:8000")
        #expect(read.head.minorVersion == 1)
        #expect(read.head.keepsAlive)
        #expect(read.head.framing == .none)
        #expect(read.head.count == read.bytes.count - 4)
        #expect(read.fields.map { $0.name } == ["Host", "X-API-Key", "Empty"])
        #expect(read.fields.map { $0.value } == ["api.example.com:8000", "k1", ""])
        #expect(read.fields.map { $0.known } == [.host, .other, .other])
    }

    struct Accepted: Sendable, CustomTestStringConvertible {
        let text: String
        var framing: HTTPFraming = .none
        var keepsAlive: Bool = true
        var flags: HTTPHeadFlags = []
        var path: String?
        var testDescription: String { self.text.debugDescription }
    }

    static let accepted: [Accepted] = [
        Accepted(text: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Accepted(text: "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Accepted(text: "GET / HTTP/1.0\r\n\r\n", keepsAlive: false),
        Accepted(text: "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", flags: [.keepAlive]),
        Accepted(text: "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", keepsAlive: false, flags: [.close]),
        Accepted(
            text: "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-mine , CLOSE\r\n\r\n", keepsAlive: false,
            flags: [.namesOthers]),
        Accepted(text: "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers\r\n\r\n", flags: [.hasHopByHop]),
        Accepted(
            text: "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", flags: [.upgrade]),
        Accepted(text: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n", framing: .length(12)),
        Accepted(text: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", flags: [.hasContentLength]),
        Accepted(text: "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n", framing: .chunked),
        Accepted(
            text: "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n", framing: .length(1),
            flags: .expectsContinue),
        Accepted(text: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", path: "*"),
        Accepted(text: "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", path: ""),
        Accepted(text: "PURGE /x HTTP/1.1\r\nHost: a\r\n\r\n", path: "/x"),
        Accepted(
            text: "GET http://A.example/x?y HTTP/1.1\r\nHost: a.Example\r\n\r\n", flags: .absoluteTarget, path: "/x"),
        Accepted(text: "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", path: ""),
        Accepted(text: "GET /%2e%2e/a HTTP/1.1\r\nHost: a\r\n\r\n", flags: .unusualPath),
        Accepted(text: "GET /../a HTTP/1.1\r\nHost: a\r\n\r\n", flags: .unusualPath),
        Accepted(text: "GET /?q={a}|b^c HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", path: "/"),
        Accepted(text: "GET / HTTP/1.1\r\nHost: a:\r\n\r\n"),
        Accepted(text: "GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{E9} tab\there\r\n\r\n"),
        Accepted(text: "GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789abcdef0123456789abcdef\u{7E}\r\n\r\n"),
    ]

    @Test(arguments: HTTPRequestHeadTests.accepted) func accepts(_ wanted: Accepted) {
        let read: ReadRequest = ReadRequest(wanted.text)
        #expect(read.outcome == .complete)
        #expect(read.head.framing == wanted.framing)
        #expect(read.head.keepsAlive == wanted.keepsAlive)
        #expect(read.head.flags.isSuperset(of: wanted.flags))
        #expect(read.head.count == wanted.text.utf8.count)
        if let path: String = wanted.path { #expect(read.text(read.head.path) == path) }
    }

    struct Refused: Sendable, CustomTestStringConvertible {
        let text: String
        let refusal: HTTPRefusal

        init(_ text: String, _ refusal: HTTPRefusal) {
            self.text = text
            self.refusal = refusal
        }

        var testDescription: String { "\(self.refusal): \(self.text.debugDescription)" }
    }

    /// After the request line and Host.
    private static func fields(_ lines: String, _ refusal: HTTPRefusal) -> Refused {
        Refused("POST / HTTP/1.1\r\nHost: a\r\n\(lines)\r\n\r\n", refusal)
    }

    static let refused: [Refused] = [
        Refused(" GET / HTTP/1.1\r\n", .method), Refused("GE(T / HTTP/1.1\r\n", .method), Refused("\n", .method),
        Refused("\r\n\r\nGET / HTTP/1.1\r\n\r\n", .method), Refused("\rGET /", .bareCarriageReturn),
        Refused("ABCDEFGHIJKLMNOPQRSTUVWXY / HTTP/1.1\r\n", .method), Refused("GET\r\n", .method),
        Refused("\u{16}\u{3}\u{1}", .method),
        Refused("GET  / HTTP/1.1\r\n", .target), Refused("GET x HTTP/1.1\r\n\r\n", .target),
        Refused("GET /a b HTTP/1.1\r\n", .startLine),
        Refused("GET /a#b HTTP/1.1\r\n", .target), Refused("GET /a\\b HTTP/1.1\r\n", .target),
        Refused("GET /\u{0}b HTTP/1.1\r\n", .target),
        Refused("GET /\u{E9} HTTP/1.1\r\n", .target), Refused("GET /a\"b HTTP/1.1\r\n", .target),
        Refused("GET /a\tb HTTP/1.1\r\n", .target),
        Refused("GET /?a#b HTTP/1.1\r\n", .target), Refused("GET * HTTP/1.1\r\nHost: a\r\n\r\n", .target),
        Refused("CONNECT / HTTP/1.1\r\n", .target), Refused("CONNECT a b:1 HTTP/1.1\r\n", .startLine),
        Refused("GET ftp://a/ HTTP/1.1\r\n", .target), Refused("GET http://u:p@a/ HTTP/1.1\r\n", .target),
        Refused("GET http:///x HTTP/1.1\r\n", .target), Refused("GET http:/x/ HTTP/1.1\r\n", .target),
        Refused("GET /%zz HTTP/1.1\r\n", .percentEncoding), Refused("GET /%2 HTTP/1.1\r\n", .percentEncoding),
        Refused("GET /?%g0 HTTP/1.1\r\n", .percentEncoding),
        Refused("GET /\r\n\r\n", .target), Refused("GET / \r\n\r\n", .startLine),
        Refused("GET / http/1.1\r\n\r\n", .startLine),
        Refused("GET / HTTP/1.1 \r\n\r\n", .startLine), Refused("GET / HTTP/1.1\n\n", .bareLineFeed),
        Refused("GET / HTTP/1.\r\n", .startLine),
        Refused("GET / HTTP/2.0\r\n\r\n", .version), Refused("GET / HTTP/1.2\r\n\r\n", .version),
        Refused("GET / HTTP/0.9\r\n\r\n", .version),
        Refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .target), Refused("GET / HTTP/1.1\rX", .bareCarriageReturn),
        Refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", .foldedLine),
        Refused("GET / HTTP/1.1\r\n\r\n", .hostMissing),
        Refused("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", .hostRepeated),
        Refused("GET / HTTP/1.1\r\nHost:\r\n\r\n", .host), Refused("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", .host),
        Refused("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", .host), Refused("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", .host),
        Refused("GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", .host),
        Refused("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", .host),
        Refused("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", .host), Refused("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", .host),
        Refused("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", .host),
        Refused("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", .hostDiffers),
        Refused("GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", .hostDiffers),
        Self.fields("X: a\r\n b", .foldedLine), Self.fields("X: a\r\n\tb", .foldedLine),
        Self.fields("X : a", .fieldName),
        Self.fields("X\t: a", .fieldName), Self.fields(": a", .fieldName), Self.fields("X", .fieldName),
        Self.fields("X(y): a", .fieldName),
        Self.fields("X\u{E9}: a", .fieldName), Self.fields("X: a\u{0}b", .fieldValue),
        Self.fields("X: a\u{7F}", .fieldValue),
        Self.fields("X: a\u{B}b", .fieldValue), Self.fields("X: a\nY: b", .bareLineFeed),
        Self.fields("X: a\rY: b", .bareCarriageReturn),
        Self.fields("X: a\n", .bareLineFeed), Self.fields("X: 0123456789abcdef\u{1}0123456789abcdef", .fieldValue),
        Self.fields("Content-Length: 5\r\nContent-Length: 6", .contentLengthRepeated),
        Self.fields("Content-Length: 5\r\nContent-Length: 5", .contentLengthRepeated),
        Self.fields("Content-Length: 5, 5", .contentLength), Self.fields("Content-Length: +5", .contentLength),
        Self.fields("Content-Length: -5", .contentLength), Self.fields("Content-Length: 0x5", .contentLength),
        Self.fields("Content-Length:", .contentLength), Self.fields("Content-Length: 5 5", .contentLength),
        Self.fields("Content-Length: 1234567890123456789", .contentLength),
        Self.fields("Content-Length: 5\r\nTransfer-Encoding: chunked", .lengthAndCoding),
        Self.fields("Transfer-Encoding: chunked\r\nContent-Length: 0", .lengthAndCoding),
        Self.fields("Transfer-Encoding: gzip", .transferCoding),
        Self.fields("Transfer-Encoding: gzip, chunked", .transferCoding),
        Self.fields("Transfer-Encoding: chunked, chunked", .transferCoding),
        Self.fields("Transfer-Encoding: xchunked", .transferCoding),
        Self.fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .transferCoding),
        Self.fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", .transferCoding),
        Self.fields("Transfer-Encoding:", .transferCoding),
        Self.fields("Transfer-Encoding: \"chunked\"", .transferCoding),
        Self.fields("Transfer-Encoding: chunke\u{4B}", .transferCoding),
        Self.fields("Transfer-Encoding : chunked", .fieldName),
        Self.fields("Transfer-Encoding: chunked;q=1", .transferCoding),
        Refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .codingInOldVersion),
        Self.fields("Connection: content-length", .connectionOption),
        Self.fields("Connection: close, Host", .connectionOption),
        Self.fields("Connection: Transfer-Encoding", .connectionOption),
        Self.fields("Connection: (close)", .connectionOption),
        Self.fields("Expect: 200-ok", .expectation),
    ]

    @Test(arguments: HTTPRequestHeadTests.refused) func refuses(_ wanted: Refused) {
        #expect(ReadRequest(wanted.text).outcome == .refused(wanted.refusal))
    }

    /// However a head is cut, the answer is the same as for the whole, and no cut earlier than its end completes it.
    @Test(arguments: HTTPRequestHeadTests.accepted) func readsTheSameInAnyPieces(_ wanted: Accepted) {
        let bytes: [UInt8] = [UInt8](wanted.text.utf8)
        let table: HTTPFieldTable = HTTPFieldTable()
        var scanned: Int = 0
        var head: HTTPRequestHead = HTTPRequestHead()
        for count in 1...bytes.count {
            let outcome: HTTPHeadOutcome = bytes.withUnsafeBytes {
                HTTPHeadReader.readRequest(
                    UnsafeRawBufferPointer(rebasing: $0[..<count]), scanned: &scanned, limits: .standard, table: table,
                    into: &head)
            }
            #expect(outcome == (count < bytes.count ? .incomplete : .complete), "after \(count) bytes")
        }
        #expect(head.count == bytes.count)
    }

    /// A fault is found at the latest with the end of the head, whatever the pieces.
    @Test(arguments: HTTPRequestHeadTests.refused) func refusesTheSameInAnyPieces(_ wanted: Refused) {
        let bytes: [UInt8] = [UInt8](wanted.text.utf8)
        let table: HTTPFieldTable = HTTPFieldTable()
        var scanned: Int = 0
        var head: HTTPRequestHead = HTTPRequestHead()
        var outcome: HTTPHeadOutcome = .incomplete
        for count in 1...bytes.count where outcome == .incomplete {
            outcome = bytes.withUnsafeBytes {
                HTTPHeadReader.readRequest(
                    UnsafeRawBufferPointer(rebasing: $0[..<count]), scanned: &scanned, limits: .standard, table: table,
                    into: &head)
            }
        }
        if case .complete = outcome { Issue.record("accepted in pieces") }
    }

    @Test func boundsTheTarget() {
        let limits: HTTPLimits = HTTPLimits(headBytesMax: 400, targetBytesMax: 100)
        let fits: String = "/" + String(repeating: "a", count: 99)
        #expect(ReadRequest("GET \(fits) HTTP/1.1\r\nHost: a\r\n\r\n", limits: limits).outcome == .complete)
        #expect(
            ReadRequest("GET \(fits)b HTTP/1.1\r\nHost: a\r\n\r\n", limits: limits).outcome == .refused(.targetTooLong))
        #expect(
            ReadRequest("GET /?\(fits) HTTP/1.1\r\nHost: a\r\n\r\n", limits: limits).outcome == .refused(.targetTooLong)
        )
        #expect(ReadRequest("GET \(fits)bbb", limits: limits).outcome == .refused(.targetTooLong))
        #expect(HTTPRefusal.targetTooLong.status == 414)
    }

    @Test func tellsALongTargetFromALargeHeadAlsoInPieces() {
        let limits: HTTPLimits = HTTPLimits(headBytesMax: 400, targetBytesMax: 100)
        let bytes: [UInt8] = [UInt8](("GET /" + String(repeating: "a", count: 500)).utf8)
        let table: HTTPFieldTable = HTTPFieldTable(limits: limits)
        var scanned: Int = 0
        var head: HTTPRequestHead = HTTPRequestHead()
        var outcome: HTTPHeadOutcome = .incomplete
        for count in 1...bytes.count where outcome == .incomplete {
            outcome = bytes.withUnsafeBytes {
                HTTPHeadReader.readRequest(
                    UnsafeRawBufferPointer(rebasing: $0[..<count]), scanned: &scanned, limits: limits, table: table,
                    into: &head)
            }
        }
        #expect(outcome == .refused(.targetTooLong))
    }

    @Test func boundsTheHead() {
        let limits: HTTPLimits = HTTPLimits(headBytesMax: 200, targetBytesMax: 100, fieldsMax: 4)
        let start: String = "GET / HTTP/1.1\r\nHost: a\r\n"
        #expect(
            ReadRequest(start + "X: \(String(repeating: "b", count: 300))\r\n\r\n", limits: limits).outcome
                == .refused(.headTooLarge))
        #expect(ReadRequest(start + "A: 1\r\nB: 2\r\nC: 3\r\n\r\n", limits: limits).outcome == .complete)
        #expect(
            ReadRequest(start + "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n", limits: limits).outcome
                == .refused(.tooManyFields))
        #expect(HTTPRefusal.headTooLarge.status == 431)
        #expect(HTTPRefusal.tooManyFields.status == 431)
    }

    @Test(arguments: [
        ("GET", MethodCode.get), ("PATCH", .patch), ("get", .other), ("PUT", .put), ("TRACE", .trace), ("GETS", .other),
    ])
    func knowsMethods(name: String, code: MethodCode) {
        #expect(MethodCode(name) == code)
        #expect([UInt8](name.utf8).withUnsafeBytes { MethodCode($0) } == code)
    }

    @Test(arguments: [("a", 1), ("a:80", 1), ("[::1]:80", 5), ("[::1]", 5), ("example.com:", 11), ("", 0)])
    func findsTheHostWithoutItsPort(text: String, count: Int) {
        #expect([UInt8](text.utf8).withUnsafeBytes { HTTPAuthority.hostCount($0) } == count)
    }

    @Test func everyRefusalSaysWhy() {
        for refusal in HTTPRefusal.allCases {
            #expect(refusal.detail.utf8CodeUnitCount > 10)
            #expect([400, 414, 417, 431, 505].contains(refusal.status))
        }
    }
}
