import Contracts
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import Synchronization
import Testing

@testable import Catalog

struct TenantRoutesTests {
    @Test func aTenantBeginsWithATargetEnvironmentsAndPlans() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(tenants: [])
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants", token: "admin", .object(["name": "acme", "display_name": "Acme Inc."]))
        #expect(made.status == 201)
        #expect(made.fields["Location"] == "/v1/tenants/acme")
        #expect(made.fields["ETag"] == "\"1\"")
        #expect(made.json["display_name"]?.text == "Acme Inc.")
        let targets: TestAnswer = try await fixture.send("GET", "/v1/tenants/acme/targets")
        #expect(targets.items == [.object(["name": "own", "kind": "own", "gateway_group": "default"])])
        let environments: TestAnswer = try await fixture.send("GET", "/v1/tenants/acme/environments")
        #expect(environments.items("name") == ["demo", "dev", "prod", "sandbox", "staging"])
        for environment in environments.items {
            let name: String = environment["name"]?.text ?? ""
            let hosts: [String] = environment["hosts"]?.elements?.compactMap(\.text) ?? []
            #expect(hosts == (name == "dev" ? [] : ["\(name).acme.localhost"]))
            #expect(environment["requires_promotion"]?.boolean == (name == "prod"))
        }
        let plans: TestAnswer = try await fixture.send("GET", "/v1/tenants/acme/plans")
        #expect(plans.items("name") == ["free", "gold", "unlimited"])
        #expect(plans.items.first?["rate_limit"] == .object(["limit": 60, "window": "1m"]))
        #expect(plans.items.last?["rate_limit"] == .null)
        #expect(try await fixture.harness.touched() == ["plan acme free", "plan acme gold", "plan acme unlimited"])
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("tenant.created").first)
        #expect(entry["tenant"]?.text == "acme")
        #expect(entry["actor"]?["user_id"]?.text == "usr_admin")
        #expect(entry["resource"] == .object(["id": "acme", "type": "tenant", "version": 1]))
        #expect(entry["changes"]?["display_name"]?.text == "Acme Inc.")
    }

    @Test func aQuotaIsRefusedByNameAndCountsOnlyOnesOwn() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(tenants: ["acme", "globex"])
        let none: TestAnswer = try await fixture.send("GET", "/v1/tenants/acme/quotas")
        #expect(none.status == 200 && none.json == .object([:]))
        let set: TestAnswer = try await fixture.send(
            "PUT", "/v1/tenants/acme/quotas", token: "admin", .object(["plans": 4, "environments": 5]))
        #expect(set.status == 200 && set.json == .object(["environments": 5, "plans": 4]))
        func put(_ path: String, _ body: JSONValue) async throws -> TestAnswer {
            try await fixture.send("PUT", path, token: "admin", body)
        }
        #expect(try await put("/v1/tenants/acme/plans/one", .object([:])).status == 200)
        let refused: TestAnswer = try await put("/v1/tenants/acme/plans/two", .object([:]))
        #expect(refused.status == 409 && refused.json["type"]?.text == "urn:passerelle:problem:quota-exceeded")
        #expect(refused.json["quota"]?.text == "plans" && refused.json["limit"]?.integer == 4)
        #expect(
            try await put("/v1/tenants/acme/plans/one", .object(["concurrency": 2])).status == 200,
            "a change is no more")
        let environment: TestAnswer = try await put("/v1/tenants/acme/environments/qa", .object(["target": "own"]))
        #expect(environment.status == 409 && environment.json["quota"]?.text == "environments")
        #expect(try await put("/v1/tenants/globex/plans/two", .object([:])).status == 200)
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("tenant.quotas-changed").first)
        #expect(entry["changes"]?["quotas"] == .object(["environments": 5, "plans": 4]))
        #expect(try await put("/v1/tenants/acme/quotas", .object([:])).json == .object([:]))
        #expect(try await put("/v1/tenants/acme/plans/two", .object([:])).status == 200)
    }

    @Test func quotasOfRequestsReachTheGateways() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(tenants: ["acme"])
        let before: [String] = try await fixture.harness.touched()
        func put(_ quotas: JSONValue) async throws -> [String] {
            #expect(try await fixture.send("PUT", "/v1/tenants/acme/quotas", token: "admin", quotas).json == quotas)
            return try await fixture.harness.touched().filter { !before.contains($0) }
        }
        func entry() async throws -> JSONValue? {
            try await fixture.harness.services.store.read { try CatalogQueries().gatewayTenant("acme", in: $0) }
        }
        #expect(try await put(.object(["apis": 4])) == [])
        #expect(try await entry() == nil)
        #expect(
            try await put(.object(["apis": 4, "requests_per_month": 1_000_000_000_000, "requests_per_second": 50]))
                == ["tenant acme acme"])
        #expect(
            try await entry()
                == [
                    "id": "acme", "tenant": "acme", "rate_limit": ["limit": 50, "window": "1s"],
                    "quota": ["limit": 1_000_000_000_000, "window": "month"],
                ])
        func use(_ counts: [String: String]) async throws -> JSONObject {
            try await fixture.harness.services.store.read {
                try TenantQuota.use(tenant: "acme", counts: counts, in: $0)
            }
        }
        let counts: [String: String] = [
            "apis": "SELECT count(*) FROM apis WHERE tenant = $1",
            "requests_per_month": "SELECT 7 FROM tenants WHERE tenant = $1",
        ]
        let limited: JSONObject = try await use(counts)
        #expect(limited["requests_per_second"] == ["used": .null, "limit": 50])
        #expect(limited["requests_per_month"] == ["used": 7, "limit": 1_000_000_000_000])
        #expect(limited["apis"] == ["used": 0, "limit": 4])
        #expect(try await put(.object([:])) == ["tenant acme acme"])
        #expect(try await entry() == nil)
        #expect(try await use(counts)["requests_per_month"] == ["used": .null, "limit": .null], "nobody counts")
    }

    @Test(
        arguments: [
            JSONValue.object(["apis": -1]), .object(["apis": 1.5]), .object(["nothing": 1]),
            .object(["apis": 1_000_001]), .object(["requests_per_second": 0]), .object(["requests_per_month": 0]),
            .object(["requests_per_second": 100_000_001]), .object(["requests_per_month": 1_000_000_000_001]),
        ])
    func refusesQuotasThatAreNone(body: JSONValue) async throws {
        let fixture: CatalogFixture = try await CatalogFixture(tenants: ["acme"])
        #expect(try await fixture.send("PUT", "/v1/tenants/acme/quotas", token: "admin", body).status == 400)
        for token in ["cpi-tenant@acme", "cpi-admin", "devops@acme"] {
            let answer: TestAnswer = try await fixture.send(
                "PUT", "/v1/tenants/acme/quotas", token: token, .object([:]))
            #expect(answer.status == 403)
        }
    }

    @Test(arguments: ["Acme", "a_b", "-a", "a-", "a.b", "été", String(repeating: "a", count: 64), ""])
    func refusesNamesThatAreNoSlugs(name: String) async throws {
        let fixture: CatalogFixture = try await CatalogFixture(tenants: [])
        let answer: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants", token: "admin", .object(["name": .string(name)]))
        #expect(answer.status == 400)
        #expect(answer.pointers == ["/name"])
        #expect(try await fixture.harness.auditTypes().isEmpty)
    }

    @Test func refusesATenantThatIsThereAndUnknownFields() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let again: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants", token: "admin", .object(["name": "acme"]))
        #expect(again.status == 409)
        let unknown: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants", token: "admin", .object(["name": "x", "version": 7, "tenant": "y"]))
        #expect(unknown.status == 400)
        #expect(unknown.pointers.sorted() == ["/tenant", "/version"])
    }

    @Test(arguments: ["cpi-tenant@acme", "devops@acme", "viewer@acme", "cpi-admin"])
    func onlyPlatformAdministratorsCreateTenants(token: String) async throws {
        let fixture: CatalogFixture = try await CatalogFixture(endsTenants: true)
        let answer: TestAnswer = try await fixture.send("POST", "/v1/tenants", token: token, .object(["name": "x"]))
        #expect(answer.status == 403)
        #expect(
            try await fixture.send("PATCH", "/v1/tenants/acme", token: token, .object(["display_name": "x"])).status
                == 403)
        #expect(try await fixture.send("DELETE", "/v1/tenants/acme", token: token).status == 403)
        await fixture.harness.stop()
    }

    @Test func listsTheTenantsTheCallerReaches() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(tenants: ["acme", "globex", "initech"])
        #expect(try await fixture.send("GET", "/v1/tenants", token: "viewer@globex").items("name") == ["globex"])
        let first: TestAnswer = try await fixture.send("GET", "/v1/tenants?limit=2", token: "admin")
        #expect(first.items("name") == ["acme", "globex"])
        let next: String = try #require(first.json["next"]?.text)
        let second: TestAnswer = try await fixture.send("GET", "/v1/tenants?limit=2&cursor=\(next)", token: "cpi-admin")
        #expect(second.items("name") == ["initech"])
        #expect(second.json["next"] == .null)
    }

    @Test func renamesATenantOnlyFromTheVersionThatWasRead() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let body: JSONValue = .object(["display_name": "Acme & Sons"])
        let stale: TestAnswer = try await fixture.send(
            "PATCH", "/v1/tenants/acme", token: "admin", body, fields: [("If-Match", "\"7\"")])
        #expect(stale.status == 412)
        #expect(stale.fields["ETag"] == "\"1\"")
        let changed: TestAnswer = try await fixture.send(
            "PATCH", "/v1/tenants/acme", token: "admin", body, fields: [("If-Match", "\"1\"")])
        #expect(changed.status == 200)
        #expect(changed.fields["ETag"] == "\"2\"")
        let read: TestAnswer = try await fixture.send("GET", "/v1/tenants/acme")
        #expect(read.json["display_name"]?.text == "Acme & Sons")
        #expect(read.fields["ETag"] == "\"2\"")
        let entries: [JSONValue] = try await fixture.harness.auditEntries("tenant.updated")
        #expect(entries.count == 1)
        #expect(entries.first?["changes"]?["display_name"]?.text == "Acme & Sons")
    }

    @Test func deletesOnlyAnEmptyTenant() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(endsTenants: true)
        let api: JSONValue = try await fixture.importAPI()
        let full: TestAnswer = try await fixture.send("DELETE", "/v1/tenants/acme", token: "admin")
        #expect(full.status == 409)
        #expect(full.detail.contains("APIs"))
        let path: String = "/v1/tenants/acme/apis/\(api["id"]?.text ?? "")"
        #expect(try await fixture.send("DELETE", path).status == 204)
        fixture.portal.tenantsWithApplications.withLock { _ = $0.insert("acme") }
        #expect(try await fixture.send("DELETE", "/v1/tenants/acme", token: "admin").detail.contains("applications"))
        fixture.portal.tenantsWithApplications.withLock { $0.removeAll() }
        let version: Int64 = try await fixture.harness.gatewayVersion()
        try await fixture.end("acme")
        #expect(try await fixture.send("GET", "/v1/tenants/acme", token: "admin").status == 404)
        #expect(try await fixture.send("GET", "/v1/tenants", token: "admin").items.isEmpty)
        #expect(try await fixture.send("GET", "/v1/tenants/acme/plans", token: "admin").status == 404)
        #expect(
            try await fixture.harness.touched(after: version)
                == ["plan acme free", "plan acme gold", "plan acme unlimited"])
        #expect(try await fixture.harness.auditEntries("tenant.deleted").count == 1)
        await fixture.harness.stop()
    }

    @Test func theNameOfADeletedTenantIsNotGivenAgain() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(endsTenants: true)
        try await fixture.end("acme")
        let again: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants", token: "admin", .object(["name": "acme"]))
        #expect(again.status == 409)
        #expect(again.detail.contains("choose another"))
        #expect(try await fixture.harness.auditEntries("tenant.created").count == 1)
        await fixture.harness.stop()
    }

    @Test func whatIsUnknownIsNotFoundForThoseWhoReachAllTenants() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        for path in ["", "/apis", "/plans", "/targets", "/environments", "/apis/x", "/plans/x", "/environments/x"] {
            #expect(try await fixture.send("GET", "/v1/tenants/nobody\(path)", token: "admin").status == 404, "\(path)")
        }
        for path in ["/apis/x", "/plans/x", "/environments/x"] {
            #expect(try await fixture.send("GET", "/v1/tenants/acme\(path)", token: "admin").status == 404, "\(path)")
        }
    }
}
