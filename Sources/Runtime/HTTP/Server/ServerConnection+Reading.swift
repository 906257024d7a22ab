import EventLoops

/// From bytes to requests.
extension ServerConnection {
    /// Understands what was received, after what waited before; keeps what is left over.
    func take(_ bytes: UnsafeRawBufferPointer) {
        if self.phase == .lingering { return }
        if self.input.isEmpty {
            let used: Int = self.process(bytes)
            if self.keepsRest && used < bytes.count {
                self.input.append(UnsafeRawBufferPointer(rebasing: bytes[used...]))
            }
        } else {
            self.input.append(bytes)
            self.processInput()
        }
    }

    /// Understands what waits in `input`.
    func processInput() {
        if self.input.isEmpty { return }
        // Taken out meanwhile, so that nothing called from inside touches the bytes being read.
        var waiting: InputBuffer = InputBuffer()
        swap(&waiting, &self.input)
        let used: Int = waiting.withUnread { self.process($0) }
        guard self.keepsRest else { return }
        waiting.consume(used)
        self.input = waiting
    }

    private var keepsRest: Bool {
        !self.ignoresInput && self.phase != .closed && self.phase != .lingering
    }

    /// Returns how many bytes were used up.
    private func process(_ bytes: UnsafeRawBufferPointer) -> Int {
        var position: Int = 0
        while true {
            switch self.phase {
            case .head:
                if position == bytes.count { return position }
                let rest: UnsafeRawBufferPointer = UnsafeRawBufferPointer(rebasing: bytes[position...])
                guard let used: Int = self.readHead(rest) else { return position }
                position += used
            case .body:
                if !self.readBody(bytes, &position) { return position }
            case .handshake, .waiting, .lingering, .closed:
                return position
            }
        }
    }

    /// Bytes of the head when it is complete and a request has begun.
    private func readHead(_ bytes: UnsafeRawBufferPointer) -> Int? {
        var head: HTTPRequestHead = HTTPRequestHead()
        let outcome: HTTPHeadOutcome = HTTPHeadReader.readRequest(
            bytes, scanned: &self.scanned, limits: self.limits.heads, table: self.owner.table, into: &head)
        switch outcome {
        case .incomplete:
            if self.readWatch != .head { self.watch(.head) }
            return nil
        case .refused(let refusal):
            self.refuse(ServerProblem(refusal))
            return nil
        case .complete:
            self.scanned = 0
            self.watch(.none)
            self.begin(head, bytes)
            return head.count
        }
    }

    private func begin(_ head: HTTPRequestHead, _ bytes: UnsafeRawBufferPointer) {
        let exchange: Exchange = Exchange(head)
        self.exchange = exchange
        if self.owner.isDraining { exchange.keepsAlive = false }
        if head.method == .connect {
            self.refuse(.connectMethod)
            return
        }
        if case .length(let length) = head.framing, length > UInt64(self.limits.bodyBytesMax) {
            self.refuse(.bodyTooLarge(limit: self.limits.bodyBytesMax))
            return
        }
        self.arriving = RequestBuilder(bytes, head, self.owner.table).request(
            remote: self.remote, isSecure: self.transport.isTLS, clientCertificate: self.clientCertificate)
        self.body = BodyReader(head.framing)
        self.delivery = .held([])
        self.discarded = 0
        self.phase = .body
    }

    /// Takes what there is of the body; false when nothing more can be done with these bytes.
    private func readBody(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Bool {
        while self.phase == .body {
            let event: BodyReader.Event = self.body.next(
                bytes, position: &position, limits: self.limits.heads, table: self.owner.table)
            switch event {
            case .bytes(let start, let count):
                if self.body.total > UInt64(self.limits.bodyBytesMax) {
                    self.spoilBody(.bodyTooLarge(limit: self.limits.bodyBytesMax))
                    return false
                }
                self.deliver(UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
            case .incomplete:
                self.bodyIsIncomplete()
                return false
            case .end:
                self.bodyEnded()
                return true
            case .refused(let refusal):
                self.spoilBody(.malformedBody(refusal.detail.description))
                return false
            }
        }
        return false
    }

    private func deliver(_ bytes: UnsafeRawBufferPointer) {
        switch self.delivery {
        case .held(var held):
            self.delivery = .discard  // Lets go of the array, so that it grows in place.
            held.append(contentsOf: bytes)
            self.delivery = .held(held)
        case .stream(let stream):
            if !stream.append(bytes) {
                self.isPaused = true
                self.wasPausedInPeriod = true
            }
        case .discard:
            self.discarded += bytes.count
            if self.discarded > self.limits.discardedBytesMax { self.stopReading() }
        }
    }

    /// Starts the handler without the rest of the body, unless the rest is little and on its way.
    private func bodyIsIncomplete() {
        if self.readWatch != .body { self.watch(.body) }
        guard case .held(let held) = self.delivery, let exchange: Exchange = self.exchange else { return }
        if let left: UInt64 = self.body.declaredLeft, !exchange.awaitsContinue,
            left + UInt64(held.count) <= UInt64(self.limits.bodyBytesHeldMax)
        {
            return
        }
        let declared: Int? = self.body.declaredLeft.map { Int($0) + held.count }
        let stream: BodyStream<HTTPError> = BodyStream(
            source: RequestBodySource(connection: self, exchange: exchange),
            unreadBytesMax: self.limits.bodyBytesUnreadMax, cancelled: .disconnected)
        exchange.stream = stream
        self.delivery = .stream(stream)
        held.withUnsafeBytes { self.deliver($0) }
        self.startHandler(exchange, HTTPBody(stream, declaredLength: declared))
    }

    private func bodyEnded() {
        self.watch(.none)
        self.phase = .waiting
        guard let exchange: Exchange = self.exchange else { return }
        switch self.delivery {
        case .held(let bytes): self.startHandler(exchange, bytes.isEmpty ? .empty : HTTPBody(bytes))
        case .stream(let stream):
            self.noteBacklog(stream)
            stream.finish()
            exchange.stream = nil
        case .discard: break
        }
        self.delivery = .discard
        self.isPaused = false
        if exchange.isAnswered && self.output.isEmpty { self.responseSent(exchange) }
    }

    private func startHandler(_ exchange: Exchange, _ body: HTTPBody) {
        guard var request: HTTPRequest = self.arriving.take() else { return }
        request.body = body
        let flag: DrainFlag = DrainFlag { [weak self, weak exchange] in
            guard let self: ServerConnection = self, let exchange: Exchange = exchange else { return }
            self.loop.execute {
                if self.owner.isDraining && self.exchange === exchange { exchange.task?.cancel() }
            }
        }
        exchange.drainFlag = flag
        request.drainFlag = flag
        self.core.statistics.requests.add()
        self.requestsServed += 1
        let complete: HTTPRequest = request
        exchange.task = Task {
            let response: HTTPResponse = await self.core.handler(complete)
            await self.answer(exchange, response)
        }
    }

    /// The body cannot be read on: over the limit, broken, or too slow. The handler is told, or the client if there is none yet.
    func spoilBody(_ error: HTTPError) {
        guard let exchange: Exchange = self.exchange else { return }
        switch self.delivery {
        case .held:
            let problem: ServerProblem
            switch error {
            case .bodyTooLarge(let limit): problem = .bodyTooLarge(limit: limit)
            case .bodyTimeout: problem = .bodyTimeout
            default: problem = ServerProblem(status: error.status, detail: error.description)
            }
            self.refuse(problem)
        case .stream(let stream):
            self.noteBacklog(stream)
            stream.fail(error)
            exchange.stream = nil
            self.stopReading()
        case .discard:
            self.stopReading()
        }
    }

    /// What comes from now on is no request: the connection ends with the current response.
    func stopReading() {
        self.watch(.none)
        self.ignoresInput = true
        self.isPaused = false
        self.delivery = .discard
        if self.phase == .body { self.phase = .waiting }
        guard let exchange: Exchange = self.exchange else { return }
        exchange.keepsAlive = false
        if exchange.isAnswered && self.output.isEmpty { self.responseSent(exchange) }
    }

    private func noteBacklog(_ stream: BodyStream<HTTPError>) {
        self.core.statistics.bodyBytesUnreadPeak.raise(to: stream.unreadPeak)
    }
}

/// What a handler's reading of its body asks of the connection; forwarded to the loop, and ignored there once the exchange
/// is over.
private final class RequestBodySource: BodySource {
    private let connection: ServerConnection
    private let exchange: Exchange

    init(connection: ServerConnection, exchange: Exchange) {
        self.connection = connection
        self.exchange = exchange
    }

    func bodyWanted() {
        self.onLoop { (connection: ServerConnection, exchange: Exchange) in connection.sendContinue(exchange) }
    }

    func bodyDrained() {
        self.onLoop { (connection: ServerConnection, _: Exchange) in
            connection.isPaused = false
            connection.advance()
        }
    }

    func bodyAbandoned() {
        self.onLoop { (connection: ServerConnection, _: Exchange) in
            guard connection.phase == .body else { return }
            connection.delivery = .discard
            connection.isPaused = false
            connection.advance()
        }
    }

    private func onLoop(_ job: @escaping @Sendable (ServerConnection, Exchange) -> Void) {
        let connection: ServerConnection = self.connection
        let exchange: Exchange = self.exchange
        connection.loop.execute {
            guard connection.exchange === exchange, connection.phase != .closed else { return }
            job(connection, exchange)
        }
    }
}
