import EventLoops
import HTTP

/// Exchanges without a client: those whose client went away while their answer is worth keeping, and requests of the gateway's own.
extension ClientConnection {
    /// Lets go of the client and goes on with the exchange; false when it has nothing that outlives its client.
    func becomeOrphan() -> Bool {
        guard let context: PolicyContext = self.context, context.outlivesClient, self.phase == .exchange,
            !self.isOrphan,
            self.exchange.body.isDone, !self.exchange.responseDone, self.loop.keepOrphan(self)
        else { return false }
        let loop: GatewayLoop = self.loop
        loop.events.cancel(self.timer)
        if let block: ByteBlock = self.stash { loop.blocks.give(block) }
        if let block: ByteBlock = self.pending { loop.blocks.give(block) }
        self.stash = nil
        self.hasFreshStash = false
        self.pending = nil
        context.queue.reset()
        context.seats = nil
        self.seats = nil
        self.exchange.keepsAlive = false
        self.exchange.reason = .clientClosed
        self.channel.close(loop.events, owner: self, abruptly: true)
        loop.clientClosed(self)
        self.isOrphan = true
        // Reading the response may have waited for the client to take more. Not here: this may be called while it is read.
        if let upstream: UpstreamConnection = self.upstream?.takeUnretainedValue() { loop.resumeLater(upstream) }
        return true
    }

    /// Sends the request of an exchange again, for nobody, after this turn: what comes back goes through the response stages of
    /// the route. `prepare` changes the new exchange's context.
    func refresh(_ prepare: (PolicyContext) -> Void) {
        let loop: GatewayLoop = self.loop
        guard let original: PolicyContext = self.context, let lease: Unmanaged<SnapshotLease> = self.exchange.lease
        else {
            return
        }
        let orphan: ClientConnection = ClientConnection(
            loop: loop, channel: Channel(fd: -1, tls: nil), address: self.address)
        orphan.isOrphan = true
        let context: PolicyContext = loop.policyContexts.take(loop.settings.limits, snapshot: original.snapshot)
        guard context.begin(like: original), loop.keepOrphan(orphan) else {
            loop.policyContexts.give(context)
            return
        }
        prepare(context)
        orphan.context = context
        orphan.phase = .deciding
        orphan.exchange = Exchange(loop.events)
        orphan.exchange.method = self.exchange.method
        orphan.exchange.attemptsLeft = GatewayLoop.retriesMax
        orphan.exchange.forwarding = self.exchange.forwarding
        orphan.exchange.times = self.exchange.times
        orphan.exchange.lease = lease
        lease._withUnsafeGuaranteedRef { $0.exchanges += 1 }
        let name: ObjectIdentifier = ObjectIdentifier(orphan)
        loop.events.execute { loop.startOrphan(name) }
    }

    /// Begins a request of the gateway's own.
    func startRefresh() {
        guard self.phase == .deciding, let context: PolicyContext = self.context else { return }
        let loop: GatewayLoop = self.loop
        context.restore(&loop.requestHead, loop.requestTable)
        _ = self.sendOn(context, UnsafeRawBufferPointer(start: nil, count: 0))
    }
}
