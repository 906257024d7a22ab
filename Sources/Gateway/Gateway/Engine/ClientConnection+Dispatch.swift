import Crypto
import EventLoops
import GatewayConfiguration
import HTTP
import Identifiers
import TLS

extension ClientConnection {
    /// A request's path as it is matched and forwarded, where it stands.
    private struct ScreenedPath {
        var bytes: UnsafeRawBufferPointer
        var hasEncodedSlash: Bool
    }

    /// Begins the request whose head was just read: finds its route, asks the policies, and sends it on or answers.
    ///
    /// Returns how many bytes were used: the head, and the part of the body that went along; nil when the rest is of no use.
    func begin(_ bytes: UnsafeRawPointer, _ count: Int) -> Int? {
        let loop: GatewayLoop = self.loop
        loop.events.disarm(self.timer)
        self.phase = .exchange
        self.openExchange()
        if loop.requestHead.flags.contains(.hasAccept) { self.exchange.wantsText = self.prefersText(bytes) }
        if loop.requestHead.flags.contains(.hasTraceparent), let trace: TraceContext = self.outerTrace(bytes) {
            self.exchange.traceHigh = trace.traceIDHigh
            self.exchange.traceLow = trace.traceIDLow
            self.exchange.parentSpan = trace.spanID
            self.exchange.isSampled = trace.isSampled
        }
        if let reason: RequestReason = self.refusalOfKind(bytes) {
            self.answer(reason, allow: reason == .upgradeRefused ? [] : MethodSet.all.allowText)
            return loop.requestHead.count
        }
        if !self.channel.isPlain, self.showsRevokedCertificate {
            self.answer(.certificateRevoked)
            return loop.requestHead.count
        }
        guard let path: ScreenedPath = self.screenPath(bytes) else {
            self.answer(.pathRefused)
            return loop.requestHead.count
        }
        let view: RequestView = self.view(bytes, path.bytes)
        if loop.keepsPaths { self.keepPath(path.bytes) }
        // Another one is installed between two events only.
        return loop.leaseInUse._withUnsafeGuaranteedRef { (lease: SnapshotLease) -> Int? in
            if self.exchange.forwardsLeft == 0 {
                self.answerAsLast(view, lease.snapshot)
                return loop.requestHead.count
            }
            switch self.match(view, lease.snapshot) {
            case .route(let route):
                if lease.snapshot.rules.pointer(route.value).pointee.hasPipeline {
                    return self.beginPipeline(bytes, count, view, route, path.hasEncodedSlash, lease)
                }
                return self.forward(bytes, count, view, route, path.hasEncodedSlash, lease)
            case .methodNotAllowed(let allow): self.answer(.methodNotAllowed, allow: allow)
            case .options(let allow): self.answer(.optionsAnswered, allow: allow)
            case .undecided: self.answer(.expressionLimit)
            case .none: self.answer(.noRoute)
            }
            return loop.requestHead.count
        }
    }

    /// The route of a request. A preflight is answered by the route of the request it asks about, where that has a policy for it.
    private func match(_ view: RequestView, _ snapshot: Snapshot) -> Match {
        guard view.method == .options, let method: MethodCode = CORSPreflight.method(of: view) else {
            return snapshot.match(view)
        }
        var meant: RequestView = view
        meant.method = method
        if case .route(let route) = snapshot.match(meant), snapshot.route(at: route).answersPreflights {
            return .route(route)
        }
        return snapshot.match(view)
    }

    /// Whether the client's certificate was revoked, also since it connected. Looked up again only when something was revoked.
    private var showsRevokedCertificate: Bool {
        let revocations: TokenRevocations = self.loop.revocations
        let version: UInt64 = revocations.version
        guard version > 0, let session: TLSSession = self.channel.session, session.checkedRevocations != version,
            let certificate: Certificate = session.peerCertificate
        else { return false }
        if revocations.refuses(certificate) { return true }
        session.checkedRevocations = version
        return false
    }

    private func openExchange() {
        let loop: GatewayLoop = self.loop
        self.exchange = Exchange(loop.events)
        self.exchange.method = loop.requestHead.method
        self.exchange.minorVersion = loop.requestHead.minorVersion
        self.exchange.keepsAlive = loop.requestHead.keepsAlive && !loop.isDraining && !self.inputFinished
        self.exchange.body = BodyFlow(loop.requestHead.framing, keepsFraming: true)
        self.exchange.expectsContinue = loop.requestHead.flags.contains(.expectsContinue)
        self.exchange.attemptsLeft = GatewayLoop.retriesMax
    }

    /// Kinds of requests that no route takes.
    private func refusalOfKind(_ bytes: UnsafeRawPointer) -> RequestReason? {
        let head: HTTPHeadFlags = self.loop.requestHead.flags
        if self.loop.requestHead.method == .connect { return .methodNotAllowed }
        if self.loop.requestHead.method == .options || self.loop.requestHead.method == .trace {
            self.readMaxForwards(bytes)
        }
        // "OPTIONS *" asks about the server, not about a path.
        let path: Range<Int> = self.loop.requestHead.path
        if path.count == 1, bytes.load(fromByteOffset: path.lowerBound, as: UInt8.self) == 0x2A {
            return .optionsAnswered
        }
        // A WebSocket client can do nothing with an answer without the switch. Others (h2c) go on with HTTP/1.1.
        // In HTTP/1.0 there is none (RFC 9110, 7.8).
        guard head.contains(.upgrade), self.exchange.minorVersion == 1, self.asksForWebSocket(bytes) else { return nil }
        // RFC 6455, 4.1: a GET without a body.
        guard self.loop.requestHead.method == .get, self.exchange.body.isDone else { return .upgradeRefused }
        self.exchange.isUpgrade = true
        return nil
    }

    private func asksForWebSocket(_ bytes: UnsafeRawPointer) -> Bool {
        let loop: GatewayLoop = self.loop
        for index in 0..<loop.requestHead.fieldCount {
            let field: HTTPField = loop.requestTable.fields[index]
            guard field.known == .upgrade, field.valueCount == 9 else { continue }
            if WireText.equalsIgnoringCase(bytes + Int(field.valueStart), "websocket") { return true }
        }
        return false
    }

    /// Brings the path into its normal form; nil when it has none.
    private func screenPath(_ bytes: UnsafeRawPointer) -> ScreenedPath? {
        let loop: GatewayLoop = self.loop
        let range: Range<Int> = loop.requestHead.path
        // "http://host" means the path "/".
        if range.isEmpty { return ScreenedPath(bytes: GatewayLoop.rootPath, hasEncodedSlash: false) }
        let path: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: bytes + range.lowerBound, count: range.count)
        let result: PathScreen.Result = PathScreen.screen(path, scratch: loop.pathScratch)
        switch result.verdict {
        case .plain: return ScreenedPath(bytes: path, hasEncodedSlash: result.hasEncodedSlash)
        case .rewritten:
            let rewritten: UnsafeRawBufferPointer = UnsafeRawBufferPointer(rebasing: loop.pathScratch[..<result.length])
            return ScreenedPath(bytes: rewritten, hasEncodedSlash: result.hasEncodedSlash)
        case .refused: return nil
        }
    }

    /// Keeps the beginning of the path until the record is written.
    private func keepPath(_ path: UnsafeRawBufferPointer) {
        guard let start: UnsafeRawPointer = path.baseAddress else { return }
        let count: Int = min(path.count, RecordRing.pathBytesDefault)
        var block: ByteBlock = self.loop.blocks.take(count)
        block.append(start, count)
        self.recordPath = block
    }

    private func view(_ bytes: UnsafeRawPointer, _ path: UnsafeRawBufferPointer) -> RequestView {
        let loop: GatewayLoop = self.loop
        let host: Range<Int> = loop.requestHead.host
        let query: Range<Int> = loop.requestHead.query
        var contentLength: Int64 = 0
        switch self.exchange.body.kind {
        case .length: contentLength = Int64(clamping: self.exchange.body.left)
        case .chunked: contentLength = -1
        case .done, .untilClose: break
        }
        return RequestView(
            method: loop.requestHead.method,
            host: UnsafeRawBufferPointer(start: bytes + host.lowerBound, count: host.count),
            path: path, query: UnsafeRawBufferPointer(start: bytes + query.lowerBound, count: query.count),
            fields: FieldTable(
                base: bytes,
                fields: UnsafeBufferPointer(start: loop.requestTable.fields, count: loop.requestHead.fieldCount)),
            remote: self.address, contentLength: contentLength)
    }

    /// Asks the policies and sends the request to a target of its API.
    func forward(
        _ bytes: UnsafeRawPointer, _ count: Int, _ view: RequestView, _ index: RouteIndex, _ hasEncodedSlash: Bool,
        _ lease: SnapshotLease
    ) -> Int? {
        let loop: GatewayLoop = self.loop
        let time: DecisionTime = DecisionTime(
            monotonic: loop.events.now, wall: UInt64(clamping: loop.events.wallNow))
        lease.snapshot.decide(view, route: index, hasEncodedSlash: hasEncodedSlash, at: time, into: &loop.decision)
        self.exchange.forwarding = loop.decision.forwarding
        if !loop.decision.isForwarded {
            self.answer(loop.decision.reason, lines: loop.decision.headerLines)
            return loop.requestHead.count
        }
        lease.exchanges += 1
        self.exchange.lease = .passUnretained(lease)
        let group: Unmanaged<UpstreamGroup> = lease.group(self.exchange.forwarding.upstream, loop)
        self.exchange.group = group
        guard let pool: TargetPool = self.chooseTarget(group, view) else {
            self.answer(self.noTargetReason)
            return loop.requestHead.count
        }
        let preservesHost: Bool = group._withUnsafeGuaranteedRef { $0.preservesHost }
        lease.snapshot.routeInUse(index)._withUnsafeGuaranteedRef { (route: CompiledRoute) in
            self.exchange.times = route.timeouts
            self.exchange.bodyMax = UInt64(clamping: route.bodyBytesMax)
            self.exchange.responseHeaders = route.responseHeadersInUse
            self.compose(bytes, view, route, pool, preservesHost: preservesHost)
        }
        guard !loop.out.overflowed else {
            self.answer(.headTooLarge)
            return loop.requestHead.count
        }
        let head: Int = loop.requestHead.count
        return self.sendFirst(bytes + head, count - head, pool).map { head + $0 }
    }

    /// Sends the composed head with the part of the body that is here; returns how much of `body` was used.
    func sendFirst(_ body: UnsafeRawPointer, _ count: Int, _ pool: TargetPool) -> Int? {
        let loop: GatewayLoop = self.loop
        var taken: Int = 0
        let available: Int = self.exchange.body.isDone ? 0 : count
        // Room for the trailers of a chunked body: they are written anew, with at most two bytes more each.
        let slack: Int = available > 0 ? 1024 : 0
        var block: ByteBlock = loop.blocks.take(loop.out.count + available + slack)
        block.append(UnsafeRawPointer(loop.out.base), loop.out.count)
        if let context: PolicyContext = self.context { self.addOutgoing(context, to: &block) }
        if available > 0 {
            let used: Int? = self.frameBody(body, available) { (piece: UnsafeRawPointer, length: Int) in
                loop.blocks.append(piece, length, to: &block)
            }
            guard let used: Int = used else {
                loop.blocks.give(block)
                return nil
            }
            taken = used
        }
        if !self.exchange.body.isDone {
            loop.events.schedule(self.timer, at: loop.events.now &+ self.exchange.times.idle)
        }
        if self.exchange.times.total != .max {
            self.exchange.deadline = self.exchange.started &+ self.exchange.times.total
            self.exchange.limit = self.exchange.deadline
        }
        if self.exchange.isSteered {
            self.keepCopy(block)
            self.beginMirror(block)
        }
        self.launch(block, pool, fresh: false)
        return taken
    }

    /// Gives the request to a connection of the pool, or to one of another target when none can be made.
    func launch(_ block: ByteBlock, _ pool: TargetPool, fresh: Bool) {
        self.beginAttempt(pool.identity, block)
        if self.channel.isGRPC, !pool.speaksHTTP2 {
            self.closeTry(.abandoned)
            self.loop.blocks.give(block)
            self.answer(.upstreamNotHTTP2)
            return
        }
        if !fresh, let idle: Unmanaged<UpstreamConnection> = pool.takeIdle() {
            idle._withUnsafeGuaranteedRef { $0.start(self, block, isReused: true) }
        } else {
            self.launchFresh(block, pool)
        }
        if self.exchange.outgoingLeft > 0 { self.feedUpstream() }
    }

    private func launchFresh(_ block: ByteBlock, _ pool: TargetPool) {
        let loop: GatewayLoop = self.loop
        var block: ByteBlock = block
        var pool: TargetPool = pool
        while true {
            switch pool.connect(loop, forUpgrade: self.exchange.isUpgrade) {
            case .started(let connection):
                connection.start(self, block, isReused: false)
                return
            case .overloaded:
                if self.waitForConnection(pool, block) { return }
                self.closeTry(.abandoned)
                loop.blocks.give(block)
                self.answer(.upstreamOverloaded)
                return
            case .failed:
                self.targetFailed(pool)
                self.attemptFailed(.upstreamConnectFailed)
            }
            if self.hasRetryRules {
                loop.blocks.give(block)
                if !self.tryAgain(after: .connectFailure) { self.answer(.upstreamConnectFailed) }
                return
            }
            guard self.exchange.attemptsLeft > 0, let next: TargetPool = self.chooseAnother(than: pool) else {
                loop.blocks.give(block)
                self.answer(.upstreamConnectFailed)
                return
            }
            self.exchange.attemptsLeft -= 1
            self.readdress(&block, to: next)
            pool = next
            self.beginAttempt(next.identity, block)
        }
    }

    /// The exchange failed at its target: tries again where that is safe, answers otherwise.
    ///
    /// Safe is: nothing was sent; or the target closed the connection before it said anything, and either the kernel took no
    /// byte of the request or repeating it does no harm. What was sent is repeated once: at another target, or, when there is
    /// none, on a fresh connection if the old one had been kept, because then it was just the wrong moment.
    func upstreamFailed(_ failure: UpstreamFailure, pool: TargetPool, block: ByteBlock?, isStale: Bool) {
        if self.exchange.responseStarted {
            if let block: ByteBlock = block { self.loop.blocks.give(block) }
            self.abort(failure.reason)
            return
        }
        self.attemptFailed(failure.reason)
        if self.hasRetryRules, self.retryFailed(failure, block, isStale: isStale) { return }
        guard var request: ByteBlock = block else {
            self.answer(failure.reason)
            self.resumeInput()
            return
        }
        if let next: TargetPool = self.nextAttempt(failure, pool, sent: request.start, isStale: isStale) {
            request.start = 0
            if next !== pool { self.readdress(&request, to: next) }
            self.launch(request, next, fresh: failure == .reset)
        } else {
            self.loop.blocks.give(request)
            self.answer(failure.reason)
        }
        self.resumeInput()
    }

    /// Where the request may be tried again; nil: nowhere.
    private func nextAttempt(_ failure: UpstreamFailure, _ pool: TargetPool, sent: Int, isStale: Bool) -> TargetPool? {
        switch failure {
        case .connectFailed, .connectTimeout:
            guard self.exchange.attemptsLeft > 0, let next: TargetPool = self.chooseAnother(than: pool) else {
                return nil
            }
            self.exchange.attemptsLeft -= 1
            return next
        case .reset:
            let mayRepeat: Bool = sent == 0 || self.exchange.method.isIdempotent
            guard mayRepeat, !self.exchange.isRepeated else { return nil }
            self.exchange.isRepeated = true
            return self.chooseAnother(than: pool) ?? (isStale ? pool : nil)
        case .refused:
            guard self.exchange.attemptsLeft > 0 else { return nil }
            self.exchange.attemptsLeft -= 1
            return self.exchange.isSteered ? self.chooseAnother(than: pool) ?? pool : pool
        case .timeout, .invalidResponse: return nil
        }
    }
}
