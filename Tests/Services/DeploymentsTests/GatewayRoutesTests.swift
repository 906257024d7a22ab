import GatewayConfiguration
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Deployments

struct GatewayRoutesTests {
    @Test func listsGatewaysWithVersionAgeAndHealth() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let away: FakeGateway = fixture.gateway("gw-away")
        try await away.pull()
        fixture.harness.clock.advance(by: .seconds(40))
        let gateways: [FakeGateway] = [fixture.gateway("gw-1"), fixture.gateway("gw-2")]
        try await gateways[0].catchUp()
        try await gateways[0].acknowledge(quarantining: ["acme/x.dev": "why"])
        try await gateways[1].pull()
        let listed: TestAnswer = try await fixture.send("GET", "/v1/gateways", token: "admin")
        #expect(listed.items("id") == ["gw-1", "gw-2", "gw-away"])
        #expect(listed.items("state") == ["live", "behind", "away"])
        let first: JSONValue = listed.items[0]
        #expect(first["version"] == first["latest_version"])
        #expect(first["version"]?.integer == (await gateways[0].version))
        #expect(first["hash"]?.text == (await gateways[0].document.hash))
        #expect(first["address"]?.text == "127.0.0.1:8000")
        #expect(first["quarantined"] == [["entry": "acme/x.dev", "reason": "why"]])
        #expect(listed.items.map { $0["age_seconds"]?.integer } == [0, 0, 40])
        let page: TestAnswer = try await fixture.send("GET", "/v1/gateways?limit=2", token: "cpi-admin")
        #expect(page.items.count == 2)
        let rest: TestAnswer = try await fixture.send(
            "GET", "/v1/gateways?limit=2&cursor=\(page.json["next"]?.text ?? "")", token: "admin")
        #expect(rest.items("id") == ["gw-away"])
        await fixture.harness.stop()
    }

    @Test(arguments: ["cpi-tenant@acme", "devops@acme", "operator@acme", "viewer@acme", "auditor@acme"])
    func gatewaysServeAllTenantsAndAreShownToNone(token: String) async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        #expect(try await fixture.send("GET", "/v1/gateways", token: token).status == 403)
        #expect(try await fixture.send("DELETE", "/v1/gateways/gw-1", token: token).status == 403)
        await fixture.harness.stop()
    }

    @Test func forgetsAGatewayThatIsAway() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.pull()
        let live: TestAnswer = try await fixture.send("DELETE", "/v1/gateways/gw-1", token: "admin")
        #expect(live.status == 409)
        fixture.harness.clock.advance(by: .seconds(15))
        #expect(try await fixture.send("DELETE", "/v1/gateways/gw-1", token: "admin").status == 204)
        #expect(try await fixture.send("DELETE", "/v1/gateways/gw-1", token: "admin").status == 404)
        #expect(try await fixture.send("GET", "/v1/gateways", token: "admin").items.isEmpty)
        let stored: [GatewayStatus] = try await fixture.harness.services.store.read { try GatewayTable.all(in: $0) }
        #expect(stored.isEmpty)
        #expect(try await fixture.harness.auditEntries("gateway.forgotten").count == 1)
        await fixture.harness.stop()
    }

    @Test func registersTheTokenOfTheDataFolderOnce() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let service: DeploymentsService = try #require(fixture.harness.running.last as? DeploymentsService)
        let token: String = DeploymentsService.makeToken()
        for _ in 0..<2 { try await service.registerToken(token, group: "default") }
        #expect(try await fixture.harness.auditEntries("gateway-token.created").count == 2, "with the fixture's own")
        #expect(try await fixture.send("GET", "/v1/gateways/gw-9/snapshot", token: token).status < 300)
        await fixture.harness.stop()
    }
}
