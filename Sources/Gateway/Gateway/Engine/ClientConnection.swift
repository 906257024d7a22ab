import EventLoops
import GatewayConfiguration
import HTTP
import TLS

/// One connection of a client: reads requests, hands them on, and carries the answers back, one exchange after the other.
///
/// All of it runs on the loop that accepted the connection. An idle connection holds no buffers: input is read into the loop's
/// scratch and forwarded from there; what cannot be used yet is kept in `stash`, what the client does not take yet in `pending`,
/// and as long as `pending` holds something, nothing more is read for this client. So memory is bounded by one turn's bytes.
final class ClientConnection: TimedHandler {
    /// Where the connection is, and where it may go from there.
    enum Phase: UInt8 {
        /// No byte of a request is here. → head, closed.
        case idle
        /// A part of a head is in the stash. → deciding, exchange, answering, closed.
        case head
        /// A request is with an upstream; its body or the response, or both, are on their way. → idle, answering, linger, closed.
        case exchange
        /// The policies of the route wait: for work elsewhere, or for the request's body. → exchange, answering, closed.
        case deciding
        /// The gateway's own answer is given; the rest of the request's body is read and dropped. → idle, linger, closed.
        case answering
        /// The last answer is out and our side is shut; the client's bytes are dropped until it closes too. → closed.
        case linger
        case closed
    }

    /// Strong: what is reached through a constant reference needs no count of its own. The loop outlives its connections, and
    /// lets go of them when it ends.
    let loop: GatewayLoop
    let channel: Channel
    /// The client's address, as policies compare it.
    let address: IPAddress
    let timer: ConnectionTimer = ConnectionTimer()
    /// Place in the loop's list of clients.
    var slot: Int = 0

    var phase: Phase = .idle

    // Input.
    /// The kernel said that bytes wait and they were not all taken.
    var inputReady: Bool = false
    /// The client has shut its side: an end of stream follows what waits.
    var inputFinished: Bool = false
    /// The reader's memory for a head that came in pieces.
    var scanned: Int = 0
    /// Bytes received and not used: part of a head, of a chunk's line, or the next pipelined request.
    var stash: ByteBlock?
    /// The stash holds bytes that nobody has looked at: they were kept because the exchange waited.
    var hasFreshStash: Bool = false

    // Output.
    /// Bytes that the kernel did not take.
    var pending: ByteBlock?
    /// Close when `pending` is out.
    var closesAfterOutput: Bool = false
    /// Nobody is at the other end (any more): the exchange goes on, and what it gives out is dropped.
    var isOrphan: Bool = false

    // The exchange.
    var exchange: Exchange = Exchange()
    var upstream: Unmanaged<UpstreamConnection>?
    /// What the stages of the route know of the exchange; nil on routes without a pipeline.
    var context: PolicyContext?
    /// What waits for a connection, and for one to which target.
    var queued: QueuedRequest?
    var queuePool: Unmanaged<TargetPool>?
    /// Made for the first exchange whose upstream asks for it.
    var steered: SteeredExchange?
    /// The path for the access log, where one is written.
    var recordPath: ByteBlock?
    /// The limits of connections this one counts in; nil: none was asked for, or it is a stream.
    var seats: ConnectionSeats?

    init(loop: GatewayLoop, channel: Channel, address: IPAddress) {
        self.loop = loop
        self.channel = channel
        self.address = address
        super.init()
        self.timer.handler = self
    }

    // MARK: Events

    override func ready(_ events: Readiness) {
        if self.phase == .closed { return }
        if events.isBroken {
            // Reset, or both sides shut: nobody reads an answer any more.
            self.abort(.clientClosed)
            return
        }
        if events.peerFinished { self.inputFinished = true }
        // A TLS session may need to read in order to write, and the other way round.
        if events.isReadable || self.channel.tls != nil { self.inputReady = true }
        if self.pending != nil, events.isWritable || self.channel.tls != nil, !self.flushPending() { return }
        self.resumeInput()
    }

    override func deadlinePassed() {
        switch self.phase {
        case .idle: self.close(unfinished: .timedOut)
        case .answering, .linger: self.close()
        case .deciding: self.decidingTimedOut()
        case .head:
            self.exchange = Exchange(self.loop.events)
            self.answer(.requestTimeout)
        case .exchange:
            // Armed only while the client is the one to move: its body is missing, or it does not read.
            if self.pending == nil, !self.wantsInput {
                // The upstream does not take the body: its own deadline is running.
                self.loop.events.schedule(self.timer, at: self.loop.events.now &+ self.exchange.times.idle)
            } else if self.pending == nil, self.exchange.responseBytes != self.exchange.responseBytesSeen {
                // A stream both ways: the client listens.
                self.exchange.responseBytesSeen = self.exchange.responseBytes
                self.loop.events.schedule(self.timer, at: self.loop.events.now &+ self.exchange.times.idle)
            } else if self.pending == nil, !self.exchange.responseStarted {
                self.dropUpstream()
                self.answer(.requestTimeout)
            } else {
                self.abort(.clientClosed)
            }
        case .closed: break
        }
    }

    override func resume() {
        if self.phase != .closed { self.readInput() }
    }

    // MARK: Input

    /// Whether bytes of the client could be used now.
    private var wantsInput: Bool {
        switch self.phase {
        case .idle, .head: return self.pending == nil
        case .deciding: return self.collectsBody
        case .exchange:
            guard !self.exchange.body.isDone, let upstream: Unmanaged<UpstreamConnection> = self.upstream else {
                return false
            }
            return upstream._withUnsafeGuaranteedRef { $0.takesBody }
        case .answering: return !self.exchange.body.isDone
        case .linger: return true
        case .closed: return false
        }
    }

    /// Bytes one connection may move in a turn before others get theirs.
    private static let readsPerTurn: Int = 16

    /// Reads and uses what waits, until nothing does or the bytes have no place to go.
    func readInput() {
        var reads: Int = 0
        while self.inputReady || self.hasFreshStash, self.wantsInput {
            if self.hasFreshStash {
                let count: Int = self.unstash(into: self.loop.input)
                self.use(UnsafeRawPointer(self.loop.input), count)
                continue
            }
            if reads == ClientConnection.readsPerTurn {
                self.loop.resumeLater(self)
                return
            }
            reads += 1
            let buffer: UnsafeMutableRawPointer = self.loop.input
            let kept: Int = self.unstash(into: buffer)
            let room: Int = GatewayLoop.inputBytes - kept
            let got: Int = self.channel.receive(buffer + kept, room)
            if got <= 0 {
                if kept > 0 { self.keep(UnsafeRawPointer(buffer), kept) }
                if got == Socket.wouldBlock {
                    self.inputReady = false
                    return
                }
                self.inputReady = false
                if got == 0 { self.inputEnded() } else { self.abort(.clientClosed) }
                return
            }
            // Fewer bytes than asked for: the kernel has no more, and says so when that changes. An end of stream that it told
            // already is not told again.
            if got < room, self.channel.isPlain { self.inputReady = self.inputFinished }
            self.use(UnsafeRawPointer(buffer), kept + got)
        }
    }

    /// The upstream switched protocols: what follows the head is a stream of bytes, until the client ends it.
    func beginTunnel() {
        self.exchange.isTunnel = true
        self.exchange.keepsAlive = false
        self.exchange.bodyMax = .max
        self.exchange.limit = .max
        self.exchange.body = BodyFlow(.untilClose, keepsFraming: false)
        self.inputReady = true
    }

    /// Goes on with what came while the connection was busy.
    func resumeInput() {
        if self.exchange.isTunnel, self.stash != nil, self.wantsInput {
            let count: Int = self.unstash(into: self.loop.input)
            self.use(UnsafeRawPointer(self.loop.input), count)
        }
        if self.stash != nil, self.phase == .idle, self.pending == nil {
            let count: Int = self.unstash(into: self.loop.input)
            self.use(UnsafeRawPointer(self.loop.input), count)
        }
        if self.inputReady || self.hasFreshStash { self.readInput() }
    }

    /// Uses received bytes from the first to the last; keeps what is not complete.
    private func use(_ bytes: UnsafeRawPointer, _ count: Int) {
        var position: Int = 0
        while position < count {
            switch self.phase {
            case .idle, .head:
                if self.pending != nil {
                    self.keep(bytes + position, count - position)
                    return
                }
                guard let taken: Int = self.readHead(bytes + position, count - position) else { return }
                position += taken
            case .deciding:
                if !self.collectsBody {
                    self.keep(bytes + position, count - position)
                    self.hasFreshStash = true
                    return
                }
                guard let taken: Int = self.collectBody(bytes + position, count - position) else { return }
                position += taken
            case .exchange:
                if self.exchange.body.isDone {
                    self.keep(bytes + position, count - position)
                    return
                }
                guard let taken: Int = self.relayBody(bytes + position, count - position) else { return }
                position += taken
            case .answering:
                if self.exchange.body.isDone {
                    self.keep(bytes + position, count - position)
                    return
                }
                guard let taken: Int = self.discardBody(bytes + position, count - position) else { return }
                position += taken
            case .linger:
                self.dropLingering(count - position)
                return
            case .closed: return
            }
        }
    }

    /// Reads a head at the start of the bytes and begins what it asks for; nil when it is not complete or was refused.
    private func readHead(_ bytes: UnsafeRawPointer, _ count: Int) -> Int? {
        let loop: GatewayLoop = self.loop
        let outcome: HTTPHeadOutcome = HTTPHeadReader.readRequest(
            UnsafeRawBufferPointer(start: bytes, count: count), scanned: &self.scanned, limits: loop.settings.limits,
            table: loop.requestTable, into: &loop.requestHead)
        switch outcome {
        case .complete:
            self.scanned = 0
            return self.begin(bytes, count)
        case .incomplete:
            if self.phase == .idle {
                self.phase = .head
                loop.events.schedule(self.timer, at: loop.events.now &+ loop.settings.headTimeout)
            }
            self.keep(bytes, count)
            return nil
        case .refused(let refusal):
            if self.begunHTTP2(bytes, count) { return nil }
            self.refuseHead(refusal)
            return nil
        }
    }

    /// Answers a head that is none; what follows it cannot be understood.
    func refuseHead(_ refusal: HTTPRefusal) {
        self.exchange = Exchange(self.loop.events)
        self.refuse(refusal)
    }

    /// Whether the connection begins with the preface of HTTP/2 (RFC 9113, 3.4): then it is handed over with these bytes.
    private func begunHTTP2(_ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
        // Only as the first bytes of a connection. A begun exchange has its time.
        guard self.exchange.started == 0, !self.channel.isStream, HTTP2Preface.begins(bytes, count) else {
            return false
        }
        self.phase = .closed
        self.loop.events.cancel(self.timer)
        self.loop.handOver(self, UnsafeRawBufferPointer(start: bytes, count: count))
        return true
    }

    /// The client sends nothing more.
    private func inputEnded() {
        self.inputFinished = true
        switch self.phase {
        case .idle, .head, .linger, .answering: self.close()
        case .deciding:
            self.exchange.keepsAlive = false
            // The body ends early. Where the exchange waits for work, the end is read when it goes on.
            if !self.exchange.body.isDone { self.answer(.badRequest) }
        case .exchange:
            self.exchange.keepsAlive = false
            if self.exchange.body.isDone { return }
            if self.exchange.isTunnel, let upstream: Unmanaged<UpstreamConnection> = self.upstream {
                self.exchange.body.finish()
                upstream._withUnsafeGuaranteedRef { $0.finishTunnel() }
                return
            }
            // The body ends early: the upstream must not take it for whole.
            self.dropUpstream()
            if self.exchange.responseStarted { self.abort(.clientClosed) } else { self.answer(.badRequest) }
        case .closed: break
        }
    }

    // MARK: Stash

    func keep(_ bytes: UnsafeRawPointer, _ count: Int) {
        var block: ByteBlock = self.loop.blocks.take(count)
        block.append(bytes, count)
        self.stash = block
    }

    private func unstash(into buffer: UnsafeMutableRawPointer) -> Int {
        self.hasFreshStash = false
        guard let block: ByteBlock = self.stash else { return 0 }
        buffer.copyMemory(from: UnsafeRawPointer(block.base + block.start), byteCount: block.count)
        self.loop.blocks.give(block)
        self.stash = nil
        return block.count
    }

    // MARK: The end

    /// Ends the connection as it is, and the exchange with it: the client went away, or does not move.
    func abort(_ reason: RequestReason) {
        if reason == .clientClosed, self.context != nil, self.becomeOrphan() { return }
        if self.phase == .exchange || self.phase == .deciding || self.phase == .answering && !self.exchange.isRecorded {
            self.dropUpstream()
            if self.exchange.reason == .none { self.exchange.reason = reason }
            if self.exchange.status == 0 { self.exchange.status = reason.status }
            self.finishRecord()
        }
        self.close(abruptly: self.exchange.responseStarted)
    }

    /// The gateway stops: an idle connection ends now, or, where it is kept, after one more request; one at work after its answer.
    func drain(keepsIdle: Bool) {
        switch self.phase {
        case .idle:
            // A request that is here already is not lost.
            self.inputReady = true
            self.readInput()
            if !keepsIdle { self.closeIfIdle() }
        case .deciding, .exchange, .answering: self.exchange.keepsAlive = false
        case .head, .linger, .closed: break
        }
    }

    func closeIfIdle() {
        if self.phase == .idle { self.close() }
    }

    /// Tells what became of the exchange and gives the snapshot back; once for each exchange.
    func finishRecord() {
        if self.exchange.isRecorded { return }
        self.exchange.isRecorded = true
        if let ring: RecordRing = self.loop.ring { self.record(in: ring) }
        if self.queued != nil { self.leaveQueue() }
        if self.exchange.isSteered {
            self.closeTry(.abandoned)
            self.endRetries()
            self.dropMirror()
        }
        if let lease: Unmanaged<SnapshotLease> = self.exchange.lease {
            let held: HeldPlaces = self.exchange.forwarding.held
            if held.count > 0 { lease._withUnsafeGuaranteedRef { $0.snapshot.release(held) } }
            self.exchange.lease = nil
            self.exchange.group = nil
            self.exchange.responseHeaders = nil
            self.loop.give(lease)
        }
    }

    private func record(in ring: RecordRing) {
        if self.loop.isTracing { self.openSpan() }
        var record: RequestRecord = RequestRecord()
        record.started = self.exchange.startedWall
        record.bytesIn = self.exchange.requestBytes
        record.bytesOut = self.exchange.responseBytes
        record.traceHigh = self.exchange.traceHigh
        record.traceLow = self.exchange.traceLow
        record.span = self.exchange.span
        record.parentSpan = self.exchange.parentSpan
        record.isSampled = self.exchange.isSampled
        record.client = self.address
        record.durationMicroseconds = Exchange.microseconds(from: self.exchange.started, to: self.loop.events.now)
        record.upstreamMicroseconds = self.exchange.upstreamMicroseconds
        record.route = self.exchange.forwarding.routeIdentity
        record.application = self.exchange.forwarding.applicationIdentity
        record.subscription = self.exchange.forwarding.subscriptionIdentity
        record.target = self.exchange.target
        record.attempts = self.exchange.attempts
        record.attemptDelayMicroseconds = Exchange.microseconds(
            from: self.exchange.started, to: self.exchange.attemptStarted)
        record.status = UInt16(truncatingIfNeeded: self.exchange.status)
        record.reason = self.exchange.reason
        record.method = self.exchange.method
        guard let path: ByteBlock = self.recordPath else {
            ring.add(record)
            return
        }
        ring.add(record, path: path.bytes)
        self.loop.blocks.give(path)
        self.recordPath = nil
    }

    /// Closes after the last answer. When bytes of the client may still wait or arrive, closing at once would reset the
    /// connection and could take the answer from the client: then our side is shut first, and the rest is read and dropped.
    func finishConnection() {
        if self.isOrphan {
            self.close()
            return
        }
        let isRead: Bool = self.exchange.body.isDone && self.stash == nil && !self.inputReady
        if self.inputFinished || isRead || self.channel.isStream {
            self.close()
            return
        }
        if let block: ByteBlock = self.stash {
            self.loop.blocks.give(block)
            self.stash = nil
            self.hasFreshStash = false
        }
        self.phase = .linger
        self.exchange.discardLeft = self.loop.settings.lingerBytesMax
        self.channel.finishWriting()
        self.loop.events.schedule(self.timer, at: self.loop.events.now &+ self.loop.settings.lingerTimeout)
        self.readInput()
    }

    private func dropLingering(_ count: Int) {
        if UInt64(count) > self.exchange.discardLeft {
            self.close()
        } else {
            self.exchange.discardLeft -= UInt64(count)
        }
    }

    /// `unfinished` says why, in case TLS was not agreed on yet.
    func close(abruptly: Bool = false, unfinished: HandshakeFailure? = nil) {
        if self.phase == .closed { return }
        if let tls: TLSSession = self.channel.tls, !tls.isEstablished, !self.loop.isDraining {
            self.loop.counters.handshakes.add(unfinished ?? HandshakeFailure(tls.failure))
        }
        self.dropUpstream()
        self.phase = .closed
        if self.context != nil { self.releaseContext() }
        self.seats = nil
        let loop: GatewayLoop = self.loop
        loop.events.cancel(self.timer)
        if let block: ByteBlock = self.stash { loop.blocks.give(block) }
        if let block: ByteBlock = self.pending { loop.blocks.give(block) }
        if let block: ByteBlock = self.recordPath { loop.blocks.give(block) }
        self.recordPath = nil
        self.stash = nil
        self.hasFreshStash = false
        self.pending = nil
        if self.isOrphan {
            loop.orphanEnded(self)
            return
        }
        self.channel.close(loop.events, owner: self, abruptly: abruptly)
        loop.clientClosed(self)
    }
}
