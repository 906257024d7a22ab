import EventLoops
import Synchronization
import TLS

/// What one server has on one loop: its listening sockets, its connections, and scratch space they share.
///
/// Sendable by this rule: everything but the `let`s is touched on `loop` only.
final class ServerLoop: @unchecked Sendable {
    /// Bytes read from a socket in one call.
    static let scratchBytes: Int = 64 * 1024
    /// How long accepting rests when the process is out of descriptors.
    private static let exhaustedPause: Duration = .milliseconds(100)
    /// Connections taken in one turn, so that those already open get theirs.
    private static let acceptsPerTurn: Int = 64

    let loop: EventLoop
    let core: ServerCore
    let table: HTTPFieldTable
    let scratch: UnsafeMutableRawBufferPointer

    private var listeners: [Listener] = []
    private var connections: [ServerConnection] = []
    private(set) var isDraining: Bool = false
    private var retry: ActionTimer?

    init(loop: EventLoop, core: ServerCore) {
        self.loop = loop
        self.core = core
        self.table = HTTPFieldTable(limits: core.configuration.limits.heads)
        self.scratch = .allocate(byteCount: ServerLoop.scratchBytes, alignment: 16)
    }

    deinit { self.scratch.deallocate() }

    /// Starts to accept. On the loop.
    func listen(_ fd: Int32) throws(SystemError) {
        let listener: Listener = Listener(fd: fd, owner: self)
        try self.loop.register(listener, fd: fd, interest: .read)
        self.listeners.append(listener)
    }

    /// Stops accepting, lets idle connections and willing streams go; the others end with their response. Idle ones stay for a
    /// response more during the grace, if there is one. On the loop.
    func beginDraining(idleGrace: Duration) {
        self.isDraining = true
        self.stopListening()
        let keepsIdle: Bool = idleGrace > .zero
        for connection in self.connections { connection.drain(keepsIdle: keepsIdle) }
        if keepsIdle, !self.connections.isEmpty {
            self.loop.schedule(ActionTimer { self.endIdle() }, after: idleGrace)
        }
    }

    private func endIdle() {
        for connection in self.connections { connection.endIdle() }
    }

    /// On the loop.
    func closeAll() {
        self.isDraining = true
        self.stopListening()
        for connection in self.connections { connection.teardown() }
    }

    func remove(_ connection: ServerConnection) {
        let index: Int = connection.index
        self.connections.swapAt(index, self.connections.count - 1)
        self.connections[index].index = index
        self.connections.removeLast()
        self.core.connectionClosed(connection.remote, wasRefusal: connection.isRefusal)
    }

    private func stopListening() {
        if let retry: ActionTimer = self.retry.take() { self.loop.cancel(retry) }
        for listener in self.listeners {
            self.loop.deregister(fd: listener.fd, closing: true)
            self.core.configuration.listeners.close(listener.fd)
        }
        self.listeners = []
    }

    fileprivate func accept(_ listener: Listener) {
        for _ in 0..<ServerLoop.acceptsPerTurn {
            switch Socket.accept(listener.fd) {
            case .connection(let fd, let address): self.admit(fd, address)
            case .skipped: continue
            case .none: return
            case .exhausted:
                self.pauseAccepting(listener)
                return
            }
        }
    }

    private func admit(_ fd: Int32, _ address: SocketAddress) {
        var transport: Transport = Transport(fd: fd)
        if let context: TLSContext = self.core.tls.withLock({ $0 }) {
            // Fails only without memory; there is nobody to tell then.
            guard let session: TLSSession = try? TLSSession(server: context, descriptor: fd) else {
                Socket.close(fd)
                return
            }
            transport = Transport(fd: fd, session: session)
        }
        let admission: ServerCore.Admission = self.core.admit(address)
        // A refusal under TLS would cost a handshake, which is what the limit is there to save.
        if admission == .dropped || (admission == .refused && transport.isTLS) {
            transport.close(abruptly: false)
            if admission == .refused { self.core.connectionClosed(address, wasRefusal: true) }
            return
        }
        let connection: ServerConnection = ServerConnection(
            transport, remote: address, owner: self, isRefusal: admission == .refused)
        connection.index = self.connections.count
        self.connections.append(connection)
        connection.start()
    }

    /// Level-triggered readiness would spin while there are no descriptors, so the listener is left alone for a moment.
    private func pauseAccepting(_ listener: Listener) {
        try? self.loop.modify(fd: listener.fd, interest: [])
        if self.retry != nil { return }
        let timer: ActionTimer = ActionTimer { [weak self] in
            guard let self: ServerLoop = self else { return }
            self.retry = nil
            for listener in self.listeners { try? self.loop.modify(fd: listener.fd, interest: .read) }
        }
        self.retry = timer
        self.loop.schedule(timer, after: ServerLoop.exhaustedPause)
    }
}

/// A listening socket of one loop.
private final class Listener: ReadinessHandler {
    let fd: Int32
    private weak var owner: ServerLoop?

    init(fd: Int32, owner: ServerLoop) {
        self.fd = fd
        self.owner = owner
    }

    override func ready(_ events: Readiness) { self.owner?.accept(self) }
}
