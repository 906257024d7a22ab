import EventLoops
import Glibc
import TLS

/// A bare TCP connection for tests: sends exact bytes, and waits for bytes by polling, so that no thread of the pool that runs
/// the handlers under test is blocked.
final class RawConnection: @unchecked Sendable {
    // Sendable by this rule: each test uses its connection from one task at a time.
    enum Failure: Error, CustomStringConvertible {
        case timedOut(received: String)
        case ended(received: String)
        case system(Int32)

        var description: String {
            switch self {
            case .timedOut(let received): return "timed out after \(received.debugDescription)"
            case .ended(let received): return "ended after \(received.debugDescription)"
            case .system(let code): return "errno \(code)"
            }
        }
    }

    private static let deadline: Duration = .seconds(120)

    private var fd: Int32
    /// From `startTLS` on.
    private var session: TLSSession?
    private(set) var buffer: [UInt8] = []
    private(set) var hasEnded: Bool = false

    /// Takes over a connected, non-blocking socket.
    init(adopting fd: Int32) {
        self.fd = fd
    }

    static func connect(_ address: SocketAddress, receiveBuffer: Int32? = nil) async throws -> RawConnection {
        let attempt = try Socket.connect(address)
        let connection: RawConnection = RawConnection(adopting: attempt.fd)
        if var size: Int32 = receiveBuffer {
            setsockopt(attempt.fd, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        if !attempt.isConnected { try await connection.waitUntilConnected() }
        return connection
    }

    deinit { self.close() }

    func close() {
        if self.fd >= 0 { Glibc.close(self.fd) }
        self.fd = -1
    }

    /// Closes with a reset.
    func reset() {
        if self.fd >= 0 { Socket.close(self.fd, abruptly: true) }
        self.fd = -1
    }

    /// Speaks TLS from here on.
    func startTLS(_ context: TLSContext, host: String) async throws {
        let session: TLSSession = try TLSSession(client: context, descriptor: self.fd, host: host, peer: host)
        try await self.poll {
            switch session.handshake() {
            case .done: return true
            case .wantRead, .wantWrite: return false
            case .closed, .failed: throw Failure.ended(received: "")
            }
        }
        self.session = session
    }

    func finishWriting() { Socket.finishWriting(self.fd) }

    private func waitUntilConnected() async throws {
        try await self.poll {
            var descriptor: pollfd = pollfd(fd: self.fd, events: Int16(POLLOUT), revents: 0)
            return Glibc.poll(&descriptor, 1, 0) == 1
        }
        let code: Int32 = Socket.pendingError(self.fd)
        if code != 0 { throw Failure.system(code) }
    }

    func send(_ text: String) async throws { try await self.send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) async throws {
        var sent: Int = 0
        try await self.poll {
            while sent < bytes.count {
                let result: Int = self.sendNow(bytes, from: sent)
                if result == Socket.wouldBlock { return false }
                if result < 0 { throw Failure.system(Int32(-result)) }
                sent += result
            }
            return true
        }
    }

    /// Sends what the socket takes without waiting; returns how much.
    func sendWhatFits(_ bytes: [UInt8]) -> Int { max(self.sendNow(bytes, from: 0), 0) }

    private func sendNow(_ bytes: [UInt8], from start: Int) -> Int {
        bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) -> Int in
            guard let base: UnsafeRawPointer = raw.baseAddress else { return 0 }
            guard let session: TLSSession = self.session else {
                return Socket.send(self.fd, base + start, raw.count - start)
            }
            switch session.write(UnsafeRawBufferPointer(rebasing: raw[start...])) {
            case .done(let count): return count
            case .wantRead, .wantWrite: return Socket.wouldBlock
            case .closed, .failed: return Int(-EPIPE)
            }
        }
    }

    /// Reads what is there. True if anything changed.
    @discardableResult func receiveNow() -> Bool {
        var chunk: [UInt8] = Array(repeating: 0, count: 64 * 1024)
        let count: Int = chunk.withUnsafeMutableBytes { (raw: UnsafeMutableRawBufferPointer) -> Int in
            guard let base: UnsafeMutableRawPointer = raw.baseAddress else { return 0 }
            guard let session: TLSSession = self.session else { return Socket.receive(self.fd, base, raw.count) }
            switch session.read(into: raw) {
            case .done(let count): return count
            case .wantRead, .wantWrite: return Socket.wouldBlock
            case .closed, .failed: return 0
            }
        }
        if count > 0 {
            self.buffer.append(contentsOf: chunk[..<count])
            return true
        }
        if count != Socket.wouldBlock { self.hasEnded = true }
        return count == 0
    }

    /// Everything up to and with `mark`, taken off the buffer.
    func receive(through mark: String) async throws -> String {
        let wanted: [UInt8] = Array(mark.utf8)
        var searched: Int = 0
        while true {
            if let end: Int = RawConnection.end(of: wanted, in: self.buffer, from: searched) {
                return self.takeText(end)
            }
            searched = max(0, self.buffer.count - wanted.count)
            try await self.waitForMore()
        }
    }

    func receive(count: Int) async throws -> [UInt8] {
        while self.buffer.count < count { try await self.waitForMore() }
        let bytes: [UInt8] = Array(self.buffer[..<count])
        self.buffer.removeFirst(count)
        return bytes
    }

    /// Everything until the peer closes.
    func receiveAll() async throws -> String {
        while !self.hasEnded { try await self.waitForMore(orEnd: true) }
        return self.takeText(self.buffer.count)
    }

    /// One response with a Content-Length: its head and its body.
    func receiveResponse(hasBody: Bool = true) async throws -> RawResponse {
        let head: String = try await self.receive(through: "\r\n\r\n")
        var response: RawResponse = RawResponse(head: head)
        if hasBody, let length: Int = response.field("content-length").flatMap({ Int($0) }) {
            response.body = String(decoding: try await self.receive(count: length), as: UTF8.self)
        }
        return response
    }

    private func waitForMore(orEnd: Bool = false) async throws {
        if self.hasEnded { throw Failure.ended(received: String(decoding: self.buffer.prefix(500), as: UTF8.self)) }
        let before: Int = self.buffer.count
        try await self.poll {
            self.receiveNow()
            return self.buffer.count > before || self.hasEnded
        }
        if self.hasEnded && !orEnd && self.buffer.count == before {
            throw Failure.ended(received: String(decoding: self.buffer.prefix(500), as: UTF8.self))
        }
    }

    private func poll(_ isDone: () throws -> Bool) async throws {
        let end: ContinuousClock.Instant = ContinuousClock.now + RawConnection.deadline
        while try !isDone() {
            if ContinuousClock.now > end {
                throw Failure.timedOut(received: String(decoding: self.buffer.prefix(500), as: UTF8.self))
            }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    private func takeText(_ count: Int) -> String {
        let text: String = String(decoding: self.buffer[..<count], as: UTF8.self)
        self.buffer.removeFirst(count)
        return text
    }

    private static func end(of wanted: [UInt8], in buffer: [UInt8], from start: Int) -> Int? {
        var index: Int = start
        while index + wanted.count <= buffer.count {
            if buffer[index..<index + wanted.count].elementsEqual(wanted) { return index + wanted.count }
            index += 1
        }
        return nil
    }
}

/// A response as it came.
struct RawResponse {
    let head: String
    var body: String = ""

    init(head: String) {
        self.head = head
    }

    var statusLine: String { String(self.head.prefix(while: { $0 != "\r\n" })) }
    var status: Int { Int(self.head.utf8.count >= 12 ? String(self.head.dropFirst(9).prefix(3)) : "") ?? 0 }

    func field(_ name: String) -> String? {
        for line in self.head.split(separator: "\r\n").dropFirst() {
            guard let colon: Substring.Index = line.firstIndex(of: ":") else { continue }
            if line[..<colon].lowercased() == name.lowercased() {
                return String(line[line.index(after: colon)...].drop(while: { $0 == " " }))
            }
        }
        return nil
    }
}

/// Polls until the condition holds; false after a deadline.
func eventually(_ condition: () -> Bool) async -> Bool {
    let end: ContinuousClock.Instant = ContinuousClock.now + .seconds(120)
    while !condition() {
        if ContinuousClock.now > end { return false }
        try? await Task.sleep(for: .milliseconds(1))
    }
    return true
}
