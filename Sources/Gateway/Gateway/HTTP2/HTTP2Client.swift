import CNGHTTP2
import EventLoops
import HTTP
import TLS

/// A connection of HTTP/2 to a target, shared by many exchanges of one loop: each has a stream of its own.
///
/// → connecting → handshake (with TLS) → open → retired (takes no more streams) → closed.
final class HTTP2Client: HTTP2Connection {
    private enum State {
        case connecting
        case handshake
        case open
    }

    private let pool: TargetPool
    /// Who is at the other end.
    let remote: SocketAddress
    private var state: State
    private var isRetired: Bool = false
    private var requestsLeft: Int
    private let oldAt: UInt64
    private var idleSince: UInt64

    init(
        loop: GatewayLoop, pool: TargetPool, fd: Int32, remote: SocketAddress, isConnected: Bool, tls: TLSSession?
    ) {
        self.pool = pool
        self.remote = remote
        self.state = !isConnected || tls != nil ? .connecting : .open
        if isConnected, tls != nil { self.state = .handshake }
        self.requestsLeft = pool.rules.requestsMax
        self.oldAt = pool.rules.ageMax == .max ? .max : loop.events.now &+ pool.rules.ageMax
        self.idleSince = loop.events.now
        super.init(loop: loop, fd: fd, tls: tls)
    }

    /// Streams that may wait for a connection that is still being made.
    private static let earlyStreamsMax: Int = 100

    var isOpen: Bool { self.state == .open }

    /// Whether another exchange may use the connection.
    var takesStream: Bool {
        if self.isClosed || self.isRetired || self.requestsLeft <= 0 || self.loop.events.now >= self.oldAt {
            return false
        }
        guard self.isOpen, let session: OpaquePointer = self.session else {
            return self.streams.count < HTTP2Client.earlyStreamsMax
        }
        let limit: UInt32 = nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
        return self.streams.count < Int(limit) && nghttp2_session_check_request_allowed(session) != 0
    }

    /// A stream for one exchange; it begins on the wire with the request's head.
    func makeStream() -> HTTP2Stream {
        self.requestsLeft -= 1
        let stream: HTTP2Stream = HTTP2Stream(self)
        stream.begin(0)
        self.add(stream)
        return stream
    }

    // MARK: The beginning

    /// On the loop, once registered.
    func start() {
        self.loop.events.schedule(self.timer, at: self.loop.events.now &+ HTTP2Limits.watchInterval)
        if self.state == .open { self.opened() }
        if self.state == .handshake { self.goOnWithHandshake() }
    }

    override func ready(_ events: Readiness) {
        if self.isClosed { return }
        switch self.state {
        case .open: super.ready(events)
        case .handshake: self.goOnWithHandshake()
        case .connecting:
            guard events.isWritable || events.isBroken else { return }
            if Socket.pendingError(self.fd) != 0 {
                self.pool.address.failed(self.remote, now: self.loop.events.now)
                self.failEarly()
                return
            }
            if self.tls != nil {
                self.state = .handshake
                self.goOnWithHandshake()
            } else {
                self.opened()
            }
        }
    }

    private func goOnWithHandshake() {
        guard let tls: TLSSession = self.tls else { return }
        switch tls.handshake() {
        case .done:
            if tls.applicationProtocol == "h2" {
                self.opened()
                super.ready(Readiness(rawValue: Interest.read.rawValue & 1))
                return
            }
            // The target speaks only HTTP/1.1: what waits is sent over connections of its own.
            self.pool.speaksHTTP2 = false
            for stream in self.streams { stream.refuseEarly() }
            self.close()
        case .wantRead, .wantWrite: break
        case .closed, .failed: self.failEarly()
        }
    }

    private func failEarly() {
        let streams: [HTTP2Stream] = self.streams
        for stream in streams { stream.upstream?.fail(.connectFailed) }
        self.close()
    }

    private func opened() {
        self.state = .open
        guard self.openSession() else {
            self.failEarly()
            return
        }
        let streams: [HTTP2Stream] = self.streams
        for stream in streams { stream.upstream?.channelOpened() }
        self.flushLater()
    }

    private func openSession() -> Bool {
        var session: OpaquePointer?
        var option: OpaquePointer?
        guard nghttp2_option_new(&option) == 0, let option: OpaquePointer else { return false }
        defer { nghttp2_option_del(option) }
        nghttp2_option_set_no_auto_window_update(option, 1)
        nghttp2_option_set_max_outbound_ack(option, HTTP2Limits.waitingAcknowledgementsMax)
        nghttp2_option_set_max_settings(option, HTTP2Limits.settingsPerFrameMax)
        nghttp2_option_set_max_continuations(option, HTTP2Limits.continuationsMax)
        let context: UnsafeMutableRawPointer = Unmanaged<HTTP2Connection>.passUnretained(self).toOpaque()
        guard nghttp2_session_client_new2(&session, HTTP2Callbacks.all, context, option) == 0,
            let session: OpaquePointer
        else { return false }
        self.open(session)
        let settings: [nghttp2_settings_entry] = [
            HTTP2Connection.entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0),
            HTTP2Connection.entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(HTTP2Limits.streamWindowBytes)),
            HTTP2Connection.entry(
                NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(clamping: self.loop.settings.limits.headBytesMax)),
        ]
        _ = nghttp2_submit_settings(session, HTTP2Stream.noFlags, settings, settings.count)
        _ = nghttp2_session_set_local_window_size(
            session, HTTP2Stream.noFlags, 0, HTTP2Limits.connectionWindowBytes)
        return true
    }

    // MARK: Streams

    override func headersBegan(_ frame: nghttp2_headers, _ streamID: Int32) {
        guard let session: OpaquePointer = self.session,
            let raw: UnsafeMutableRawPointer = nghttp2_session_get_stream_user_data(session, streamID)
        else { return }
        let stream: HTTP2Stream = Unmanaged<HTTP2Stream>.fromOpaque(raw).takeUnretainedValue()
        stream.composer.begin(isTrailers: stream.headWasRead)
        self.headerStream = stream
    }

    override func controlFrame(_ frame: UnsafePointer<nghttp2_frame>) {
        // Streams beyond the last one it named are closed as refused by the session.
        if frame.pointee.hd.type == UInt8(NGHTTP2_GOAWAY.rawValue) { self.retire() }
    }

    override func recycle(_ stream: HTTP2Stream) {
        self.idleSince = self.loop.events.now
        if self.isRetired, self.streams.isEmpty { self.flushLater() }
    }

    override func turnEnded() {
        super.turnEnded()
        if self.isRetired, !self.isClosed, self.streams.isEmpty { self.close() }
    }

    /// Takes no more streams and ends with the last one it has.
    func retire() {
        self.isRetired = true
        self.flushLater()
    }

    override func deadlinePassed() {
        if self.isClosed { return }
        let now: UInt64 = self.loop.events.now
        self.resetStalled()
        if self.streams.isEmpty, now >= self.idleSince &+ self.pool.rules.idleTimeout { self.retire() }
        if now >= self.oldAt { self.retire() }
        self.loop.events.schedule(self.timer, at: now &+ HTTP2Limits.watchInterval)
    }

    override func ended() { self.pool.sessionEnded(self) }
}
