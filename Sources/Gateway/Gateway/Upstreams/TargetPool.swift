import EventLoops
import GatewayConfiguration
import Synchronization
import TLS

/// One loop's connections to one target: the idle ones, most recently used last.
final class TargetPool {
    let state: TargetState
    /// What the target is called in records.
    let identity: IdentityNumber
    let address: TargetAddress
    /// `Host: name:port CRLF`, as requests to this target carry it.
    let hostLine: [UInt8]
    /// Put before every path; empty, or begins with a slash and does not end with one.
    let basePath: [UInt8]
    /// How it may be used; taken from the newest snapshot.
    var rules: PoolRules
    private var idle: [Unmanaged<UpstreamConnection>] = []
    /// Connections of this loop, idle and busy.
    var openCount: Int = 0
    /// Requests that wait for a connection; made when the first one does.
    var queue: ConnectionQueue?
    /// How TLS is spoken with the target; nil: not at all.
    let tls: TargetTLS?
    /// What the configuration asks for; `speaksHTTP2` turns false when the target does not offer it in the handshake.
    let wantsHTTP2: Bool
    var speaksHTTP2: Bool
    /// Connections of HTTP/2, those that take no more streams among them.
    private var sessions: [HTTP2Client] = []

    init(
        state: TargetState, identity: IdentityNumber, address: TargetAddress, hostLine: [UInt8], basePath: [UInt8],
        rules: PoolRules,
        tls: TargetTLS?, wantsHTTP2: Bool = false
    ) {
        self.wantsHTTP2 = wantsHTTP2
        self.speaksHTTP2 = wantsHTTP2
        self.state = state
        self.identity = identity
        self.address = address
        self.hostLine = hostLine
        self.basePath = basePath
        self.rules = rules
        self.tls = tls
    }

    /// The connection used last: it is the least likely to have been closed, and the others may grow old and go.
    func takeIdle() -> Unmanaged<UpstreamConnection>? { self.idle.popLast() }

    /// Keeps the connection; false when enough are kept.
    func keep(_ connection: UpstreamConnection) -> Bool {
        if self.idle.count >= self.rules.idleMax { return false }
        self.idle.append(.passUnretained(connection))
        return true
    }

    /// Forgets an idle connection that ended.
    func forget(_ connection: UpstreamConnection) {
        let wanted: UnsafeMutableRawPointer = Unmanaged.passUnretained(connection).toOpaque()
        // From the oldest: those end first.
        guard let index: Int = self.idle.firstIndex(where: { $0.toOpaque() == wanted }) else { return }
        self.idle.remove(at: index)
    }

    func closeIdle() {
        let idle: [Unmanaged<UpstreamConnection>] = self.idle
        self.idle = []
        for connection in idle { connection._withUnsafeGuaranteedRef { $0.close() } }
        for session in self.sessions { session.retire() }
    }

    /// What came of asking for a fresh connection.
    enum Attempt {
        case started(UpstreamConnection)
        /// As many as allowed are open.
        case overloaded
        case failed
    }

    /// Begins a connection to the target, on the loop.
    func connect(_ loop: GatewayLoop, forUpgrade: Bool = false) -> Attempt {
        // Only HTTP/1.1 can turn into another protocol.
        let asStream: Bool = self.speaksHTTP2 && !forUpgrade
        if asStream, let session: HTTP2Client = self.sessions.first(where: { $0.takesStream }) {
            return .started(self.exchange(on: session, loop))
        }
        let open: Int = self.state.connections.wrappingAdd(1, ordering: .relaxed).newValue
        if open > self.rules.connectionsMax {
            self.state.connections.wrappingSubtract(1, ordering: .relaxed)
            return .overloaded
        }
        guard let (first, rival): (SocketAddress, SocketAddress?) = self.address.next(now: loop.events.now) else {
            self.state.connections.wrappingSubtract(1, ordering: .relaxed)
            return .failed
        }
        do throws(SystemError) {
            let attempt: FirstAttempt = try self.attempt(first, rival, loop)
            let fd: Int32 = attempt.fd
            var session: TLSSession?
            if let tls: TargetTLS = self.tls {
                guard let made: TLSSession = tls.session(fd, offersHTTP2: asStream) else {
                    Socket.close(fd)
                    self.state.connections.wrappingSubtract(1, ordering: .relaxed)
                    return .failed
                }
                session = made
            }
            if asStream {
                return .started(try self.openSession(loop, attempt, session))
            }
            let connection: UpstreamConnection = UpstreamConnection(
                loop: loop, pool: self, channel: Channel(fd: fd, tls: session), remote: attempt.address,
                rival: attempt.rival, isConnected: attempt.isConnected)
            self.openCount += 1
            do throws(SystemError) {
                try loop.events.register(connection, fd: fd, interest: [.read, .write, .edgeTriggered])
            } catch {
                connection.closeUnregistered()
                return .failed
            }
            return .started(connection)
        } catch {
            self.state.connections.wrappingSubtract(1, ordering: .relaxed)
            return .failed
        }
    }

    private struct FirstAttempt {
        let fd: Int32
        let isConnected: Bool
        let address: SocketAddress
        let rival: SocketAddress?
    }

    /// Begins to connect; to the rival where the first one fails at once, because nothing leads to its family.
    private func attempt(
        _ first: SocketAddress, _ rival: SocketAddress?, _ loop: GatewayLoop
    ) throws(SystemError) -> FirstAttempt {
        do throws(SystemError) {
            let (fd, isConnected): (Int32, Bool) = try Socket.connect(first)
            return FirstAttempt(fd: fd, isConnected: isConnected, address: first, rival: rival)
        } catch {
            self.address.failed(first, now: loop.events.now)
            guard let rival: SocketAddress = rival else { throw error }
            let (fd, isConnected): (Int32, Bool) = try Socket.connect(rival)
            return FirstAttempt(fd: fd, isConnected: isConnected, address: rival, rival: nil)
        }
    }

    /// Closes idle connections to addresses the target is not at any more; those of HTTP/2 end with their last stream.
    func dropStale() {
        let idle: [Unmanaged<UpstreamConnection>] = self.idle
        for connection in idle {
            connection._withUnsafeGuaranteedRef { (connection: UpstreamConnection) in
                if self.address.contains(connection.remote) { return }
                self.forget(connection)
                connection.close()
            }
        }
        for session in self.sessions where !self.address.contains(session.remote) { session.retire() }
    }

    /// Whether a connection that is done had better be closed: this loop has no request for it, and another loop waits.
    var mustMakePlace: Bool {
        self.rules.queueMax > 0 && self.state.waiting.load(ordering: .relaxed) > (self.queue?.count ?? 0)
    }

    /// Closes a connection nobody uses, for another loop that waits for a place.
    func makePlace() {
        guard self.mustMakePlace, let idle: Unmanaged<UpstreamConnection> = self.takeIdle() else { return }
        idle._withUnsafeGuaranteedRef { $0.close() }
    }

    private func openSession(
        _ loop: GatewayLoop, _ attempt: FirstAttempt, _ tls: TLSSession?
    ) throws(SystemError) -> UpstreamConnection {
        let fd: Int32 = attempt.fd
        let session: HTTP2Client = HTTP2Client(
            loop: loop, pool: self, fd: fd, remote: attempt.address, isConnected: attempt.isConnected, tls: tls)
        do throws(SystemError) {
            try loop.events.register(session, fd: fd, interest: [.read, .write, .edgeTriggered])
        } catch {
            Socket.close(fd)
            throw error
        }
        self.openCount += 1
        self.sessions.append(session)
        let connection: UpstreamConnection = self.exchange(on: session, loop)
        session.start()
        return connection
    }

    private func exchange(on session: HTTP2Client, _ loop: GatewayLoop) -> UpstreamConnection {
        let stream: HTTP2Stream = session.makeStream()
        let connection: UpstreamConnection = UpstreamConnection(
            loop: loop, pool: self, channel: Channel(stream), remote: session.remote, isConnected: session.isOpen)
        stream.upstream = connection
        return connection
    }

    func sessionEnded(_ session: HTTP2Client) {
        guard let index: Int = self.sessions.firstIndex(where: { $0 === session }) else { return }
        self.sessions.remove(at: index)
        self.openCount -= 1
        self.state.connections.wrappingSubtract(1, ordering: .relaxed)
    }
}

/// The settings of a pool, in nanoseconds and connections of one loop.
struct PoolRules: Equatable {
    /// Open at once to the target, of all loops.
    var connectionsMax: Int = 1024
    /// Kept without a request by this loop.
    var idleMax: Int = 128
    var idleTimeout: UInt64 = 60_000_000_000
    /// Failures in a row that take the target out.
    var failuresMax: Int = 3
    var ejectFor: UInt64 = 10_000_000_000
    /// Requests of this loop that wait for a connection.
    var queueMax: Int = 0
    var queueTimeout: UInt64 = 1_000_000_000
    /// Requests of one connection.
    var requestsMax: Int = .max
    /// Age of a connection that carries another request; `.max`: any.
    var ageMax: UInt64 = .max
}

extension TargetState {
    /// Whether a request may be sent there now. A target whose time is over gets one request to try it: it stays out for the
    /// others until that one has come back.
    func admits(now: UInt64, rules: PoolRules) -> Bool {
        let until: UInt64 = self.ejectedUntil.load(ordering: .relaxed)
        if until == 0 { return true }
        if now < until { return false }
        let (isMine, _): (Bool, UInt64) = self.ejectedUntil.compareExchange(
            expected: until, desired: now &+ rules.ejectFor, ordering: .relaxed)
        return isMine
    }

    /// An exchange went well. In the usual case nothing is written: the line stays shared between the loops.
    @inline(__always)
    func succeeded() {
        if self.failures.load(ordering: .relaxed) != 0 { self.failures.store(0, ordering: .relaxed) }
        if self.ejectedUntil.load(ordering: .relaxed) != 0 { self.ejectedUntil.store(0, ordering: .relaxed) }
    }

    func failed(now: UInt64, rules: PoolRules) {
        let failures: Int = self.failures.wrappingAdd(1, ordering: .relaxed).newValue
        if failures >= rules.failuresMax { self.ejectedUntil.store(now &+ rules.ejectFor, ordering: .relaxed) }
    }
}
