import EventLoops
import Synchronization
import TLS

/// One loop's share of a listening address.
final class ListenerHandler: TimedHandler {
    private unowned(unsafe) let loop: GatewayLoop
    private let fd: Int32
    private var context: TLSContext?
    private let timer: ConnectionTimer = ConnectionTimer()
    private var isClosed: Bool = false

    /// Connections taken in one turn, so that those that are there already are served too.
    private static let acceptsPerTurn: Int = 64
    /// How long nothing is accepted after the process ran out of descriptors or memory.
    private static let pause: Duration = .milliseconds(100)

    init(loop: GatewayLoop, fd: Int32, context: TLSContext?) {
        self.loop = loop
        self.fd = fd
        self.context = context
        super.init()
        self.timer.handler = self
    }

    /// Connections accepted from now on begin with these certificates. A listener in the clear stays in the clear.
    func use(_ context: TLSContext) {
        if self.context != nil { self.context = context }
    }

    override func ready(_ events: Readiness) {
        for _ in 0..<ListenerHandler.acceptsPerTurn {
            if self.isClosed { return }
            switch Socket.accept(self.fd) {
            case .connection(let fd, let remote):
                self.loop.counters.accepted.wrappingAdd(1, ordering: .relaxed)
                self.loop.accepted(fd, remote, self.context)
            case .skipped: continue
            case .none: return
            case .exhausted:
                self.stop()
                return
            }
        }
    }

    /// Leaves waiting connections to the kernel for a moment: without descriptors the event would come at once again.
    private func stop() {
        try? self.loop.events.modify(fd: self.fd, interest: [])
        self.loop.events.schedule(self.timer, after: ListenerHandler.pause)
    }

    override func deadlinePassed() {
        if self.isClosed { return }
        do throws(SystemError) {
            try self.loop.events.modify(fd: self.fd, interest: .read)
        } catch {
            self.loop.events.schedule(self.timer, after: ListenerHandler.pause)
        }
    }

    /// - Parameter takesWaiting: connections that wait are accepted, as nobody else is there to do so.
    func close(takesWaiting: Bool) {
        if self.isClosed { return }
        if takesWaiting { self.ready(Readiness(rawValue: Interest.read.rawValue & 1)) }
        self.isClosed = true
        self.loop.events.cancel(self.timer)
        self.loop.events.deregister(fd: self.fd)
        self.loop.sockets.close(self.fd)
    }
}
