import EventLoops
import Glibc
import HTTP
import Synchronization
import TLS

/// One connection, used by one thread: blocks until it is answered or the time is up.
final class RedisConnection {
    private let fd: Int32
    private var tls: TLSSession?
    private var reader: RedisReplyReader = RedisReplyReader()
    private let limit: Duration

    private static let chunkBytes: Int = 64 * 1024

    init(
        _ location: RedisLocation, password: [UInt8]?, tls context: TLSContext?, limit: Duration
    ) throws(RedisError) {
        self.limit = limit
        let deadline: ContinuousClock.Instant = ContinuousClock.now + limit
        var fd: Int32 = -1
        var failure: RedisError = .unavailable("no address")
        for address in try Self.addresses(location, limit) {
            do throws(RedisError) {
                fd = try Self.connect(address, deadline)
                break
            } catch {
                failure = error
            }
        }
        guard fd >= 0 else { throw failure }
        self.fd = fd
        if location.isEncrypted, let context: TLSContext = context { try self.encrypt(context, location, deadline) }
        try self.introduce(location, password)
    }

    deinit {
        _ = self.tls?.shutdown()
        Socket.close(self.fd)
    }

    /// Sends the commands and returns as many replies.
    func send(_ commands: [[[UInt8]]]) throws(RedisError) -> [RedisReply] {
        let deadline: ContinuousClock.Instant = ContinuousClock.now + self.limit
        var bytes: [UInt8] = []
        for command in commands {
            bytes.append(contentsOf: "*\(command.count)\r\n".utf8)
            for argument in command {
                bytes.append(contentsOf: "$\(argument.count)\r\n".utf8)
                bytes.append(contentsOf: argument)
                bytes.append(contentsOf: [13, 10])
            }
        }
        try self.write(bytes, deadline)
        var replies: [RedisReply] = []
        while replies.count < commands.count {
            if let reply: RedisReply = try self.reader.next() {
                replies.append(reply)
            } else {
                try self.readMore(deadline)
            }
        }
        return replies
    }

    private func introduce(_ location: RedisLocation, _ password: [UInt8]?) throws(RedisError) {
        var commands: [[[UInt8]]] = []
        if let password: [UInt8] = password {
            var command: [[UInt8]] = [Array("AUTH".utf8)]
            if let user: String = location.user { command.append(Array(user.utf8)) }
            command.append(password)
            commands.append(command)
        }
        if location.database > 0 { commands.append([Array("SELECT".utf8), Array("\(location.database)".utf8)]) }
        commands.append([Array("PING".utf8)])
        for reply in try self.send(commands) {
            if case .error(let reason) = reply { throw .refused(reason) }
        }
    }

    // MARK: Bytes

    private func write(_ bytes: [UInt8], _ deadline: ContinuousClock.Instant) throws(RedisError) {
        var sent: Int = 0
        while sent < bytes.count {
            let count: Int = bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) -> Int in
                let rest: UnsafeRawBufferPointer = UnsafeRawBufferPointer(rebasing: raw[sent...])
                guard let tls: TLSSession = self.tls else { return Socket.send(self.fd, rest.baseAddress!, rest.count) }
                return Self.outcome(tls.write(rest))
            }
            if count == Socket.wouldBlock {
                try Self.wait(self.fd, for: Int16(POLLOUT | (self.tls == nil ? 0 : POLLIN)), deadline)
            } else if count <= 0 {
                throw .unavailable("the connection ended")
            } else {
                sent += count
            }
        }
    }

    private func readMore(_ deadline: ContinuousClock.Instant) throws(RedisError) {
        var chunk: [UInt8] = [UInt8](repeating: 0, count: Self.chunkBytes)
        while true {
            let count: Int = chunk.withUnsafeMutableBytes { (raw: UnsafeMutableRawBufferPointer) -> Int in
                guard let tls: TLSSession = self.tls else {
                    return Socket.receive(self.fd, raw.baseAddress!, raw.count)
                }
                return Self.outcome(tls.read(into: raw))
            }
            if count > 0 {
                self.reader.append(chunk[..<count])
                return
            }
            guard count == Socket.wouldBlock else { throw .unavailable("the connection ended") }
            try Self.wait(self.fd, for: Int16(POLLIN), deadline)
        }
    }

    private static func outcome(_ result: TLSResult) -> Int {
        switch result {
        case .done(let count): return count
        case .wantRead, .wantWrite: return Socket.wouldBlock
        case .closed: return 0
        case .failed: return -1
        }
    }

    private static func wait(
        _ fd: Int32, for events: Int16, _ deadline: ContinuousClock.Instant
    ) throws(RedisError) {
        while true {
            let left: Duration = deadline - ContinuousClock.now
            guard left > .zero else { throw .timedOut }
            let parts: (seconds: Int64, attoseconds: Int64) = left.components
            let milliseconds: Int64 = parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000 + 1
            var entry: pollfd = pollfd(fd: fd, events: events, revents: 0)
            let ready: Int32 = poll(&entry, 1, Int32(clamping: milliseconds))
            if ready > 0 { return }
            if ready < 0 && errno != EINTR { throw .unavailable(String(cString: strerror(errno))) }
        }
    }

    // MARK: Connecting

    private static func addresses(_ location: RedisLocation, _ limit: Duration) throws(RedisError) -> [SocketAddress] {
        if let literal: SocketAddress = SocketAddress("\(location.host):\(location.port)") { return [literal] }
        if let literal: SocketAddress = SocketAddress("[\(location.host)]:\(location.port)") { return [literal] }
        switch SystemResolver.lookUp(location.host, location.port) {
        case .addresses(let addresses): return addresses
        case .failed(let reason): throw .unavailable("\(location.host): \(reason)")
        }
    }

    private static func connect(
        _ address: SocketAddress, _ deadline: ContinuousClock.Instant
    ) throws(RedisError) -> Int32 {
        let made: (fd: Int32, isConnected: Bool)
        do throws(SystemError) {
            made = try Socket.connect(address)
        } catch {
            throw .unavailable("\(address): \(error)")
        }
        if made.isConnected { return made.fd }
        do throws(RedisError) {
            try Self.wait(made.fd, for: Int16(POLLOUT), deadline)
        } catch {
            Socket.close(made.fd)
            throw error
        }
        let code: Int32 = Socket.pendingError(made.fd)
        if code == 0 { return made.fd }
        Socket.close(made.fd)
        throw .unavailable("\(address): \(String(cString: strerror(code)))")
    }

    private func encrypt(
        _ context: TLSContext, _ location: RedisLocation, _ deadline: ContinuousClock.Instant
    ) throws(RedisError) {
        let session: TLSSession
        do throws(TLSError) {
            session = try TLSSession(
                client: context, descriptor: self.fd, host: location.host, peer: "\(location.host):\(location.port)")
        } catch {
            throw .unavailable("\(error)")
        }
        while true {
            switch session.handshake() {
            case .done:
                self.tls = session
                return
            case .wantRead: try Self.wait(self.fd, for: Int16(POLLIN), deadline)
            case .wantWrite: try Self.wait(self.fd, for: Int16(POLLOUT), deadline)
            case .closed: throw .unavailable("the connection ended during the TLS handshake")
            case .failed(let reason): throw .unavailable("TLS: \(reason)")
            }
        }
    }
}
