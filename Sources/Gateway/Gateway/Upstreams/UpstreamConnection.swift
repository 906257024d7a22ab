import EventLoops
import Glibc
import HTTP
import Synchronization
import TLS

/// How an exchange with an upstream failed.
enum UpstreamFailure {
    /// The connection was not made; nothing was sent.
    case connectFailed
    case connectTimeout
    /// The connection ended before the response's head was complete.
    case reset
    /// The head did not come in time, or the request was not taken in time.
    case timeout
    /// The response is not valid HTTP.
    case invalidResponse
    /// The target said that it did nothing with the request: it may be sent again, whatever it asks for.
    case refused

    var reason: RequestReason {
        switch self {
        case .connectFailed: return .upstreamConnectFailed
        case .connectTimeout: return .upstreamConnectTimeout
        case .reset, .refused: return .upstreamReset
        case .timeout: return .upstreamTimeout
        case .invalidResponse: return .upstreamInvalidResponse
        }
    }
}

/// One connection to a target: sends requests and reads the responses for the client it works for at the moment.
///
/// What is sent stays in `out` until the first byte of the response, so that a request that met a connection just being closed
/// can be sent again on another one.
final class UpstreamConnection: TimedHandler {
    /// Where the connection is, and where it may go from there.
    enum Phase: UInt8 {
        /// → handshake, busy, closed.
        case connecting
        /// Connected; TLS is not agreed yet. → busy, closed.
        case handshake
        /// An exchange is under way. → idle, closed.
        case busy
        /// In the pool. → busy, closed.
        case idle
        case closed
    }

    /// Strong: what is reached through a constant reference needs no count of its own. The loop outlives its connections, and
    /// lets go of them when it ends.
    let loop: GatewayLoop
    let pool: TargetPool
    /// Without a descriptor while only a rival is left of two attempts to connect.
    var channel: Channel
    /// Who is at the other end.
    var remote: SocketAddress
    /// An address of the other family, to be tried beside this one when it is slow.
    var rivalAddress: SocketAddress?
    var rival: RivalConnect?
    /// Monotonic nanoseconds when connecting has to be over.
    private(set) var connectUntil: UInt64 = 0
    let timer: ConnectionTimer = ConnectionTimer()
    var phase: Phase
    var client: Unmanaged<ClientConnection>?

    // The request.
    /// Bytes that were not taken yet, behind those that were, as long as `isReplayable`.
    var out: ByteBlock?
    /// `out` holds all of the request that was given so far, from its first byte.
    var isReplayable: Bool = false
    /// It was idle before this exchange: the target may have closed it at the same moment.
    var isReused: Bool = false
    /// The target takes no more: what it says is still read.
    var sendFailed: Bool = false

    // The response.
    /// The kernel said that bytes wait and they were not all taken.
    var inputReady: Bool = false
    var inputFinished: Bool = false
    /// A byte of the response came.
    var hasAnswered: Bool = false
    var headDone: Bool = false
    var scanned: Int = 0
    var stash: ByteBlock?
    var body: BodyFlow = BodyFlow()
    /// The body has no length of its own and goes to the client in chunks.
    var makesChunks: Bool = false
    /// The response goes through the filters of the client's route.
    var isFiltered: Bool = false
    /// How that response came.
    var framing: HTTPFraming = .none
    /// The connection may be used again after this response.
    var isReusable: Bool = false
    var interimCount: Int = 0

    /// Requests it may still carry.
    var requestsLeft: Int
    /// Monotonic nanoseconds when it is too old for another request.
    let oldAt: UInt64

    init(
        loop: GatewayLoop, pool: TargetPool, channel: Channel, remote: SocketAddress, rival: SocketAddress? = nil,
        isConnected: Bool
    ) {
        self.remote = remote
        self.rivalAddress = isConnected ? nil : rival
        self.loop = loop
        self.pool = pool
        self.channel = channel
        self.requestsLeft = pool.rules.requestsMax
        self.oldAt = pool.rules.ageMax == .max ? .max : loop.events.now &+ pool.rules.ageMax
        self.phase = !isConnected ? .connecting : channel.tls == nil ? .busy : .handshake
        super.init()
        self.timer.handler = self
    }

    // MARK: The request

    /// Begins an exchange with what is in the block: a request head and the part of the body that is here.
    func start(_ client: ClientConnection, _ block: ByteBlock, isReused: Bool) {
        self.client = .passUnretained(client)
        client.upstream = .passUnretained(self)
        self.out = block
        self.requestsLeft &-= 1
        self.isReplayable = true
        self.isReused = isReused
        self.sendFailed = false
        self.hasAnswered = false
        self.headDone = false
        self.scanned = 0
        self.interimCount = 0
        self.makesChunks = false
        self.isFiltered = false
        let now: UInt64 = self.loop.events.now
        switch self.phase {
        case .connecting:
            self.connectUntil = min(now &+ client.exchange.times.connect, client.exchange.limit)
            let alone: UInt64 = now &+ UpstreamConnection.aloneFor
            self.loop.events.schedule(
                self.timer, at: self.rivalAddress == nil ? self.connectUntil : min(alone, self.connectUntil))
        case .handshake:
            self.loop.events.schedule(
                self.timer, at: min(now &+ client.exchange.times.connect, client.exchange.limit))
            self.goOnWithHandshake()
        default:
            self.phase = .busy
            self.flush()
        }
    }

    /// Whether more of the request's body can be sent at once.
    var takesBody: Bool { self.phase == .busy && !self.sendFailed && (self.out?.count ?? 0) == 0 }

    /// Sends more of the request's body; what the kernel does not take waits in `out`.
    func send(_ bytes: UnsafeRawPointer, _ count: Int) {
        if self.sendFailed || self.phase == .closed {
            self.client?._withUnsafeGuaranteedRef { if $0.exchange.isSteered { $0.dropMirror() } }
            return
        }
        if let client: Unmanaged<ClientConnection> = self.client {
            client._withUnsafeGuaranteedRef { (client: ClientConnection) in
                guard client.exchange.isSteered else { return }
                client.copySent(bytes, count)
                client.mirrorSent(bytes, count)
            }
        }
        if var block: ByteBlock = self.out {
            if block.count > 0 || self.phase != .busy {
                self.loop.blocks.append(bytes, count, to: &block)
                self.out = block
                return
            }
            self.loop.blocks.give(block)
            self.out = nil
        }
        self.isReplayable = false
        let sent: Int = self.channel.send(bytes, count)
        if sent == count {
            self.requestMoved()
            return
        }
        guard sent > 0 || sent == Socket.wouldBlock else {
            self.sendBroke()
            return
        }
        let taken: Int = max(sent, 0)
        var block: ByteBlock = self.loop.blocks.take(count - taken)
        block.append(bytes + taken, count - taken)
        self.out = block
        self.requestMoved()
    }

    /// Sends what waits. A failure is not the end yet: the target may have answered before it closed, which the event that
    /// comes with the failure will show.
    private func flush() {
        guard var block: ByteBlock = self.out, block.count > 0, !self.sendFailed else { return }
        let sent: Int = self.channel.send(block.base + block.start, block.count)
        if sent > 0 {
            block.start &+= sent
            self.out = block
            self.requestMoved()
        } else if sent != Socket.wouldBlock {
            self.sendBroke()
        } else {
            self.requestMoved()
        }
    }

    private func sendBroke() {
        self.sendFailed = true
        self.loop.events.schedule(self.timer, at: self.loop.events.now &+ UpstreamConnection.lastWordsTimeout)
    }

    /// How long a target that takes no more may take to show what it had said.
    private static let lastWordsTimeout: UInt64 = 100_000_000

    /// Sets the deadline that fits what is awaited: the target to take more, the client to send more, or the response.
    private func requestMoved() {
        guard let client: Unmanaged<ClientConnection> = self.client else { return }
        client._withUnsafeGuaranteedRef { (client: ClientConnection) in
            let now: UInt64 = self.loop.events.now
            if self.headDone {
                // A stream both ways: what goes up keeps it alive as well as what comes down.
                self.loop.events.schedule(
                    self.timer, at: min(now &+ client.exchange.times.idle, client.exchange.limit))
                return
            }
            if (self.out?.count ?? 0) > 0 {
                self.loop.events.schedule(
                    self.timer, at: min(now &+ client.exchange.times.idle, client.exchange.limit))
            } else if client.exchange.isRequestGiven {
                client.exchange.asked = now
                self.loop.events.schedule(
                    self.timer, at: min(now &+ client.exchange.times.response, client.exchange.limit))
            } else {
                self.loop.events.disarm(self.timer)
            }
        }
    }

    /// The client's side of a tunnel has ended.
    func finishTunnel() {
        if self.phase == .busy, (self.out?.count ?? 0) == 0 { self.channel.finishWriting() }
    }

    /// The client's body is complete: from now on the response is awaited.
    func requestFinished() {
        self.client?._withUnsafeGuaranteedRef { if $0.exchange.isSteered { $0.mirrorIfWhole() } }
        self.requestMoved()
    }

    // MARK: Events

    override func ready(_ events: Readiness) {
        switch self.phase {
        case .closed: return
        case .connecting: self.connectEnded(events)
        case .handshake: self.goOnWithHandshake()
        case .idle:
            // Nothing was asked: an end of stream, or bytes that belong to no request. Either way it is of no more use. An event
            // may also be older than that: of bytes which were read when the client took the rest of its response.
            if events.peerFinished { self.inputFinished = true }
            if events.isReadable, !self.saysNothing { self.closeIdleNow() }
        case .busy:
            if events.peerFinished { self.inputFinished = true }
            // A TLS session may need to read in order to write, and the other way round.
            if events.isReadable || self.channel.tls != nil { self.inputReady = true }
            if events.isWritable || self.channel.tls != nil, (self.out?.count ?? 0) > 0 {
                self.flush()
                if self.phase == .busy, self.takesBody { self.askForBody() }
            }
            if self.phase == .busy, self.inputReady { self.readResponse() }
        }
    }

    private func askForBody() {
        guard let client: Unmanaged<ClientConnection> = self.client else { return }
        client._withUnsafeGuaranteedRef { $0.upstreamTakesBody() }
    }

    private func connectEnded(_ events: Readiness) {
        if self.channel.isStream { return }
        guard events.isWritable || events.isBroken else { return }
        if Socket.pendingError(self.channel.fd) != 0 {
            if self.rivalGoesOn() { return }
            self.fail(.connectFailed)
            return
        }
        self.dropRival()
        self.connectionMade()
    }

    /// The attempt was fast enough, or its rival.
    func connectionMade() {
        if self.channel.tls != nil {
            self.phase = .handshake
            self.goOnWithHandshake()
            return
        }
        self.connected()
    }

    /// The connection below the stream is there.
    func channelOpened() {
        if self.phase == .connecting { self.connected() }
    }

    private func connected() {
        self.phase = .busy
        self.flush()
        if self.phase == .busy, self.takesBody { self.askForBody() }
    }

    private func goOnWithHandshake() {
        guard let tls: TLSSession = self.channel.tls else { return }
        switch tls.handshake() {
        case .done: self.connected()
        case .wantRead, .wantWrite: break
        case .closed, .failed: self.fail(.connectFailed)
        }
    }

    /// Whether nothing came on an idle connection, or only what is TLS's own (a session ticket).
    private var saysNothing: Bool {
        guard !self.inputFinished else { return false }
        return self.channel.receive(self.loop.response, GatewayLoop.inputBytes) == Socket.wouldBlock
    }

    override func deadlinePassed() {
        switch self.phase {
        case .connecting:
            if self.rivalAddress != nil, self.loop.events.now < self.connectUntil, self.startRival() { return }
            if self.loop.events.now < self.connectUntil {
                self.loop.events.schedule(self.timer, at: self.connectUntil)
                return
            }
            self.pool.address.failed(self.remote, now: self.loop.events.now)
            self.fail(.connectTimeout)
        case .handshake: self.fail(.connectTimeout)
        case .busy: self.fail(self.sendFailed ? .reset : .timeout)
        case .idle: self.closeIdleNow()
        case .closed: break
        }
    }

    override func resume() {
        if self.phase == .busy { self.readResponse() }
    }

    // MARK: The end

    /// The exchange cannot go on here: the client's side decides whether another try is allowed.
    func fail(_ failure: UpstreamFailure) {
        guard let client: Unmanaged<ClientConnection> = self.client else {
            self.close()
            return
        }
        // A kept connection that its target closed says nothing about the target's health.
        let failure: UpstreamFailure = failure == .reset && self.channel.wasRefused ? .refused : failure
        let isStale: Bool = failure == .refused || failure == .reset && self.isReused && !self.hasAnswered
        client._withUnsafeGuaranteedRef { (client: ClientConnection) in
            if !isStale {
                client.targetFailed(self.pool)
            } else if client.exchange.isSteered {
                client.closeTry(.abandoned)
            }
        }
        var block: ByteBlock?
        if self.isReplayable, !self.hasAnswered {
            block = self.out
            self.out = nil
        }
        self.client = nil
        self.close()
        client._withUnsafeGuaranteedRef { (client: ClientConnection) in
            client.upstream = nil
            client.upstreamFailed(failure, pool: self.pool, block: block, isStale: isStale)
        }
    }

    /// Ends the exchange from the client's side; the connection is in the middle of something and cannot be kept.
    func abandon() {
        self.client = nil
        self.close()
    }

    private func closeIdleNow() {
        self.pool.forget(self)
        self.close()
    }

    /// For one that never got onto the loop.
    func closeUnregistered() {
        self.phase = .closed
        Socket.close(self.channel.fd)
        self.pool.openCount -= 1
        self.pool.state.connections.wrappingSubtract(1, ordering: .relaxed)
    }

    func close() {
        if self.phase == .closed { return }
        self.phase = .closed
        let loop: GatewayLoop = self.loop
        loop.events.cancel(self.timer)
        if let block: ByteBlock = self.out { loop.blocks.give(block) }
        if let block: ByteBlock = self.stash { loop.blocks.give(block) }
        self.out = nil
        self.stash = nil
        self.dropRival()
        if self.channel.isStream || self.channel.fd >= 0 {
            self.channel.close(loop.events, owner: self, abruptly: false)
        } else {
            loop.events.releaseAtTurnEnd(self)
        }
        // Of streams, their connection is counted.
        if self.channel.isStream { return }
        self.pool.openCount -= 1
        self.pool.state.connections.wrappingSubtract(1, ordering: .relaxed)
        if let queue: ConnectionQueue = self.pool.queue, !queue.isEmpty {
            // Not at once: whoever closes this one is in the middle of something.
            loop.events.schedule(queue, at: loop.events.now)
        }
    }
}
