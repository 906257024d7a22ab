import EventLoops
import Glibc

/// A listening socket whose connections the test answers byte by byte.
final class RawServer: @unchecked Sendable {
    // Sendable by this rule: nothing changes after init.
    private let fd: Int32
    let address: SocketAddress

    init() throws {
        self.fd = try Socket.listen(SocketAddress.loopback(port: 0), reusePort: false)
        self.address = try Socket.localAddress(self.fd)
    }

    deinit { Glibc.close(self.fd) }

    var url: String { "http://\(self.address)" }

    /// The next connection; polls, so that no thread of the pool is blocked.
    func accept() async throws -> RawConnection {
        let end: ContinuousClock.Instant = ContinuousClock.now + .seconds(20)
        while ContinuousClock.now < end {
            if case .connection(let fd, _) = Socket.accept(self.fd) { return RawConnection(adopting: fd) }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw RawConnection.Failure.timedOut(received: "no connection")
    }

    /// Answers one request per connection with these bytes and closes, until cancelled.
    func answer(_ responses: [String], closes: Bool = true) -> Task<Void, any Error> {
        Task {
            for response in responses {
                let connection: RawConnection = try await self.accept()
                _ = try await connection.receive(through: "\r\n\r\n")
                try await connection.send(response)
                if closes { connection.close() } else { try await Task.sleep(for: .seconds(600)) }
            }
        }
    }
}
