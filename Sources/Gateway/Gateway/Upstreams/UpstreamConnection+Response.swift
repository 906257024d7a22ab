import EventLoops
import HTTP

extension UpstreamConnection {
    /// Bytes one connection may move in a turn before others get theirs.
    private static let readsPerTurn: Int = 16
    /// Interim responses to one request at most.
    static let interimMax: Int = 32

    /// Reads and passes on what waits, until nothing does or the client takes no more.
    func readResponse() {
        guard let client: Unmanaged<ClientConnection> = self.client else { return }
        var reads: Int = 0
        while self.phase == .busy, self.inputReady, client._withUnsafeGuaranteedRef({ $0.pending == nil }) {
            if reads == UpstreamConnection.readsPerTurn {
                self.loop.resumeLater(self)
                return
            }
            reads += 1
            let buffer: UnsafeMutableRawPointer = self.loop.response
            let kept: Int = self.unstash(into: buffer)
            let room: Int = GatewayLoop.inputBytes - kept
            let got: Int = self.channel.receive(buffer + kept, room)
            if got <= 0 {
                if kept > 0 { self.keepRest(UnsafeRawPointer(buffer), kept) }
                self.inputReady = false
                if got != Socket.wouldBlock { self.inputEnded(cleanly: got == 0) }
                return
            }
            // See the client's side: what the kernel told already is not told again.
            if got < room, self.channel.isPlain { self.inputReady = self.inputFinished }
            if !self.hasAnswered { self.firstByteCame() }
            let isOver: Bool = client._withUnsafeGuaranteedRef { self.use(UnsafeRawPointer(buffer), kept + got, $0) }
            if isOver {
                self.finishExchange()
                return
            }
        }
    }

    private func firstByteCame() {
        self.hasAnswered = true
        // Bytes of the request that were sent are of no more use; those that were not are.
        if let block: ByteBlock = self.out, block.count == 0 {
            self.loop.blocks.give(block)
            self.out = nil
        }
        self.isReplayable = false
    }

    private func unstash(into buffer: UnsafeMutableRawPointer) -> Int {
        guard let block: ByteBlock = self.stash else { return 0 }
        buffer.copyMemory(from: UnsafeRawPointer(block.base + block.start), byteCount: block.count)
        self.loop.blocks.give(block)
        self.stash = nil
        return block.count
    }

    private func keepRest(_ bytes: UnsafeRawPointer, _ count: Int) {
        var block: ByteBlock = self.loop.blocks.take(count)
        block.append(bytes, count)
        self.stash = block
    }

    /// Uses received bytes; true when the response is complete.
    private func use(_ bytes: UnsafeRawPointer, _ count: Int, _ client: ClientConnection) -> Bool {
        var position: Int = 0
        self.loop.out.clear()
        while !self.headDone {
            guard position < count else {
                // Interim heads go out without waiting for the final one.
                client.sendScratch()
                return false
            }
            guard let taken: Int = self.readHead(bytes + position, count - position, client) else { return false }
            position += taken
        }
        if !self.body.isDone, position < count {
            guard let taken: Int = self.relayBody(bytes + position, count - position, client) else { return false }
            position += taken
        }
        client.sendScratch()
        guard self.phase == .busy else { return false }
        if self.body.isDone {
            // Bytes behind the end belong to no request: the connection cannot be trusted with another one.
            if position < count { self.isReusable = false }
            return true
        }
        if position < count { self.keepRest(bytes + position, count - position) }
        self.loop.events.schedule(
            self.timer, at: min(self.loop.events.now &+ client.exchange.times.idle, client.exchange.limit))
        // What the client sent before it knew.
        if client.exchange.isTunnel { client.resumeInput() }
        return false
    }

    /// Reads one head at the start of the bytes; nil when it is not complete, or the exchange failed with it.
    private func readHead(_ bytes: UnsafeRawPointer, _ count: Int, _ client: ClientConnection) -> Int? {
        let loop: GatewayLoop = self.loop
        let outcome: HTTPHeadOutcome = HTTPHeadReader.readResponse(
            UnsafeRawBufferPointer(start: bytes, count: count), isHead: client.exchange.method == .head,
            scanned: &self.scanned, limits: loop.settings.limits, table: loop.responseTable, into: &loop.responseHead)
        switch outcome {
        case .complete: break
        case .incomplete:
            // Interim heads before it go out now.
            client.sendScratch()
            if self.phase == .busy { self.keepRest(bytes, count) }
            return nil
        case .refused:
            self.fail(.invalidResponse)
            return nil
        }
        self.scanned = 0
        let taken: Int = loop.responseHead.count
        if loop.responseHead.isInterim {
            self.interimCount += 1
            guard self.interimCount <= UpstreamConnection.interimMax else {
                self.fail(.invalidResponse)
                return nil
            }
            if client.exchange.minorVersion == 1 { self.composeInterim(bytes) }
            return taken
        }
        if loop.responseHead.status == 101 {
            // RFC 9110, 15.2.2: only what was asked for.
            guard client.exchange.isUpgrade, self.switchesToWebSocket(bytes) else {
                self.fail(.invalidResponse)
                return nil
            }
            self.beginTunnel(bytes, client)
            return taken
        }
        // The answer is an ordinary one.
        client.exchange.isUpgrade = false
        if client.exchange.isSteered, client.retriesAnswer(loop.responseHead, bytes) {
            self.dropAnswer(client, rest: count - taken)
            return nil
        }
        self.headDone = true
        self.isReusable = loop.responseHead.keepsAlive
        self.beginBody(client)
        if client.context != nil, client.filtersResponse {
            return self.beginFiltering(bytes, client) ? taken : nil
        }
        self.composeHead(bytes, client)
        guard !loop.out.overflowed else {
            loop.out.clear()
            self.fail(.invalidResponse)
            return nil
        }
        client.responseBegan(status: loop.responseHead.status)
        return taken
    }

    /// Lets go of an exchange that goes on elsewhere. The connection is kept when all of the answer is here already.
    private func dropAnswer(_ client: ClientConnection, rest: Int) {
        // Interim heads that came with it are the client's.
        client.sendScratch()
        client.upstream = nil
        self.client = nil
        let head: HTTPResponseHead = self.loop.responseHead
        var isWhole: Bool = head.framing == .none && rest == 0
        if case .length(let count) = head.framing { isWhole = count == UInt64(rest) }
        let isSent: Bool = client.exchange.isRequestGiven && (self.out?.count ?? 0) == 0 && !self.sendFailed
        if isWhole, isSent, head.keepsAlive, !self.inputFinished, !self.loop.isDraining, !self.isWornOut,
            self.pool.keep(self)
        {
            self.becomeIdle()
        } else {
            self.close()
        }
    }

    /// Whether the head says what a client has to find in it (RFC 6455, 4.1).
    private func switchesToWebSocket(_ bytes: UnsafeRawPointer) -> Bool {
        let loop: GatewayLoop = self.loop
        guard loop.responseHead.flags.contains([.upgrade, .hasUpgradeField]) else { return false }
        for index in 0..<loop.responseHead.fieldCount {
            let field: HTTPField = loop.responseTable.fields[index]
            guard field.known == .upgrade else { continue }
            return field.valueCount == 9 && WireText.equalsIgnoringCase(bytes + Int(field.valueStart), "websocket")
        }
        return false
    }

    /// The target switched to WebSocket (RFC 6455, 4.2.2): from here on bytes pass as they come, both ways.
    private func beginTunnel(_ bytes: UnsafeRawPointer, _ client: ClientConnection) {
        let loop: GatewayLoop = self.loop
        self.headDone = true
        self.isReusable = false
        self.makesChunks = false
        self.body = BodyFlow(.untilClose, keepsFraming: false)
        self.composeStatusLine(bytes)
        self.copyFields(bytes, keepsTrailerField: false, changes: client.exchange.responseHeaders)
        loop.out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        client.responseBegan(status: 101)
        client.beginTunnel()
    }

    /// Decides how the body reaches this client.
    private func beginBody(_ client: ClientConnection) {
        let framing: HTTPFraming = self.loop.responseHead.framing
        let speaksChunked: Bool = client.exchange.minorVersion == 1
        self.body = BodyFlow(framing, keepsFraming: speaksChunked)
        self.makesChunks = framing == .untilClose && speaksChunked
        // An old client learns the end of such a body from the end of the connection.
        if !speaksChunked, framing == .chunked || framing == .untilClose { client.exchange.keepsAlive = false }
        // The rest of the request's body would be read as the next request.
        if !client.exchange.body.isDone { client.exchange.keepsAlive = false }
        if client.loop.isDraining { client.exchange.keepsAlive = false }
    }

    private func composeInterim(_ bytes: UnsafeRawPointer) {
        let loop: GatewayLoop = self.loop
        self.composeStatusLine(bytes)
        self.copyFields(bytes, keepsTrailerField: false, changes: nil)
        loop.out.append("\r\n")
    }

    private func composeStatusLine(_ bytes: UnsafeRawPointer) {
        let loop: GatewayLoop = self.loop
        if loop.responseHead.minorVersion == 1 {
            loop.out.append(bytes, loop.responseHead.fieldsStart)
        } else {
            loop.out.append("HTTP/1.1")
            loop.out.append(bytes + 8, loop.responseHead.fieldsStart - 8)
        }
    }

    private func composeHead(_ bytes: UnsafeRawPointer, _ client: ClientConnection) {
        let loop: GatewayLoop = self.loop
        self.composeStatusLine(bytes)
        let isChunked: Bool = self.makesChunks || (self.body.kind == .chunked && client.exchange.minorVersion == 1)
        let changes: Unmanaged<CompiledHeaderChanges>? = client.exchange.responseHeaders
        self.copyFields(bytes, keepsTrailerField: isChunked, changes: changes)
        if let changes: Unmanaged<CompiledHeaderChanges> = changes {
            changes._withUnsafeGuaranteedRef { loop.out.append($0.lines) }
        }
        if client.exchange.isSteered { client.composeVersionCookie() }
        if isChunked { loop.out.append("Transfer-Encoding: chunked\r\n") }
        if !client.exchange.keepsAlive {
            loop.out.append("Connection: close\r\n")
        } else if client.exchange.minorVersion == 0 {
            loop.out.append("Connection: keep-alive\r\n")
        }
        loop.out.append("\r\n")
    }

    /// Copies the fields that go on. The route's changes live as long as the exchange's lease.
    private func copyFields(
        _ bytes: UnsafeRawPointer, keepsTrailerField: Bool, changes: Unmanaged<CompiledHeaderChanges>?
    ) {
        let loop: GatewayLoop = self.loop
        let start: Int = loop.responseHead.fieldsStart
        let end: Int = loop.responseHead.count - 2
        let flags: HTTPHeadFlags = loop.responseHead.flags
        if !flags.contains(.hasHopByHop), changes == nil {
            loop.out.append(bytes + start, end - start)
            return
        }
        let namesOthers: Bool = flags.contains(.namesOthers)
        let table: HTTPFieldTable = loop.responseTable
        let count: Int = loop.responseHead.fieldCount
        HeadComposer.copyFields(bytes, from: start, to: end, table: table, count: count, into: &loop.out) {
            (field: HTTPField, _: Int) -> Bool in
            if field.known.isHopByHop { return field.known != .trailer || !keepsTrailerField }
            if namesOthers, HeadComposer.isNamedByConnection(field, bytes, table: table, count: count) { return true }
            guard let changes: Unmanaged<CompiledHeaderChanges> = changes else { return false }
            return changes._withUnsafeGuaranteedRef { HeadComposer.isChanged(field, bytes, by: $0) }
        }
    }

    /// Passes on bytes of the body; nil when the exchange failed with them.
    private func relayBody(_ bytes: UnsafeRawPointer, _ count: Int, _ client: ClientConnection) -> Int? {
        if self.isFiltered { return self.filterBody(bytes, count, client) }
        switch self.body.kind {
        case .done: return 0
        case .length:
            let taken: Int = self.body.take(count)
            client.emit(bytes, taken)
            return taken
        case .untilClose:
            if self.makesChunks {
                self.loop.out.append(hexadecimal: count)
                self.loop.out.append("\r\n")
                client.emit(bytes, count)
                client.emit("\r\n")
            } else {
                client.emit(bytes, count)
            }
            return count
        case .chunked: return self.relayChunks(bytes, count, client)
        }
    }

    private func relayChunks(_ bytes: UnsafeRawPointer, _ count: Int, _ client: ClientConnection) -> Int? {
        var position: Int = 0
        let whole: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: bytes, count: count)
        let table: HTTPFieldTable = self.loop.responseTable
        while true {
            switch self.body.decoder.next(whole, position: &position, limits: self.loop.settings.limits, table: table) {
            case .bytes(let start, let length): client.emit(bytes + start, length)
            case .incomplete: return position
            case .trailers(let start, let fieldCount):
                // A client of HTTP/1.0 gets the body alone.
                if client.exchange.minorVersion == 1 {
                    HeadComposer.appendTrailers(bytes + start, table: table, count: fieldCount, into: &self.loop.out)
                }
            case .end:
                self.body.finish()
                return position
            case .refused:
                self.fail(.invalidResponse)
                return nil
            }
        }
    }

    /// The target sends nothing more.
    private func inputEnded(cleanly: Bool) {
        self.inputFinished = true
        if cleanly, self.headDone, self.body.kind == .untilClose, let client: Unmanaged<ClientConnection> = self.client
        {
            self.body.finish()
            self.isReusable = false
            client._withUnsafeGuaranteedRef { (client: ClientConnection) in
                if self.isFiltered {
                    self.loop.out.clear()
                    if client.endFiltering() { client.sendScratch() }
                } else if self.makesChunks {
                    self.loop.out.clear()
                    client.emit("0\r\n\r\n")
                    client.sendScratch()
                }
            }
            if self.phase == .busy { self.finishExchange() }
            return
        }
        self.fail(.reset)
    }

    /// The response is complete and given to the client. The connection goes back first: the client's next request may take it.
    private func finishExchange() {
        guard let client: Unmanaged<ClientConnection> = self.client else { return }
        self.client = nil
        client._withUnsafeGuaranteedRef { (client: ClientConnection) in
            client.upstream = nil
            client.targetAnswered(self.pool, status: client.exchange.status)
            let isSent: Bool = client.exchange.isRequestGiven && (self.out?.count ?? 0) == 0 && !self.sendFailed
            if self.isReusable, isSent, !self.channel.isStream, !self.inputFinished, !self.loop.isDraining,
                !self.isWornOut,
                self.pool.keep(self)
            {
                self.becomeIdle()
            } else {
                self.close()
            }
            client.responseEnded()
            if let queue: ConnectionQueue = self.pool.queue, !queue.isEmpty { queue.serve() }
        }
    }

    /// Its requests or its time are over, its place is needed, or the target is not at its address any more.
    var isWornOut: Bool {
        self.requestsLeft == 0 || self.loop.events.now >= self.oldAt
            || (!self.pool.address.isLiteral && !self.pool.address.contains(self.remote))
            || (self.pool.rules.queueMax > 0 && self.pool.queue?.isEmpty ?? true && self.pool.mustMakePlace)
    }

    func becomeIdle() {
        self.phase = .idle
        if let block: ByteBlock = self.out {
            self.loop.blocks.give(block)
            self.out = nil
        }
        self.loop.events.schedule(
            self.timer, at: min(self.loop.events.now &+ self.pool.rules.idleTimeout, self.oldAt))
    }
}
