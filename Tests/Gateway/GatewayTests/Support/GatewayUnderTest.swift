import EventLoops
import GatewayConfiguration
import Synchronization
import Telemetry
import Testing

@testable import Gateway

/// A gateway with one loop on a free port, in front of given upstreams.
struct GatewayUnderTest: Sendable {
    let engine: GatewayEngine
    let port: UInt16
    let live: LiveState
    /// What it began with.
    let snapshot: Snapshot

    /// Serves every path at one API. `change` adapts it.
    static func start(
        _ upstreams: [UInt16], policies: [PolicyDefinition] = [], settings: EngineSettings = .patient,
        workers: Int = 1,
        trace: Double = 0, live: LiveState = LiveState(), zone: String? = nil, metrics: MetricRegistry? = nil,
        dns: DNSSettings = DNSSettings(),
        change: (inout APIDefinition) -> Void = { _ in }
    ) async throws -> GatewayUnderTest {
        var document: GatewayDocument = try self.document(upstreams, policies: policies)
        change(&document.apis[0])
        return try await self.start(
            document, settings: settings, workers: workers, trace: trace, live: live, zone: zone, metrics: metrics,
            dns: dns)
    }

    private static let patience: PolicyDefinition = .timeouts(
        TimeoutPolicy(connect: .seconds(600), response: .seconds(600), idle: .seconds(600)))

    /// One API that takes every path. Without a policy of its own it waits long: the machine that runs the tests may be busy,
    /// and time-outs are what other tests are about.
    static func document(_ upstreams: [UInt16], policies: [PolicyDefinition] = []) throws -> GatewayDocument {
        var targets: [TargetDefinition] = []
        for port in upstreams {
            targets.append(TargetDefinition(url: try TargetURL(parsing: "http://127.0.0.1:\(port)")))
        }
        let api: APIDefinition = APIDefinition(
            id: "test", routes: [RouteDefinition(path: try PathPattern(parsing: "/*"))],
            upstream: UpstreamDefinition(targets: targets),
            policies: policies.contains { $0.kind == "timeouts" } ? policies : policies + [self.patience])
        return GatewayDocument(apis: [api])
    }

    static func start(
        _ document: GatewayDocument, settings: EngineSettings = .patient, workers: Int = 1, trace: Double = 0,
        live: LiveState = LiveState(), zone: String? = nil, metrics: MetricRegistry? = nil,
        dns: DNSSettings = DNSSettings()
    ) async throws -> GatewayUnderTest {
        let (snapshot, quarantined): (Snapshot, [Quarantine]) = Snapshot.compile(
            document, previous: nil, carrying: live)
        #expect(quarantined.isEmpty)
        let process: ProcessSettings = ProcessSettings(
            listen: ListenSettings(http: "127.0.0.1:0"), workers: .fixed(workers),
            telemetry: TelemetrySettings(traceSample: trace), zone: zone, dns: dns)
        let engine: GatewayEngine = GatewayEngine(
            process: process, snapshot: snapshot, engine: settings,
            observation: metrics.map { GatewayEngine.Observation(live: live, metrics: $0) })
        let bound: GatewayEngine.Bound = try await engine.start()
        return GatewayUnderTest(engine: engine, port: try #require(bound.http).port, live: live, snapshot: snapshot)
    }

    func connect(receiveBuffer: Int32? = nil) throws -> RawSocket {
        try RawSocket(port: self.port, receiveBuffer: receiveBuffer)
    }

    /// Sends text on a new connection and reads one response.
    func exchange(_ text: String, bodyless: Bool = false) throws -> RawMessage {
        let client: RawSocket = try self.connect()
        defer { client.close() }
        client.send(text)
        return client.receiveMessage(bodyless: bodyless)
    }

    /// The same for gateways that need the cooperative pool to answer: nothing blocks there meanwhile.
    func answer(_ text: String) async throws -> RawMessage { try await offPool { try self.exchange(text) } }

    /// Connections to the first target of the first API.
    var upstreamConnections: Int {
        self.snapshot.upstreams[0].targets[0].state.connections.load(ordering: .relaxed)
    }

    /// The state of a target of the first API.
    func target(_ index: Int) -> TargetState { self.snapshot.upstreams[0].targets[index].state }

    func stop() async { await self.engine.drain(deadline: .milliseconds(200)) }
}

extension EngineSettings {
    /// Times long enough not to matter.
    static var patient: EngineSettings {
        var settings: EngineSettings = EngineSettings()
        settings.headTimeout = .seconds(600)
        settings.keepAliveTimeout = .seconds(600)
        return settings
    }
}

/// Polls with a deadline: true as soon as the condition holds. The deadline is a safety net, so long that no busy machine meets it.
func eventually(_ condition: @Sendable () async -> Bool) async -> Bool {
    let start: ContinuousClock.Instant = ContinuousClock.now
    while ContinuousClock.now - start < .seconds(120) {
        if await condition() { return true }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return false
}
