import Crypto
import EventLoops
import TLS

/// One accepted connection: reads requests, one at a time and in order, and writes their responses. Lives on its loop.
///
/// Registered edge-triggered once; reading pauses simply by not reading. The parts: this file holds the state and the pump,
/// `+Reading` takes requests apart, `+Writing` sends responses, `+Timeouts` watches the clock.
///
/// Sendable by this rule: everything is touched on the loop, but `answer`, which the handler's task runs and which hops.
final class ServerConnection: ReadinessHandler, @unchecked Sendable {
    enum Phase {
        /// TLS is being set up. Then: head, closed.
        case handshake
        /// Between requests or inside a head. Then: body, waiting (refused), closed.
        case head
        /// The body of the current request is coming. Then: waiting, head (answered meanwhile), lingering, closed.
        case body
        /// The request is complete, or no more of it is wanted; its response is on its way. Then: head, lingering, closed.
        case waiting
        /// All is written and said to be the end; what still comes is thrown away, so that the kernel does not answer it
        /// with a reset that would take the response from the client. Then: closed.
        case lingering
        /// Final.
        case closed
    }

    /// Where the bytes of the current body go.
    enum Delivery {
        /// Kept until the body is whole or turns out too long to wait for.
        case held([UInt8])
        case stream(BodyStream<HTTPError>)
        /// Nobody wants them.
        case discard
    }

    /// Reads in one go before others on the loop get their turn.
    private static let readsPerTurn: Int = 16

    let owner: ServerLoop
    let remote: SocketAddress
    /// Over the connection limit: gets a 503 and nothing else.
    let isRefusal: Bool
    /// Its place in the owner's list.
    var index: Int = 0

    var transport: Transport
    var phase: Phase = .head
    var input: InputBuffer = InputBuffer()
    /// Bytes of an incomplete head that need not be looked at again.
    var scanned: Int = 0
    var exchange: Exchange?
    /// The current request until its handler starts.
    var arriving: HTTPRequest?
    var body: BodyReader = BodyReader(.none)
    var delivery: Delivery = .discard
    var discarded: Int = 0
    var output: OutputQueue = OutputQueue()
    var requestsServed: Int = 0

    /// What the kernel last said; cleared when a call would block.
    var isReadable: Bool = false
    var isWritable: Bool = true
    /// The kernel reported the peer's end; bytes may still wait before it.
    private var peerFinished: Bool = false
    /// The peer's end has been read.
    var inputEnded: Bool = false
    /// The handler has enough unread body for now.
    var isPaused: Bool = false
    /// No more requests are read: the last one broke the framing, or too much of its body was left.
    var ignoresInput: Bool = false
    private var isAdvancing: Bool = false
    private var continuesLater: Bool = false

    var readWatch: ReadWatch = .none
    var wasPausedInPeriod: Bool = false
    var bodyTotalAtArming: UInt64 = 0
    var writtenTotal: Int = 0
    var writtenTotalAtArming: Int = 0
    /// What the client showed in the TLS handshake; verified.
    private(set) var clientCertificate: Certificate?
    private(set) var readTimer: ActionTimer?
    private(set) var writeTimer: ActionTimer?
    /// Runs while a stream with a heartbeat is being sent.
    var beatTimer: ActionTimer?
    var writtenTotalAtBeat: Int = 0

    var loop: EventLoop { self.owner.loop }
    var core: ServerCore { self.owner.core }
    var limits: HTTPServerLimits { self.owner.core.configuration.limits }

    init(_ transport: Transport, remote: SocketAddress, owner: ServerLoop, isRefusal: Bool) {
        self.transport = transport
        self.remote = remote
        self.owner = owner
        self.isRefusal = isRefusal
    }

    /// Registers with the loop and begins.
    func start() {
        self.readTimer = ActionTimer { [weak self] in self?.readTimerFired() }
        self.writeTimer = ActionTimer { [weak self] in self?.writeTimerFired() }
        do {
            try self.loop.register(self, fd: self.transport.fd, interest: [.read, .write, .edgeTriggered])
        } catch {
            self.teardown()
            return
        }
        if self.isRefusal {
            self.refuse(.tooManyConnections)
        } else if self.transport.isTLS {
            self.phase = .handshake
            self.watch(.handshake)
        } else {
            self.watch(.head)
        }
    }

    private func stepHandshake() {
        switch self.transport.handshake() {
        case .done:
            self.clientCertificate = self.transport.session?.peerCertificate
            self.phase = .head
            self.watch(.head)
        case .wantRead, .wantWrite: return
        case .failed(.plainHTTP):
            self.transport.dropTLS()
            self.refuse(.plainHTTP)
        case .closed, .failed: self.teardown(abruptly: true)
        }
    }

    override func ready(_ events: Readiness) {
        if events.isBroken && (self.phase == .body || self.phase == .waiting) {
            // Reset by the peer: nobody will read an answer, even if the body's reader is busy and reading rests.
            self.teardown()
            return
        }
        if events.isReadable { self.isReadable = true }
        if events.peerFinished { self.peerFinished = true }
        if events.isWritable { self.isWritable = true }
        if self.transport.isTLS {
            self.isReadable = true
            self.isWritable = true
        }
        self.advance()
    }

    /// Does whatever can be done now. Entered once at a time: what is called from inside changes state and returns.
    func advance() {
        if self.isAdvancing { return }
        self.isAdvancing = true
        defer { self.isAdvancing = false }
        if self.phase == .handshake { self.stepHandshake() }
        if !self.output.isEmpty && self.isWritable { self.flush() }
        var reads: Int = 0
        while self.wantsInput && self.isReadable {
            if reads == ServerConnection.readsPerTurn {
                self.continueLater()
                return
            }
            reads += 1
            self.receive()
        }
    }

    private var wantsInput: Bool {
        switch self.phase {
        case .head, .lingering: return true
        case .body: return !self.isPaused
        case .waiting: return !self.ignoresInput && self.input.count < self.limits.pipelinedBytesMax
        case .handshake, .closed: return false
        }
    }

    private func continueLater() {
        if self.continuesLater { return }
        self.continuesLater = true
        self.loop.execute {
            self.continuesLater = false
            self.advance()
        }
    }

    private func receive() {
        switch self.transport.receive(self.owner.scratch) {
        case .bytes(let count):
            // Fewer than there was room for: the kernel has no more, and tells when that changes. The end of the stream
            // is an exception if it was told before.
            if count < self.owner.scratch.count, !self.peerFinished, !self.transport.isTLS { self.isReadable = false }
            self.take(UnsafeRawBufferPointer(rebasing: self.owner.scratch[..<count]))
        case .wouldBlock:
            self.isReadable = false
        case .ended:
            self.isReadable = false
            self.inputEnded = true
            self.peerEnded()
        case .failed:
            self.teardown()
        }
    }

    /// The peer sends nothing more.
    private func peerEnded() {
        switch self.phase {
        case .waiting:
            // See HTTPServer: gone, as far as anyone can know, unless more requests of it wait to be answered.
            if self.input.isEmpty { self.exchange?.task?.cancel() }
        case .handshake, .head, .body, .lingering, .closed:
            self.teardown()
        }
    }

    /// The server drains: ends now if idle, else after the current response. `keepsIdle`: one that is idle, or has only just
    /// connected, gets one more response before; until `endIdle`.
    func drain(keepsIdle: Bool) {
        switch self.phase {
        case .handshake, .head: if !keepsIdle { self.endIdle() }
        case .body, .waiting:
            guard let exchange: Exchange = self.exchange else { return }
            exchange.keepsAlive = false
            if exchange.endsWhenDraining || exchange.drainFlag?.isSet == true { exchange.task?.cancel() }
        case .lingering, .closed: return
        }
    }

    /// Ends a connection on which no request has begun.
    func endIdle() {
        if self.phase == .handshake || self.phase == .head && self.input.isEmpty { self.teardown() }
    }

    /// Closes now, whatever the state. `abruptly` with a reset, so that the client cannot take half a response for a whole one.
    func teardown(abruptly: Bool = false) {
        if self.phase == .closed { return }
        self.phase = .closed
        if let timer: ActionTimer = self.readTimer.take() { self.loop.cancel(timer) }
        if let timer: ActionTimer = self.writeTimer.take() { self.loop.cancel(timer) }
        self.stopBeating()
        self.loop.deregister(fd: self.transport.fd, closing: true)
        self.transport.close(abruptly: abruptly)
        self.owner.remove(self)
        self.arriving = nil
        self.delivery = .discard
        self.output.removeAll()
        guard let exchange: Exchange = self.exchange.take() else { return }
        if exchange.task != nil { self.core.statistics.requestsAbandoned.add() }
        exchange.stream?.fail(.disconnected)
        exchange.stream = nil
        exchange.writer?.fail(.disconnected)
        exchange.writer = nil
        exchange.task?.cancel()
        exchange.task = nil
    }
}
