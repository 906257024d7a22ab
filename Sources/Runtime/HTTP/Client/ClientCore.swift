import EventLoops
import Synchronization

/// What all connections of one client share: the pool, the loops, the configuration.
final class ClientCore: Sendable {
    private struct State {
        var pool: ConnectionPool
        /// Every connection that has not reported its end, so that `shutdown` finds them.
        var connections: [ObjectIdentifier: ClientConnection] = [:]
    }

    let configuration: HTTPClientConfiguration
    private let loops: [ClientLoop]
    private let cursor: Atomic<Int> = Atomic(0)
    private let state: Mutex<State>

    init(group: EventLoopGroup, configuration: HTTPClientConfiguration) {
        self.configuration = configuration
        self.loops = group.loops.map { ClientLoop(loop: $0, limits: configuration.limits.heads) }
        self.state = Mutex(State(pool: ConnectionPool(limits: configuration.limits)))
    }

    var connectionsOpen: Int { self.state.withLock { $0.connections.count } }

    /// Requests in queues; for tests.
    var waitingTotal: Int { self.state.withLock { $0.pool.waitingTotal } }

    // MARK: Requests

    /// Finds or makes a connection for the request, or lets it wait. Any thread.
    func dispatch(_ exchange: ClientExchange, fresh: Bool) {
        let lease: ConnectionPool.Lease = self.state.withLock { $0.pool.lease(exchange, fresh: fresh) }
        switch lease {
        case .reuse(let connection):
            connection.loop.execute { connection.begin(exchange) }
        case .open(let victim):
            if let victim: ClientConnection = victim { victim.loop.execute { victim.closeIdle() } }
            self.open(exchange)
        case .wait:
            self.watch(exchange)
        case .refuse(let error):
            exchange.settle(.failure(error))
        }
    }

    /// The caller waits no longer. Any thread.
    func giveUp(_ exchange: ClientExchange, _ failure: HTTPClientError) {
        let connection: ClientConnection? = exchange.giveUp(failure)
        _ = self.state.withLock { $0.pool.forget(exchange) }
        if let connection: ClientConnection = connection { connection.loop.execute { connection.drop(exchange) } }
    }

    private func open(_ exchange: ClientExchange) {
        let turn: Int = self.cursor.wrappingAdd(1, ordering: .relaxed).oldValue
        let home: ClientLoop = self.loops[Int(UInt(bitPattern: turn) % UInt(self.loops.count))]
        let connection: ClientConnection = ClientConnection(core: self, home: home, origin: exchange.request.origin)
        let isWelcome: Bool = self.state.withLock { (state: inout State) -> Bool in
            if state.pool.isShutDown { return false }
            state.connections[ObjectIdentifier(connection)] = connection
            return true
        }
        guard isWelcome else {
            exchange.settle(.failure(.shutDown))
            return
        }
        home.loop.execute { connection.open(exchange) }
    }

    /// A request in the queue has nobody else to look at its clock.
    private func watch(_ exchange: ClientExchange) {
        let loop: EventLoop = self.loops[0].loop
        loop.execute {
            let timer: ActionTimer = ActionTimer { [weak self, weak exchange] in
                guard let self: ClientCore = self, let exchange: ClientExchange = exchange else { return }
                let wasWaiting: Bool = self.state.withLock { $0.pool.forget(exchange) }
                if wasWaiting { exchange.settle(.failure(.timedOut(.connect))) }
            }
            loop.schedule(timer, at: exchange.connectDeadline)
        }
    }

    // MARK: Connections, each on its loop

    /// The connection is fit for another request: gives it one that waits, keeps it, or says that it should close.
    func release(_ connection: ClientConnection) -> ConnectionPool.Release {
        self.state.withLock { $0.pool.release(connection) }
    }

    /// The connection is closed; called once for each that was opened.
    func closed(_ connection: ClientConnection) {
        let next: ClientExchange? = self.state.withLock { (state: inout State) -> ClientExchange? in
            state.connections[ObjectIdentifier(connection)] = nil
            return state.pool.closed(connection)
        }
        if let next: ClientExchange = next { self.open(next) }
    }

    func shutdown() {
        let parts: (waiting: [ClientExchange], connections: [ClientConnection]) = self.state.withLock {
            (state: inout State) in
            (state.pool.shutDown(), Array(state.connections.values))
        }
        for exchange in parts.waiting { exchange.settle(.failure(.shutDown)) }
        for connection in parts.connections {
            connection.loop.execute { connection.fail(.shutDown) }
        }
    }
}

/// What the client's connections of one loop share. Used on that loop.
final class ClientLoop: @unchecked Sendable {
    // Sendable by this rule: `table` and `scratch` are touched on `loop` only.
    private static let scratchBytes: Int = 64 * 1024

    let loop: EventLoop
    let table: HTTPFieldTable
    let scratch: UnsafeMutableRawBufferPointer

    init(loop: EventLoop, limits: HTTPLimits) {
        self.loop = loop
        self.table = HTTPFieldTable(limits: limits)
        self.scratch = .allocate(byteCount: ClientLoop.scratchBytes, alignment: 16)
    }

    deinit { self.scratch.deallocate() }
}
