import Testing

@testable import HTTP

struct HTTPResponseHeadTests {
    private static func read(_ text: String, isHead: Bool = false) -> (HTTPHeadOutcome, HTTPResponseHead) {
        var head: HTTPResponseHead = HTTPResponseHead()
        var scanned: Int = 0
        let outcome: HTTPHeadOutcome = [UInt8](text.utf8).withUnsafeBytes {
            HTTPHeadReader.readResponse(
                $0, isHead: isHead, scanned: &scanned, limits: .standard, table: HTTPFieldTable(), into: &head)
        }
        return (outcome, head)
    }

    struct Accepted: Sendable, CustomTestStringConvertible {
        let text: String
        let status: Int
        let framing: HTTPFraming
        var keepsAlive: Bool = true
        var isHead: Bool = false
        var testDescription: String { self.text.debugDescription }
    }

    static let accepted: [Accepted] = [
        Accepted(text: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", status: 200, framing: .length(3)),
        Accepted(text: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", status: 200, framing: .none),
        Accepted(text: "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", status: 200, framing: .none),
        Accepted(
            text: "HTTP/1.1 404 Not \u{E9} Found\r\nTransfer-Encoding: chunked\r\n\r\n", status: 404, framing: .chunked),
        Accepted(text: "HTTP/1.1 200 OK\r\n\r\n", status: 200, framing: .untilClose, keepsAlive: false),
        Accepted(
            text: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", status: 200, framing: .length(1), keepsAlive: false),
        Accepted(
            text: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n", status: 200,
            framing: .length(1)),
        Accepted(text: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", status: 200, framing: .none, isHead: true),
        Accepted(
            text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", status: 200, framing: .none, isHead: true),
        Accepted(text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", status: 304, framing: .none),
        Accepted(text: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", status: 204, framing: .none),
        Accepted(text: "HTTP/1.1 100 Continue\r\n\r\n", status: 100, framing: .none),
        Accepted(
            text: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", status: 101,
            framing: .none),
        Accepted(
            text: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n", status: 200, framing: .length(3),
            keepsAlive: false),
    ]

    @Test(arguments: HTTPResponseHeadTests.accepted) func accepts(_ wanted: Accepted) {
        let (outcome, head): (HTTPHeadOutcome, HTTPResponseHead) = Self.read(wanted.text, isHead: wanted.isHead)
        #expect(outcome == .complete)
        #expect(head.status == wanted.status)
        #expect(head.framing == wanted.framing)
        #expect(head.keepsAlive == wanted.keepsAlive)
        #expect(head.count == wanted.text.utf8.count)
    }

    @Test(
        arguments: [
            ("HTTP/2 200 OK\r\n\r\n", .statusLine), ("HTTP/1.2 200 OK\r\n\r\n", .statusLine),
            ("HTTP/1.1 20 OK\r\n\r\n", .statusLine),
            ("HTTP/1.1 099 OK\r\n\r\n", .statusLine), ("HTTP/1.1 600 OK\r\n\r\n", .statusLine),
            ("HTTP/1.1  200 OK\r\n\r\n", .statusLine),
            ("HTTP/1.1 2000 OK\r\n\r\n", .statusLine), ("HTTP/1.1 200 O\u{0}K\r\n\r\n", .statusLine),
            ("HTTP/1.1 200 OK\n\n        ", .bareLineFeed),
            ("ICY 200 OK\r\n\r\n", .statusLine), ("X", .statusLine),
            ("HTTP/1.1 200 OK\rX        ", .bareCarriageReturn),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", .lengthAndCoding),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", .contentLengthRepeated),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", .contentLength),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", .transferCoding),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .codingInOldVersion),
            ("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", .lengthAndCoding),
            ("HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\n", .lengthAndCoding),
            ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", .fieldName), ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", .foldedLine),
            ("HTTP/1.1 200 OK\r\nX: y\n\r\n", .bareLineFeed),
        ] as [(String, HTTPRefusal)])
    func refuses(text: String, refusal: HTTPRefusal) {
        #expect(Self.read(text).0 == .refused(refusal))
    }

    @Test(arguments: HTTPResponseHeadTests.accepted) func readsTheSameInAnyPieces(_ wanted: Accepted) {
        let bytes: [UInt8] = [UInt8](wanted.text.utf8)
        let table: HTTPFieldTable = HTTPFieldTable()
        var scanned: Int = 0
        var head: HTTPResponseHead = HTTPResponseHead()
        for count in 1...bytes.count {
            let outcome: HTTPHeadOutcome = bytes.withUnsafeBytes {
                HTTPHeadReader.readResponse(
                    UnsafeRawBufferPointer(rebasing: $0[..<count]), isHead: wanted.isHead, scanned: &scanned,
                    limits: .standard,
                    table: table, into: &head)
            }
            #expect(outcome == (count < bytes.count ? .incomplete : .complete), "after \(count) bytes")
        }
    }
}
