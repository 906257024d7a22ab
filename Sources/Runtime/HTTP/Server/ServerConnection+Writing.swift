import EventLoops

/// From responses to bytes.
extension ServerConnection: ResponseSink {
    /// Bodies up to this length are copied behind their head instead of being written from their own array.
    private static let copiedBodyBytesMax: Int = 4096
    /// The same for TLS, where every write becomes a record: the size of a full one.
    private static let copiedBodyBytesMaxTLS: Int = 16 * 1024
    /// Pieces of a stream written before others on the loop get their turn.
    private static let piecesPerTurn: Int = 16

    // MARK: On the handler's task

    /// Hands a response to the loop; runs the producer of a stream.
    func answer(_ exchange: Exchange, _ response: HTTPResponse) async {
        guard case .stream(let producer) = response.body else {
            self.loop.execute { self.respond(exchange, response) }
            return
        }
        if exchange.isHead || !HTTPStatus.hasContent(response.status) {
            self.loop.execute { self.respond(exchange, response) }
            return
        }
        let writer: ResponseWriter = ResponseWriter(
            sink: self, framing: ResponseHead.framing(of: response, for: exchange))
        self.loop.execute { self.startStream(exchange, response, writer) }
        do {
            try await producer(writer)
            if !writer.finish() { self.abandonLater(exchange) }
        } catch {
            // The client sees a body that is not whole; why, the producer's owner knows and logs.
            self.abandonLater(exchange)
        }
    }

    private func abandonLater(_ exchange: Exchange) {
        self.loop.execute {
            if self.exchange === exchange && !exchange.isAnswered { self.teardown(abruptly: true) }
        }
    }

    /// From any thread: the writer has something.
    func outputReady(_ writer: ResponseWriter) {
        self.loop.execute {
            guard self.exchange?.writer === writer, self.output.isEmpty else { return }
            self.flush()
            self.advance()
        }
    }

    // MARK: On the loop

    /// Sends a whole response.
    func respond(_ exchange: Exchange, _ response: HTTPResponse) {
        guard self.exchange === exchange, self.phase != .closed, !exchange.hasResponseHead else { return }
        self.settleUnreadBody(exchange)
        var body: [UInt8] = []
        var length: ResponseHead.Length = .unknown
        switch response.body {
        case .bytes(let bytes):
            body = bytes
            length = .bytes(bytes.count)
        case .stream:
            if case .counted(let count) = ResponseHead.framing(of: response, for: exchange) { length = .counted(count) }
        }
        if exchange.isHead || !HTTPStatus.hasContent(response.status) { body = [] }
        let copiedMax: Int =
            self.transport.isTLS ? ServerConnection.copiedBodyBytesMaxTLS : ServerConnection.copiedBodyBytesMax
        let isSmall: Bool = body.count <= copiedMax
        guard var head: HeadWriter = self.makeHead(exchange, response, length, reserve: isSmall ? body.count : 0) else {
            self.respondInvalid(exchange)
            return
        }
        if isSmall {
            head.body(body)
            self.output.append(head.bytes)
        } else {
            self.output.append(head.bytes)
            self.output.append(body)
        }
        exchange.hasResponseHead = true
        exchange.isAnswered = true
        self.flush()
        self.advance()
    }

    private func startStream(_ exchange: Exchange, _ response: HTTPResponse, _ writer: ResponseWriter) {
        guard self.exchange === exchange, self.phase != .closed else {
            writer.fail(.disconnected)
            return
        }
        let framing: ResponseWriter.Framing = ResponseHead.framing(of: response, for: exchange)
        var length: ResponseHead.Length = .unknown
        if case .counted(let count) = framing { length = .counted(count) }
        if framing == .untilClose || self.owner.isDraining { exchange.keepsAlive = false }
        guard let head: HeadWriter = self.makeHead(exchange, response, length, reserve: 0) else {
            writer.fail(.invalidResponse("a status outside 200 to 599, or a field that cannot stand in a head"))
            self.respondInvalid(exchange)
            return
        }
        exchange.hasResponseHead = true
        exchange.writer = writer
        exchange.endsWhenDraining = response.endsWhenDraining
        if response.endsWhenDraining && self.owner.isDraining { exchange.task?.cancel() }
        self.output.append(head.bytes)
        if let heartbeat: HTTPResponse.Heartbeat = response.heartbeat { self.startBeating(heartbeat, writer) }
        self.flush()
        self.advance()
    }

    /// The server's own answer to what is no proper request; the connection ends with it.
    func refuse(_ problem: ServerProblem) {
        self.core.statistics.requestsRefused.add()
        let exchange: Exchange = self.exchange ?? Exchange()
        exchange.keepsAlive = false
        self.exchange = exchange
        self.arriving = nil
        self.delivery = .discard
        self.watch(.none)
        self.phase = .waiting
        self.ignoresInput = true
        self.respond(exchange, problem.response)
    }

    private func respondInvalid(_ exchange: Exchange) {
        self.core.statistics.responsesInvalid.add()
        self.respond(exchange, ServerProblem.invalidResponse.response)
    }

    private func makeHead(
        _ exchange: Exchange, _ response: HTTPResponse, _ length: ResponseHead.Length, reserve: Int
    ) -> HeadWriter? {
        if self.owner.isDraining { exchange.keepsAlive = false }
        return ResponseHead.make(
            response, length: length, exchange: exchange, keepsAlive: exchange.keepsAlive, date: self.loop.httpDate(),
            reserve: reserve)
    }

    func sendContinue(_ exchange: Exchange) {
        guard exchange.awaitsContinue, !exchange.hasResponseHead else { return }
        exchange.awaitsContinue = false
        self.output.append(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
        self.flush()
        self.advance()
    }

    /// The handler is done with a body that has not come to its end: thrown away if it is little, else the connection ends.
    private func settleUnreadBody(_ exchange: Exchange) {
        guard self.phase == .body else { return }
        exchange.stream?.fail(.disconnected)
        exchange.stream = nil
        let left: UInt64 = self.body.declaredLeft ?? 0
        if exchange.awaitsContinue || left > UInt64(self.limits.discardedBytesMax) {
            self.stopReading()
        } else {
            self.delivery = .discard
            self.isPaused = false
        }
    }

    /// Writes what the socket takes, and what a stream's producer has ready.
    func flush() {
        var pieces: Int = 0
        while self.phase != .closed {
            let before: Int = self.output.count
            let result: Transfer = self.output.flush(self.transport)
            self.writtenTotal += before - self.output.count
            switch result {
            case .wouldBlock:
                self.isWritable = false
                self.watchWriting()
                return
            case .ended, .failed:
                self.teardown()
                return
            case .bytes:
                break
            }
            self.stopWatchingWriting()
            guard let exchange: Exchange = self.exchange, exchange.hasResponseHead else { return }
            if exchange.isAnswered {
                self.responseSent(exchange)
                return
            }
            guard let writer: ResponseWriter = exchange.writer else { return }
            if pieces == ServerConnection.piecesPerTurn {
                self.outputReady(writer)
                return
            }
            pieces += 1
            if !self.pull(writer, exchange) { return }
        }
    }

    /// Takes what the producer has; false when there is nothing to write.
    private func pull(_ writer: ResponseWriter, _ exchange: Exchange) -> Bool {
        let taken: (bytes: [UInt8], isLast: Bool) = writer.take()
        self.output.append(taken.bytes)
        if taken.isLast {
            exchange.isAnswered = true
            self.settleUnreadBody(exchange)
            return true
        }
        return !taken.bytes.isEmpty
    }

    /// The response is with the kernel. Goes on to the next request, or to the end of the connection.
    func responseSent(_ exchange: Exchange) {
        if let writer: ResponseWriter = exchange.writer.take() {
            self.stopBeating()
            self.core.statistics.responseBytesUnsentPeak.raise(to: writer.unsentPeak)
        }
        if !exchange.keepsAlive {
            self.finish()
            return
        }
        // A small rest of the body is still to be thrown away; its end comes back here.
        if self.phase == .body { return }
        exchange.task = nil
        self.exchange = nil
        self.phase = .head
        self.watch(.idle)
        self.processInput()
        if self.inputEnded && self.phase == .head { self.teardown() }
    }

    /// Nothing more will be sent.
    private func finish() {
        self.exchange?.task = nil
        self.exchange = nil
        let everythingWasRead: Bool = self.phase == .waiting && !self.ignoresInput && self.input.isEmpty
        if self.inputEnded || everythingWasRead {
            self.teardown()
            return
        }
        self.phase = .lingering
        self.input.removeAll()
        self.isPaused = false
        self.transport.finishWriting()
        self.watch(.linger)
        self.advance()
    }
}
