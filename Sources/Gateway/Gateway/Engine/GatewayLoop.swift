import CNGHTTP2
import EventLoops
import GatewayConfiguration
import Glibc
import HTTP
import Identifiers
import Synchronization
import TLS

/// What one event loop of the gateway owns: its clients, its connections to targets, its buffers, its snapshot.
///
/// Sendable by this rule: everything but `counters` and `events` is touched on the loop's own thread only; others hand work
/// over with `events.execute`.
final class GatewayLoop: @unchecked Sendable {
    /// Bytes read with one call.
    static let inputBytes: Int = 64 * 1024
    /// A head of the largest size with all that may be added to it.
    private static let outBytes: Int = 96 * 1024
    /// Trailers and problem documents.
    private static let trailerBytes: Int = 16 * 1024
    /// Bytes of request bodies that policies of one loop hold at once; beyond: 503.
    static let collectedBytesMax: Int = 256 << 20
    /// Exchanges of one loop that go on without a client; beyond: the next one ends with its client.
    private static let orphansMax: Int = 1024
    /// Frames of HTTP/2 that leave with one call.
    static let frameBytes: Int = 64 * 1024
    /// Other attempts for one request at most.
    static let retriesMax: UInt8 = 3
    /// Pools kept that have no connection: targets that came and went.
    private static let emptyPoolsMax: Int = 1024

    /// "/", where a target has no path.
    nonisolated(unsafe) static let rootPath: UnsafeRawBufferPointer = {
        // Points to a constant of the program; never freed, never written.
        let slash: StaticString = "/"
        return UnsafeRawBufferPointer(start: slash.utf8Start, count: 1)
    }()

    let events: EventLoop
    let settings: LoopSettings
    let counters: LoopCounters = LoopCounters()
    private let book: AddressBook
    private let contexts: TLSContextBook
    let sockets: Listeners
    private let loopCount: Int
    /// Where the gateway stands.
    let zone: String?

    // Scratch, used by one connection at a time.
    /// What clients sent.
    let input: UnsafeMutableRawPointer = .allocate(byteCount: GatewayLoop.inputBytes, alignment: 64)
    /// What upstreams sent.
    let response: UnsafeMutableRawPointer = .allocate(byteCount: GatewayLoop.inputBytes, alignment: 64)
    var out: ScratchWriter = ScratchWriter(capacity: GatewayLoop.outBytes)
    var trailers: ScratchWriter = ScratchWriter(capacity: GatewayLoop.trailerBytes)
    let pathScratch: UnsafeMutableRawBufferPointer
    let requestTable: HTTPFieldTable
    let responseTable: HTTPFieldTable
    var requestHead: HTTPRequestHead = HTTPRequestHead()
    var responseHead: HTTPResponseHead = HTTPResponseHead()
    var decision: Decision = Decision()
    /// HTTP/2 frames on their way out, and heads on their way into them.
    let frames: UnsafeMutableRawPointer = .allocate(byteCount: GatewayLoop.frameBytes, alignment: 64)
    let http2Table: HTTPFieldTable
    let http2Fields: UnsafeMutablePointer<nghttp2_nv> = .allocate(capacity: HTTP2FieldList.countMax)
    let blocks: BlockPool = BlockPool()
    let policyContexts: PolicyContextPool = PolicyContextPool()
    let mirrors: MirrorSender
    /// What certificates of clients are looked up in.
    let revocations: TokenRevocations
    var waiting: WaitingExchanges = WaitingExchanges()
    /// Bytes of bodies that policies have collected, of all exchanges.
    var collectedBytes: Int = 0
    var random: LoopRandom
    /// Where records of requests go; nil: nobody asks for them.
    let ring: RecordRing?
    /// Where tries at targets go that were not the last; nil: no spans are sent.
    let attempts: AttemptRing?
    let keepsPaths: Bool

    /// The snapshot new exchanges begin on, and older ones that exchanges still run on.
    private(set) var lease: SnapshotLease
    /// The same without a reference count; good until the next one is installed.
    private(set) var leaseInUse: Unmanaged<SnapshotLease>
    private var oldLeases: [SnapshotLease] = []

    private var clients: [Unmanaged<ClientConnection>] = []
    /// Exchanges without a client.
    private var orphans: [ObjectIdentifier: ClientConnection] = [:]
    private var servers: [Unmanaged<HTTP2Server>] = []
    private var endedOrphans: [ClientConnection] = []
    private var listeners: [ListenerHandler] = []
    private var pools: [ObjectIdentifier: TargetPool] = [:]
    private var backlog: [TimedHandler] = []

    private(set) var isDraining: Bool = false
    private var onDrained: (() -> Void)?

    let isTracing: Bool
    private let sampleThreshold: UInt64

    init(
        events: EventLoop, snapshot: Snapshot, settings: EngineSettings, book: AddressBook,
        contexts: TLSContextBook, mirrors: MirrorSender, loopCount: Int, traceSample: Double, isTracing: Bool,
        ring: RecordRing?,
        zone: String? = nil
    ) {
        self.zone = zone
        self.events = events
        self.settings = LoopSettings(settings)
        self.sockets = settings.listeners
        self.book = book
        self.contexts = contexts
        self.mirrors = mirrors
        self.loopCount = loopCount
        self.revocations = snapshot.live.authentication.revocations
        let lease: SnapshotLease = SnapshotLease(snapshot)
        self.lease = lease
        self.leaseInUse = .passUnretained(lease)
        self.requestTable = HTTPFieldTable(limits: settings.limits)
        self.responseTable = HTTPFieldTable(limits: settings.limits)
        self.http2Table = HTTPFieldTable(limits: HTTPLimits(fieldsMax: HTTP2FieldList.countMax))
        self.pathScratch = .allocate(byteCount: PathScreen.scratchNeeded(settings.limits.targetBytesMax), alignment: 16)
        self.random = LoopRandom()
        self.ring = ring
        self.attempts = ring?.attempts
        self.keepsPaths = ring?.keepsPaths ?? false
        self.isTracing = isTracing
        self.sampleThreshold = traceSample >= 1 ? .max : UInt64(max(0, traceSample) * 18_446_744_073_709_549_568.0)
    }

    deinit {
        self.input.deallocate()
        self.response.deallocate()
        self.frames.deallocate()
        self.http2Fields.deallocate()
        self.out.base.deallocate()
        self.trailers.base.deallocate()
        self.pathScratch.deallocate()
    }

    /// Whether a trace that begins here is recorded.
    func samples() -> Bool { self.random.next() <= self.sampleThreshold }

    // MARK: Clients

    func accepted(_ fd: Int32, _ remote: SocketAddress, _ context: TLSContext?) {
        guard self.counters.connections.load(ordering: .relaxed) < self.settings.connectionsMax else {
            self.counters.refused.wrappingAdd(1, ordering: .relaxed)
            Socket.close(fd, abruptly: true)
            return
        }
        var session: TLSSession?
        if let context: TLSContext = context {
            guard let made: TLSSession = try? TLSSession(server: context, descriptor: fd) else {
                Socket.close(fd)
                return
            }
            session = made
        }
        let client: ClientConnection = ClientConnection(
            loop: self, channel: Channel(fd: fd, tls: session), address: IPAddress(remote))
        do throws(SystemError) {
            try self.events.register(client, fd: fd, interest: [.read, .write, .edgeTriggered])
        } catch {
            client.phase = .closed
            Socket.close(fd)
            return
        }
        self.enlist(client)
        self.counters.connections.wrappingAdd(1, ordering: .relaxed)
        // A connection that never sends a byte is dropped like one whose head does not come.
        self.events.schedule(client.timer, at: self.events.now &+ self.settings.headTimeout)
    }

    private func enlist(_ client: ClientConnection) {
        client.slot = self.clients.count
        self.clients.append(.passUnretained(client))
    }

    func clientClosed(_ client: ClientConnection) {
        self.strike(client)
        if !client.channel.isStream { self.counters.connections.wrappingSubtract(1, ordering: .relaxed) }
        self.endDrainIfDone()
    }

    private func strike(_ client: ClientConnection) {
        let last: Unmanaged<ClientConnection> = self.clients.removeLast()
        if client.slot < self.clients.count {
            self.clients[client.slot] = last
            last._withUnsafeGuaranteedRef { $0.slot = client.slot }
        }
    }

    // MARK: HTTP/2

    /// Goes on with a connection that turned out to speak HTTP/2, and with what it sent so far.
    func handOver(_ client: ClientConnection, _ bytes: UnsafeRawBufferPointer) {
        let fd: Int32 = client.channel.fd
        self.strike(client)
        self.events.deregister(fd: fd)
        let server: HTTP2Server = HTTP2Server(loop: self, fd: fd, tls: client.channel.tls, address: client.address)
        server.place = self.servers.count
        self.servers.append(.passUnretained(server))
        self.counters.http2.connections.wrappingAdd(1, ordering: .relaxed)
        do throws(SystemError) {
            try self.events.register(server, fd: fd, interest: [.read, .write, .edgeTriggered])
        } catch {
            self.events.releaseAtTurnEnd(server)
            server.close()
            return
        }
        guard server.start() else {
            server.close()
            return
        }
        server.use(bytes)
        if self.isDraining { server.drain() }
        // What waits inside a TLS session is announced by nobody.
        server.ready(Readiness(rawValue: Interest.read.rawValue & 1))
    }

    func serverClosed(_ server: HTTP2Server) {
        let last: Unmanaged<HTTP2Server> = self.servers.removeLast()
        if server.place < self.servers.count {
            self.servers[server.place] = last
            last._withUnsafeGuaranteedRef { $0.place = server.place }
        }
        self.counters.connections.wrappingSubtract(1, ordering: .relaxed)
        self.counters.http2.connections.wrappingSubtract(1, ordering: .relaxed)
        self.endDrainIfDone()
    }

    /// The engine's side of a stream.
    func clientOf(_ stream: HTTP2Stream, _ address: IPAddress) -> ClientConnection {
        let client: ClientConnection = ClientConnection(loop: self, channel: Channel(stream), address: address)
        self.enlist(client)
        return client
    }

    private func endDrainIfDone() {
        if self.isDraining, self.clients.isEmpty, self.servers.isEmpty, self.orphans.isEmpty { self.drained() }
    }

    /// Keeps an exchange whose client is gone, or that never had one; false when there are too many.
    func keepOrphan(_ client: ClientConnection) -> Bool {
        if self.orphans.count >= GatewayLoop.orphansMax { return false }
        self.orphans[ObjectIdentifier(client)] = client
        self.counters.orphans.store(self.orphans.count, ordering: .relaxed)
        return true
    }

    func orphanEnded(_ client: ClientConnection) {
        // Those that called here may still use it: it lives until the next turn, as connections do.
        self.endedOrphans.append(client)
        self.orphans[ObjectIdentifier(client)] = nil
        if self.endedOrphans.count == 1 { self.events.execute { self.endedOrphans = [] } }
        self.counters.orphans.store(self.orphans.count, ordering: .relaxed)
        self.endDrainIfDone()
    }

    func startOrphan(_ name: ObjectIdentifier) { self.orphans[name]?.startRefresh() }

    /// Gives a connection that moved much in this turn its next share after the others.
    func resumeLater(_ handler: TimedHandler) {
        self.backlog.append(handler)
        if self.backlog.count > 1 { return }
        self.events.execute {
            let waiting: [TimedHandler] = self.backlog
            self.backlog = []
            for handler in waiting { handler.resume() }
        }
    }

    /// Work of a policy is done; whoever waited for it goes on.
    func workDone(_ ticket: UInt64) {
        guard let client: ClientConnection = self.waiting.take(ticket)?.takeUnretainedValue() else { return }
        client.workDone()
    }

    // MARK: Targets

    func pool(_ target: CompiledTarget, of upstream: CompiledUpstream) -> TargetPool {
        let key: ObjectIdentifier = ObjectIdentifier(target.state)
        let rules: PoolRules = PoolRules(upstream.definition, loopCount: self.loopCount)
        let settings: UpstreamTLS? = target.url.scheme == .https ? upstream.definition.tls : nil
        let address: TargetAddress = self.book.address(target.place)
        let tls: TargetTLS? = settings.map {
            TargetTLS(
                $0, self.contexts.context(for: $0),
                http2: upstream.definition.http2 ? self.contexts.context(for: $0, http2: true) : nil, target.url)
        }
        if let pool: TargetPool = self.pools[key], TargetTLS.isSame(pool.tls, tls), pool.address === address,
            pool.wantsHTTP2 == upstream.definition.http2
        {
            pool.rules = rules
            return pool
        }
        let isDefaultPort: Bool = target.url.port == (target.url.scheme == .http ? 80 : 443)
        let authority: String = isDefaultPort ? target.url.host : "\(target.url.host):\(target.url.port)"
        let pool: TargetPool = TargetPool(
            state: target.state, identity: target.identity,
            address: address,
            hostLine: Array("Host: \(authority)\r\n".utf8), basePath: Array(target.url.basePath.utf8), rules: rules,
            tls: tls,
            wantsHTTP2: upstream.definition.http2)
        self.pools.updateValue(pool, forKey: key)?.closeIdle()
        return pool
    }

    /// Closes connections to addresses that a name has lost.
    func dropStale(_ address: TargetAddress) {
        for pool in self.pools.values where pool.address === address { pool.dropStale() }
    }

    /// The other loops; set once, before anything is served.
    var peers: [GatewayLoop] = []

    /// Asks the other loops to close a connection to this target that they do not use.
    func askPeersForPlace(_ state: TargetState) {
        let key: ObjectIdentifier = ObjectIdentifier(state)
        for peer in self.peers { peer.events.execute { peer.pools[key]?.makePlace() } }
    }

    // MARK: Snapshots

    /// Makes new exchanges run on this snapshot. Called between two events.
    func install(_ snapshot: Snapshot) {
        let old: SnapshotLease = self.lease
        let lease: SnapshotLease = SnapshotLease(snapshot)
        self.lease = lease
        self.leaseInUse = .passUnretained(lease)
        if old.exchanges > 0 { self.oldLeases.append(old) }
        if self.pools.count > GatewayLoop.emptyPoolsMax {
            self.pools = self.pools.filter { $0.value.openCount > 0 }
        }
    }

    @inline(__always)
    func give(_ lease: Unmanaged<SnapshotLease>) {
        let isLast: Bool = lease._withUnsafeGuaranteedRef { (lease: SnapshotLease) -> Bool in
            lease.exchanges &-= 1
            return lease.exchanges == 0
        }
        if isLast, !self.oldLeases.isEmpty { self.forget(lease) }
    }

    private func forget(_ lease: Unmanaged<SnapshotLease>) {
        let over: UnsafeMutableRawPointer = lease.toOpaque()
        self.oldLeases.removeAll { Unmanaged.passUnretained($0).toOpaque() == over }
    }

    // MARK: Life

    /// Accepts on the socket; with a context, every connection speaks TLS.
    func listen(_ fd: Int32, _ context: TLSContext?) throws(SystemError) {
        let listener: ListenerHandler = ListenerHandler(loop: self, fd: fd, context: context)
        try self.events.register(listener, fd: fd, interest: .read)
        self.listeners.append(listener)
    }

    /// New connections of listeners with TLS begin with this context.
    func use(_ context: TLSContext) {
        for listener in self.listeners { listener.use(context) }
    }

    /// Stops accepting, lets every exchange end, and calls back when no client is left. Connections without a request end now, or
    /// with `keepsIdle` when `endIdle` is called, or after the request that they may still bring.
    func drain(keepsIdle: Bool, _ whenDone: @escaping () -> Void) {
        self.isDraining = true
        self.onDrained = whenDone
        for listener in self.listeners { listener.close(takesWaiting: !keepsIdle) }
        self.listeners = []
        for pool in self.pools.values { pool.closeIdle() }
        // Closing takes a client out of the list: walk a copy. References are held by the loop until this turn ends.
        let clients: [Unmanaged<ClientConnection>] = self.clients
        for client in clients { client._withUnsafeGuaranteedRef { $0.drain(keepsIdle: keepsIdle) } }
        let servers: [Unmanaged<HTTP2Server>] = self.servers
        for server in servers { server._withUnsafeGuaranteedRef { $0.drain() } }
        self.endDrainIfDone()
    }

    /// Closes connections that a drain has kept and that brought no request.
    func endIdle() {
        let clients: [Unmanaged<ClientConnection>] = self.clients
        for client in clients { client._withUnsafeGuaranteedRef { $0.closeIfIdle() } }
    }

    /// Closes every client as it is: the deadline of a drain has passed.
    func cutOff() {
        let clients: [Unmanaged<ClientConnection>] = self.clients
        for client in clients { client._withUnsafeGuaranteedRef { $0.abort(.draining) } }
        for orphan in Array(self.orphans.values) { orphan.abort(.draining) }
        let servers: [Unmanaged<HTTP2Server>] = self.servers
        for server in servers { server._withUnsafeGuaranteedRef { $0.close(abruptly: true) } }
        for pool in self.pools.values { pool.closeIdle() }
    }

    private func drained() {
        let done: (() -> Void)? = self.onDrained
        self.onDrained = nil
        done?()
    }
}

/// Numbers of one loop that any thread may read.
final class LoopCounters: Sendable {
    /// Client connections open now.
    let connections: Atomic<Int> = Atomic(0)
    let accepted: Atomic<Int> = Atomic(0)
    /// Exchanges that go on without a client.
    let orphans: Atomic<Int> = Atomic(0)
    /// Closed at once because too many were open.
    let refused: Atomic<Int> = Atomic(0)
    let http2: HTTP2Counters = HTTP2Counters()
    let handshakes: HandshakeCounters = HandshakeCounters()
}

/// xoshiro256**: trace ids need to be unlike each other, not unguessable. Seeded from the kernel.
struct LoopRandom: RandomNumberGenerator {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    init() {
        var system: SystemRandomNumberGenerator = SystemRandomNumberGenerator()
        self.state = (system.next(), system.next(), system.next(), system.next() | 1)
    }

    mutating func next() -> UInt64 {
        let product: UInt64 = self.state.1 &* 5
        let result: UInt64 = (product << 7 | product >> 57) &* 9
        let shifted: UInt64 = self.state.1 << 17
        self.state.2 ^= self.state.0
        self.state.3 ^= self.state.1
        self.state.1 ^= self.state.2
        self.state.0 ^= self.state.3
        self.state.2 ^= shifted
        self.state.3 = self.state.3 << 45 | self.state.3 >> 19
        return result
    }
}

extension IPAddress {
    init(_ address: SocketAddress) {
        var high: UInt64 = 0
        var low: UInt64 = 0
        for index in 0..<8 { high = high << 8 | UInt64(address.bytes[index]) }
        for index in 8..<16 { low = low << 8 | UInt64(address.bytes[index]) }
        self.init(high: high, low: low)
    }
}

extension PoolRules {
    init(_ definition: UpstreamDefinition, loopCount: Int) {
        self.connectionsMax = definition.connections.max
        // Each loop keeps its part, and at least one as long as any are kept.
        let idle: Int = definition.connections.idleMax
        self.idleMax = idle == 0 ? 0 : max(1, idle / max(1, loopCount))
        self.idleTimeout = definition.connections.idleTimeout.nanoseconds
        self.failuresMax = definition.passiveHealth.failures
        self.ejectFor = definition.passiveHealth.ejectFor.nanoseconds
        self.queueMax = definition.connections.queueMax
        self.queueTimeout = definition.connections.queueTimeout.nanoseconds
        self.requestsMax = definition.connections.requestsMax == 0 ? .max : definition.connections.requestsMax
        self.ageMax = definition.connections.ageMax == .zero ? .max : definition.connections.ageMax.nanoseconds
    }
}
