import EventLoops
import Glibc

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
        } else {
            self = result == Socket.wouldBlock ? .wouldBlock : .failed(Transfer.reason(result))
        }
    }

    init(received result: Int) {
        self = result == 0 ? .ended : Transfer(sent: result)
    }

    private static func reason(_ result: Int) -> String {
        SystemError(code: Int32(truncatingIfNeeded: -result), call: "socket").reason
    }
}

/// The bytes of one connection, in the clear or through TLS. Owned by the connection, used on its loop.
struct Transport {
    let fd: Int32
    var isTLS: Bool { false }

    init(fd: Int32) {
        self.fd = fd
    }

    mutating func receive(_ buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        guard let base: UnsafeMutableRawPointer = buffer.baseAddress else { return .bytes(0) }
        return Transfer(received: Socket.receive(self.fd, base, buffer.count))
    }

    mutating func send(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        guard let base: UnsafeRawPointer = bytes.baseAddress else { return .bytes(0) }
        return Transfer(sent: Socket.send(self.fd, base, bytes.count))
    }
}
