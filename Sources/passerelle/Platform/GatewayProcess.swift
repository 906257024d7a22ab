import Deployments
import EventLoops
import Files
import Gateway
import GatewayConfiguration
import Glibc
import HTTP
import REST
import Synchronization
import Telemetry
import Time

/// A gateway that follows a control plane: in this process, or one apart.
final class GatewayProcess: Sendable {
    private let agent: GatewayAgent
    private let engine: GatewayEngine
    private let purges: PurgeFollower
    private let revocations: RevocationFollower
    private let link: ChangingLink
    private let linkTo: @Sendable (Platform?) -> any GatewayLink & RevocationLink
    private let linkToSuccessor: @Sendable () -> (any GatewayLink & RevocationLink)?
    /// Of a gateway apart: who it is to its control plane.
    private let identity: LinkIdentity?
    let metrics: MetricRegistry
    private let admin: Mutex<AdminServer?> = Mutex(nil)
    private let isStopping: Atomic<Bool> = Atomic(false)
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])
    /// Those that follow the control plane and keep what it says on disk.
    private let followers: Mutex<[Task<Void, Never>]> = Mutex([])
    let address: SocketAddress
    /// Where it listens with TLS.
    let https: SocketAddress?

    private init(
        agent: GatewayAgent, engine: GatewayEngine, purges: PurgeFollower, revocations: RevocationFollower,
        link: ChangingLink,
        linkTo: @escaping @Sendable (Platform?) -> any GatewayLink & RevocationLink,
        linkToSuccessor: @escaping @Sendable () -> (any GatewayLink & RevocationLink)?, identity: LinkIdentity?,
        metrics: MetricRegistry, address: SocketAddress, https: SocketAddress?
    ) {
        self.identity = identity
        self.https = https
        self.purges = purges
        self.revocations = revocations
        self.link = link
        self.linkTo = linkTo
        self.linkToSuccessor = linkToSuccessor
        self.metrics = metrics
        self.agent = agent
        self.engine = engine
        self.address = address
    }

    /// The gateway of the platform's own process.
    static func start(in platform: Platform) async throws -> GatewayProcess {
        let settings: Settings = platform.settings
        let first: DirectLink = Self.directLink(to: platform)
        let logger: Logger = platform.services.logger
        let folderKey: FolderKey = try await FolderKeyFile.open(in: "\(settings.data)/gateway", under: platform.keys)
        return try await Self.start(
            settings, listeners: platform.listeners, folderKey: folderKey, metrics: platform.services.metrics,
            clock: platform.services.clock, logger: logger,
            linkToSuccessor: { try? Self.linkToSuccessor(settings, logger, folderKey) }
        ) { (platform: Platform?) in platform.map { Self.directLink(to: $0) } ?? first }
    }

    /// To the control plane that runs in the successor's process, where this one's did: with the token of the data folder.
    private static func linkToSuccessor(
        _ settings: Settings, _ logger: Logger, _ folderKey: FolderKey
    ) throws -> RemoteLink? {
        guard let url: URLParts = URLParts("\(settings.controlPlaneScheme)://\(settings.controlPlaneAddress)") else {
            return nil
        }
        var apart: Settings = settings
        apart.gatewayTokenFile = "\(settings.data)/\(Platform.gatewayTokenFile)"
        apart.gatewayCertificate = false
        let root: String = "\(settings.data)/\(ControlPlaneTLS.rootFile)"
        apart.controlPlaneAuthorities = settings.tls == nil || !Files.exists(root) ? nil : root
        return try LinkIdentity(apart, url: url, folderKey: folderKey, logger: logger).link()
    }

    private static func directLink(to platform: Platform) -> DirectLink {
        DirectLink(
            service: platform.deployments, id: Self.name(platform.settings), group: platform.settings.gatewayGroup,
            address: "http://\(platform.settings.gatewayAddress)")
    }

    /// A gateway apart, over HTTP or HTTPS.
    static func startApart(
        _ settings: Settings, listeners: Listeners, logger: Logger
    ) async throws -> GatewayProcess {
        guard let text: String = settings.controlPlaneURL, let url: URLParts = URLParts(text) else {
            throw CommandError.usage("A gateway apart needs --control-plane and --gateway-token-file.")
        }
        let folderKey: FolderKey? = try await FolderKeyFile.open(apart: settings)
        let identity: LinkIdentity = try LinkIdentity(settings, url: url, folderKey: folderKey, logger: logger)
        let link: RemoteLink = try identity.link()
        let metrics: MetricRegistry = MetricRegistry()
        let gateway: GatewayProcess = try await Self.start(
            settings, listeners: listeners, folderKey: folderKey, metrics: metrics, clock: SystemClock(),
            logger: logger, identity: identity, linkToSuccessor: { (try? identity.link()) ?? link }
        ) { _ in (try? identity.link()) ?? link }
        try gateway.startAdmin(settings, listeners, metrics)
        return gateway
    }

    /// Tells health and metrics where the settings say so: a gateway apart has no control plane that does.
    private func startAdmin(_ settings: Settings, _ listeners: Listeners, _ metrics: MetricRegistry) throws {
        guard let text: String = settings.adminAddress else { return }
        guard let address: SocketAddress = SocketAddress(text) else {
            throw CommandError.usage("'\(text)' is not an address; expected for example 127.0.0.1:8002.")
        }
        let admin: AdminServer = AdminServer(address: address, metrics: metrics, listeners: listeners) { [weak self] in
            self.map { $0.hasSnapshot && !$0.isStopping.load(ordering: .acquiring) } ?? false
        }
        do {
            _ = try admin.start()
        } catch {
            throw CommandError.failed("The gateway cannot tell its health on \(text): \(error)")
        }
        self.admin.withLock { $0 = admin }
    }

    private static func start(
        _ settings: Settings, listeners: Listeners, folderKey: FolderKey?, metrics: MetricRegistry,
        clock: any WallClock, logger: Logger, identity: LinkIdentity? = nil,
        linkToSuccessor: @escaping @Sendable () -> (any GatewayLink & RevocationLink)?,
        linkTo: @escaping @Sendable (Platform?) -> any GatewayLink & RevocationLink
    ) async throws -> GatewayProcess {
        let link: ChangingLink = ChangingLink(linkTo(nil))
        let rules: EgressRules = EgressRules(
            allowed: settings.egressAllowed, allowsPrivate: settings.egressPrivateTargets)
        let live: LiveState = LiveState(egress: { rules.verdict($0) })
        let agent: GatewayAgent = try GatewayAgent(
            link: link, folder: "\(settings.data)/gateway", folderKey: folderKey, live: live, clock: clock,
            logger: logger,
            metrics: metrics)
        let revocations: RevocationFollower = RevocationFollower(
            link: link, folder: "\(settings.data)/gateway", live: live, clock: clock, logger: logger)
        await revocations.load()
        let process: ProcessSettings = ProcessSettings(
            listen: ListenSettings(http: settings.gatewayAddress, https: settings.https), workers: settings.workers,
            telemetry: settings.telemetry, zone: settings.zone, dns: settings.dns)
        let reporter: TrafficReporter = TrafficReporter(link: link, clock: clock, logger: logger)
        let shared: SharedStores = try RedisStores.make(
            settings.counters, folder: ".", password: settings.countersPassword, key: settings.countersKey)
        let counters: CounterKeeper = CounterKeeper(
            live: live, quotas: link, shared: shared,
            away: settings.counters.whenAway, clock: clock, logger: logger, metrics: metrics)
        let purges: PurgeFollower = PurgeFollower(link: link, live: live, clock: clock, logger: logger)
        var engineSettings: EngineSettings = EngineSettings()
        engineSettings.listeners = listeners
        engineSettings.egress = { rules.verdict($0) }
        let engine: GatewayEngine = GatewayEngine(
            process: process, snapshot: await agent.load(), engine: engineSettings, upstreamFolder: settings.data,
            observation: GatewayEngine.Observation(live: live, metrics: metrics, sinks: [reporter], logger: logger))
        let address: SocketAddress
        let https: SocketAddress?
        do {
            let bound: GatewayEngine.Bound = try await engine.start()
            guard let http: SocketAddress = bound.http else {
                throw CommandError.failed("The gateway has no address to listen on.")
            }
            address = http
            https = bound.https
        } catch GatewayEngine.StartError.certificate(let reason) {
            throw CommandError.failed("The gateway cannot speak TLS: \(reason)")
        } catch let error as GatewayEngine.StartError {
            let addresses: String = [settings.gatewayAddress, settings.https?.address].compactMap { $0 }
                .joined(separator: " and ")
            throw CommandError.failed("The gateway cannot listen on \(addresses): \(error)")
        }
        let gateway: GatewayProcess = GatewayProcess(
            agent: agent, engine: engine, purges: purges, revocations: revocations, link: link, linkTo: linkTo,
            linkToSuccessor: linkToSuccessor, identity: identity, metrics: metrics, address: address, https: https)
        gateway.follow()
        gateway.tasks.withLock { tasks in
            tasks.append(Task { await reporter.run() })
            tasks.append(Task { await counters.run() })
        }
        return gateway
    }

    /// The gateway's name: given, or made from host and port, so that it is the same at each start.
    static func name(_ settings: Settings) -> String {
        if let name: String = settings.gatewayID { return name }
        var buffer: [CChar] = [CChar](repeating: 0, count: 256)
        gethostname(&buffer, buffer.count - 1)
        let host: String = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let port: Substring = settings.gatewayAddress.split(separator: ":").last ?? ""
        return "gw-\(host)-\(port)"
    }

    /// Whether it knows what to serve.
    var hasSnapshot: Bool { self.agent.hasSnapshot }

    /// Where it listens, in words.
    var summary: String {
        self.https.map { "gateway http://\(self.address), https://\($0)" } ?? "gateway http://\(self.address)"
    }

    private func follow() {
        let (agent, engine, purges, revocations): (GatewayAgent, GatewayEngine, PurgeFollower, RevocationFollower) = (
            self.agent, self.engine, self.purges, self.revocations
        )
        self.followers.withLock { followers in
            followers.append(Task { await agent.run(engine: engine) })
            followers.append(Task { await agent.keepSaved() })
            followers.append(Task { await purges.run() })
            followers.append(Task { await revocations.run() })
            if let identity: LinkIdentity = self.identity {
                let link: ChangingLink = self.link
                followers.append(Task { await identity.keep { link.use($0) } })
            }
        }
    }

    private func stopFollowing() async {
        let followers: [Task<Void, Never>] = self.followers.withLock { followers in
            defer { followers = [] }
            return followers
        }
        for task in followers { task.cancel() }
        for task in followers { await task.value }
    }

    /// Lets go of the control plane and of the files of the snapshot, and serves on.
    func release() async {
        await self.stopFollowing()
        self.link.use(nil)
    }

    /// A successor is there, under the name of this gateway: what is counted here until the last connection has ended is told to
    /// the control plane that the successor runs or follows.
    func tellSuccessor() { self.link.use(self.linkToSuccessor()) }

    /// Follows a control plane again: the platform's, or the one it had.
    func resume(_ platform: Platform?) {
        self.link.use(self.linkTo(platform))
        self.follow()
    }

    /// - Parameter idleGrace: see `GatewayEngine.drain`.
    func stop(within limit: Duration, idleGrace: Duration = .zero) async {
        self.isStopping.store(true, ordering: .releasing)
        await self.engine.drain(deadline: limit, idleGrace: idleGrace)
        await self.stopFollowing()
        let tasks: [Task<Void, Never>] = self.tasks.withLock { $0 }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
        await self.admin.withLock { $0.take() }?.stop()
    }
}
