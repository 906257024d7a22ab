import Catalog
import Contracts
import HTTP
import JSON
import Portal
import REST
import ServiceTestKit
import Store
import Synchronization
import TestKit
import Testing
import Time

@testable import Deployments

/// Keeps the traffic that gateways report.
final class CapturedTraffic: TrafficSink {
    private let captured: Mutex<[TrafficReport]> = Mutex([])

    var reports: [TrafficReport] { self.captured.withLock { $0 } }

    func accept(_ report: TrafficReport) async throws { self.captured.withLock { $0.append(report) } }
}

/// The catalogue, the portal and deployments on a real store, with the tenant `acme` and its API `orders`.
struct DeploymentsFixture {
    static let deployments: String = "/v1/tenants/acme/apis/orders/deployments"

    let harness: ServiceHarness
    let traffic: CapturedTraffic
    /// Of the group `default`.
    let token: String

    init() async throws {
        let traffic: CapturedTraffic = CapturedTraffic()
        self.traffic = traffic
        self.harness = try await ServiceHarness(
            migrations: [CatalogService.migrations, PortalService.migrations, DeploymentsService.migrations],
            authenticator: { services, fixed, _ in GatewayAuthenticator(services: services, others: fixed) },
            make: { Self.services($0, traffic) })
        self.token = try await Self.gatewayToken(group: "default", self.harness)
        try await self.expect(201, "POST", "/v1/tenants", .object(["name": "acme"]))
        try await self.expect(201, "POST", "/v1/tenants/acme/apis", Self.importOf("orders"))
    }

    private init(harness: ServiceHarness, traffic: CapturedTraffic, token: String) {
        self.harness = harness
        self.traffic = traffic
        self.token = token
    }

    private static func services(
        _ services: ServiceEnvironment, _ traffic: CapturedTraffic
    ) -> [any PlatformService] {
        let catalog: CatalogQueries = CatalogQueries()
        let portal: PortalQueries = PortalQueries(clock: services.clock)
        return [
            CatalogService(services: services, deployments: DeploymentQueries(), portal: portal),
            PortalService(services: services, catalog: catalog),
            DeploymentsService(
                services: services, catalog: catalog, portal: portal, traffic: traffic, revocations: NothingEnded()),
        ]
    }

    /// As after a restart of the platform: other services on the same store. What happens `between` finds none of them running.
    func restarted(between: () async throws -> Void = {}) async throws -> DeploymentsFixture {
        await self.harness.stop()
        try await between()
        let traffic: CapturedTraffic = self.traffic
        let next: ServiceHarness = try await self.harness.restarted { Self.services($0, traffic) }
        return DeploymentsFixture(harness: next, traffic: traffic, token: self.token)
    }

    /// An OpenAPI document of one path, for each revision another upstream.
    static func importOf(_ name: String, port: Int = 9_700, asRevision: Bool = false) -> JSONValue {
        let document: String =
            #"{"openapi":"3.0.3","info":{"title":"\#(name)","version":"1"},"paths":{"/a":{"get":{"responses":"#
            + #"{"200":{"description":"ok"}}}}}}"#
        var body: JSONObject = [
            "document": .string(document), "upstream": .string("http://127.0.0.1:\(port)"),
        ]
        if !asRevision { body["name"] = .string(name) }
        return .object(body)
    }

    static func gatewayToken(group: String, _ harness: ServiceHarness) async throws -> String {
        let answer: TestAnswer = try await harness.send(
            "POST", "/v1/gateways/tokens", .object(["gateway_group": .string(group)]))
        try #require(answer.status == 201, "\(answer.json)")
        return try #require(answer.json["token"]?.text)
    }

    @discardableResult
    func expect(_ status: Int, _ method: String, _ target: String, _ body: JSONValue? = nil) async throws -> JSONValue {
        let answer: TestAnswer = try await self.harness.send(method, target, body)
        try #require(answer.status == status, "\(method) \(target): \(answer.json)")
        return answer.json
    }

    func send(
        _ method: String, _ target: String, token: String? = "devops@acme", _ body: JSONValue? = nil,
        fields: [(String, String)] = []
    ) async throws -> TestAnswer {
        try await self.harness.send(method, target, token: token, body, fields: fields)
    }

    func gateway(_ id: String = "gw-1") -> FakeGateway {
        FakeGateway(id: id, token: self.token, harness: self.harness)
    }

    /// Imports a further revision of `orders`. - Returns: its number.
    func makeRevision(port: Int) async throws -> Int64 {
        let made: JSONValue = try await self.expect(
            201, "POST", "/v1/tenants/acme/apis/orders/revisions",
            Self.importOf("orders", port: port, asRevision: true))
        return made["revision"]?.integer ?? 0
    }

    // MARK: Deployments

    /// Asks for a deployment of `orders`. - Returns: its id.
    @discardableResult
    func request(
        _ action: String = "deploy", _ extra: JSONObject = [:], environment: String = "dev", api: String = "orders"
    ) async throws -> String {
        var body: JSONObject = ["environment": .string(environment), "action": .string(action)]
        for member in extra.members { body[member.key] = member.value }
        let path: String = "/v1/tenants/acme/apis/\(api)/deployments"
        let answer: TestAnswer = try await self.send("POST", path, .object(body))
        try #require(answer.status == 202, "\(answer.json)")
        return answer.json["id"]?.text ?? ""
    }

    func deployment(_ id: String) async throws -> JSONValue {
        try await self.send("GET", "\(Self.deployments)/\(id)").json
    }

    func state(_ id: String) async throws -> String { try await self.deployment(id)["state"]?.text ?? "" }

    /// Waits until a deployment is in this state, and returns it.
    @discardableResult
    func wait(for id: String, toBe state: String) async throws -> JSONValue {
        var last: JSONValue = .null
        do {
            try await eventually("\(id) to be \(state)") {
                last = try await self.deployment(id)
                return last["state"]?.text == state
            }
        } catch {
            Issue.record("\(id) is \(last)")
            throw error
        }
        return last
    }

    /// Deploys and lets these gateways run it.
    @discardableResult
    func deploy(
        _ gateways: [FakeGateway], _ action: String = "deploy", _ extra: JSONObject = [:], environment: String = "dev"
    ) async throws -> String {
        let id: String = try await self.request(action, extra, environment: environment)
        try await self.follow(id, gateways)
        try await self.wait(for: id, toBe: "success")
        return id
    }

    /// Lets gateways pull and acknowledge until they run what a deployment has put in place.
    func follow(_ id: String, _ gateways: [FakeGateway]) async throws {
        let version: Int64 = try await self.version(of: id)
        if let service: DeploymentsService = self.harness.running.last as? DeploymentsService {
            try await eventually("\(id) to be waited for") {
                for group in ["default", "edge"] where await service.tracker.isWaiting(forGroup: group) { return true }
                return try await self.state(id) != "running"
            }
        }
        for gateway in gateways {
            try await eventually("\(gateway.id) to get version \(version)") {
                try await gateway.pull()
                return await gateway.version >= version
            }
            try await gateway.acknowledge()
        }
    }

    /// Waits until the deployer has taken a deployment up. - Returns: the version that carries it.
    @discardableResult
    func version(of id: String) async throws -> Int64 {
        var version: Int64?
        try await eventually("\(id) to start") {
            version = try await self.harness.services.store.read {
                try DeploymentTable.find(id, tenant: "acme", in: $0)?.gatewayVersion
            }
            return version != nil
        }
        return version ?? 0
    }

    /// Where `orders` is live: environment, revision and deployment.
    func live() async throws -> [LiveTable.Place] {
        let id: String = try await self.apiID()
        return try await self.harness.services.store.read { try LiveTable.of(apiID: id, tenant: "acme", in: $0) }
    }

    func apiID(_ name: String = "orders") async throws -> String {
        try await self.send("GET", "/v1/tenants/acme/apis/\(name)").json["id"]?.text ?? ""
    }

    /// The results of a deployment in the log.
    func results(of id: String) async throws -> [JSONValue] {
        try await self.harness.events(Topics.deployResults).filter { $0["deployment_id"]?.text == id }
    }
}

/// Identity when nobody has ended anything.
struct NothingEnded: RevocationsOffer {
    func latestRevocation(in store: any Queryable) throws -> Int64 { 0 }

    func revocations(after number: Int64, now: Timestamp, limit: Int64, in store: any Queryable) throws -> [Revocation]
    {
        []
    }
}
