import EventLoops
import HTTP

/// Responses that go through the filters of their route: taken apart here, framed anew by the client's side.
extension UpstreamConnection {
    /// Gives the head to the client's stages; false when the exchange ended or goes on without this connection.
    func beginFiltering(_ bytes: UnsafeRawPointer, _ client: ClientConnection) -> Bool {
        let loop: GatewayLoop = self.loop
        let framing: HTTPFraming = loop.responseHead.framing
        if let local: LocalAnswer = client.takeHead(bytes) {
            self.giveWay(to: local, client)
            return false
        }
        self.isFiltered = true
        self.makesChunks = false
        self.body = BodyFlow(framing, keepsFraming: false)
        self.framing = framing
        client.responseBegan(status: loop.responseHead.status)
        guard client.beginFiltering(framing) else {
            loop.out.clear()
            if self.client != nil { self.fail(.invalidResponse) }
            return false
        }
        if self.body.isDone { return self.endFiltering(client) }
        return self.phase == .busy
    }

    /// A stage answers instead of this response. Its connection is kept when nothing more comes on it.
    private func giveWay(to local: LocalAnswer, _ client: ClientConnection) {
        self.loop.out.clear()
        client.upstream = nil
        self.client = nil
        client.targetAnswered(self.pool, status: self.loop.responseHead.status)
        let isSent: Bool = client.exchange.isRequestGiven && (self.out?.count ?? 0) == 0 && !self.sendFailed
        if self.body.isDone, self.isReusable, isSent, !self.inputFinished, !self.loop.isDraining, !self.isWornOut,
            self.pool.keep(self)
        {
            self.becomeIdle()
        } else {
            self.close()
        }
        client.answer(local)
        client.resumeInput()
    }

    /// Passes decoded bytes to the filters; nil when the exchange ended with them.
    func filterBody(_ bytes: UnsafeRawPointer, _ count: Int, _ client: ClientConnection) -> Int? {
        switch self.body.kind {
        case .done: return 0
        case .length:
            let taken: Int = self.body.take(count)
            guard client.filterBody(bytes, taken, self.framing) else { return nil }
            if self.body.isDone { return self.endFiltering(client) ? taken : nil }
            return taken
        case .untilClose: return client.filterBody(bytes, count, self.framing) ? count : nil
        case .chunked: return self.filterChunks(bytes, count, client)
        }
    }

    private func filterChunks(_ bytes: UnsafeRawPointer, _ count: Int, _ client: ClientConnection) -> Int? {
        var position: Int = 0
        let whole: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: bytes, count: count)
        let table: HTTPFieldTable = self.loop.responseTable
        while true {
            switch self.body.decoder.next(whole, position: &position, limits: self.loop.settings.limits, table: table) {
            case .bytes(let start, let length):
                if !client.filterBody(bytes + start, length, self.framing) { return nil }
            case .incomplete: return position
            case .trailers(let start, let fieldCount): client.keepTrailers(bytes + start, fieldCount)
            case .end:
                self.body.finish()
                return self.endFiltering(client) ? position : nil
            case .refused:
                self.fail(.invalidResponse)
                return nil
            }
        }
    }

    private func endFiltering(_ client: ClientConnection) -> Bool {
        if client.endFiltering() { return true }
        if self.client != nil, self.phase == .busy { self.fail(.invalidResponse) }
        return false
    }
}
