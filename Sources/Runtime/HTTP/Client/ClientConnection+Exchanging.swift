import EventLoops
import TLS

/// Requests out, responses in.
extension ClientConnection {
    /// A request that the pool gave this connection while it was idle. On the loop.
    func begin(_ exchange: ClientExchange) {
        guard self.phase == .idle else {
            // Closed while the request was on its way here: nothing of it was sent.
            exchange.settle(.failure(.closedBeforeResponse(wasReused: true, wasSent: false)))
            return
        }
        guard exchange.attach(self) else {
            self.returnToPool()
            return
        }
        self.exchange = exchange
        self.sendRequest()
        self.advance()
    }

    /// Puts the request into the output queue; `advance` writes it.
    func sendRequest() {
        guard let exchange: ClientExchange = self.exchange else { return }
        self.phase = .head
        self.scanned = 0
        self.interimResponses = 0
        self.wasSent = false
        self.keepsAlive = true
        self.delivery = .held([])
        self.body = BodyReader(.none)
        self.output.append(exchange.request.head)
        self.output.append(exchange.request.body)
        self.watch(.response, for: exchange.request.timeouts.response)
    }

    func take(_ bytes: UnsafeRawBufferPointer) {
        if self.phase == .idle {
            // Nobody asked: whatever it is, it must not become the answer to the next request.
            self.close()
            return
        }
        if self.input.isEmpty {
            let used: Int = self.process(bytes)
            if self.isReading && used < bytes.count {
                self.input.append(UnsafeRawBufferPointer(rebasing: bytes[used...]))
            }
            return
        }
        self.input.append(bytes)
        var waiting: InputBuffer = InputBuffer()
        swap(&waiting, &self.input)
        let used: Int = waiting.withUnread { self.process($0) }
        if self.isReading {
            waiting.consume(used)
            self.input = waiting
        }
    }

    private var isReading: Bool { self.phase == .head || self.phase == .body }

    private func process(_ bytes: UnsafeRawBufferPointer) -> Int {
        var position: Int = 0
        while self.phase == .head {
            let rest: UnsafeRawBufferPointer = UnsafeRawBufferPointer(rebasing: bytes[position...])
            guard let used: Int = self.readHead(rest) else { return position }
            position += used
        }
        if self.phase == .body { self.readBody(bytes, &position) }
        return position
    }

    /// Bytes of a complete head; an interim one leaves the phase as it is.
    private func readHead(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let exchange: ClientExchange = self.exchange else { return nil }
        var head: HTTPResponseHead = HTTPResponseHead()
        let outcome: HTTPHeadOutcome = HTTPHeadReader.readResponse(
            bytes, isHead: exchange.request.isHead, scanned: &self.scanned,
            limits: self.core.configuration.limits.heads,
            table: self.home.table, into: &head)
        switch outcome {
        case .incomplete: return nil
        case .refused(let refusal):
            self.fail(.malformedResponse(refusal.detail.description))
            return nil
        case .complete: break
        }
        self.scanned = 0
        if head.status < 200 { return self.skipInterim(head) }
        self.head = head
        self.fields = HTTPFields(copying: self.home.table, count: head.fieldCount, from: bytes)
        self.body = BodyReader(head.framing)
        self.delivery = .held([])
        self.phase = .body
        if !head.keepsAlive { self.keepsAlive = false }
        return head.count
    }

    private func skipInterim(_ head: HTTPResponseHead) -> Int? {
        self.interimResponses += 1
        guard head.isInterim, self.interimResponses <= self.core.configuration.limits.interimResponsesMax else {
            self.fail(.malformedResponse("a response 101 that nobody asked for, or too many of 1xx"))
            return nil
        }
        return head.count
    }

    private func readBody(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) {
        while self.phase == .body {
            let event: BodyReader.Event = self.body.next(
                bytes, position: &position, limits: self.core.configuration.limits.heads, table: self.home.table)
            switch event {
            case .bytes(let start, let count):
                self.deliver(UnsafeRawBufferPointer(rebasing: bytes[start..<start + count]))
            case .incomplete:
                self.bodyIsIncomplete()
                return
            case .end:
                if position < bytes.count { self.keepsAlive = false }
                self.bodyEnded()
                return
            case .refused(let refusal):
                self.bodyIsIncomplete()  // The head, at least, is known.
                self.fail(.malformedResponse(refusal.detail.description))
                return
            }
        }
    }

    private func deliver(_ bytes: UnsafeRawBufferPointer) {
        switch self.delivery {
        case .held(var held):
            self.delivery = .held([])  // Lets go of the array, so that it grows in place.
            held.append(contentsOf: bytes)
            self.delivery = .held(held)
        case .stream(let stream):
            if !stream.append(bytes) { self.isPaused = true }
        }
    }

    /// Hands the head over with what there is of the body; the rest streams.
    private func bodyIsIncomplete() {
        guard case .held(let held) = self.delivery, let exchange: ClientExchange = self.exchange else { return }
        let declared: Int? = self.body.declaredLeft.map { Int($0) + held.count }
        let stream: BodyStream<HTTPClientError> = BodyStream(
            source: ResponseBodySource(connection: self, exchange: exchange),
            unreadBytesMax: self.core.configuration.limits.bodyBytesUnreadMax, cancelled: .cancelled)
        self.delivery = .stream(stream)
        held.withUnsafeBytes { self.deliver($0) }
        self.watchBody()
        exchange.settle(.success(self.response(HTTPClientBody(stream, declaredLength: declared))))
    }

    private func bodyEnded() {
        let delivery: Delivery = self.delivery
        let exchange: ClientExchange? = self.exchange
        self.delivery = .held([])
        self.isPaused = false
        self.exchange = nil
        self.requestsServed += 1
        // A request that the server did not care to read to its end leaves the connection in the middle of it. The
        // connection is free before the caller hears of the end, so that the caller's next request finds it.
        if self.keepsAlive && self.output.isEmpty { self.returnToPool() } else { self.close() }
        switch delivery {
        case .held(let bytes): exchange?.settle(.success(self.response(HTTPClientBody(bytes))))
        case .stream(let stream): stream.finish()
        }
    }

    private func response(_ body: HTTPClientBody) -> HTTPClientResponse {
        HTTPClientResponse(status: self.head.status, fields: self.fields, body: body)
    }

    func returnToPool() {
        self.phase = .idle
        self.watch(nil, for: self.core.configuration.limits.idle)
        switch self.core.release(self) {
        case .keep: return
        case .close: self.close()
        case .handOver(let exchange): self.loop.execute { self.begin(exchange) }
        }
    }

    /// The server sends nothing more, `inOrder` or because the connection broke.
    func peerEnded(inOrder: Bool) {
        switch self.phase {
        case .head:
            let nothingCame: Bool = self.input.isEmpty && self.interimResponses == 0
            // With TLS 1.3 a server refuses the certificate a client shows, or that it shows none, after the client's handshake.
            if nothingCame, self.requestsServed == 0,
                case .protocolViolation(let reason)? = self.transport?.session?.failure
            {
                self.fail(.tls(TLSError.protocolViolation(reason).description))
                return
            }
            self.fail(
                nothingCame
                    ? .closedBeforeResponse(wasReused: self.requestsServed > 0, wasSent: self.wasSent) : .truncated)
        case .body:
            guard inOrder, self.body.endsWithConnection else {
                self.fail(.truncated)
                return
            }
            self.keepsAlive = false
            self.bodyEnded()
        case .idle: self.close()
        case .resolving, .connecting, .handshake, .closed: return
        }
    }

    func bodyWasDrained(_ exchange: ClientExchange) {
        guard self.exchange === exchange, self.phase == .body else { return }
        self.isPaused = false
        self.watchBody()
        self.advance()
    }

    /// The caller reads no further.
    func bodyWasAbandoned(_ exchange: ClientExchange) {
        if self.exchange === exchange && self.phase == .body { self.close() }
    }
}

/// What a caller's reading of the body asks of the connection; forwarded to the loop.
private final class ResponseBodySource: BodySource {
    private let connection: ClientConnection
    private let exchange: ClientExchange

    init(connection: ClientConnection, exchange: ClientExchange) {
        self.connection = connection
        self.exchange = exchange
    }

    func bodyWanted() {}

    func bodyDrained() {
        let connection: ClientConnection = self.connection
        let exchange: ClientExchange = self.exchange
        connection.loop.execute { connection.bodyWasDrained(exchange) }
    }

    func bodyAbandoned() {
        let connection: ClientConnection = self.connection
        let exchange: ClientExchange = self.exchange
        connection.loop.execute { connection.bodyWasAbandoned(exchange) }
    }
}
