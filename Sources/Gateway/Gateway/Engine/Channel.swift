import EventLoops
import Glibc
import TLS

/// Where a connection's bytes come from and go to: a socket, a socket through TLS, or one stream of an HTTP/2 connection.
///
/// Results are those of `Socket`: bytes, 0 at the end of the stream, or -errno. A stream outlives the connection that uses it.
struct Channel {
    /// -1: a stream, which has no descriptor of its own.
    let fd: Int32
    /// Nil: in the clear, or a stream.
    let tls: TLSSession?
    let stream: Unmanaged<HTTP2Stream>?
    /// A socket in the clear: asked before every transfer, so that the usual case is one comparison.
    let isPlain: Bool

    init(fd: Int32, tls: TLSSession?) {
        self.fd = fd
        self.tls = tls
        self.stream = nil
        self.isPlain = tls == nil
    }

    init(_ stream: HTTP2Stream) {
        self.fd = -1
        self.tls = nil
        self.stream = .passUnretained(stream)
        self.isPlain = false
    }

    var isStream: Bool { self.stream != nil }

    /// The stream carries a call of gRPC.
    @inline(__always)
    var isGRPC: Bool {
        guard let stream: Unmanaged<HTTP2Stream> = self.stream else { return false }
        return stream._withUnsafeGuaranteedRef { $0.isGRPC }
    }

    /// A stream whose peer promised to have done nothing with it.
    var wasRefused: Bool { self.stream?._withUnsafeGuaranteedRef { $0.wasRefused } ?? false }

    /// The TLS session below, also that of a stream's connection; nil: in the clear.
    var session: TLSSession? {
        guard let stream: Unmanaged<HTTP2Stream> = self.stream else { return self.tls }
        return stream._withUnsafeGuaranteedRef { $0.connection.tls }
    }

    @inline(__always)
    func receive(_ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
        if self.isPlain { return Socket.receive(self.fd, buffer, count) }
        if let tls: TLSSession = self.tls { return Transport.receive(self.fd, tls, buffer, count) }
        guard let stream: Unmanaged<HTTP2Stream> = self.stream else { return -Int(EBADF) }
        return stream._withUnsafeGuaranteedRef { $0.receive(buffer, count) }
    }

    @inline(__always)
    func send(_ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        if self.isPlain { return Socket.send(self.fd, bytes, count) }
        if let tls: TLSSession = self.tls { return Transport.send(self.fd, tls, bytes, count) }
        guard let stream: Unmanaged<HTTP2Stream> = self.stream else { return -Int(EBADF) }
        return stream._withUnsafeGuaranteedRef { $0.send(bytes, count) }
    }

    /// Sends two pieces, one behind the other.
    @inline(__always)
    func send(
        _ first: UnsafeRawPointer, _ firstCount: Int, _ second: UnsafeRawPointer, _ secondCount: Int
    ) -> Int {
        guard let stream: Unmanaged<HTTP2Stream> = self.stream else {
            return Transport.send(self.fd, self.tls, first, firstCount, second, secondCount)
        }
        return stream._withUnsafeGuaranteedRef { (stream: HTTP2Stream) -> Int in
            if firstCount == 0 { return stream.send(second, secondCount) }
            let sent: Int = stream.send(first, firstCount)
            if sent < firstCount || secondCount == 0 { return sent }
            let more: Int = stream.send(second, secondCount)
            return more < 0 ? sent : sent + more
        }
    }

    /// The connection below takes no more streams and ends with those it has; nothing where there are none.
    func refuseFurtherStreams() {
        self.stream?._withUnsafeGuaranteedRef { $0.connection.refuseFurtherStreams() }
    }

    /// Sends nothing more; the peer reads an end of stream.
    func finishWriting() {
        if let stream: Unmanaged<HTTP2Stream> = self.stream {
            stream._withUnsafeGuaranteedRef { $0.finishTunnel() }
            return
        }
        _ = self.tls?.shutdown()
        Socket.finishWriting(self.fd)
    }

    /// Ends the channel, and with it the registration of its socket. `owner` stays alive until the end of the loop's turn.
    func close(_ events: EventLoop, owner: TimedHandler, abruptly: Bool) {
        if let stream: Unmanaged<HTTP2Stream> = self.stream {
            stream._withUnsafeGuaranteedRef { $0.ownerClosed() }
            return
        }
        if !abruptly { _ = self.tls?.shutdown() }
        events.deregister(fd: self.fd, closing: true)
        Socket.close(self.fd, abruptly: abruptly)
    }
}
