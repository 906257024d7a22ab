import CNGHTTP2
import EventLoops
import HTTP

/// One stream of an HTTP/2 connection as a channel of HTTP/1.1 bytes: the engine's inner language.
///
/// What comes is turned into heads and chunks when the owner reads (`receive`), what the owner writes (`send`) is read as a head
/// and a framed body and turned into HEADERS and DATA. So every rule of the engine holds for HTTP/2 without knowing of it. A window
/// that is closed is a channel that would block; RST_STREAM is a reset connection, and the other way round.
///
/// The stream belongs to its connection, from its first frame until it is over and its owner let go of it; then it is used again.
final class HTTP2Stream {
    /// What the next bytes of the owner are.
    enum Output: UInt8 {
        /// A head. → length, chunked, raw, ended.
        case head
        case length
        case chunked
        /// Bytes without framing, until the owner ends them.
        case raw
        /// The message is complete.
        case ended
    }

    /// How the owner is told the length of what comes.
    enum InputFraming: UInt8 {
        /// Nothing comes behind the head.
        case none
        /// As the head's Content-Length says; the session checks it.
        case length
        case chunked
        /// Bytes without framing, up to an end of stream.
        case raw
    }

    let connection: HTTP2Connection
    unowned(unsafe) let loop: GatewayLoop
    var id: Int32 = 0
    /// Place in the connection's list; -1: in none.
    var slot: Int = -1
    /// In the connection's list of streams to be told.
    var isWaiting: Bool = false

    /// Who uses the channel: a client's side where we serve, an upstream's where we ask. An idle client's side stays for the next
    /// stream.
    var client: ClientConnection?
    var upstream: UpstreamConnection?

    /// Both sides have ended it, or one has reset it.
    private(set) var isOver: Bool = false
    /// It did not end well: its error code.
    private(set) var resetCode: UInt32?

    // Input.
    var composer: HTTP2HeadComposer = HTTP2HeadComposer()
    /// Complete heads, not read yet.
    var head: ByteBlock?
    /// Bytes of the body, not read yet.
    private var body: ByteBlock?
    /// Lines of trailers, for chunked bodies.
    var trailers: ByteBlock?
    var inputFraming: InputFraming = .none
    /// The peer has sent its last byte.
    private(set) var inputEnded: Bool = false
    /// The owner was told so.
    private var endWasRead: Bool = false
    /// The final head has come: another header block holds trailers.
    var headWasRead: Bool = false
    /// The request is a call of gRPC.
    var isGRPC: Bool = false
    /// Ends a call at the time its caller gave; kept for the next stream.
    private var callTimer: CallTimer?
    /// The head cannot be taken: answered by us.
    var refusal: HTTPRefusal?

    // Output.
    var output: ByteBlock?
    var outputState: Output = .head
    var outputLeft: UInt64 = 0
    var outputDecoder: HTTPChunkedDecoder = HTTPChunkedDecoder()
    /// Trailers to be sent behind the body, as (name count, value count, name, value).
    var outputTrailers: ByteBlock?
    /// The session has sent the end of ours.
    private var outputWasSent: Bool = false
    /// The session asked for data when there was none.
    var isDeferred: Bool = false
    /// The owner was told that the channel would block.
    var isBlocked: Bool = false
    /// The request is HEAD: its response has no body whatever its fields say.
    var isHeadRequest: Bool = false
    /// Monotonic nanoseconds when output last moved, or began to wait.
    var outputMoved: UInt64 = 0

    init(_ connection: HTTP2Connection) {
        self.connection = connection
        self.loop = connection.loop
    }

    // MARK: Life

    /// Begins a stream's life with everything as at first.
    func begin(_ id: Int32) {
        self.id = id
        self.isOver = false
        self.resetCode = nil
        self.inputFraming = .none
        self.inputEnded = false
        self.endWasRead = false
        self.headWasRead = false
        self.isGRPC = false
        self.refusal = nil
        self.outputState = .head
        self.outputWasSent = false
        self.isDeferred = false
        self.isBlocked = false
        self.isHeadRequest = false
    }

    /// The session has closed the stream; from a callback.
    func over(_ code: UInt32) {
        self.isOver = true
        if code != NGHTTP2_NO_ERROR.rawValue { self.resetCode = code }
        self.connection.wake(self)
    }

    /// Nobody needs the stream any more.
    var isReleased: Bool {
        if self.upstream != nil { return false }
        guard let client: ClientConnection = self.client else { return true }
        return client.phase == .idle
    }

    /// Lets the owner act on what came.
    func tellOwner() {
        if let client: ClientConnection = self.client {
            if self.isOver {
                // Its exchange ended before the stream did, else the client has gone.
                if client.phase != .idle { client.abort(.clientClosed) }
            } else if let refusal: HTTPRefusal = self.refusal {
                self.refusal = nil
                client.refuseHead(refusal)
            } else {
                client.ready(HTTP2Stream.both)
            }
        } else if let upstream: UpstreamConnection = self.upstream {
            upstream.ready(HTTP2Stream.both)
        }
    }

    /// What a stream tells its owner: try both.
    private static let both: Readiness = Readiness(rawValue: Interest.read.rawValue & 1 | Interest.write.rawValue)

    /// The owner is done with the channel, or gives it up in the middle of a message.
    func ownerClosed() {
        if let client: ClientConnection = self.client { self.loop.events.releaseAtTurnEnd(client) }
        if let upstream: UpstreamConnection = self.upstream { self.loop.events.releaseAtTurnEnd(upstream) }
        let isServer: Bool = self.client != nil
        self.client = nil
        self.upstream = nil
        self.keepAlive = nil
        if self.slot < 0 {
            self.discard()
            return
        }
        self.dropInput()
        // Nothing of it was sent.
        if self.id == 0 { self.isOver = true }
        if self.isOver {
            self.connection.wake(self)
            return
        }
        if self.outputState == .raw { self.finishTunnel() }
        if self.outputState == .ended, isServer || self.inputEnded {
            // The answer is on its way, and `outputEnded` stops a client that goes on sending; or it is out already.
            if self.outputWasSent, !self.inputEnded { self.reset(NGHTTP2_NO_ERROR) }
            return
        }
        self.reset(isServer && self.outputState != .head ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_CANCEL)
    }

    func reset(_ code: nghttp2_error_code) {
        guard let session: OpaquePointer = self.connection.session, !self.isOver else { return }
        _ = nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), self.id, code.rawValue)
        self.connection.flushLater()
    }

    /// The last frame of ours went out; from a callback. A body that nobody reads is stopped (RFC 9113, 8.1).
    func outputEnded() {
        self.outputWasSent = true
        guard !self.inputEnded, self.upstream == nil, self.client == nil || self.inputFraming == .none else { return }
        self.reset(NGHTTP2_NO_ERROR)
    }

    /// The connection is gone, and the stream with it.
    func connectionEnded() {
        self.isOver = true
        if !self.inputEnded { self.resetCode = NGHTTP2_CANCEL.rawValue }
        self.tellOwner()
        if let client: ClientConnection = self.client { client.close() }
        // An upstream's side may have a whole response to read yet: the stream lives as long as that.
        if self.upstream == nil { self.discard() } else { self.keepAlive = self }
    }

    /// A reference to itself, between the end of its connection and its owner's.
    private var keepAlive: HTTP2Stream?

    /// The target did not take the stream before it began.
    func refuseEarly() {
        self.resetCode = NGHTTP2_REFUSED_STREAM.rawValue
        self.upstream?.fail(.refused)
    }

    /// The target promised that it did nothing with the request (RFC 9113, 8.7).
    var wasRefused: Bool { self.resetCode == NGHTTP2_REFUSED_STREAM.rawValue }

    func isStalled(now: UInt64) -> Bool {
        guard !self.isOver, let output: ByteBlock = self.output, output.count > 0 else { return false }
        return now > self.outputMoved &+ HTTP2Limits.stallTimeout
    }

    /// The caller of a call gives it so much time.
    func limitCall(_ timeout: UInt64) {
        guard timeout > 0 else { return }
        let timer: CallTimer = self.callTimer ?? CallTimer()
        timer.stream = self
        self.callTimer = timer
        self.loop.events.schedule(timer, at: self.loop.events.now &+ timeout)
    }

    /// Gives all memory back.
    func discard() {
        if let timer: CallTimer = self.callTimer { self.loop.events.cancel(timer) }
        self.dropInput()
        self.give(&self.output)
        self.give(&self.outputTrailers)
        self.composer.discard(self.loop.blocks)
    }

    private func dropInput() {
        if let body: ByteBlock = self.body, body.count > 0, let session: OpaquePointer = self.connection.session {
            _ = nghttp2_session_consume_connection(session, body.count)
            self.connection.flushLater()
        }
        self.give(&self.body)
        self.give(&self.head)
        self.give(&self.trailers)
    }

    func give(_ block: inout ByteBlock?) {
        if let given: ByteBlock = block { self.loop.blocks.give(given) }
        block = nil
    }

    // MARK: Input, from callbacks

    /// Bytes of the body. They count against the window until the owner has read them.
    func data(_ bytes: UnsafeRawPointer, _ count: Int, _ session: OpaquePointer) {
        guard self.client != nil || self.upstream != nil, self.refusal == nil, self.inputFraming != .none else {
            _ = nghttp2_session_consume(session, self.id, count)
            return
        }
        var block: ByteBlock = self.body ?? self.loop.blocks.take(count)
        self.loop.blocks.append(bytes, count, to: &block)
        self.body = block
        self.connection.wake(self)
    }

    func endInput() {
        self.inputEnded = true
        self.connection.wake(self)
    }

    // MARK: Input, for the owner

    /// The longest size line of a chunk and its line ends, or an end without trailers.
    private static let chunkOverhead: Int = 24

    /// HTTP/1.1 bytes of what came: 0 at the end of a tunnel, -errno.
    func receive(_ buffer: UnsafeMutableRawPointer, _ room: Int) -> Int {
        var count: Int = 0
        if var head: ByteBlock = self.head {
            count = min(head.count, room)
            buffer.copyMemory(from: UnsafeRawPointer(head.base + head.start), byteCount: count)
            head.start += count
            self.head = head
            if head.count > 0 { return count }
            self.give(&self.head)
        }
        count += self.receiveBody(buffer + count, room - count)
        if count > 0 { return count }
        if self.inputFraming == .raw, self.inputEnded, self.resetCode == nil { return 0 }
        return self.isOver && (self.resetCode != nil || self.inputFraming == .raw)
            ? -Int(HTTP2Stream.resetError) : Socket.wouldBlock
    }

    private static let resetError: Int32 = 104

    private func receiveBody(_ buffer: UnsafeMutableRawPointer, _ room: Int) -> Int {
        switch self.inputFraming {
        case .none: return 0
        case .length, .raw: return self.takeBody(buffer, room)
        case .chunked:
            var count: Int = 0
            let waiting: Int = min(self.body?.count ?? 0, room - HTTP2Stream.chunkOverhead)
            if waiting > 0 {
                count = HTTP2Stream.writeSize(waiting, to: buffer)
                count += self.takeBody(buffer + count, waiting)
                (buffer + count).copyMemory(from: HTTP2Stream.lineEnd, byteCount: 2)
                count += 2
            }
            if self.body == nil, self.inputEnded, !self.endWasRead {
                count += self.writeEnd(buffer + count, room - count)
            }
            return count
        }
    }

    private func takeBody(_ buffer: UnsafeMutableRawPointer, _ room: Int) -> Int {
        guard var body: ByteBlock = self.body else { return 0 }
        let count: Int = min(body.count, room)
        buffer.copyMemory(from: UnsafeRawPointer(body.base + body.start), byteCount: count)
        body.start += count
        self.body = body
        if body.count == 0 { self.give(&self.body) }
        if let session: OpaquePointer = self.connection.session {
            _ = nghttp2_session_consume(session, self.id, count)
            self.connection.flushLater()
        }
        return count
    }

    /// The last chunk and the trailers behind it; nothing when they do not fit.
    private func writeEnd(_ buffer: UnsafeMutableRawPointer, _ room: Int) -> Int {
        let lines: Int = self.trailers?.count ?? 0
        guard room >= lines + 5 else { return 0 }
        (buffer).copyMemory(from: HTTP2Stream.lastChunk, byteCount: 3)
        if let trailers: ByteBlock = self.trailers {
            (buffer + 3).copyMemory(from: UnsafeRawPointer(trailers.base + trailers.start), byteCount: lines)
            self.give(&self.trailers)
        }
        (buffer + 3 + lines).copyMemory(from: HTTP2Stream.lineEnd, byteCount: 2)
        self.endWasRead = true
        return lines + 5
    }

    private static var lineEnd: UnsafeRawPointer {
        let text: StaticString = "\r\n"
        return UnsafeRawPointer(text.utf8Start)
    }

    private static var lastChunk: UnsafeRawPointer {
        let text: StaticString = "0\r\n"
        return UnsafeRawPointer(text.utf8Start)
    }

    /// A chunk's size line; how many bytes it has.
    private static func writeSize(_ size: Int, to buffer: UnsafeMutableRawPointer) -> Int {
        var shift: Int = (63 - size.leadingZeroBitCount) / 4 * 4
        var count: Int = 0
        while shift >= 0 {
            let digit: UInt8 = UInt8(truncatingIfNeeded: size >> shift & 15)
            buffer.storeBytes(of: digit < 10 ? 0x30 + digit : 0x57 + digit, toByteOffset: count, as: UInt8.self)
            count += 1
            shift -= 4
        }
        (buffer + count).copyMemory(from: self.lineEnd, byteCount: 2)
        return count + 2
    }
}
