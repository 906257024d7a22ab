import EventLoops
import TLS

/// One connection of a client: resolves, connects, then carries one request at a time. Lives on its loop.
///
/// This file holds the state, the life of the connection and the pump; `+Connecting` opens it, `+Exchanging` reads responses.
///
/// Sendable by this rule: `core`, `home` and `origin` never change; everything else is touched on the loop.
final class ClientConnection: ReadinessHandler, @unchecked Sendable {
    enum Phase {
        /// Waiting for the resolver. Then: connecting, closed.
        case resolving
        /// A TCP handshake is under way. Then: connecting (the next address), handshake, head, closed.
        case connecting
        /// TLS. Then: head, closed.
        case handshake
        /// A request is written, the head of its response awaited. Then: body, idle, closed.
        case head
        /// Inside a response's body. Then: idle, closed.
        case body
        /// In the pool, or given to a request that is on its way to the loop. Then: head, closed.
        case idle
        /// Final.
        case closed
    }

    enum Delivery {
        /// Bytes that came with the head.
        case held([UInt8])
        case stream(BodyStream<HTTPClientError>)
    }

    /// Reads in one go before others on the loop get their turn.
    private static let readsPerTurn: Int = 16

    let core: ClientCore
    let home: ClientLoop
    let origin: Origin

    var phase: Phase = .resolving
    var transport: Transport?
    /// Addresses not tried yet, the next one last.
    var addresses: [SocketAddress] = []
    var lastFailure: HTTPClientError?
    var exchange: ClientExchange?
    var requestsServed: Int = 0

    var output: OutputQueue = OutputQueue()
    var input: InputBuffer = InputBuffer()
    var scanned: Int = 0
    var interimResponses: Int = 0
    var head: HTTPResponseHead = HTTPResponseHead()
    var fields: HTTPFields = HTTPFields()
    var body: BodyReader = BodyReader(.none)
    var delivery: Delivery = .held([])
    /// The response allows the connection to go on.
    var keepsAlive: Bool = false
    var wasSent: Bool = false

    var isReadable: Bool = false
    var isWritable: Bool = false
    var peerFinished: Bool = false
    var isPaused: Bool = false
    private var isAdvancing: Bool = false
    private var continuesLater: Bool = false

    var watched: HTTPClientError.Phase?
    var phaseDeadline: UInt64 = Timer.never
    var bodyTotalAtArming: UInt64 = 0
    private var timer: ActionTimer?

    var loop: EventLoop { self.home.loop }

    init(core: ClientCore, home: ClientLoop, origin: Origin) {
        self.core = core
        self.home = home
        self.origin = origin
    }

    override func ready(_ events: Readiness) {
        if events.isReadable { self.isReadable = true }
        if events.isWritable { self.isWritable = true }
        if events.peerFinished { self.peerFinished = true }
        if self.phase == .connecting {
            if events.isWritable || events.isBroken { self.connectEnded() }
            return
        }
        if self.transport?.isTLS == true {
            self.isReadable = true
            self.isWritable = true
        }
        self.advance()
    }

    /// Does whatever can be done now. Entered once at a time.
    func advance() {
        if self.isAdvancing { return }
        self.isAdvancing = true
        defer { self.isAdvancing = false }
        if self.phase == .handshake { self.stepHandshake() }
        if !self.output.isEmpty && self.isWritable { self.flush() }
        var reads: Int = 0
        while self.wantsInput && self.isReadable {
            if reads == ClientConnection.readsPerTurn {
                self.continueLater()
                return
            }
            reads += 1
            self.receive()
        }
    }

    private var wantsInput: Bool {
        switch self.phase {
        case .head, .idle: return true
        case .body: return !self.isPaused
        case .resolving, .connecting, .handshake, .closed: return false
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
        guard let transport: Transport = self.transport else { return }
        switch transport.receive(self.home.scratch) {
        case .bytes(let count):
            if count < self.home.scratch.count, !self.peerFinished, !transport.isTLS { self.isReadable = false }
            self.take(UnsafeRawBufferPointer(rebasing: self.home.scratch[..<count]))
        case .wouldBlock:
            self.isReadable = false
        case .ended:
            self.isReadable = false
            self.peerEnded(inOrder: true)
        case .failed:
            self.isReadable = false
            self.peerEnded(inOrder: false)
        }
    }

    private func flush() {
        guard let transport: Transport = self.transport else { return }
        let before: Int = self.output.count
        let result: Transfer = self.output.flush(transport)
        if self.output.count < before { self.wasSent = true }
        switch result {
        case .bytes: return
        case .wouldBlock: self.isWritable = false
        case .ended, .failed:
            // The server may have answered before it closed: what can be read decides.
            self.output.removeAll()
            self.keepsAlive = false
            self.wasSent = true
            self.isReadable = true
        }
    }

    /// Ends with the request it carries, if any, getting this failure.
    func fail(_ failure: HTTPClientError) {
        if case .stream(let stream) = self.delivery { stream.fail(failure) }
        self.exchange?.settle(.failure(failure))
        self.close()
    }

    /// The caller of this request has given up.
    func drop(_ exchange: ClientExchange) {
        if self.exchange === exchange { self.fail(.cancelled) }
    }

    /// Given up by the pool to make room.
    func closeIdle() {
        if self.phase == .idle { self.close() }
    }

    func close() {
        if self.phase == .closed { return }
        self.phase = .closed
        if let timer: ActionTimer = self.timer.take() { self.loop.cancel(timer) }
        self.closeTransport()
        self.exchange = nil
        self.delivery = .held([])
        self.output.removeAll()
        self.input.removeAll()
        self.core.closed(self)
    }

    func closeTransport() {
        guard var transport: Transport = self.transport.take() else { return }
        self.loop.deregister(fd: transport.fd, closing: true)
        transport.close(abruptly: false)
    }

    // MARK: The clock

    /// Sets what is awaited and until when; the request's total deadline counts always.
    func watch(_ phase: HTTPClientError.Phase?, for delay: Duration?) {
        self.watched = phase
        self.phaseDeadline = delay.map { self.loop.now &+ $0.clampedNanoseconds } ?? Timer.never
        self.armTimer()
    }

    func watchUntil(_ phase: HTTPClientError.Phase, _ deadline: UInt64) {
        self.watched = phase
        self.phaseDeadline = deadline
        self.armTimer()
    }

    private func armTimer() {
        let total: UInt64 = self.exchange?.totalDeadline ?? Timer.never
        let deadline: UInt64 = min(self.phaseDeadline, total)
        let timer: ActionTimer = self.timer ?? ActionTimer { [weak self] in self?.timerFired() }
        self.timer = timer
        if deadline == Timer.never { self.loop.disarm(timer) } else { self.loop.schedule(timer, at: deadline) }
    }

    private func timerFired() {
        if self.phase == .idle {
            self.close()
            return
        }
        if let total: UInt64 = self.exchange?.totalDeadline, total <= self.loop.now {
            self.fail(.timedOut(.total))
            return
        }
        switch self.watched {
        case .connect: self.connectTimedOut()
        case .body: self.bodyPeriodEnded()
        case .response: self.fail(.timedOut(.response))
        case .total, nil: return
        }
    }

    private func bodyPeriodEnded() {
        // A caller who does not read, or bytes that came meanwhile, are no silence of the server.
        if self.isPaused || self.body.total > self.bodyTotalAtArming {
            self.watchBody()
        } else {
            self.fail(.timedOut(.body))
        }
    }

    func watchBody() {
        self.bodyTotalAtArming = self.body.total
        self.watch(.body, for: self.exchange?.request.timeouts.body)
    }
}
