import EventLoops
import GatewayConfiguration
import HTTP

/// The way of a request on a route whose policies need more than a decision.
extension ClientConnection {
    /// Begins the pipeline of a matched route; returns how many bytes were used, as `begin` does.
    func beginPipeline(
        _ bytes: UnsafeRawPointer, _ count: Int, _ view: RequestView, _ index: RouteIndex, _ hasEncodedSlash: Bool,
        _ lease: SnapshotLease
    ) -> Int? {
        let loop: GatewayLoop = self.loop
        let headCount: Int = loop.requestHead.count
        let snapshot: Snapshot = lease.snapshot
        let route: CompiledRoute = snapshot.route(at: index)
        guard let pipeline: RoutePipeline = route.pipeline else {
            return self.forward(bytes, count, view, index, hasEncodedSlash, lease)
        }
        let context: PolicyContext = loop.policyContexts.take(loop.settings.limits, snapshot: snapshot)
        let isKept: Bool = context.begin(
            PolicyContext.Beginning(
                bytes: bytes, head: loop.requestHead, fields: loop.requestTable.fields, view: view,
                hasEncodedSlash: hasEncodedSlash, snapshot: snapshot, route: index, pipeline: pipeline,
                isSecure: self.channel.session != nil, tls: self.channel.session))
        guard isKept else {
            loop.policyContexts.give(context)
            self.answer(.headTooLarge)
            return headCount
        }
        if pipeline.countsConnections { context.seats = self.connectionSeats() }
        self.context = context
        lease.exchanges += 1
        self.exchange.lease = .passUnretained(lease)
        self.exchange.times = route.timeouts
        self.exchange.bodyMax = UInt64(clamping: route.bodyBytesMax)
        self.phase = .deciding
        loop.decision.begin(context.rules, route: index)
        let rest: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: bytes + headCount, count: count - headCount)
        return self.runStages(context, rest).map { headCount + $0 }
    }

    /// What the connection counts in: of a stream, what its connection does.
    private func connectionSeats() -> ConnectionSeats {
        if let stream: Unmanaged<HTTP2Stream> = self.channel.stream {
            return stream._withUnsafeGuaranteedRef { stream in
                let seats: ConnectionSeats = stream.connection.seats ?? ConnectionSeats()
                stream.connection.seats = seats
                return seats
            }
        }
        let seats: ConnectionSeats = self.seats ?? ConnectionSeats()
        self.seats = seats
        return seats
    }

    /// Runs stages from the present one on, until the request is forwarded, answered, or has to wait. `rest` is what was received
    /// behind the head and not used; returns how much of it was used, nil when it is of no use.
    private func runStages(_ context: PolicyContext, _ rest: UnsafeRawBufferPointer) -> Int? {
        guard let pipeline: RoutePipeline = context.pipeline else { return 0 }
        let loop: GatewayLoop = self.loop
        context.time = DecisionTime(monotonic: loop.events.now, wall: UInt64(clamping: loop.events.wallNow))
        while context.stage < pipeline.requestStages.count {
            let outcome: StageOutcome = pipeline.requestStages[context.stage].run(
                context.request, context, &loop.decision)
            self.exchange.forwarding = loop.decision.forwarding
            switch outcome {
            case .next:
                context.stage += 1
                context.setWork(nil)
            case .reject:
                let reason: RequestReason = loop.decision.reason
                self.answer(reason == .none ? .internalError : reason, lines: loop.decision.headerLines)
                return 0
            case .answer(let local):
                if let prepare: (PolicyContext) -> Void = context.refresh {
                    context.refresh = nil
                    self.refresh(prepare)
                }
                self.answer(local)
                return 0
            case .suspend(let work):
                self.suspend(context, work)
                return 0
            case .needsBody(let most):
                guard context.body == nil else {
                    // It has all there is: a stage that asks again would ask for ever.
                    self.answer(.internalError)
                    return 0
                }
                self.exchange.forwarding = loop.decision.forwarding
                loop.decision.copyTaken(into: &context.taken)
                if !self.beginCollecting(context, most, isComing: rest.count > 0 || self.hasFreshStash) { return 0 }
                if !self.exchange.body.isDone { return 0 }
                context.finishCollecting()
                self.loop.decision.resume(self.exchange.forwarding, taken: context.taken)
            }
        }
        return self.sendOn(context, rest)
    }

    /// Goes on after a wait, on the loop: the head is put back where the stages and the composer look for it.
    private func goOn(_ context: PolicyContext) {
        let loop: GatewayLoop = self.loop
        context.restore(&loop.requestHead, loop.requestTable)
        loop.decision.resume(self.exchange.forwarding, taken: context.taken)
        _ = self.runStages(context, UnsafeRawBufferPointer(start: nil, count: 0))
    }

    // MARK: Waiting

    private func suspend(_ context: PolicyContext, _ work: PolicyWork) {
        let loop: GatewayLoop = self.loop
        loop.decision.copyTaken(into: &context.taken)
        context.setWork(work)
        let ticket: UInt64 = loop.waiting.add(self)
        context.ticket = ticket
        loop.events.schedule(self.timer, at: loop.events.now &+ work.timeout)
        work.start { loop.events.execute { loop.workDone(ticket) } }
    }

    /// The work the exchange waits for is done.
    func workDone() {
        guard self.phase == .deciding, let context: PolicyContext = self.context else { return }
        context.ticket = 0
        self.loop.events.disarm(self.timer)
        self.goOn(context)
        self.resumeInput()
    }

    /// Nobody came back in time: the body did not arrive, or the work takes too long.
    func decidingTimedOut() {
        guard let context: PolicyContext = self.context else { return }
        if context.isCollecting {
            self.answer(.requestTimeout)
            return
        }
        if let work: PolicyWork = context.work, work.goesOnAfterTimeout, context.ticket != 0 {
            self.loop.waiting.remove(context.ticket)
            context.ticket = 0
            work.cancel()
            self.goOn(context)
        } else {
            self.stopWaiting(context)
            self.answer(.policyUnavailable)
        }
        self.resumeInput()
    }

    private func stopWaiting(_ context: PolicyContext) {
        guard context.ticket != 0 else { return }
        self.loop.waiting.remove(context.ticket)
        context.ticket = 0
        context.work?.cancel()
        context.setWork(nil)
    }

    /// Ends the exchange's part in the pipeline and gives its context back.
    func releaseContext() {
        guard let context: PolicyContext = self.context else { return }
        self.context = nil
        self.stopWaiting(context)
        self.loop.collectedBytes -= context.collected.count
        self.loop.policyContexts.give(context)
    }

    // MARK: The body

    /// Prepares to gather the body; false when it is refused. `isComing`: a part of it is here, so nobody waits to be asked.
    private func beginCollecting(_ context: PolicyContext, _ most: Int, isComing: Bool) -> Bool {
        let loop: GatewayLoop = self.loop
        context.collectMax = Int(clamping: min(UInt64(max(0, most)), self.exchange.bodyMax))
        // The decoder that passes framing on is exchanged for one that gives the bytes alone: none has been read yet.
        self.exchange.body = BodyFlow(context.head.framing, keepsFraming: false)
        if self.exchange.body.kind == .length, self.exchange.body.left > UInt64(context.collectMax) {
            self.answer(.bodyTooLarge)
            return false
        }
        context.isCollecting = true
        if self.exchange.body.isDone { return true }
        loop.events.schedule(self.timer, at: loop.events.now &+ self.exchange.times.idle)
        if self.exchange.expectsContinue, self.exchange.minorVersion == 1, !isComing {
            self.exchange.expectsContinue = false
            loop.out.clear()
            loop.out.append("HTTP/1.1 100 Continue\r\n\r\n")
            self.sendScratch()
        }
        return self.phase == .deciding
    }

    /// Whether bytes of the body are wanted now.
    var collectsBody: Bool {
        guard let context: PolicyContext = self.context else { return false }
        return context.isCollecting && !self.exchange.body.isDone && self.pending == nil
    }

    /// Gathers received bytes of the body; returns how many were used, nil when the rest is of no use.
    func collectBody(_ bytes: UnsafeRawPointer, _ count: Int) -> Int? {
        guard let context: PolicyContext = self.context else { return nil }
        guard let used: Int = self.gather(context, bytes, count) else { return nil }
        if self.exchange.body.isDone {
            self.loop.events.disarm(self.timer)
            context.finishCollecting()
            self.goOn(context)
            return used
        }
        self.noteProgress(used)
        if used < count {
            self.keep(bytes + used, count - used)
            return count
        }
        return used
    }

    private func gather(_ context: PolicyContext, _ bytes: UnsafeRawPointer, _ count: Int) -> Int? {
        if self.exchange.body.kind == .length {
            let taken: Int = self.exchange.body.take(count)
            return self.add(context, bytes, taken) ? taken : nil
        }
        let loop: GatewayLoop = self.loop
        let whole: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: bytes, count: count)
        var position: Int = 0
        while true {
            let event: HTTPChunkEvent = self.exchange.body.decoder.next(
                whole, position: &position, limits: loop.settings.limits, table: loop.requestTable)
            switch event {
            case .bytes(let start, let length):
                if !self.add(context, bytes + start, length) { return nil }
            case .incomplete: return position
            // The body goes on with its length: there is no place for trailers.
            case .trailers: continue
            case .end:
                self.exchange.body.finish()
                return position
            case .refused(let refusal):
                self.exchange.keepsAlive = false
                self.answer(RequestReason(refusal))
                return nil
            }
        }
    }

    private func add(_ context: PolicyContext, _ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
        let loop: GatewayLoop = self.loop
        guard context.collected.count + count <= context.collectMax else {
            self.exchange.keepsAlive = false
            self.answer(.bodyTooLarge)
            return false
        }
        guard loop.collectedBytes + count <= GatewayLoop.collectedBytesMax else {
            self.exchange.keepsAlive = false
            self.answer(.overloaded)
            return false
        }
        loop.collectedBytes += count
        self.exchange.requestBytes &+= UInt64(count)
        context.collected.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
        return true
    }

    // MARK: Forwarding

    /// Sends the decided request to a target, with what stages changed.
    func sendOn(_ context: PolicyContext, _ rest: UnsafeRawBufferPointer) -> Int? {
        let loop: GatewayLoop = self.loop
        guard let lease: Unmanaged<SnapshotLease> = self.exchange.lease else { return 0 }
        self.phase = .exchange
        // Work that stages did in the meantime may have taken a while.
        let group: Unmanaged<UpstreamGroup> = lease._withUnsafeGuaranteedRef {
            $0.group(self.exchange.forwarding.upstream, loop)
        }
        self.exchange.group = group
        guard let pool: TargetPool = self.chooseTarget(group, context.request) else {
            self.answer(self.noTargetReason)
            return 0
        }
        let route: CompiledRoute = context.compiledRoute
        self.exchange.responseHeaders = route.responseHeadersInUse
        if context.edits.body != nil, !self.exchange.body.isDone {
            // A stage has put another body in place of one that is still to come.
            self.exchange.keepsAlive = false
            self.answer(.internalError)
            return 0
        }
        if let body: [UInt8] = context.edits.body ?? context.body { context.outgoing = body }
        self.composeEdited(
            context, route, pool, preservesHost: group._withUnsafeGuaranteedRef { $0.preservesHost })
        // Marks are places of 16 bits.
        guard !loop.out.overflowed, loop.out.count <= Int(UInt16.max) else {
            self.answer(.headTooLarge)
            return 0
        }
        guard let start: UnsafeRawPointer = rest.baseAddress, rest.count > 0 else {
            // Sends no byte of a body: this call cannot fail for one.
            return self.sendFirst(UnsafeRawPointer(context.base), 0, pool).map { _ in 0 }
        }
        return self.sendFirst(start, rest.count, pool)
    }

    /// Puts the beginning of the body that goes out from the context behind its head.
    func addOutgoing(_ context: PolicyContext, to block: inout ByteBlock) {
        let count: Int = min(context.outgoing.count, ClientConnection.outgoingPieceBytes)
        context.outgoingSent = count
        self.exchange.outgoingLeft = context.outgoing.count - count
        context.outgoing.withUnsafeBytes { (raw: UnsafeRawBufferPointer) in
            guard let base: UnsafeRawPointer = raw.baseAddress else { return }
            self.loop.blocks.append(base, count, to: &block)
        }
    }

    /// Gives the upstream more of the body that goes out from the context.
    func feedUpstream() {
        guard let context: PolicyContext = self.context, let upstream: Unmanaged<UpstreamConnection> = self.upstream
        else {
            return
        }
        while self.exchange.outgoingLeft > 0, upstream._withUnsafeGuaranteedRef({ $0.takesBody }) {
            let count: Int = min(self.exchange.outgoingLeft, ClientConnection.outgoingPieceBytes)
            self.exchange.outgoingLeft -= count
            let from: Int = context.outgoingSent
            context.outgoingSent += count
            context.outgoing.withUnsafeBytes { (raw: UnsafeRawBufferPointer) in
                guard let base: UnsafeRawPointer = raw.baseAddress else { return }
                upstream._withUnsafeGuaranteedRef { $0.send(base + from, count) }
            }
        }
    }

    /// Bytes of a collected body that are given to the upstream at once.
    static let outgoingPieceBytes: Int = 64 * 1024

    /// The upstream takes more of the request's body.
    func upstreamTakesBody() {
        if self.exchange.outgoingLeft > 0 { self.feedUpstream() } else { self.readInput() }
    }
}

/// Exchanges of one loop that wait for work, by ticket. A ticket is never used twice, so work that is done after its exchange
/// has ended finds nobody.
struct WaitingExchanges {
    private var clients: [UInt64: Unmanaged<ClientConnection>] = [:]
    private var last: UInt64 = 0

    mutating func add(_ client: ClientConnection) -> UInt64 {
        self.last += 1
        self.clients[self.last] = .passUnretained(client)
        return self.last
    }

    mutating func remove(_ ticket: UInt64) { self.clients[ticket] = nil }

    mutating func take(_ ticket: UInt64) -> Unmanaged<ClientConnection>? {
        self.clients.removeValue(forKey: ticket)
    }

    var count: Int { self.clients.count }
}
