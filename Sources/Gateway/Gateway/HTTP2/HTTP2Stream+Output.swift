import CNGHTTP2
import EventLoops
import HTTP

/// What the owner writes, as HEADERS, DATA and trailers.
extension HTTP2Stream {
    /// Takes bytes of an HTTP/1.1 message: how many were used, `wouldBlock`, or -errno. A head is taken whole.
    func send(_ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        guard let session: OpaquePointer = self.connection.session, !self.isOver else {
            return -Int(HTTP2Stream.brokenPipe)
        }
        var position: Int = 0
        while position < count {
            if self.outputState == .head {
                guard let taken: Int = self.sendHead(bytes + position, count - position, session) else {
                    return -Int(HTTP2Stream.brokenPipe)
                }
                position += taken
                continue
            }
            // Nobody waits for bytes behind the end.
            if self.outputState == .ended { return count }
            guard (self.output?.count ?? 0) < HTTP2Limits.outputBytesMax else {
                self.isBlocked = true
                return position > 0 ? position : Socket.wouldBlock
            }
            let taken: Int = self.sendBody(bytes + position, min(count - position, HTTP2Stream.pieceMax))
            if taken == 0 { return -Int(HTTP2Stream.brokenPipe) }
            position += taken
        }
        return count
    }

    private static let brokenPipe: Int32 = 32
    /// Bytes taken before the limit of waiting ones is looked at again; more than the longest trailer section.
    private static let pieceMax: Int = 16 * 1024

    private func sendBody(_ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        switch self.outputState {
        case .length:
            let taken: Int = Int(min(UInt64(count), self.outputLeft))
            self.outputLeft -= UInt64(taken)
            if self.outputLeft == 0 { self.outputState = .ended }
            self.put(bytes, taken)
            return taken
        case .chunked: return self.sendChunks(bytes, count)
        case .raw:
            self.put(bytes, count)
            return count
        case .head, .ended: return 0
        }
    }

    private func sendChunks(_ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        let whole: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: bytes, count: count)
        var position: Int = 0
        while true {
            switch self.outputDecoder.next(
                whole, position: &position, limits: self.loop.settings.limits, table: self.loop.http2Table)
            {
            case .bytes(let start, let length): self.put(bytes + start, length)
            case .incomplete: return position
            case .trailers(let start, let fieldCount): self.keepTrailers(bytes + start, fieldCount)
            case .end:
                self.outputState = .ended
                self.resumeOutput()
                return position
            case .refused: return 0
            }
        }
    }

    private func put(_ bytes: UnsafeRawPointer, _ count: Int) {
        if count > 0 {
            if self.output == nil { self.outputMoved = self.loop.events.now }
            var block: ByteBlock = self.output ?? self.loop.blocks.take(count)
            self.loop.blocks.append(bytes, count, to: &block)
            self.output = block
        }
        self.resumeOutput()
    }

    /// Lets the session ask for data again.
    func resumeOutput() {
        if self.isDeferred, let session: OpaquePointer = self.connection.session {
            self.isDeferred = false
            _ = nghttp2_session_resume_data(session, self.id)
        }
        self.connection.flushLater()
    }

    private func keepTrailers(_ bytes: UnsafeRawPointer, _ fieldCount: Int) {
        guard fieldCount > 0 else { return }
        for index in 0..<fieldCount {
            let field: HTTPField = self.loop.http2Table.fields[index]
            if field.known.isHopByHop || field.known.framesMessage { continue }
            var counts: (UInt16, UInt16) = (field.nameCount, field.valueCount)
            let size: Int = 4 + Int(field.nameCount) + Int(field.valueCount)
            var block: ByteBlock = self.outputTrailers ?? self.loop.blocks.take(size)
            self.loop.blocks.append(&counts, 4, to: &block)
            self.loop.blocks.append(bytes + Int(field.nameStart), Int(field.nameCount), to: &block)
            self.loop.blocks.append(bytes + Int(field.valueStart), Int(field.valueCount), to: &block)
            self.outputTrailers = block
        }
    }

    /// Ends a tunnel from our side.
    func finishTunnel() {
        guard self.outputState == .raw else { return }
        self.outputState = .ended
        self.resumeOutput()
    }

    // MARK: Heads

    /// Reads one head and submits it; nil when it is none, which the engine never writes.
    private func sendHead(_ bytes: UnsafeRawPointer, _ count: Int, _ session: OpaquePointer) -> Int? {
        self.upstream == nil
            ? self.sendResponseHead(bytes, count, session) : self.sendRequestHead(bytes, count, session)
    }

    private func sendResponseHead(_ bytes: UnsafeRawPointer, _ count: Int, _ session: OpaquePointer) -> Int? {
        var scanned: Int = 0
        var head: HTTPResponseHead = HTTPResponseHead()
        let outcome: HTTPHeadOutcome = HTTPHeadReader.readResponse(
            UnsafeRawBufferPointer(start: bytes, count: count), isHead: self.isHeadRequest, scanned: &scanned,
            limits: HTTP2Stream.generous, table: self.loop.http2Table, into: &head)
        guard outcome == .complete else { return nil }
        var fields: HTTP2FieldList = HTTP2FieldList(self.loop.http2Fields)
        if head.status == 101 { return self.sendTunnelHead(bytes, head, session) }
        // A tunnel that was not granted: nobody reads what the client sends on it.
        if self.inputFraming == .raw { self.inputFraming = .none }
        // "HTTP/1.1 200"
        fields.add(":status", bytes + 9, 3)
        fields.addFields(bytes, self.loop.http2Table, head.fieldCount)
        if head.isInterim {
            let code: Int32 = nghttp2_submit_headers(
                session, HTTP2Stream.noFlags, self.id, nil, fields.base, fields.count, nil)
            self.connection.flushLater()
            return code == 0 ? head.count : nil
        }
        self.beginBody(head.framing)
        let code: Int32 = self.withBodySource {
            nghttp2_submit_response(session, self.id, fields.base, fields.count, $0)
        }
        self.connection.flushLater()
        return code == 0 ? head.count : nil
    }

    /// The switch to WebSocket, which HTTP/2 calls success (RFC 8441, 5).
    private func sendTunnelHead(_ bytes: UnsafeRawPointer, _ head: HTTPResponseHead, _ session: OpaquePointer) -> Int? {
        guard self.inputFraming == .raw else { return nil }
        var fields: HTTP2FieldList = HTTP2FieldList(self.loop.http2Fields)
        fields.add(":status", "200")
        for index in 0..<head.fieldCount {
            let field: HTTPField = self.loop.http2Table.fields[index]
            let isAccept: Bool =
                field.nameCount == 20
                && WireText.equalsIgnoringCase(bytes + Int(field.nameStart), "sec-websocket-accept")
            if field.known.isHopByHop || isAccept { continue }
            fields.add(
                bytes + Int(field.nameStart), Int(field.nameCount), bytes + Int(field.valueStart),
                Int(field.valueCount))
        }
        self.outputState = .raw
        let code: Int32 = self.withBodySource {
            nghttp2_submit_response(session, self.id, fields.base, fields.count, $0)
        }
        self.connection.flushLater()
        return code == 0 ? head.count : nil
    }

    /// Heads the gateway put together: what came in, and what the route adds.
    static let generous: HTTPLimits = HTTPLimits(
        headBytesMax: HTTPLimits.headBytesCeiling, targetBytesMax: 32 * 1024)
    static let noFlags: UInt8 = UInt8(NGHTTP2_FLAG_NONE.rawValue)

    func beginBody(_ framing: HTTPFraming) {
        switch framing {
        case .none: self.outputState = .ended
        case .length(let count):
            self.outputState = .length
            self.outputLeft = count
        case .chunked:
            self.outputState = .chunked
            self.outputDecoder = HTTPChunkedDecoder()
        case .untilClose: self.outputState = .raw
        }
    }

    /// Calls with where the body will be read from; nil where there is none.
    func withBodySource<Result>(_ body: (UnsafePointer<nghttp2_data_provider>?) -> Result) -> Result {
        if self.outputState == .ended { return body(nil) }
        var source: nghttp2_data_provider = nghttp2_data_provider()
        source.source.ptr = Unmanaged.passUnretained(self).toOpaque()
        source.read_callback = HTTP2Callbacks.readBody
        return withUnsafePointer(to: &source) { body($0) }
    }

    // MARK: For the session

    /// Moves waiting bytes into a DATA frame: how many, or that there are none now. From a callback.
    func readOutput(_ buffer: UnsafeMutableRawPointer, _ room: Int, _ flags: inout UInt32) -> Int {
        var count: Int = 0
        if var block: ByteBlock = self.output {
            count = min(block.count, room)
            buffer.copyMemory(from: UnsafeRawPointer(block.base + block.start), byteCount: count)
            block.start += count
            self.output = block
            self.outputMoved = self.loop.events.now
            if block.count == 0 { self.give(&self.output) }
        }
        if self.isBlocked, (self.output?.count ?? 0) <= HTTP2Limits.outputBytesMax / 2 {
            self.isBlocked = false
            self.connection.wake(self)
        }
        if self.output == nil {
            if self.outputState == .ended {
                flags |= NGHTTP2_DATA_FLAG_EOF.rawValue
                if self.outputTrailers != nil, self.submitTrailers() {
                    flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                }
            } else if count == 0 {
                self.isDeferred = true
                return Int(NGHTTP2_ERR_DEFERRED.rawValue)
            }
        }
        return count
    }

    private func submitTrailers() -> Bool {
        guard let block: ByteBlock = self.outputTrailers, let session: OpaquePointer = self.connection.session else {
            return false
        }
        var fields: HTTP2FieldList = HTTP2FieldList(self.loop.http2Fields)
        var place: UnsafeRawPointer = UnsafeRawPointer(block.base + block.start)
        let end: UnsafeRawPointer = UnsafeRawPointer(block.base + block.end)
        while place < end {
            let nameCount: Int = Int(place.loadUnaligned(as: UInt16.self))
            let valueCount: Int = Int(place.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
            fields.add(place + 4, nameCount, place + 4 + nameCount, valueCount)
            place += 4 + nameCount + valueCount
        }
        let code: Int32 = nghttp2_submit_trailer(session, self.id, fields.base, fields.count)
        self.give(&self.outputTrailers)
        return code == 0
    }
}

/// Fields as nghttp2 takes them; it copies them, with names in lower case.
struct HTTP2FieldList {
    /// Fields of one block at most: those of a head and pseudo-header fields.
    static let countMax: Int = 512

    let base: UnsafeMutablePointer<nghttp2_nv>
    private(set) var count: Int = 0

    init(_ base: UnsafeMutablePointer<nghttp2_nv>) { self.base = base }

    mutating func add(
        _ name: UnsafeRawPointer, _ nameCount: Int, _ value: UnsafeRawPointer, _ valueCount: Int
    ) {
        guard self.count < HTTP2FieldList.countMax else { return }
        self.base[self.count] = nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.assumingMemoryBound(to: UInt8.self)),
            value: UnsafeMutablePointer(mutating: value.assumingMemoryBound(to: UInt8.self)), namelen: nameCount,
            valuelen: valueCount, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
        self.count += 1
    }

    mutating func add(_ name: StaticString, _ value: UnsafeRawPointer, _ valueCount: Int) {
        self.add(UnsafeRawPointer(name.utf8Start), name.utf8CodeUnitCount, value, valueCount)
    }

    mutating func add(_ name: StaticString, _ value: StaticString) {
        self.add(name, UnsafeRawPointer(value.utf8Start), value.utf8CodeUnitCount)
    }

    /// The fields of a head but for those of its connection.
    mutating func addFields(_ bytes: UnsafeRawPointer, _ table: HTTPFieldTable, _ fieldCount: Int) {
        for index in 0..<fieldCount {
            let field: HTTPField = table.fields[index]
            if field.known.isHopByHop, field.known != .trailer { continue }
            if field.known == .host { continue }
            self.add(
                bytes + Int(field.nameStart), Int(field.nameCount), bytes + Int(field.valueStart),
                Int(field.valueCount))
        }
    }
}
