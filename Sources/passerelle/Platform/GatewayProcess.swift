import Deployments
import EventLoops
import Files
import Gateway
import GatewayConfiguration
import Glibc
import HTTP
import REST
import Synchronization
import TLS
import Telemetry
import Time

/// A gateway that follows a control plane: in this process, or one apart.
final class GatewayProcess: Sendable {
    private let agent: GatewayAgent
    private let engine: GatewayEngine
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])
    let address: SocketAddress
    /// Where it listens with TLS.
    let https: SocketAddress?

    private init(agent: GatewayAgent, engine: GatewayEngine, address: SocketAddress, https: SocketAddress?) {
        self.https = https
        self.agent = agent
        self.engine = engine
        self.address = address
    }

    /// The gateway of the platform's own process.
    static func start(in platform: Platform) async throws -> GatewayProcess {
        let settings: Settings = platform.settings
        let link: DirectLink = DirectLink(
            service: platform.deployments, id: Self.name(settings), group: settings.gatewayGroup,
            address: "http://\(settings.gatewayAddress)")
        return try await Self.start(
            settings, link: link, metrics: platform.services.metrics, clock: platform.services.clock,
            logger: platform.services.logger)
    }

    /// A gateway apart, over HTTP.
    static func startApart(_ settings: Settings, logger: Logger) async throws -> GatewayProcess {
        guard let text: String = settings.controlPlaneURL, let url: URLParts = URLParts(text),
            let file: String = settings.gatewayTokenFile
        else { throw CommandError.usage("A gateway apart needs --control-plane and --gateway-token-file.") }
        let token: [UInt8]
        do {
            token = try Files.read(file, bytesMax: 1_024)
        } catch {
            throw CommandError.failed("The gateway token cannot be read: \(error)")
        }
        let client: HTTPClient = HTTPClient(
            group: EventLoopGroup(count: 1, name: "link"),
            configuration: HTTPClientConfiguration(
                tls: try TLSContext.client(TLSClientConfiguration()), egress: { _ in .allow }))
        let link: RemoteLink = RemoteLink(
            client: client, controlPlane: url, id: Self.name(settings),
            token: String(decoding: token.prefix { $0 > 32 }, as: UTF8.self),
            address: "http://\(settings.gatewayAddress)",
            key: try GatewayKey(folder: "\(settings.data)/gateway").publicText)
        return try await Self.start(
            settings, link: link, metrics: MetricRegistry(), clock: SystemClock(), logger: logger)
    }

    private static func start(
        _ settings: Settings, link: any GatewayLink & RevocationLink, metrics: MetricRegistry, clock: any WallClock,
        logger: Logger
    ) async throws -> GatewayProcess {
        let live: LiveState = LiveState()
        let agent: GatewayAgent = try GatewayAgent(
            link: link, folder: "\(settings.data)/gateway", live: live, clock: clock, logger: logger)
        let revocations: RevocationFollower = RevocationFollower(
            link: link, folder: "\(settings.data)/gateway", live: live, clock: clock, logger: logger)
        await revocations.load()
        let process: ProcessSettings = ProcessSettings(
            listen: ListenSettings(http: settings.gatewayAddress, https: settings.https), workers: settings.workers,
            telemetry: settings.telemetry, zone: settings.zone, dns: settings.dns)
        let reporter: TrafficReporter = TrafficReporter(link: link, clock: clock, logger: logger)
        let counters: CounterKeeper = CounterKeeper(
            live: live, quotas: link, limits: try RedisCounters.make(settings.counters, folder: "."),
            away: settings.counters.whenAway, clock: clock, logger: logger, metrics: metrics)
        let purges: PurgeFollower = PurgeFollower(link: link, live: live, clock: clock, logger: logger)
        let engine: GatewayEngine = GatewayEngine(
            process: process, snapshot: await agent.load(), upstreamFolder: settings.data,
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
        let gateway: GatewayProcess = GatewayProcess(agent: agent, engine: engine, address: address, https: https)
        gateway.tasks.withLock { tasks in
            tasks.append(Task { await agent.run(engine: engine) })
            tasks.append(Task { await agent.keepSaved() })
            tasks.append(Task { await revocations.run() })
            tasks.append(Task { await reporter.run() })
            tasks.append(Task { await counters.run() })
            tasks.append(Task { await purges.run() })
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

    /// Where it listens, in words.
    var summary: String {
        self.https.map { "gateway http://\(self.address), https://\($0)" } ?? "gateway http://\(self.address)"
    }

    func stop(within limit: Duration) async {
        await self.engine.drain(deadline: limit)
        let tasks: [Task<Void, Never>] = self.tasks.withLock { $0 }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }
}
