import EventLoops
import HTTP

extension ClientConnection {
    /// Takes the request's body out of received bytes and gives what goes on to the sink; returns how many bytes were used, or
    /// nil when the body broke a rule, which is then answered.
    func frameBody(_ bytes: UnsafeRawPointer, _ count: Int, sink: (UnsafeRawPointer, Int) -> Void) -> Int? {
        if self.exchange.body.kind == .length {
            let taken: Int = self.exchange.body.take(count)
            self.exchange.requestBytes &+= UInt64(taken)
            sink(bytes, taken)
            return taken
        }
        if self.exchange.body.kind == .untilClose {
            self.exchange.requestBytes &+= UInt64(count)
            sink(bytes, count)
            return count
        }
        let loop: GatewayLoop = self.loop
        let whole: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: bytes, count: count)
        let table: HTTPFieldTable = loop.requestTable
        var position: Int = 0
        while true {
            switch self.exchange.body.decoder.next(
                whole, position: &position, limits: loop.settings.limits, table: table)
            {
            case .bytes(let start, let length):
                self.exchange.requestBytes &+= UInt64(length)
                // Framing counts along: a body of very small chunks is as much work as a large one.
                if self.exchange.requestBytes > self.exchange.bodyMax {
                    self.bodyRefused(.bodyTooLarge)
                    return nil
                }
                sink(bytes + start, length)
            case .incomplete: return position
            case .trailers(let start, let fieldCount):
                loop.trailers.clear()
                HeadComposer.appendTrailers(bytes + start, table: table, count: fieldCount, into: &loop.trailers)
                sink(UnsafeRawPointer(loop.trailers.base), loop.trailers.count)
            case .end:
                self.exchange.body.finish()
                return position
            case .refused(let refusal):
                self.bodyRefused(RequestReason(refusal))
                return nil
            }
        }
    }

    /// What follows cannot be understood, or is more than is taken: the request ends here.
    private func bodyRefused(_ reason: RequestReason) {
        self.dropUpstream()
        self.exchange.keepsAlive = false
        if self.exchange.responseStarted { self.abort(reason) } else { self.answer(reason) }
    }

    /// Passes received bytes of the body on to the upstream; nil when the rest is of no use.
    func relayBody(_ bytes: UnsafeRawPointer, _ count: Int) -> Int? {
        guard let upstream: Unmanaged<UpstreamConnection> = self.upstream else { return nil }
        let used: Int? = self.frameBody(bytes, count) { (piece: UnsafeRawPointer, length: Int) in
            upstream._withUnsafeGuaranteedRef { $0.send(piece, length) }
        }
        guard let used: Int = used else { return nil }
        let loop: GatewayLoop = self.loop
        // The upstream's deadline is that of a tunnel, and `send` has moved it.
        if self.exchange.isTunnel { return used }
        if self.exchange.body.isDone {
            loop.events.disarm(self.timer)
            upstream._withUnsafeGuaranteedRef { $0.requestFinished() }
        } else {
            // Chunks come when they come; a body that said its length has to come on.
            self.noteProgress(self.exchange.body.kind == .length ? used : ClientConnection.progressMin)
            if used < count {
                self.keep(bytes + used, count - used)
                return count
            }
        }
        return used
    }

    /// Bytes that a client must send or take before its deadline moves: one a minute would hold a connection for ever.
    private static let progressMin: Int = 1024

    /// The client did something: moves its deadline when that was enough.
    func noteProgress(_ count: Int) {
        self.exchange.progress &+= count
        guard self.exchange.progress >= ClientConnection.progressMin else { return }
        self.exchange.progress = 0
        self.loop.events.schedule(self.timer, at: self.loop.events.now &+ self.exchange.times.idle)
    }

    /// Reads and drops the body of a request that was answered without it; nil when the rest is of no use.
    func discardBody(_ bytes: UnsafeRawPointer, _ count: Int) -> Int? {
        var used: Int = count
        if self.exchange.body.kind == .length {
            used = self.exchange.body.take(count)
        } else {
            guard let taken: Int = self.discardChunks(bytes, count) else {
                self.finishConnection()
                return nil
            }
            used = taken
        }
        if self.exchange.body.isDone {
            if self.pending == nil { self.becomeIdle() }
            return used
        }
        if UInt64(used) > self.exchange.discardLeft {
            self.finishConnection()
            return nil
        }
        self.exchange.discardLeft -= UInt64(used)
        if used < count { self.keep(bytes + used, count - used) }
        return count
    }

    private func discardChunks(_ bytes: UnsafeRawPointer, _ count: Int) -> Int? {
        let loop: GatewayLoop = self.loop
        let whole: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: bytes, count: count)
        var position: Int = 0
        while true {
            let event: HTTPChunkEvent = self.exchange.body.decoder.next(
                whole, position: &position, limits: loop.settings.limits, table: loop.requestTable)
            switch event {
            case .bytes, .trailers: continue
            case .incomplete: return position
            case .end:
                self.exchange.body.finish()
                return position
            case .refused: return nil
            }
        }
    }

    // MARK: Output

    /// Bytes that are copied behind a head to go out with one call; larger pieces are gathered by the kernel.
    private static let copyMax: Int = 16 * 1024
    /// The same for TLS, where nobody gathers, and each call costs a record.
    private static let copyMaxEncrypted: Int = 80 * 1024

    /// Adds a part of the response: it goes out with what is in the scratch.
    func emit(_ bytes: UnsafeRawPointer, _ count: Int) {
        let loop: GatewayLoop = self.loop
        let copyMax: Int = self.channel.isPlain ? ClientConnection.copyMax : ClientConnection.copyMaxEncrypted
        if loop.out.count + count <= copyMax {
            loop.out.append(bytes, count)
            return
        }
        self.send(loop.out.base, loop.out.count, bytes, count)
        loop.out.clear()
    }

    func emit(_ text: StaticString) {
        self.emit(text.utf8Start, text.utf8CodeUnitCount)
    }

    /// Sends what is in the loop's scratch, if anything.
    func sendScratch() {
        let loop: GatewayLoop = self.loop
        if loop.out.count == 0 { return }
        self.send(loop.out.base, loop.out.count, loop.out.base, 0)
        loop.out.clear()
    }

    /// Sends two pieces, one behind the other; what the kernel does not take waits in `pending`.
    private func send(_ first: UnsafeRawPointer, _ firstCount: Int, _ second: UnsafeRawPointer, _ secondCount: Int) {
        if self.phase == .closed { return }
        if self.exchange.responseComposed {
            self.exchange.responseStarted = true
            self.exchange.responseBytes &+= UInt64(firstCount + secondCount)
        }
        if self.isOrphan { return }
        if self.pending != nil {
            self.wait(first, firstCount, second, secondCount)
            return
        }
        let count: Int = firstCount + secondCount
        var sent: Int = self.channel.send(first, firstCount, second, secondCount)
        if sent == count { return }
        guard sent > 0 || sent == Socket.wouldBlock else {
            self.abort(.clientClosed)
            return
        }
        sent = max(sent, 0)
        let fromFirst: Int = min(sent, firstCount)
        let fromSecond: Int = sent - fromFirst
        self.wait(first + fromFirst, firstCount - fromFirst, second + fromSecond, secondCount - fromSecond)
        self.loop.events.schedule(self.timer, at: self.loop.events.now &+ self.exchange.times.idle)
    }

    private func wait(_ first: UnsafeRawPointer, _ firstCount: Int, _ second: UnsafeRawPointer, _ secondCount: Int) {
        let loop: GatewayLoop = self.loop
        var block: ByteBlock = self.pending ?? loop.blocks.take(firstCount + secondCount)
        loop.blocks.append(first, firstCount, to: &block)
        loop.blocks.append(second, secondCount, to: &block)
        self.pending = block
    }

    /// Sends what waits; false when the connection is gone or at its end.
    func flushPending() -> Bool {
        guard var block: ByteBlock = self.pending else { return true }
        let sent: Int = self.channel.send(block.base + block.start, block.count)
        guard sent > 0 || sent == Socket.wouldBlock else {
            self.abort(.clientClosed)
            return false
        }
        if sent > 0 { block.start &+= sent }
        let loop: GatewayLoop = self.loop
        if block.count > 0 {
            self.pending = block
            if sent > 0 { self.noteProgress(sent) }
            return true
        }
        loop.blocks.give(block)
        self.pending = nil
        return self.outputIsOut()
    }

    /// All of the output was taken: goes on with what waited for it.
    private func outputIsOut() -> Bool {
        if let context: PolicyContext = self.context, !context.queue.isEmpty {
            self.loop.out.clear()
            self.feedBacklog(context)
            if self.pending != nil || self.phase == .closed { return self.phase != .closed }
        }
        // An answer of many pieces is recorded when all of them are out.
        if self.phase == .answering { self.finishRecord() }
        if self.closesAfterOutput {
            self.finishConnection()
            return false
        }
        switch self.phase {
        case .exchange:
            if self.exchange.responseDone {
                self.becomeIdle()
                return true
            }
            if self.exchange.body.isDone || self.exchange.isTunnel { self.loop.events.disarm(self.timer) }
            if let upstream: Unmanaged<UpstreamConnection> = self.upstream {
                upstream._withUnsafeGuaranteedRef { $0.readResponse() }
            }
        case .answering:
            if self.exchange.body.isDone { self.becomeIdle() }
        case .idle, .head, .deciding, .linger, .closed: break
        }
        return self.phase != .closed
    }

    // MARK: The response

    /// The final response's head is put together and goes out next.
    func responseBegan(status: Int) {
        self.exchange.status = status
        self.exchange.responseComposed = true
        self.exchange.limit = self.exchange.deadline
        if self.exchange.isSteered { self.endRetries() }
        if self.exchange.asked > 0 {
            self.exchange.upstreamMicroseconds = Exchange.microseconds(
                from: self.exchange.asked, to: self.loop.events.now)
        }
    }

    /// The upstream has given all of the response.
    func responseEnded() {
        if self.phase != .exchange { return }
        self.exchange.responseDone = true
        self.finishRecord()
        // The client may still send a body that nobody reads: no other request can follow it.
        if !self.exchange.body.isDone || !self.exchange.keepsAlive {
            self.closesAfterOutput = true
            if self.pending == nil { self.finishConnection() }
            return
        }
        if self.pending == nil {
            self.becomeIdle()
            self.resumeInput()
        }
    }

    /// The exchange is over and the connection waits for the next.
    func becomeIdle() {
        self.phase = .idle
        if self.context != nil { self.releaseContext() }
        if self.isOrphan || self.loop.isDraining || self.inputFinished && self.stash == nil && !self.inputReady {
            self.close()
            return
        }
        self.loop.events.schedule(self.timer, at: self.loop.events.now &+ self.loop.settings.keepAliveTimeout)
    }

    /// Takes the exchange away from its upstream, whose connection cannot be used any more.
    func dropUpstream() {
        guard let upstream: Unmanaged<UpstreamConnection> = self.upstream else { return }
        self.upstream = nil
        upstream._withUnsafeGuaranteedRef { $0.abandon() }
    }
}
