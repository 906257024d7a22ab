import Crypto
import EventLoops
import Glibc
import TLS

/// What a read or a write on a non-blocking connection came to.
enum Transfer: Equatable {
    case bytes(Int)
    /// The loop will say when to try again.
    case wouldBlock
    /// The peer sends nothing more (reading), in good order.
    case ended
    /// The connection is unusable.
    case failed(String)

    init(sent result: Int) {
        if result >= 0 {
            self = .bytes(result)
        } else if result == Socket.wouldBlock {
            self = .wouldBlock
        } else {
            self = .failed(SystemError(code: Int32(truncatingIfNeeded: -result), call: "socket").reason)
        }
    }

    init(received result: Int) {
        self = result == 0 ? .ended : Transfer(sent: result)
    }

    init(_ result: TLSResult) {
        switch result {
        case .done(let count): self = .bytes(count)
        case .wantRead, .wantWrite: self = .wouldBlock
        case .closed: self = .ended
        case .failed(let error): self = .failed(error.description)
        }
    }
}

/// The bytes of one connection, in the clear or through TLS. Owned by the connection, used on its loop.
///
/// A TLS step may wait for the other direction than its own; so a connection with TLS tries both after any event.
struct Transport {
    let fd: Int32
    private(set) var session: TLSSession?

    var isTLS: Bool { self.session != nil }

    init(fd: Int32, session: TLSSession? = nil) {
        self.fd = fd
        self.session = session
    }

    /// `.bytes` when both sides are sure of each other.
    func handshake() -> TLSResult { self.session?.handshake() ?? .done(0) }

    func receive(_ buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        if let session: TLSSession = self.session { return Transfer(session.read(into: buffer)) }
        guard let base: UnsafeMutableRawPointer = buffer.baseAddress else { return .bytes(0) }
        return Transfer(received: Socket.receive(self.fd, base, buffer.count))
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        if let session: TLSSession = self.session { return Transfer(session.write(bytes)) }
        guard let base: UnsafeRawPointer = bytes.baseAddress else { return .bytes(0) }
        return Transfer(sent: Socket.send(self.fd, base, bytes.count))
    }

    /// Says that nothing more will be sent; reading goes on.
    func finishWriting() {
        _ = self.session?.shutdown()
        Socket.finishWriting(self.fd)
    }

    /// Closes; `abruptly` with a reset. The descriptor is no longer registered.
    mutating func close(abruptly: Bool) {
        if !abruptly { _ = self.session?.shutdown() }
        self.session = nil
        Socket.close(self.fd, abruptly: abruptly)
    }

    /// Gives TLS up where the peer never spoke it, to tell it so in the clear.
    mutating func dropTLS() { self.session = nil }
}
