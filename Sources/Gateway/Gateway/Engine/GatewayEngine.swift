package import EventLoops
import Files
package import GatewayConfiguration
import Glibc
import Synchronization
import TLS
package import Telemetry

/// The data plane of one process: its loops, listeners and the snapshot they serve.
///
/// Any thread may call it. `start` once, then `apply` as often as the configuration changes, `drain` at the end.
package final class GatewayEngine: Sendable {
    /// Addresses that are really bound: a port of 0 is told apart.
    package struct Bound: Sendable {
        package var http: SocketAddress?
        package var https: SocketAddress?
    }

    package enum StartError: Error, CustomStringConvertible {
        case address(String)
        case system(SystemError)
        /// A certificate or key of the HTTPS listener cannot be used: which, and why.
        case certificate(String)
        /// What of `telemetry` cannot be used, and why.
        case telemetry(String)

        package var description: String {
            switch self {
            case .address(let text): "'\(text)' is not an address such as 127.0.0.1:8000"
            case .system(let error): error.description
            case .certificate(let reason), .telemetry(let reason): reason
            }
        }
    }

    private let settings: ProcessSettings
    private let folder: String
    private let listeners: Listeners
    private let group: EventLoopGroup
    private let loops: [GatewayLoop]
    let book: AddressBook
    private let contexts: TLSContextBook
    private let mirrors: MirrorSender
    /// The APIs that were prepared for last.
    private let prepared: Mutex<ContiguousArray<PlacedAPI>> = Mutex([])
    /// Made when a snapshot first has something to look after.
    private let watch: Mutex<UpstreamWatch?> = Mutex(nil)
    private let metrics: MetricRegistry?
    private let logger: Logger
    /// Of the HTTPS listener, once it listens.
    private let keeper: Mutex<CertificateKeeper?> = Mutex(nil)
    private let isStopped: Atomic<Bool> = Atomic(false)
    private let collector: Collector?
    private let accessLog: AccessLog?
    private let spans: SpanExporter?
    private let hasResolver: Atomic<Bool> = Atomic(false)

    /// How often is looked whether a name is to be looked up again.
    private static let lookUpInterval: Duration = .milliseconds(250)

    /// What is remembered of requests: the live state their names come from, where they are counted, who else takes records.
    package struct Observation: Sendable {
        package var live: LiveState
        package var metrics: MetricRegistry?
        package var sinks: [any RecordSink]
        /// Hears of certificates. Default: nobody does.
        package var logger: Logger

        package init(
            live: LiveState, metrics: MetricRegistry?, sinks: [any RecordSink] = [], logger: Logger = .silent
        ) {
            self.logger = logger
            self.live = live
            self.metrics = metrics
            self.sinks = sinks
        }
    }

    /// Makes the loops, which serve `snapshot` as soon as `start` is called. Certificate files are relative to `folder`, those
    /// shown to targets to `upstreamFolder` where there is one. Without
    /// `observation` no records are kept, and so neither metrics nor access log.
    package init(
        process: ProcessSettings, snapshot: Snapshot, engine: EngineSettings = EngineSettings(), folder: String = ".",
        upstreamFolder: String? = nil,
        observation: Observation? = nil
    ) {
        self.settings = process
        self.book = AddressBook(process.dns, egress: engine.egress)
        self.contexts = TLSContextBook(folder: upstreamFolder ?? folder)
        self.mirrors = MirrorSender(book: self.book, contexts: self.contexts)
        self.metrics = observation?.metrics
        self.logger = observation?.logger ?? .silent
        self.folder = folder
        self.listeners = engine.listeners
        var count: Int?
        if case .fixed(let number) = process.workers { count = number }
        let group: EventLoopGroup = EventLoopGroup(count: count, name: "gateway")
        self.group = group
        var accessLog: AccessLog?
        if observation != nil, case .file(let path) = process.telemetry.accessLog {
            accessLog = AccessLog(path: path, rules: process.telemetry.accessLogRules)
        }
        self.accessLog = accessLog
        let telemetry: TelemetrySettings = process.telemetry
        let spans: SpanExporter? =
            observation == nil
            ? nil
            : telemetry.export.map {
                SpanExporter($0, addresses: telemetry.accessLogRules.addresses)
            }
        self.spans = spans
        let collector: Collector? = observation.map { (observation: Observation) -> Collector in
            var sinks: [any RecordSink] = observation.sinks
            if let accessLog { sinks.append(accessLog) }
            if let spans { sinks.append(spans) }
            return Collector(
                loops: group.loops.count, live: observation.live,
                metrics: process.telemetry.metrics ? observation.metrics : nil, sinks: sinks,
                keepsPaths: accessLog != nil || spans != nil, keepsAttempts: spans != nil)
        }
        self.collector = collector
        var loops: [GatewayLoop] = []
        for (index, events) in group.loops.enumerated() {
            loops.append(
                GatewayLoop(
                    events: events, snapshot: snapshot, settings: engine, book: self.book, contexts: self.contexts,
                    mirrors: self.mirrors, loopCount: group.loops.count, traceSample: telemetry.traceSample,
                    isTracing: telemetry.isTracing,
                    ring: collector?.ring(index), zone: process.zone))
        }
        self.loops = loops
        for (index, loop) in loops.enumerated() {
            let peers: [GatewayLoop] = loops.indices.filter { $0 != index }.map { loops[$0] }
            loop.events.execute { loop.peers = peers }
        }
        if let registry: MetricRegistry = observation?.metrics {
            GatewayEngine.publish(loops, in: registry)
            GatewayEngine.publishHTTP2(loops, in: registry)
            if process.listen.https != nil { GatewayEngine.publishHandshakes(loops, in: registry) }
            spans?.publish(in: registry)
            accessLog?.publish(in: registry)
            if let live: LiveState = observation?.live { live.publishCache(in: registry) }
            snapshot.live.authentication.counters.publish(in: registry)
            snapshot.live.validation.publish(in: registry)
        }
        self.prepare(snapshot)
    }

    /// Why a listener with TLS could not be opened, as far as files are to blame; nil: nothing. Blocks on the disk.
    package static func problem(of listener: HTTPSListener, folder: String) -> String? {
        let keeper: CertificateKeeper = CertificateKeeper(listener, folder: folder, logger: .silent, metrics: nil)
        do throws(StartError) {
            _ = try keeper.load()
            return nil
        } catch {
            return error.description
        }
    }

    /// Numbers that are read when metrics are scraped.
    private static func publish(_ loops: [GatewayLoop], in registry: MetricRegistry) {
        registry.gauge("passerelle_gateway_connections", help: "Client connections open now.") {
            var count: Int = 0
            for loop in loops { count += loop.counters.connections.load(ordering: .relaxed) }
            return Double(count)
        }
        registry.samples(
            "passerelle_gateway_connections_accepted_total", kind: .counter, help: "Client connections accepted."
        ) {
            var count: Int = 0
            for loop in loops { count += loop.counters.accepted.load(ordering: .relaxed) }
            return [MetricSample(labels: [:], value: Double(count))]
        }
        registry.samples(
            "passerelle_gateway_connections_refused_total", kind: .counter,
            help: "Client connections closed at once because too many were open."
        ) {
            var count: Int = 0
            for loop in loops { count += loop.counters.refused.load(ordering: .relaxed) }
            return [MetricSample(labels: [:], value: Double(count))]
        }
    }

    /// Handshakes of clients that came to nothing, read when metrics are scraped.
    private static func publishHandshakes(_ loops: [GatewayLoop], in registry: MetricRegistry) {
        registry.samples(
            "passerelle_gateway_tls_handshake_failures_total", kind: .counter,
            help: "TLS handshakes of clients that came to nothing, by reason."
        ) {
            HandshakeFailure.allCases.map { (failure: HandshakeFailure) -> MetricSample in
                var count: Int = 0
                for loop in loops { count += loop.counters.handshakes.count(failure) }
                return MetricSample(labels: ["reason": failure.label], value: Double(count))
            }
        }
    }

    /// Numbers of HTTP/2, read when metrics are scraped.
    private static func publishHTTP2(_ loops: [GatewayLoop], in registry: MetricRegistry) {
        registry.gauge("passerelle_gateway_http2_connections", help: "Client connections that speak HTTP/2 now.") {
            var count: Int = 0
            for loop in loops { count += loop.counters.http2.connections.load(ordering: .relaxed) }
            return Double(count)
        }
        registry.samples(
            "passerelle_gateway_http2_limits_total", kind: .counter,
            help: "HTTP/2 connections and streams ended because a limit was met, by limit."
        ) {
            HTTP2Abuse.allCases.map { (abuse: HTTP2Abuse) -> MetricSample in
                var count: Int = 0
                for loop in loops { count += loop.counters.http2.count(abuse) }
                return MetricSample(labels: ["limit": abuse.label], value: Double(count))
            }
        }
    }

    /// Opens the listeners and begins to serve. SIGPIPE is ignored from now on: TLS writes with plain `write`.
    package func start() async throws(StartError) -> Bound {
        signal(SIGPIPE, SIG_IGN)
        if let log: AccessLog = self.accessLog, let code: Int32 = log.start() {
            throw .system(SystemError(code: code, call: "open the access log"))
        }
        try self.spans?.start(folder: self.folder)
        self.collector?.start()
        var bound: Bound = Bound()
        if let http: String = self.settings.listen.http { bound.http = try await self.listen(http, nil) }
        if let https: HTTPSListener = self.settings.listen.https {
            let keeper: CertificateKeeper = CertificateKeeper(
                https, folder: self.folder, logger: self.logger, metrics: self.metrics,
                revocations: self.loops.first?.revocations)
            bound.https = try await self.listen(https.address, try keeper.load())
            let loops: [GatewayLoop] = self.loops
            keeper.follow { (context: TLSContext) in
                for loop in loops { loop.events.execute { loop.use(context) } }
            }
            self.keeper.withLock { $0 = keeper }
        }
        return bound
    }

    private func listen(_ text: String, _ context: TLSContext?) async throws(StartError) -> SocketAddress {
        guard let address: SocketAddress = SocketAddress(text) else { throw .address(text) }
        do throws(SystemError) {
            let (sockets, bound): ([Int32], SocketAddress) = try self.listeners.open(address, count: self.loops.count)
            for (index, fd) in sockets.enumerated() {
                let loop: GatewayLoop = self.loops[index % self.loops.count]
                let result: Result<Void, SystemError> = await withCheckedContinuation {
                    (continuation: CheckedContinuation<Result<Void, SystemError>, Never>) in
                    loop.events.execute {
                        continuation.resume(
                            returning: Result { () throws(SystemError) in try loop.listen(fd, context) })
                    }
                }
                try result.get()
            }
            return bound
        } catch {
            throw .system(error)
        }
    }

    /// Makes every loop serve this snapshot; returns when all do. Exchanges under way end on the one they began on. Does nothing
    /// once the engine has been drained.
    package func apply(_ snapshot: Snapshot) async {
        self.prepare(snapshot)
        await self.onEveryLoop { (loop: GatewayLoop, done: @escaping @Sendable () -> Void) in
            loop.install(snapshot)
            done()
        }
    }

    /// As `apply`, for a thread of one's own: blocks it until every loop serves the snapshot. Not from a loop, and not from the
    /// cooperative pool.
    package func applyAndWait(_ snapshot: Snapshot) {
        self.prepare(snapshot)
        let gate: Gate = Gate()
        let left: Countdown = Countdown(self.loops.count)
        for loop in self.loops {
            loop.events.execute {
                loop.install(snapshot)
                if left.tick() { gate.open() }
            }
        }
        gate.wait()
    }

    /// Does what no loop has the time for: looks new names up, reads authorities. Of APIs that the snapshot before had too it only
    /// reads the certificates again, where they have any.
    private func prepare(_ snapshot: Snapshot) {
        let (gone, come): ([PlacedAPI], [PlacedAPI]) = self.prepared.withLock { (prepared) in
            defer { prepared = snapshot.placed }
            return Self.difference(prepared, snapshot.placed)
        }
        var hasNewName: Bool = false
        for upstream in come.flatMap({ $0.api.upstreams }) {
            for place in upstream.places where !self.book.address(place).isKnown { hasNewName = true }
            self.prepareContexts(upstream)
        }
        for placed in snapshot.placed {
            for upstream in placed.api.upstreams where upstream.hasCertificate { self.prepareContexts(upstream) }
        }
        self.book.name(come.flatMap { $0.api.places }, droppingNamesOf: gone.flatMap { $0.api.places })
        self.lookAfter(snapshot)
        guard hasNewName else { return }
        self.book.refresh(onlyUnknown: true, now: MonotonicTime.now)
        if !self.hasResolver.exchange(true, ordering: .relaxed) { self.keepNamesFresh() }
    }

    /// What went and what came, between equal beginnings and ends.
    private static func difference(
        _ old: ContiguousArray<PlacedAPI>, _ new: ContiguousArray<PlacedAPI>
    ) -> (gone: [PlacedAPI], come: [PlacedAPI]) {
        var start: Int = 0
        while start < old.count, start < new.count, old[start] === new[start] { start += 1 }
        var (oldEnd, newEnd): (Int, Int) = (old.count, new.count)
        while oldEnd > start, newEnd > start, old[oldEnd - 1] === new[newEnd - 1] {
            oldEnd -= 1
            newEnd -= 1
        }
        return (Array(old[start..<oldEnd]), Array(new[start..<newEnd]))
    }

    private func prepareContexts(_ upstream: CompiledUpstream) {
        for target in upstream.targets where target.url.scheme == .https {
            self.contexts.prepare(upstream.definition.tls)
            if upstream.definition.http2 { self.contexts.prepare(upstream.definition.tls, http2: true) }
        }
        if let mirror: MirrorPlan = upstream.plan?.mirror, mirror.definition.url.scheme == .https {
            self.contexts.prepare(mirror.tls)
        }
    }

    private func lookAfter(_ snapshot: Snapshot) {
        let watch: UpstreamWatch? = self.watch.withLock { (watch: inout UpstreamWatch?) -> UpstreamWatch? in
            if watch == nil, UpstreamWatch.isNeeded(for: snapshot), self.isServing {
                let made: UpstreamWatch = UpstreamWatch(book: self.book, contexts: self.contexts)
                if let registry: MetricRegistry = self.metrics { made.publish(in: registry) }
                watch = made
            }
            return watch
        }
        watch?.follow(snapshot)
    }

    /// Looks names up again and again on a thread of its own, which ends with the engine.
    private func keepNamesFresh() {
        let resolver: EventLoop = EventLoop.start(name: "resolver")
        resolver.execute { GatewayEngine.lookUp(on: resolver) { [weak self] in self } }
    }

    private var isServing: Bool { !self.isStopped.load(ordering: .relaxed) }

    private static func lookUp(on resolver: EventLoop, for engine: @escaping () -> GatewayEngine?) {
        guard let serving: GatewayEngine = engine(), serving.isServing else { return resolver.stop() }
        // The loop's own clock stood still while the last names were looked up.
        let changed: [TargetAddress] = serving.book.refresh(onlyUnknown: false, now: MonotonicTime.now)
        for address in changed {
            for loop in serving.loops { loop.events.execute { loop.dropStale(address) } }
        }
        resolver.schedule(ActionTimer { self.lookUp(on: resolver, for: engine) }, after: self.lookUpInterval)
    }

    /// Stops accepting, lets exchanges end until the deadline, cuts off the rest, and ends the loops.
    ///
    /// - Parameter idleGrace: how long connections without a request stay open for one more, which is answered with
    ///   `Connection: close`: for a gateway whose successor has the listening sockets. Zero: not at all.
    package func drain(deadline: Duration, idleGrace: Duration = .zero) async {
        if self.isStopped.exchange(true, ordering: .relaxed) { return }
        self.keeper.withLock { $0.take() }?.stop()
        let loops: [GatewayLoop] = self.loops
        for loop in loops {
            loop.events.execute {
                loop.events.schedule(ActionTimer { loop.cutOff() }, after: deadline)
            }
        }
        let keepsIdle: Bool = idleGrace > .zero
        if keepsIdle {
            for loop in loops {
                loop.events.execute {
                    loop.events.schedule(ActionTimer { loop.endIdle() }, after: min(idleGrace, deadline))
                }
            }
        }
        await self.onEveryLoop { (loop: GatewayLoop, done: @escaping @Sendable () -> Void) in
            loop.drain(keepsIdle: keepsIdle, done)
        }
        for loop in loops { loop.events.execute { loop.peers = [] } }
        self.group.shutdown()
        let watch: UpstreamWatch? = self.watch.withLock { (watch: inout UpstreamWatch?) -> UpstreamWatch? in
            watch.take()
        }
        watch?.stop()
        self.mirrors.stop()
        self.collector?.stop()
        self.accessLog?.stop()
        await self.spans?.stop()
    }

    /// Client connections open now.
    package var connectionCount: Int {
        var count: Int = 0
        for loop in self.loops { count += loop.counters.connections.load(ordering: .relaxed) }
        return count
    }

    /// How often a limit of HTTP/2 was met.
    func http2Count(_ abuse: HTTP2Abuse) -> Int {
        var count: Int = 0
        for loop in self.loops { count += loop.counters.http2.count(abuse) }
        return count
    }

    /// Opens the access log anew, for log rotation.
    package func reopenAccessLog() { self.accessLog?.reopen() }

    /// Buffers that connections hold; 0 when none is at work.
    package var blockCount: Int {
        var count: Int = 0
        for loop in self.loops { count += loop.blocks.taken.load(ordering: .relaxed) }
        return count
    }

    /// Exchanges that go on without a client.
    package var orphanCount: Int {
        var count: Int = 0
        for loop in self.loops { count += loop.counters.orphans.load(ordering: .relaxed) }
        return count
    }

    /// Runs the work on each loop and returns when every one has called back; a loop that has ended has nothing to do.
    private func onEveryLoop(_ work: @escaping @Sendable (GatewayLoop, @escaping @Sendable () -> Void) -> Void) async {
        let left: Countdown = Countdown(self.loops.count)
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            for loop in self.loops {
                let isTaken: Bool = loop.events.execute {
                    work(loop) { if left.tick() { continuation.resume() } }
                }
                if !isTaken && left.tick() { continuation.resume() }
            }
        }
    }
}

/// Lets one waiting thread go on.
private final class Gate: @unchecked Sendable {
    // Safe to share: a semaphore is made for it (sem_overview(7)), and its memory does not move.
    private let semaphore: UnsafeMutablePointer<sem_t> = .allocate(capacity: 1)

    init() {
        self.semaphore.initialize(to: sem_t())
        sem_init(self.semaphore, 0, 0)
    }

    deinit {
        sem_destroy(self.semaphore)
        self.semaphore.deallocate()
    }

    func open() { sem_post(self.semaphore) }

    func wait() {
        while sem_wait(self.semaphore) != 0, errno == EINTR {}
    }
}

/// Counts down to zero, once.
private final class Countdown: Sendable {
    private let left: Atomic<Int>

    init(_ count: Int) { self.left = Atomic(count) }

    /// True for the call that reached zero.
    func tick() -> Bool { self.left.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
}
