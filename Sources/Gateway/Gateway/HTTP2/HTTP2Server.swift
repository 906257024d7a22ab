import CNGHTTP2
import EventLoops
import GatewayConfiguration
import HTTP
import TLS

/// A client's HTTP/2 connection. Each of its streams is a client of its own to the engine; when a stream is over, its engine side
/// waits for the next one, as a connection of HTTP/1.1 does.
final class HTTP2Server: HTTP2Connection {
    private let address: IPAddress
    /// Streams that are over, with their engine sides.
    private var free: [HTTP2Stream] = []
    /// Place in the loop's list.
    var place: Int = 0
    /// When the last stream ended.
    private var idleSince: UInt64
    private var hadStream: Bool = false
    private var isDraining: Bool = false
    /// It was idle for too long; a goodbye is on its way.
    private var endsAfterFlush: Bool = false

    override var isServer: Bool { true }

    init(loop: GatewayLoop, fd: Int32, tls: TLSSession?, address: IPAddress) {
        self.address = address
        self.idleSince = loop.events.now
        super.init(loop: loop, fd: fd, tls: tls)
    }

    /// Makes the session and says what we take; false when memory is short.
    func start() -> Bool {
        var session: OpaquePointer?
        var option: OpaquePointer?
        guard nghttp2_option_new(&option) == 0, let option: OpaquePointer else { return false }
        defer { nghttp2_option_del(option) }
        nghttp2_option_set_no_auto_window_update(option, 1)
        nghttp2_option_set_no_closed_streams(option, 1)
        nghttp2_option_set_max_outbound_ack(option, HTTP2Limits.waitingAcknowledgementsMax)
        nghttp2_option_set_max_settings(option, HTTP2Limits.settingsPerFrameMax)
        nghttp2_option_set_max_continuations(option, HTTP2Limits.continuationsMax)
        let context: UnsafeMutableRawPointer = Unmanaged<HTTP2Connection>.passUnretained(self).toOpaque()
        guard nghttp2_session_server_new2(&session, HTTP2Callbacks.all, context, option) == 0,
            let session: OpaquePointer
        else { return false }
        self.open(session)
        let settings: [nghttp2_settings_entry] = [
            HTTP2Connection.entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, HTTP2Limits.streamsMax),
            HTTP2Connection.entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, UInt32(HTTP2Limits.streamWindowBytes)),
            HTTP2Connection.entry(
                NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, UInt32(clamping: self.loop.settings.limits.headBytesMax)),
            // WebSocket over a stream (RFC 8441).
            HTTP2Connection.entry(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1),
            // Signals of RFC 9218 instead of a tree of dependencies to keep.
            HTTP2Connection.entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1),
        ]
        _ = nghttp2_submit_settings(session, HTTP2Stream.noFlags, settings, settings.count)
        _ = nghttp2_session_set_local_window_size(
            session, HTTP2Stream.noFlags, 0, HTTP2Limits.connectionWindowBytes)
        self.flushLater()
        self.loop.events.schedule(self.timer, at: self.loop.events.now &+ self.loop.settings.headTimeout)
        return true
    }

    // MARK: Streams

    override func headersBegan(_ frame: nghttp2_headers, _ streamID: Int32) {
        guard let session: OpaquePointer = self.session else { return }
        if frame.cat == NGHTTP2_HCAT_REQUEST {
            let stream: HTTP2Stream = self.free.popLast() ?? HTTP2Stream(self)
            stream.begin(streamID)
            stream.composer.begin(isTrailers: false)
            if stream.client == nil { stream.client = self.loop.clientOf(stream, self.address) }
            self.add(stream)
            _ = nghttp2_session_set_stream_user_data(session, streamID, Unmanaged.passUnretained(stream).toOpaque())
            self.headerStream = stream
            if !self.hadStream {
                self.hadStream = true
                self.watch()
            }
            return
        }
        guard let raw: UnsafeMutableRawPointer = nghttp2_session_get_stream_user_data(session, streamID) else { return }
        let stream: HTTP2Stream = Unmanaged<HTTP2Stream>.fromOpaque(raw).takeUnretainedValue()
        stream.composer.begin(isTrailers: true)
        self.headerStream = stream
    }

    override func recycle(_ stream: HTTP2Stream) {
        if self.streams.isEmpty { self.idleSince = self.loop.events.now }
        if self.isDraining || self.free.count >= HTTP2Server.freeMax {
            stream.client?.close()
            return
        }
        self.free.append(stream)
    }

    /// Streams kept for later: their engine sides are small, but a burst should not stay in memory.
    private static let freeMax: Int = 32

    // MARK: Time

    private func watch() {
        self.loop.events.schedule(self.timer, at: self.loop.events.now &+ HTTP2Limits.watchInterval)
    }

    override func deadlinePassed() {
        if self.isClosed { return }
        let now: UInt64 = self.loop.events.now
        let settings: LoopSettings = self.loop.settings
        let isBlockLate: Bool = self.headerBlockSince.map { now >= $0 &+ settings.headTimeout } ?? false
        if isBlockLate {
            self.loop.counters.http2.add(.headerBlock)
            self.close()
            return
        }
        guard self.streams.isEmpty else {
            self.resetStalled()
            self.watch()
            return
        }
        let limit: UInt64 = self.hadStream ? settings.keepAliveTimeout : settings.headTimeout
        if now < self.idleSince &+ limit {
            self.loop.events.schedule(self.timer, at: self.idleSince &+ limit)
            return
        }
        self.sayGoodbye()
    }

    /// Ends a connection without streams.
    private func sayGoodbye() {
        guard let session: OpaquePointer = self.session else { return }
        self.submitGoAway(session)
        self.endsAfterFlush = true
    }

    override func turnEnded() {
        super.turnEnded()
        if self.endsAfterFlush, !self.isClosed, self.streams.isEmpty { self.close() }
    }

    // MARK: Drain

    /// Announces the end (RFC 9113, 6.8): first that it comes, so that streams already on their way are served; when the client has
    /// heard that, the last one that is.
    func drain() {
        guard let session: OpaquePointer = self.session, !self.isDraining else { return }
        self.keepNoStreams()
        _ = nghttp2_submit_shutdown_notice(session)
        _ = nghttp2_submit_ping(session, HTTP2Stream.noFlags, nil)
        self.flushLater()
    }

    /// At once, without a notice: what the client has sent meanwhile it may send again elsewhere.
    override func refuseFurtherStreams() {
        guard let session: OpaquePointer = self.session, !self.isDraining else { return }
        self.keepNoStreams()
        self.submitGoAway(session)
    }

    /// Streams that end are not used again.
    private func keepNoStreams() {
        self.isDraining = true
        for stream in self.free { stream.client?.close() }
        self.free = []
    }

    /// Names the last stream that is served.
    private func submitGoAway(_ session: OpaquePointer) {
        _ = nghttp2_submit_goaway(
            session, HTTP2Stream.noFlags, nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR.rawValue,
            nil, 0)
        self.flushLater()
    }

    override func controlFrame(_ frame: UnsafePointer<nghttp2_frame>) {
        guard self.isDraining, frame.pointee.hd.type == UInt8(NGHTTP2_PING.rawValue),
            let session: OpaquePointer = self.session
        else { return }
        self.submitGoAway(session)
    }

    override func ended() {
        let free: [HTTP2Stream] = self.free
        self.free = []
        for stream in free { stream.client?.close() }
        self.loop.serverClosed(self)
    }
}
