import CNGHTTP2
import HTTP

/// The request the engine sends to a target, as HEADERS.
extension HTTP2Stream {
    func sendRequestHead(_ bytes: UnsafeRawPointer, _ count: Int, _ session: OpaquePointer) -> Int? {
        var scanned: Int = 0
        var head: HTTPRequestHead = HTTPRequestHead()
        let outcome: HTTPHeadOutcome = HTTPHeadReader.readRequest(
            UnsafeRawBufferPointer(start: bytes, count: count), scanned: &scanned, limits: HTTP2Stream.generous,
            table: self.loop.http2Table, into: &head)
        guard outcome == .complete else { return nil }
        var fields: HTTP2FieldList = HTTP2FieldList(self.loop.http2Fields)
        fields.add(":method", bytes + head.start, head.methodCount)
        if self.connection.tls == nil { fields.add(":scheme", "http") } else { fields.add(":scheme", "https") }
        fields.add(":authority", bytes + head.host.lowerBound, head.host.count)
        fields.add(":path", bytes + head.target.lowerBound, head.target.count)
        fields.addFields(bytes, self.loop.http2Table, head.fieldCount)
        // What gRPC asks for, and others take no harm from: a proxy in between must not drop trailers.
        fields.add("te", "trailers")
        self.isHeadRequest = head.method == .head
        self.beginBody(head.framing)
        let own: UnsafeMutableRawPointer = Unmanaged.passUnretained(self).toOpaque()
        let id: Int32 = self.withBodySource {
            nghttp2_submit_request(session, nil, fields.base, fields.count, $0, own)
        }
        guard id > 0 else { return nil }
        self.id = id
        self.connection.flushLater()
        return head.count
    }
}
