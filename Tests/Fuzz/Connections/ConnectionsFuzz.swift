import EventLoops
import Gateway
import GatewayConfiguration
import Glibc
import HTTP
import Synchronization

/// What libFuzzer calls with every input: a client's bytes on a connection to a gateway that runs, HTTP/2 frames behind a preface in most
/// inputs. The first byte chooses how they are cut into pieces, and whether the preface of HTTP/2 goes before them.
///
/// Unlike the other entry points it has threads and sockets: the gateway's own loop reads, and an input has been read when the gateway
/// has closed. What is checked is that it does so, that no buffer stays behind, and whatever AddressSanitizer sees.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzConnections(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1, let data else { return 0 }
    let gateway: RunningGateway = RunningGateway.shared
    var bytes: [UInt8] = data[0] & 1 == 0 ? RunningGateway.preface : []
    bytes += UnsafeBufferPointer(start: data + 1, count: count - 1)
    gateway.play(bytes, pieces: Int(data[0] >> 1) & 7)
    return 0
}

/// A gateway on a free port whose routes end in it: nothing goes upstream.
private final class RunningGateway: Sendable {
    static let shared: RunningGateway = RunningGateway()
    static let preface: [UInt8] = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]

    private static let configuration: String = """
        version: 1
        listen: {http: 127.0.0.1:0}
        workers: 1
        apis:
          - id: mocked
            routes:
              - {path: "/m/*", policies: [{mock: {status: 200, body: fuzzed}}]}
              - {path: "/b/*", policies: [{mock: {status: 200, json: {a: 1}}}, {transform: {request: {body: [{set: /a, value: 1}]}}}]}
              - {path: /k, policies: [{api_key: {header: X-API-Key}}]}
              - {path: /l, policies: [{rate_limit: {limit: 1, window: 1s}}, {mock: {status: 204}}]}
            upstream: {targets: [{url: "http://127.0.0.1:1"}]}
        """

    private let engine: GatewayEngine
    private let port: UInt16

    private init() {
        var settings: EngineSettings = EngineSettings()
        settings.lingerTimeout = .milliseconds(1)
        guard let file: GatewayFile = try? GatewayFile.read(Array(Self.configuration.utf8)) else {
            preconditionFailure("the configuration reads")
        }
        let live: LiveState = LiveState()
        let snapshot: Snapshot = Snapshot.compile(file.document, previous: nil, carrying: live).snapshot
        let engine: GatewayEngine = GatewayEngine(process: file.settings, snapshot: snapshot, engine: settings)
        self.engine = engine
        let started: Started = Started()
        Task.detached { started.set(try? await engine.start().http?.port) }
        self.port = started.wait()
    }

    /// Sends, shuts the sending side, and reads until the gateway closes.
    func play(_ bytes: [UInt8], pieces: Int) {
        let fd: Int32 = self.connect()
        defer { close(fd) }
        let size: Int = pieces == 0 ? bytes.count : max(1, bytes.count / (pieces + 1))
        var sent: Int = 0
        while sent < bytes.count {
            let count: Int = bytes.withUnsafeBytes {
                send(fd, $0.baseAddress.unsafelyUnwrapped + sent, min(size, bytes.count - sent), Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { break }
            sent += count
        }
        shutdown(fd, Int32(SHUT_WR))
        var buffer: [UInt8] = [UInt8](repeating: 0, count: 16_384)
        var left: Int = 1 << 20
        while left > 0 {
            let count: Int = recv(fd, &buffer, buffer.count, 0)
            // A reset is an end, too; a wait of seconds is not.
            if count < 0 { precondition(errno != EAGAIN, "the gateway ends a connection that its client has ended") }
            if count <= 0 { break }
            left -= count
        }
        self.settle()
    }

    /// The gateway has let go of the connection and of every buffer.
    private func settle() {
        for _ in 0..<10_000 {
            if self.engine.connectionCount == 0, self.engine.blockCount == 0 { return }
            usleep(200)
        }
        preconditionFailure(
            "\(self.engine.connectionCount) connections and \(self.engine.blockCount) buffers stay behind")
    }

    private func connect() -> Int32 {
        while true {
            let fd: Int32 = self.socket()
            if self.connect(fd) { return fd }
            // libFuzzer's timer interrupts what waits, here for a core; anything else is a finding, and its number the only hint.
            guard errno == EINTR else {
                perror("the gateway does not accept")
                preconditionFailure("the gateway accepts")
            }
            close(fd)
        }
    }

    private func socket() -> Int32 {
        let fd: Int32 = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var limit: timeval = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var immediately: Int32 = 1
        setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &immediately, socklen_t(MemoryLayout<Int32>.size))
        // Ports are many, but not without end: no connection waits in TIME_WAIT.
        var reset: linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, socklen_t(MemoryLayout<linger>.size))
        return fd
    }

    private func connect(_ fd: Int32) -> Bool {
        var address: sockaddr_in = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = self.port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { (pointer: UnsafePointer<sockaddr_in>) -> Bool in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}

/// A port that another task finds out.
private final class Started: Sendable {
    private let port: Mutex<UInt16> = Mutex(0)

    func set(_ port: UInt16?) { self.port.withLock { $0 = port ?? 1 } }

    func wait() -> UInt16 {
        while true {
            let port: UInt16 = self.port.withLock { $0 }
            if port != 0 { return port }
            usleep(1000)
        }
    }
}
