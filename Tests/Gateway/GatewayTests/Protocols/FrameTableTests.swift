import Foundation
import GatewayConfiguration
import JSON
import Testing

@testable import Gateway

/// RFC 9113 case by case: frames as they are on the wire, right and wrong ones.
struct FrameTableTests {
    static let cases: [GoldenCase] = GoldenCase.table("rfc9113")

    @Test func thereAreCases() { #expect(Self.cases.count > 90) }

    private static func fields(_ frame: JSONValue) -> [(String, String)] {
        (frame["fields"]?.elements ?? []).map { ($0.elements?[0].text ?? "", $0.elements?[1].text ?? "") }
    }

    private static func send(_ frame: JSONValue, _ peer: HTTP2Peer) {
        let stream: UInt32 = UInt32(frame["stream"]?.integer ?? 0)
        let flags: UInt8 = UInt8(frame["flags"]?.integer ?? 0)
        guard frame["type"] == "headers" else {
            let payload: [UInt8] = HandshakeTableTests.bytes(frame["payload"]?.text ?? "")
            peer.send(UInt8(frame["type"]?.integer ?? 0), flags: flags, stream: stream, payload)
            return
        }
        let block: [UInt8] = HTTP2Peer.block(self.fields(frame))
        guard frame["split"] == true else {
            peer.send(HTTP2Peer.Kind.headers, flags: flags, stream: stream, block)
            return
        }
        peer.send(HTTP2Peer.Kind.headers, flags: flags & ~4, stream: stream, Array(block[..<5]))
        peer.send(HTTP2Peer.Kind.continuation, flags: 4, stream: stream, Array(block[5...]))
    }

    @Test(arguments: FrameTableTests.cases) func followsTheRFC(_ sample: GoldenCase) async throws {
        let arrived: Mutexed<[String]> = Mutexed([])
        let upstream: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while let request: String = Self.whole(session.socket) {
                // Answered never: its stream stays open.
                if request.contains("/hold") { continue }
                if !request.contains("/good") { arrived.change { $0.append(request) } }
                session.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            }
        }
        let gateway: GatewayUnderTest = try await .start([upstream.port])
        let peer: HTTP2Peer = try HTTP2Peer(port: gateway.port)
        for frame in sample["frames"]?.elements ?? [] { Self.send(frame, peer) }
        let expected: JSONValue = try #require(sample["expect"])
        let codes: [Int64] = (expected["goaway"]?.elements ?? []).compactMap { $0.integer }
        let resets: [Int64] = (expected["reset"]?.elements ?? []).compactMap { $0.integer }
        let status: Int64? = expected["status"]?.integer
        if resets.isEmpty, status == nil {
            // A connection that goes on answers this.
            peer.send(HTTP2Peer.Kind.ping, Self.mark)
            let code: UInt32? = Self.end(peer)
            if let code: UInt32 {
                #expect(codes.contains(Int64(code)))
                // It hears why, and then the end.
                while peer.next() != nil {}
            } else {
                #expect(expected["ignored"] == true, "the connection went on")
            }
        } else {
            let response: HTTP2Peer.Response = peer.response(UInt32(expected["stream"]?.integer ?? 1))
            if let code: UInt32 = response.goAway {
                #expect(codes.contains(Int64(code)), "\(response)")
            } else if let code: UInt32 = response.reset, status != 200 {
                #expect(resets.contains(Int64(code)), "\(response)")
            } else {
                #expect(Int64(response.status) == status, "\(response)")
            }
            if response.goAway == nil {
                // The connection goes on.
                #expect(peer.exchange(99, HTTP2Peer.request("GET", "/good")).status == 200)
            }
        }
        // What is not a whole good request never arrives as one.
        #expect(Int64(arrived.value.count) <= expected["arrives"]?.integer ?? 0, "\(arrived.value)")
        if status == 200, expected["arrives"] != nil { #expect(arrived.value.count == 1) }
        #expect(!arrived.value.contains { $0.contains("evil") })
        peer.socket.close()
        await gateway.stop()
        #expect(gateway.engine.blockCount == 0)
    }

    private static let mark: [UInt8] = Array("goeson??".utf8)

    /// The code of GOAWAY, `.max` for an end without one; nil when the mark is answered.
    private static func end(_ peer: HTTP2Peer) -> UInt32? {
        while let frame: HTTP2Peer.Frame = peer.next() {
            if let code: UInt32 = peer.goAway { return code }
            if frame.type == HTTP2Peer.Kind.ping, frame.flags & 1 == 1, frame.payload == self.mark { return nil }
        }
        return peer.goAway ?? .max
    }

    /// The bytes of one request, once its end has come; nil when the connection ends before.
    private static func whole(_ socket: RawSocket) -> String? {
        var text: String = ""
        while let bytes: [UInt8] = socket.receive(), !bytes.isEmpty {
            text += String(decoding: bytes, as: UTF8.self)
            guard let end: Range<String.Index> = text.range(of: "\r\n\r\n") else { continue }
            let head: String = text[..<end.lowerBound].lowercased()
            let body: Substring = text[end.upperBound...]
            if head.contains("transfer-encoding") {
                if body.hasPrefix("0\r\n") || body.contains("\r\n0\r\n"), body.hasSuffix("\r\n\r\n") { return text }
            } else if let length: Range<String.Index> = head.range(of: "content-length: ") {
                let digits: Substring = head[length.upperBound...].prefix { $0.isNumber }
                if body.utf8.count >= Int(digits) ?? 0 { return text }
            } else {
                return text
            }
        }
        return nil
    }
}
