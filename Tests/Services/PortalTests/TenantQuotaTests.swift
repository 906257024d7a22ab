import JSON
import ServiceTestKit
import Testing

/// Quotas of tenants over all that the portal and the catalogue make.
struct TenantQuotaTests {
    private func set(_ quotas: JSONObject, _ fixture: PortalFixture) async throws {
        let answer: TestAnswer = try await fixture.send(
            "PUT", "/v1/tenants/acme/quotas", token: "admin", .object(quotas))
        #expect(answer.status == 200)
    }

    private func expectRefused(_ quota: String, _ answer: TestAnswer) {
        #expect(answer.status == 409 && answer.json["quota"]?.text == quota)
        #expect(answer.detail.contains("'acme'") && answer.detail.contains("'\(quota)'"))
    }

    @Test func applicationsAndSubscriptionsAreCounted() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await self.set(["applications": 1, "subscriptions": 1, "apis": 2], fixture)
        func make(_ name: String, tenant: String = "acme") async throws -> TestAnswer {
            try await fixture.send(
                "POST", "/v1/tenants/\(tenant)/applications", token: "admin", .object(["name": .string(name)]))
        }
        #expect(try await make("one").status == 201)
        self.expectRefused("applications", try await make("two"))
        #expect(try await make("two", tenant: "globex").status == 201)
        func subscribe(_ api: String) async throws -> TestAnswer {
            try await fixture.send(
                "POST", "/v1/tenants/acme/subscriptions", token: "admin",
                .object(["application": "one", "api": .string(api), "plan": "free"]))
        }
        let first: TestAnswer = try await subscribe("orders")
        #expect(first.status == 201)
        self.expectRefused("subscriptions", try await subscribe("billing"))
        let ended: TestAnswer = try await fixture.send(
            "DELETE", "/v1/tenants/acme/subscriptions/\(first.json["id"]?.text ?? "")", token: "admin")
        #expect(ended.status == 204)
        #expect(try await subscribe("billing").status == 201)
        let document: String =
            #"{"openapi":"3.0.3","info":{"title":"more","version":"1"},"paths":{"/a":{"get":{"responses":{"200":{"description":"ok"}}}}}}"#
        let api: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants/acme/apis", token: "admin",
            .object(["name": "more", "document": .string(document), "upstream": "http://127.0.0.1:9700"]))
        self.expectRefused("apis", api)
        await fixture.harness.stop()
    }

    @Test func manyAtOnceDoNotPassALimitTogether() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await self.set(["applications": 5], fixture)
        let statuses: [Int] = try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<12 {
                group.addTask {
                    try await fixture.send(
                        "POST", "/v1/tenants/acme/applications", token: "admin",
                        .object(["name": .string("at-once-\(number)")])
                    ).status
                }
            }
            var found: [Int] = []
            for try await status in group { found.append(status) }
            return found
        }
        #expect(statuses.filter { $0 == 201 }.count == 5 && statuses.filter { $0 == 409 }.count == 7, "\(statuses)")
        await fixture.harness.stop()
    }

    @Test func whatIsThereBeyondAQuotaStays() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await self.set(["apis": 0], fixture)
        #expect(try await fixture.send("GET", "/v1/tenants/acme/apis", token: "admin").items.count == 2)
        await fixture.harness.stop()
    }
}
