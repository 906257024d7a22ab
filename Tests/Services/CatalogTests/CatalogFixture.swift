import Contracts
import JSON
import REST
import ServiceTestKit
import Store
import Synchronization
import TestKit
import Testing

@testable import Catalog

/// Says where APIs are live: what deployments does.
final class FixedDeployments: DeploymentsOffer {
    private let places: Mutex<[String: [LiveRevision]]> = Mutex([:])

    func set(_ live: [LiveRevision], of apiID: String) { self.places.withLock { $0[apiID] = live } }

    func live(tenant: String, apiID: String, in store: any Queryable) throws -> [LiveRevision] {
        self.places.withLock { $0[apiID] ?? [] }
    }

    func liveAPIs(tenant: String, environment: String, in store: any Queryable) throws -> [String] {
        self.places.withLock { places in
            places.filter { $0.value.contains { $0.environment == environment } }.map(\.key).sorted()
        }
    }
}

/// Says what is subscribed: what the portal does.
final class FixedPortal: PortalOffer {
    let plansInUse: Mutex<Set<String>> = Mutex([])
    let tenantsWithApplications: Mutex<Set<String>> = Mutex([])

    func gatewayApplication(tenant: String, id: String, in store: any Queryable) throws -> JSONValue? { nil }

    func hasApplications(tenant: String, in store: any Queryable) throws -> Bool {
        self.tenantsWithApplications.withLock { $0.contains(tenant) }
    }

    func isPlanInUse(tenant: String, plan: String, in store: any Queryable) throws -> Bool {
        self.plansInUse.withLock { $0.contains("\(tenant)/\(plan)") }
    }
}

/// Seals with a fixed key, and forgets what was destroyed: what the key ring does.
final class FakeTenantSealer: TenantSealer {
    private let fixed: FixedSealer = FixedSealer()
    private let destroyed: Mutex<Set<String>> = Mutex([])

    func seal(_ secret: [UInt8], name: String) throws -> [UInt8] { try self.fixed.seal(secret, name: name) }

    func open(_ sealed: [UInt8], name: String) throws -> [UInt8] { try self.fixed.open(sealed, name: name) }

    func seal(
        _ secret: [UInt8], name: String, tenant: String, key: String, in transaction: Transaction
    ) throws -> [UInt8] { try self.seal(secret, name: name) }

    func open(
        _ sealed: [UInt8], name: String, tenant: String, key: String, in store: any Queryable
    ) throws -> [UInt8]? {
        self.destroyed.withLock { $0.contains("\(tenant)/\(key)") } ? nil : try self.open(sealed, name: name)
    }

    func hasKey(_ key: String, tenant: String, in store: any Queryable) throws -> Bool { true }

    func destroyKey(_ key: String, tenant: String, in transaction: Transaction) throws -> Bool {
        self.destroyed.withLock { $0.insert("\(tenant)/\(key)").inserted }
    }

    func destroyKeys(ofTenant tenant: String, in transaction: Transaction) throws {}
}

/// The catalogue on a real store, with the tenant `acme`.
struct CatalogFixture {
    let harness: ServiceHarness
    let deployments: FixedDeployments = FixedDeployments()
    let portal: FixedPortal = FixedPortal()

    /// - Parameter endsTenants: whether tenants end and are archived, too: then the test stops the harness at its end.
    init(tenants: [String] = ["acme"], endsTenants: Bool = false) async throws {
        let deployments: FixedDeployments = self.deployments
        let portal: FixedPortal = self.portal
        let tenancy: TenancyRules = TenancyRules(
            deletionGrace: .seconds(3_600),
            exports: TenantExportRules(sealer: FakeTenantSealer(), keptFor: .seconds(600)), others: [SharedTenantData()]
        )
        self.harness = try await ServiceHarness(migrations: [CatalogService.migrations, TaskTable.migrations]) {
            [
                CatalogService(
                    services: $0, deployments: deployments, portal: portal, tenancy: endsTenants ? tenancy : nil)
            ]
        }
        for tenant in tenants {
            let made: TestAnswer = try await self.harness.send(
                "POST", "/v1/tenants", .object(["name": .string(tenant)]))
            try #require(made.status == 201, "\(made.json)")
        }
    }

    func send(
        _ method: String, _ target: String, token: String? = "devops@acme", _ body: JSONValue? = nil,
        fields: [(String, String)] = []
    ) async throws -> TestAnswer {
        try await self.harness.send(method, target, token: token, body, fields: fields)
    }

    /// Ends an empty tenant, and waits until it has ended.
    func end(_ tenant: String) async throws {
        let answer: TestAnswer = try await self.send("DELETE", "/v1/tenants/\(tenant)", token: "admin")
        try #require(answer.status == 202, "\(answer.json)")
        try await self.finished(answer.json["task"]?.text ?? "")
    }

    /// Moves the clock on until a task has ended.
    @discardableResult
    func finished(_ id: String) async throws -> TaskRecord {
        var found: TaskRecord?
        try await eventually("the task \(id) ends") {
            self.harness.clock.advance(by: .seconds(1))
            found = try await self.harness.services.store.read { try TaskTable.find(id, in: $0) }
            return found?.state != .running
        }
        return try #require(found)
    }

    /// Imports a document and returns the API as answered.
    @discardableResult
    func importAPI(_ document: String = Documents.orders, extra: JSONObject = [:]) async throws -> JSONValue {
        let answer: TestAnswer = try await self.send("POST", "/v1/tenants/acme/apis", Documents.body(document, extra))
        try #require(answer.status == 201, "\(answer.json)")
        return answer.json
    }
}

/// OpenAPI documents for imports.
enum Documents {
    static func body(_ document: String, _ extra: JSONObject = [:]) -> JSONValue {
        var body: JSONObject = ["document": .string(document), "upstream": "http://127.0.0.1:9700"]
        for member in extra.members { body[member.key] = member.value }
        return .object(body)
    }

    static let orders: String = """
        openapi: 3.0.3
        info: {title: Orders API, version: 1.4.0}
        paths:
          /:
            get: {responses: {"200": {description: All}}}
          /open:
            get: {operationId: listOpen, responses: {"200": {description: Open ones}}}
            post: {operationId: createOrder, responses: {"201": {description: Made}}}
          /{id}:
            parameters: [{name: id, in: path, required: true, schema: {type: string}}]
            get: {responses: {"200": {description: One}}}
        """

    /// `orders` with `/open` without POST, `/{id}` deprecated, and `/closed` besides.
    static let ordersLater: String = """
        openapi: 3.0.3
        info: {title: Orders API, version: 2.0.0}
        paths:
          /:
            get: {responses: {"200": {description: All}}}
          /open:
            get: {operationId: listOpen, responses: {"200": {description: Newest first}}}
          /{id}:
            parameters: [{name: id, in: path, required: true, schema: {type: string}}]
            get: {deprecated: true, responses: {"200": {description: One}}}
          /closed:
            get: {summary: Closed ones, responses: {"200": {description: Closed}}}
        """

    /// With a server whose path becomes the base path.
    static func withServer(_ url: String, title: String = "Billing") -> String {
        #"{"openapi":"3.1.0","info":{"title":"\#(title)","version":"1"},"servers":[{"url":"\#(url)"}],"#
            + #""paths":{"/bills":{"get":{"responses":{"200":{"description":"ok"}}}}}}"#
    }
}
