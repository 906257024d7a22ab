import EventLoops
import Glibc
import Synchronization

/// A blocking TCP socket for tests: sends and receives exactly the bytes it is told. Every wait ends after some minutes.
final class RawSocket: @unchecked Sendable {
    // Used by one test, or one upstream thread, at a time.
    let fd: Int32
    private var isOpen: Bool = true
    /// Bytes received behind what was asked for.
    private var waiting: [UInt8] = []

    static let patience: Int = 300

    init(adopting fd: Int32) {
        self.fd = fd
        let flags: Int32 = fcntl(fd, F_GETFL)
        _ = fcntl(fd, F_SETFL, flags & ~O_NONBLOCK)
        var limit: timeval = timeval(tv_sec: RawSocket.patience, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        Socket.disableDelay(fd)
    }

    deinit { self.close() }

    /// Connects; the kernel accepts for a listener that is slow. `receiveBuffer` makes a reader that takes little.
    convenience init(port: UInt16, receiveBuffer: Int32? = nil) throws {
        let fd: Int32 = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if var size: Int32 = receiveBuffer {
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var address: sockaddr_in = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result: Int32 = withUnsafePointer(to: &address) { (pointer: UnsafePointer<sockaddr_in>) -> Int32 in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            let error: SystemError = SystemError.last("connect")
            Glibc.close(fd)
            throw error
        }
        self.init(adopting: fd)
    }

    func send(_ text: String) { self.send([UInt8](text.utf8)) }

    /// Sends everything, or stops quietly when the other side is gone: what matters is what it then says.
    func send(_ bytes: [UInt8]) {
        var sent: Int = 0
        while sent < bytes.count {
            let count: Int = bytes.withUnsafeBytes {
                Glibc.send(self.fd, $0.baseAddress.unsafelyUnwrapped + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    /// The next bytes; empty at the end of the stream, nil after a reset or too long a wait.
    func receive(_ most: Int = 65_536) -> [UInt8]? {
        if !self.waiting.isEmpty {
            let bytes: [UInt8] = self.waiting
            self.waiting = []
            return bytes
        }
        var buffer: [UInt8] = [UInt8](repeating: 0, count: most)
        let count: Int = recv(self.fd, &buffer, most, 0)
        if count < 0 { return nil }
        return Array(buffer[..<count])
    }

    /// All that comes until the end of the stream; nil when it ends with a reset or a wait.
    func receiveAll() -> String? {
        var all: [UInt8] = []
        while let bytes: [UInt8] = self.receive() {
            if bytes.isEmpty { return String(decoding: all, as: UTF8.self) }
            all += bytes
        }
        return nil
    }

    /// What comes up to and with the mark, or up to the end of the stream.
    func receive(until mark: String) -> String {
        let wanted: [UInt8] = [UInt8](mark.utf8)
        var all: [UInt8] = []
        while true {
            if let end: Int = RawSocket.end(of: wanted, in: all) {
                self.waiting = Array(all[end...])
                return String(decoding: all[..<end], as: UTF8.self)
            }
            guard let bytes: [UInt8] = self.receive(), !bytes.isEmpty else {
                return String(decoding: all, as: UTF8.self)
            }
            all += bytes
        }
    }

    /// Exactly so many bytes, or fewer at the end of the stream.
    func receive(exactly count: Int) -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count, let bytes: [UInt8] = self.receive(), !bytes.isEmpty { all += bytes }
        if all.count > count {
            self.waiting = Array(all[count...])
            all.removeLast(all.count - count)
        }
        return all
    }

    /// One message with its body, by Content-Length or chunks; what a careful reader makes of it.
    func receiveMessage(bodyless: Bool = false) -> RawMessage {
        let head: String = self.receive(until: "\r\n\r\n")
        var message: RawMessage = RawMessage(head: head)
        if bodyless { return message }
        if let length: Int = message.field("content-length").flatMap({ Int($0) }) {
            message.body = self.receive(exactly: length)
        } else if message.field("transfer-encoding")?.lowercased() == "chunked" {
            while true {
                let line: String = self.receive(until: "\r\n")
                guard let size: Int = Int(line.dropLast(), radix: 16) else { break }
                if size == 0 {
                    var trailer: String = self.receive(until: "\r\n")
                    while trailer != "\r\n", !trailer.isEmpty {
                        message.trailers.append(String(trailer.dropLast()))
                        trailer = self.receive(until: "\r\n")
                    }
                    break
                }
                message.body += self.receive(exactly: size)
                _ = self.receive(exactly: 2)
            }
        }
        return message
    }

    func finishWriting() { shutdown(self.fd, Int32(SHUT_WR)) }

    func close(abruptly: Bool = false) {
        if !self.isOpen { return }
        self.isOpen = false
        Socket.close(self.fd, abruptly: abruptly)
    }

    private static func end(of wanted: [UInt8], in all: [UInt8]) -> Int? {
        guard all.count >= wanted.count else { return nil }
        for start in 0...(all.count - wanted.count) where all[start] == wanted[0] {
            if all[start..<start + wanted.count].elementsEqual(wanted) { return start + wanted.count }
        }
        return nil
    }
}

/// A message as text: its head and its body.
struct RawMessage: Sendable {
    let head: String
    var body: [UInt8] = []
    var trailers: [String] = []

    init(head: String) { self.head = head }

    var startLine: String { String(self.head.prefix { $0 != "\r\n" }) }
    /// Of a response; 0 when there is none.
    var status: Int { Int(self.head.dropFirst(9).prefix(3)) ?? 0 }
    var text: String { String(decoding: self.body, as: UTF8.self) }
    /// Lines of fields, as sent.
    var lines: [String] { self.head.split(separator: "\r\n").dropFirst().map(String.init) }

    func field(_ name: String) -> String? {
        for line in self.lines {
            guard let colon: String.Index = line.firstIndex(of: ":") else { continue }
            if line[..<colon].lowercased() == name.lowercased() {
                return String(line[line.index(after: colon)...].drop { $0 == " " })
            }
        }
        return nil
    }
}

/// A port of this machine that refuses connections, unless someone listens on it with SO_REUSEPORT: nobody else is given it.
///
/// It stays taken for a while after this is gone, too: a gateway that a test leaves to end by itself may still look for its
/// target, and would find the upstream of another test.
final class RefusingPort: Sendable {
    /// How many ports stay taken.
    private static let retiredMax: Int = 200
    private static let retired: Mutex<[Int32]> = Mutex([])

    let port: UInt16
    private let fd: Int32

    init() throws {
        // Bound, and never listened on.
        self.fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var isShared: Int32 = 1
        setsockopt(self.fd, SOL_SOCKET, SO_REUSEPORT, &isShared, socklen_t(MemoryLayout<Int32>.size))
        var address: sockaddr_in = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let fd: Int32 = self.fd
        let result: Int32 = withUnsafePointer(to: &address) { (pointer: UnsafePointer<sockaddr_in>) -> Int32 in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else { throw SystemError.last("bind") }
        self.port = try Socket.localAddress(fd).port
    }

    deinit {
        let oldest: Int32? = RefusingPort.retired.withLock { (retired: inout [Int32]) in
            retired.append(self.fd)
            return retired.count > RefusingPort.retiredMax ? retired.removeFirst() : nil
        }
        if let oldest: Int32 = oldest { Glibc.close(oldest) }
    }
}
