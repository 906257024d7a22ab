import Catalog
import Contracts
import JSON
import REST
import ServiceTestKit
import Store
import Telemetry
import TestKit
import Testing

@testable import Portal

/// Nothing is deployed anywhere.
struct NothingLive: DeploymentsOffer {
    func live(tenant: String, apiID: String, in store: any Queryable) throws -> [LiveRevision] { [] }

    func liveAPIs(tenant: String, environment: String, in store: any Queryable) throws -> [String] { [] }
}

/// The portal and the catalogue on a real store: the tenants `acme` and `globex`, each with the APIs `orders` and `billing`,
/// and `acme` with the plan `vip`, whose subscriptions wait for approval.
struct PortalFixture {
    let harness: ServiceHarness
    let log: CapturedLog = CapturedLog()

    init() async throws {
        let clock: ManualClock = ManualClock()
        self.harness = try await ServiceHarness(
            migrations: [CatalogService.migrations, PortalService.migrations], clock: clock,
            logger: self.log.logger(clock: clock)
        ) { services in
            let portal: PortalQueries = PortalQueries(clock: services.clock)
            return [
                CatalogService(services: services, deployments: NothingLive(), portal: portal),
                PortalService(services: services, catalog: CatalogQueries()),
            ]
        }
        for tenant in ["acme", "globex"] {
            try await self.expect(201, "POST", "/v1/tenants", .object(["name": .string(tenant)]))
            for api in ["orders", "billing"] {
                try await self.expect(201, "POST", "/v1/tenants/\(tenant)/apis", Self.importOf(api))
            }
        }
        try await self.expect(200, "PUT", "/v1/tenants/acme/plans/vip", .object(["approval": true]))
    }

    private static func importOf(_ name: String) -> JSONValue {
        let document: String =
            #"{"openapi":"3.0.3","info":{"title":"\#(name)","version":"1"},"paths":{"/a":{"get":{"responses":"#
            + #"{"200":{"description":"ok"}}}}}}"#
        return .object(["name": .string(name), "document": .string(document), "upstream": "http://127.0.0.1:9700"])
    }

    func send(
        _ method: String, _ target: String, token: String? = "developer@acme", _ body: JSONValue? = nil,
        fields: [(String, String)] = []
    ) async throws -> TestAnswer {
        try await self.harness.send(method, target, token: token, body, fields: fields)
    }

    private func expect(_ status: Int, _ method: String, _ target: String, _ body: JSONValue) async throws {
        let answer: TestAnswer = try await self.harness.send(method, target, body)
        try #require(answer.status == status, "\(target): \(answer.json)")
    }

    /// Creates an application and returns it as answered, with its key.
    @discardableResult
    func makeApplication(
        _ name: String = "shop", token: String = "developer@acme", tenant: String = "acme"
    ) async throws -> JSONValue {
        let answer: TestAnswer = try await self.send(
            "POST", "/v1/tenants/\(tenant)/applications", token: token, .object(["name": .string(name)]))
        try #require(answer.status == 201, "\(answer.json)")
        return answer.json
    }

    @discardableResult
    func subscribe(
        _ application: String = "shop", to api: String = "orders", plan: String = "gold",
        token: String = "developer@acme"
    ) async throws -> JSONValue {
        let answer: TestAnswer = try await self.send(
            "POST", "/v1/tenants/acme/subscriptions", token: token, Self.subscription(application, api, plan))
        try #require(answer.status == 201, "\(answer.json)")
        return answer.json
    }

    static func subscription(_ application: String, _ api: String, _ plan: String) -> JSONValue {
        .object(["application": .string(application), "api": .string(api), "plan": .string(plan)])
    }

    /// The id of an API of `acme`.
    func apiID(_ name: String, tenant: String = "acme") async throws -> String {
        try await self.send("GET", "/v1/tenants/\(tenant)/apis/\(name)", token: "admin").json["id"]?.text ?? ""
    }

    /// What gateways are told of an application.
    func gatewayEntry(_ application: JSONValue, tenant: String = "acme") async throws -> JSONValue? {
        let offer: PortalQueries = PortalQueries(clock: self.harness.clock)
        let id: String = application["id"]?.text ?? ""
        return try await self.harness.services.store.read {
            try offer.gatewayApplication(tenant: tenant, id: id, in: $0)
        }
    }
}
