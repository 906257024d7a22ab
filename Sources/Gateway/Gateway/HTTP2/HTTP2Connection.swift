import CNGHTTP2
import EventLoops
import TLS

/// One HTTP/2 connection, whichever side we are: moves frames between its socket and an nghttp2 session, and bytes between the
/// session's streams and the engine's connections.
///
/// nghttp2 calls back while it reads or writes frames; callbacks only record. What they recorded is acted on when it has returned,
/// so that no engine code runs inside the session, and no session ends inside itself. Output is gathered over a turn of the loop:
/// the answers of many streams leave with one system call.
class HTTP2Connection: TimedHandler {
    unowned(unsafe) let loop: GatewayLoop
    let fd: Int32
    let tls: TLSSession?
    let timer: ConnectionTimer = ConnectionTimer()
    /// The limits of connections this one counts in, for its streams; nil: none was asked for.
    var seats: ConnectionSeats?
    /// Nil before it was opened and after it was closed.
    private(set) var session: OpaquePointer?

    /// Streams that are open, in no order.
    private(set) var streams: [HTTP2Stream] = []
    /// Streams with something to tell their owner.
    private var waiting: [HTTP2Stream] = []
    /// The stream whose header block is being read.
    var headerStream: HTTP2Stream?
    /// When the header block that is not complete yet began.
    var headerBlockSince: UInt64?

    /// The kernel said that bytes wait and they were not all taken.
    private var inputReady: Bool = false
    private var inputFinished: Bool = false
    /// Bytes the kernel did not take.
    private var pending: ByteBlock?
    private var isFlushAsked: Bool = false
    private(set) var isClosed: Bool = false
    /// Set in a callback: the connection ends with this.
    private var verdict: HTTP2Abuse?
    private var flood: HTTP2FloodGuard = HTTP2FloodGuard()
    var streamNumbers: HTTP2StreamNumbers = HTTP2StreamNumbers()
    /// Monotonic nanoseconds when bytes last went out.
    private(set) var lastMoved: UInt64 = 0

    init(loop: GatewayLoop, fd: Int32, tls: TLSSession?) {
        self.loop = loop
        self.fd = fd
        self.tls = tls
        super.init()
        self.timer.handler = self
    }

    deinit { if let session: OpaquePointer = self.session { nghttp2_session_del(session) } }

    // MARK: What the two sides do differently

    var isServer: Bool { false }

    /// A header block begins on a stream.
    func headersBegan(_ frame: nghttp2_headers, _ streamID: Int32) {}
    /// All frames of the peer that are not headers or data.
    func controlFrame(_ frame: UnsafePointer<nghttp2_frame>) {}
    /// A stream is over and was taken out of `streams`; its owner was told.
    func recycle(_ stream: HTTP2Stream) {}
    /// Takes no more streams: the connection ends with those it has.
    func refuseFurtherStreams() {}
    /// The connection is gone; its streams' owners were told.
    func ended() {}

    // MARK: The session

    func open(_ session: OpaquePointer) { self.session = session }

    static func entry(_ id: nghttp2_settings_id, _ value: UInt32) -> nghttp2_settings_entry {
        nghttp2_settings_entry(settings_id: Int32(bitPattern: id.rawValue), value: value)
    }

    func add(_ stream: HTTP2Stream) {
        stream.slot = self.streams.count
        self.streams.append(stream)
    }

    private func remove(_ stream: HTTP2Stream) {
        let last: HTTP2Stream = self.streams.removeLast()
        if stream.slot < self.streams.count {
            self.streams[stream.slot] = last
            last.slot = stream.slot
        }
    }

    /// The owner of the stream has something to read, to send, or to hear.
    func wake(_ stream: HTTP2Stream) {
        if stream.isWaiting { return }
        stream.isWaiting = true
        self.waiting.append(stream)
        self.flushLater()
    }

    /// Notes an event that costs the peer little; from a callback. Nonzero ends the session's reading.
    func note(_ event: HTTP2FloodGuard.Event) -> Int32 {
        if self.flood.admits(event, now: self.loop.events.now) { return 0 }
        return self.condemn(event.abuse)
    }

    /// Ends the connection as soon as the session has returned; from a callback.
    func condemn(_ abuse: HTTP2Abuse) -> Int32 {
        if self.verdict == nil { self.verdict = abuse }
        return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
    }

    // MARK: Events

    override func ready(_ events: Readiness) {
        if self.isClosed { return }
        if events.peerFinished { self.inputFinished = true }
        if events.isReadable || self.tls != nil { self.inputReady = true }
        if self.pending != nil, events.isWritable || self.tls != nil { self.sendPending() }
        self.readInput()
    }

    override func resume() { self.readInput() }

    override func turnEnded() {
        self.isFlushAsked = false
        self.settle()
    }

    /// Frames wait to be sent: they leave at the end of this turn.
    func flushLater() {
        if self.isFlushAsked || self.isClosed { return }
        self.isFlushAsked = true
        self.loop.events.callAtTurnEnd(self)
    }

    // MARK: Input

    private static let readsPerTurn: Int = 16

    private func readInput() {
        var reads: Int = 0
        while self.inputReady, !self.isClosed {
            if reads == HTTP2Connection.readsPerTurn {
                self.loop.resumeLater(self)
                break
            }
            reads += 1
            let buffer: UnsafeMutableRawPointer = self.loop.input
            let got: Int = Transport.receive(self.fd, self.tls, buffer, GatewayLoop.inputBytes)
            if got <= 0 {
                self.inputReady = false
                if got == Socket.wouldBlock { break }
                self.close()
                return
            }
            if got < GatewayLoop.inputBytes, self.tls == nil { self.inputReady = self.inputFinished }
            self.use(UnsafeRawBufferPointer(start: buffer, count: got))
        }
        self.flushLater()
    }

    /// Gives received bytes to the session. They are all used or copied when this returns.
    func use(_ bytes: UnsafeRawBufferPointer) {
        guard let session: OpaquePointer = self.session, let start: UnsafeRawPointer = bytes.baseAddress else { return }
        let used: Int = nghttp2_session_mem_recv(session, start.assumingMemoryBound(to: UInt8.self), bytes.count)
        if used < 0 || self.verdict != nil {
            self.fail(HTTP2Connection.abuse(of: used))
            return
        }
        self.tellOwners()
    }

    /// What an error of the library says about the peer.
    private static func abuse(of code: Int) -> HTTP2Abuse {
        switch Int32(truncatingIfNeeded: code) {
        case NGHTTP2_ERR_FLOODED.rawValue: .pingFlood
        case NGHTTP2_ERR_TOO_MANY_SETTINGS.rawValue: .settingsFlood
        case NGHTTP2_ERR_HEADER_COMP.rawValue, NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue: .headerBlock
        default: .protocolError
        }
    }

    /// Ends a connection whose peer breaks the rules: it is told so, if it still listens.
    private func fail(_ abuse: HTTP2Abuse) {
        let reason: HTTP2Abuse = self.verdict ?? abuse
        self.verdict = nil
        if self.isServer { self.loop.counters.http2.add(reason) }
        if let session: OpaquePointer = self.session {
            let code: nghttp2_error_code =
                reason == .protocolError || reason == .headerBlock
                ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM
            _ = nghttp2_session_terminate_session(session, code.rawValue)
            self.flush()
        }
        self.close()
    }

    /// Acts on what callbacks recorded, in their order. Owners may add to the list while it is walked.
    private func tellOwners() {
        var index: Int = 0
        while index < self.waiting.count {
            let stream: HTTP2Stream = self.waiting[index]
            index += 1
            stream.isWaiting = false
            stream.tellOwner()
            if stream.isOver, stream.isReleased, stream.slot >= 0 {
                self.remove(stream)
                stream.slot = -1
                stream.discard()
                self.recycle(stream)
            }
        }
        self.waiting.removeAll(keepingCapacity: true)
    }

    // MARK: Output

    /// Rounds of telling and sending in one turn: an owner that fills what was just emptied goes on in the next.
    private static let roundsPerTurn: Int = 16

    private func settle() {
        for _ in 0..<HTTP2Connection.roundsPerTurn {
            if self.isClosed { return }
            self.tellOwners()
            self.flush()
            if self.isClosed { return }
            if self.waiting.isEmpty {
                self.closeWhenDone()
                return
            }
        }
        // Others first; asking for the end of this turn would run at once.
        self.loop.resumeLater(self)
    }

    /// The session has nothing more to read or to write.
    private func closeWhenDone() {
        guard let session: OpaquePointer = self.session, self.pending == nil else { return }
        if nghttp2_session_want_read(session) == 0, nghttp2_session_want_write(session) == 0 { self.close() }
    }

    /// Sends the frames that are ready, as many as the kernel takes.
    private func flush() {
        guard let session: OpaquePointer = self.session, self.pending == nil else { return }
        let buffer: UnsafeMutableRawPointer = self.loop.frames
        var count: Int = 0
        while true {
            var frame: UnsafePointer<UInt8>?
            let length: Int = nghttp2_session_mem_send(session, &frame)
            guard length > 0, let frame: UnsafePointer<UInt8> else {
                if length < 0 {
                    if let reason: HTTP2Abuse = self.verdict, self.isServer { self.loop.counters.http2.add(reason) }
                    self.close()
                    return
                }
                break
            }
            if count + length > GatewayLoop.frameBytes {
                self.transmit(buffer, count)
                if self.isClosed { return }
                count = 0
            }
            if var block: ByteBlock = self.pending {
                self.loop.blocks.append(frame, length, to: &block)
                self.pending = block
                return
            }
            (buffer + count).copyMemory(from: frame, byteCount: length)
            count += length
        }
        if count > 0 { self.transmit(buffer, count) }
    }

    private func transmit(_ bytes: UnsafeRawPointer, _ count: Int) {
        let sent: Int = Transport.send(self.fd, self.tls, bytes, count)
        guard sent > 0 || sent == Socket.wouldBlock else {
            self.close()
            return
        }
        self.lastMoved = self.loop.events.now
        let taken: Int = max(sent, 0)
        if taken == count { return }
        var block: ByteBlock = self.loop.blocks.take(count - taken)
        block.append(bytes + taken, count - taken)
        self.pending = block
    }

    private func sendPending() {
        guard var block: ByteBlock = self.pending else { return }
        let sent: Int = Transport.send(self.fd, self.tls, block.base + block.start, block.count)
        guard sent > 0 || sent == Socket.wouldBlock else {
            self.close()
            return
        }
        if sent > 0 {
            self.lastMoved = self.loop.events.now
            block.start &+= sent
        }
        if block.count > 0 {
            self.pending = block
            return
        }
        self.loop.blocks.give(block)
        self.pending = nil
        self.flushLater()
    }

    // MARK: The end

    /// Resets streams whose output has not moved for long.
    func resetStalled() {
        guard let session: OpaquePointer = self.session else { return }
        let now: UInt64 = self.loop.events.now
        for stream in self.streams where stream.isStalled(now: now) {
            self.loop.counters.http2.add(.stalledStream)
            _ = nghttp2_submit_rst_stream(
                session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, NGHTTP2_CANCEL.rawValue)
            self.flushLater()
        }
    }

    /// Ends the connection and every stream on it. Not from a callback.
    func close(abruptly: Bool = false) {
        if self.isClosed { return }
        self.isClosed = true
        self.seats = nil
        self.loop.events.cancel(self.timer)
        if let block: ByteBlock = self.pending { self.loop.blocks.give(block) }
        self.pending = nil
        let session: OpaquePointer? = self.session
        self.session = nil
        if let session: OpaquePointer { nghttp2_session_del(session) }
        if !abruptly { _ = self.tls?.shutdown() }
        self.loop.events.deregister(fd: self.fd, closing: true)
        Socket.close(self.fd, abruptly: abruptly)
        let streams: [HTTP2Stream] = self.streams
        self.streams = []
        self.waiting = []
        self.headerStream = nil
        for stream in streams {
            stream.slot = -1
            stream.connectionEnded()
        }
        self.ended()
    }
}
