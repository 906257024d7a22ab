import Contracts
import JSON
import REST
import ServiceTestKit
import Store
import Testing

@testable import Catalog

/// What other services are told.
struct CatalogQueriesTests {
    @Test func answersWithinATenantOnly() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(tenants: ["acme", "globex"])
        let api: JSONValue = try await fixture.importAPI()
        let id: String = api["id"]?.text ?? ""
        let offer: CatalogQueries = CatalogQueries()
        try await fixture.harness.services.store.read { (reader: Reader) throws -> Void in
            for reference in [id, "orders-api"] {
                #expect(try offer.api(tenant: "acme", reference: reference, in: reader)?.id == id)
                #expect(try offer.api(tenant: "globex", reference: reference, in: reader) == nil)
            }
            #expect(try offer.revision(tenant: "acme", apiID: id, number: 1, in: reader)?.revision == 1)
            #expect(try offer.revision(tenant: "globex", apiID: id, number: 1, in: reader) == nil)
            #expect(try offer.environments(tenant: "acme", in: reader).count == 5)
            #expect(try offer.environment(tenant: "acme", name: "prod", in: reader)?.gatewayGroup == "default")
            #expect(try offer.environment(tenant: "nobody", name: "prod", in: reader) == nil)
            #expect(try offer.tenant("nobody", in: reader) == nil)
            #expect(try offer.hasPlan(tenant: "acme", name: "gold", in: reader))
            #expect(try !offer.hasPlan(tenant: "acme", name: "iron", in: reader))
            #expect(try offer.planNeedsApproval(tenant: "acme", name: "iron", in: reader), "unknown: not at once")
            #expect(try offer.gatewayPlan(tenant: "acme", name: "iron", in: reader) == nil)
            #expect(try offer.gatewayPlan(tenant: "acme", name: "gold", in: reader)?["tenant"]?.text == "acme")
        }
    }

    @Test func showsPublishedAPIsOnly() async throws {
        let fixture: CatalogFixture = try await CatalogFixture(tenants: ["acme", "globex"])
        for name in ["a", "b", "c"] { try await fixture.importAPI(extra: ["name": .string(name)]) }
        _ = try await fixture.send("PATCH", "/v1/tenants/acme/apis/b", .object(["state": "draft"]))
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants/globex/apis", token: "admin", Documents.body(Documents.orders, ["name": "g"]))
        #expect(made.status == 201)
        let offer: CatalogQueries = CatalogQueries()
        try await fixture.harness.services.store.read { (reader: Reader) throws -> Void in
            func names(_ tenants: [String]?, limit: Int = 50, after: String = "") throws -> [String] {
                try offer.publishedAPIs(tenants: tenants, after: after, limit: limit, in: reader).map(\.record.name)
            }
            #expect(try names(["acme"]) == ["a", "c"])
            #expect(try names([]) == [])
            #expect(try names(["acme", "globex"]) == ["a", "c", "g"])
            #expect(try names(nil, limit: 2) == ["a", "c"])
            let last: String = try offer.publishedAPIs(tenants: nil, after: "", limit: 2, in: reader)[1].record.id
            #expect(try names(nil, limit: 2, after: last) == ["g"])
        }
    }
}
