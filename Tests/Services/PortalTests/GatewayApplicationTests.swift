import JSON
import ServiceTestKit
import TestKit
import Testing

@testable import Portal

/// What gateways are told of applications.
struct GatewayApplicationTests {
    @Test func aGatewayReadsWhatItIsTold() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        try await fixture.subscribe()
        let second: JSONValue = try await fixture.subscribe(to: "billing")
        _ = try await fixture.send(
            "POST", "/v1/tenants/acme/subscriptions/\(second["id"]?.text ?? "")/suspend", token: "devops@acme")
        _ = try await fixture.send(
            "POST", "/v1/tenants/acme/applications/shop/keys", .object(["expires_old_after_seconds": 60]))
        let entry: JSONValue = try #require(try await fixture.gatewayEntry(application))
        #expect(entry["keys"]?.elements?.count == 2)
        #expect(entry["subscriptions"]?.elements?.count == 2)
        #expect(GatewayReader.problems(application: entry) == [])
    }

    @Test func tellsNothingOfAnApplicationUnderAnotherTenant() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let application: JSONValue = try await fixture.makeApplication()
        #expect(try await fixture.gatewayEntry(application, tenant: "globex") == nil)
    }
}
