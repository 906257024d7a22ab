package import EventLoops
import Synchronization
package import TLS

/// An HTTP/1.1 server for `async` handlers.
///
/// One request crosses threads twice: the loop that owns the connection reads it and starts one task on Swift's pool; the
/// response goes back to the loop in one job. Requests of one connection are answered one after the other, in order. When the
/// client goes away, the task is cancelled.
///
/// A client that ends its side of the connection counts as gone once nothing of it is left unread: the task is cancelled, but
/// what the handler still returns is sent, for clients that only half-closed.
package final class HTTPServer: Sendable {
    private enum Life {
        case new
        case running
        /// `drain` has been called; others that call it wait for its end.
        case draining
    }

    private let core: ServerCore
    private let loops: [ServerLoop]
    private let life: Mutex<Life> = Mutex(.new)
    private let hasStoppedAccepting: Atomic<Bool> = Atomic(false)

    /// The handler runs on the cooperative pool, many at a time; it must not block there.
    package init(
        configuration: HTTPServerConfiguration, group: EventLoopGroup,
        handler: @escaping @Sendable (HTTPRequest) async -> HTTPResponse
    ) {
        let core: ServerCore = ServerCore(configuration: configuration, handler: handler)
        self.core = core
        self.loops = group.loops.map { ServerLoop(loop: $0, core: core) }
    }

    package var statistics: HTTPServerStatistics { self.core.statistics }

    /// Whether every loop has stopped accepting.
    var isDraining: Bool { self.hasStoppedAccepting.load(ordering: .acquiring) }

    /// Shows other certificates to whoever connects from now on; connections under way keep what they began with.
    ///
    /// - Precondition: it was made with TLS.
    package func use(_ tls: TLSContext) {
        precondition(self.core.configuration.tls != nil, "a server in the clear stays so")
        self.core.tls.withLock { $0 = tls }
    }

    /// Listens, and returns the address it got. A port that anyone listens on already is found, in spite of SO_REUSEPORT.
    /// Once only.
    package func start() throws(SystemError) -> SocketAddress {
        let isFirst: Bool = self.life.withLock { (life: inout Life) -> Bool in
            guard case .new = life else { return false }
            life = .running
            return true
        }
        precondition(isFirst, "a server starts once")
        let listeners: Listeners = self.core.configuration.listeners
        let listening = try listeners.open(self.core.configuration.address, count: self.loops.count)
        for (index, fd) in listening.sockets.enumerated() {
            let serverLoop: ServerLoop = self.loops[index % self.loops.count]
            serverLoop.loop.execute {
                // Fails only when the kernel is out of memory for epoll entries; then this loop takes no connections.
                do { try serverLoop.listen(fd) } catch { listeners.close(fd) }
            }
        }
        return listening.bound
    }

    /// Stops accepting, finishes what is in flight, and returns when every connection is closed. After the deadline the rest
    /// is cut off. Streams that said `endsWhenDraining` go at once.
    ///
    /// - Parameter idleGrace: how long connections without a request, those in their handshake included, stay open for one more,
    ///   which is answered with `Connection: close`: for a server whose successor has the listening socket. What a client had
    ///   sent, or was about to send, when it began is so not lost. Zero: they go at once.
    package func drain(deadline: Duration, idleGrace: Duration = .zero) async {
        let isFirst: Bool = self.life.withLock { (life: inout Life) -> Bool in
            if case .draining = life { return false }
            life = .draining
            return true
        }
        guard isFirst else { return }
        for serverLoop in self.loops {
            await self.run(on: serverLoop) { serverLoop.beginDraining(idleGrace: idleGrace) }
        }
        self.hasStoppedAccepting.store(true, ordering: .releasing)
        let loops: [ServerLoop] = self.loops
        let cutOff: Task<Void, Never> = Task {
            do { try await Task.sleep(for: deadline) } catch { return }
            for serverLoop in loops { serverLoop.loop.execute { serverLoop.closeAll() } }
        }
        await self.core.waitUntilEmpty()
        cutOff.cancel()
    }

    /// Waits for the loop to have done it: nothing is accepted after `beginDraining`, so the count can only fall.
    private func run(on serverLoop: ServerLoop, _ job: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            serverLoop.loop.execute {
                job()
                continuation.resume()
            }
        }
    }
}
