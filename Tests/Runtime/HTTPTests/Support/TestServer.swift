import EventLoops
import HTTP
import Synchronization
import TLS

/// A server on a free port of this machine with loops of its own.
struct TestServer {
    let server: HTTPServer
    let address: SocketAddress
    let group: EventLoopGroup

    var statistics: HTTPServerStatistics { self.server.statistics }
    var url: String { "http://\(self.address)" }

    func connect(receiveBuffer: Int32? = nil) async throws -> RawConnection {
        try await RawConnection.connect(self.address, receiveBuffer: receiveBuffer)
    }

    /// One request on a connection of its own, and everything that comes back.
    func exchange(_ request: String) async throws -> String {
        let connection: RawConnection = try await self.connect()
        try await connection.send(request)
        return try await connection.receiveAll()
    }

    /// Runs the body against a server, then takes everything down.
    static func with(
        limits: HTTPServerLimits = HTTPServerLimits(), timeouts: HTTPServerTimeouts = HTTPServerTimeouts(),
        tls: TLSContext? = nil, loops: Int = 2, handler: @escaping @Sendable (HTTPRequest) async -> HTTPResponse,
        _ body: (TestServer) async throws -> Void
    ) async throws {
        let group: EventLoopGroup = EventLoopGroup(count: loops, name: "test")
        let server: HTTPServer = HTTPServer(
            configuration: HTTPServerConfiguration(
                address: SocketAddress.loopback(port: 0), tls: tls, limits: limits, timeouts: timeouts), group: group,
            handler: handler)
        let address: SocketAddress = try server.start()
        do {
            try await body(TestServer(server: server, address: address, group: group))
        } catch {
            await server.drain(deadline: .zero)
            group.shutdown()
            throw error
        }
        await server.drain(deadline: .zero)
        group.shutdown()
    }
}

/// A value that handlers and tests share.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) {
        self.value = Mutex(value)
    }

    var current: Value { self.value.withLock { $0 } }

    func update(_ change: (inout Value) -> Void) {
        self.value.withLock { (value: inout Value) in
            var copy: Value = value
            change(&copy)
            value = copy
        }
    }
}

/// Opens once; whoever waits goes on then. Waiting ends early when the waiting task is cancelled.
final class Latch: Sendable {
    private let isOpen: Shared<Bool> = Shared(false)

    func open() { self.isOpen.update { $0 = true } }

    func wait() async {
        while !self.isOpen.current && !Task.isCancelled { try? await Task.sleep(for: .milliseconds(1)) }
    }
}
