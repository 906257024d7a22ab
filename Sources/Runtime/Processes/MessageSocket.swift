import CLinux
import Glibc
import JSON

/// One end of a connection between two processes of one machine: short messages, each a JSON object, with descriptors beside them.
///
/// Blocking, for threads of one's own and for a start. Closed with its owner.
final class MessageSocket: Sendable {
    enum Failure: Error, CustomStringConvertible, Equatable {
        /// Nobody listens at the path.
        case nobody
        /// The other end is gone.
        case ended
        case system(Int32, String)
        case malformed

        var description: String {
            switch self {
            case .nobody: "nobody listens there"
            case .ended: "the other process has gone"
            case .system(let code, let call): "\(call): \(String(cString: strerror(code)))"
            case .malformed: "the other process sent something unknown"
            }
        }
    }

    /// Who is at the other end.
    struct Peer: Sendable, Equatable {
        let user: UInt32
        let process: Int32
    }

    private static let bytesMax: Int = 4096
    /// Descriptors in one message.
    static let descriptorsMax: Int = 60

    private let fd: Int32

    init(adopting fd: Int32) { self.fd = fd }

    deinit { close(self.fd) }

    static func connect(_ path: String) throws(Failure) -> MessageSocket {
        let fd: Int32 = clinux_message_connect(path)
        if fd >= 0 { return MessageSocket(adopting: fd) }
        throw errno == ENOENT || errno == ECONNREFUSED ? .nobody : .system(errno, path)
    }

    func peer() throws(Failure) -> Peer {
        var user: UInt32 = 0
        var process: Int32 = 0
        if clinux_message_peer(self.fd, &user, &process) != 0 { throw .system(errno, "getsockopt") }
        return Peer(user: user, process: process)
    }

    func send(_ message: JSONObject, descriptors: [Int32] = []) throws(Failure) {
        let bytes: [UInt8] = JSONValue.object(message).serialized()
        let result: Int32 = clinux_message_send(self.fd, bytes, bytes.count, descriptors, Int32(descriptors.count))
        if result == -EPIPE || result == -ECONNRESET { throw .ended }
        if result != 0 { throw .system(-result, "sendmsg") }
    }

    /// Waits for a message; nil: as long as it takes. The descriptors are the caller's.
    func receive(within limit: Duration? = nil) throws(Failure) -> (message: JSONObject, descriptors: [Int32]) {
        try self.waitForMessage(limit)
        var bytes: [UInt8] = [UInt8](repeating: 0, count: Self.bytesMax)
        var descriptors: [Int32] = [Int32](repeating: -1, count: Self.descriptorsMax)
        var count: Int32 = Int32(Self.descriptorsMax)
        var received: Int = clinux_message_receive(self.fd, &bytes, bytes.count, &descriptors, &count)
        if received == -Int(ECONNRESET) {
            // Told once, before what the other end said last: it went without reading all it was sent.
            count = Int32(Self.descriptorsMax)
            received = clinux_message_receive(self.fd, &bytes, bytes.count, &descriptors, &count)
        }
        if received == 0 || received == -Int(ECONNRESET) { throw .ended }
        if received < 0 { throw .system(Int32(-received), "recvmsg") }
        let held: [Int32] = Array(descriptors.prefix(Int(count)))
        guard let message: JSONObject = (try? JSONReader.parse(Array(bytes.prefix(received))))?.object else {
            for descriptor in held { close(descriptor) }
            throw .malformed
        }
        return (message, held)
    }

    private func waitForMessage(_ limit: Duration?) throws(Failure) {
        let milliseconds: Int32 = limit.map { Int32(clamping: Int64($0 / .milliseconds(1))) } ?? -1
        var entry: pollfd = pollfd(fd: self.fd, events: Int16(POLLIN), revents: 0)
        while true {
            let result: Int32 = poll(&entry, 1, milliseconds)
            if result > 0 { return }
            if result == 0 { throw .system(ETIMEDOUT, "recvmsg") }
            if errno != EINTR { throw .system(errno, "poll") }
        }
    }
}
