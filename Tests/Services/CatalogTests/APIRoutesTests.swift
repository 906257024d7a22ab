import Contracts
import Crypto
import EventLog
import HTTP
import JSON
import ServiceTestKit
import Testing

struct APIRoutesTests {
    private static let apis: String = "/v1/tenants/acme/apis"

    @Test func importsADocumentAsAnAPIWithARevision() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await fixture.send(
            "POST", Self.apis, token: "devops@acme", Documents.body(Documents.orders))
        #expect(answer.status == 201)
        #expect(answer.fields["Location"] == "\(Self.apis)/orders-api")
        #expect(answer.fields["ETag"] == "\"1\"")
        let id: String = answer.json["id"]?.text ?? ""
        #expect(id.hasPrefix("api_"))
        #expect(answer.json["name"]?.text == "orders-api")
        #expect(answer.json["title"]?.text == "Orders API")
        #expect(answer.json["state"]?.text == "published")
        #expect(answer.json["base_path"]?.text == "/orders-api")
        #expect(answer.json["latest_revision"]?.integer == 1)
        #expect(answer.json["created_by"]?.text == "usr_devops_acme")
        for reference in [id, "orders-api"] {
            let read: TestAnswer = try await fixture.send("GET", "\(Self.apis)/\(reference)")
            #expect(read.json["id"]?.text == id)
            #expect(read.json["live"] == .array([]))
        }
        #expect(try await fixture.send("GET", Self.apis).items("id") == [id])
        #expect(
            try await fixture.harness.touched().filter { $0.hasPrefix("api") }.isEmpty, "nothing is deployed yet")
    }

    @Test func recordsTheImportInTheLog() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let api: JSONValue = try await fixture.importAPI()
        let records: [Record] = try await fixture.harness.records(Topics.apiCreated)
        let record: Record = try #require(records.first)
        #expect(records.count == 1)
        #expect(record.keyText == api["id"]?.text)
        #expect(record.tenant == "acme")
        #expect(record.actor == "usr_devops_acme")
        #expect(record.traceparent != nil)
        #expect(
            try JSONReader.parse(record.value)
                == .object([
                    "api_id": api["id"] ?? .null, "tenant": "acme", "name": "orders-api", "version": "1.4.0",
                    "created_by": "usr_devops_acme",
                ]))
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("api.created").first)
        #expect(entry["resource"] == .object(["id": api["id"] ?? .null, "type": "api", "version": 1]))
        #expect(entry["changes"]?["name"]?.text == "orders-api")
        #expect(entry["changes"]?["upstream"]?.text == "http://127.0.0.1:9700")
        for hash in ["document_sha256", "gateway_sha256"] { #expect(entry["changes"]?[hash]?.text?.utf8.count == 64) }
        #expect(entry["changes"]?["gateway"] == nil, "a hash stands for what never changes")
    }

    @Test func takesNameBasePathAndAuthenticationFromTheRequest() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let api: JSONValue = try await fixture.importAPI(
            extra: [
                "name": "shop", "base_path": "/shop/v1/", "authentication": "none",
                "policies": [["rate_limit": ["limit": 5, "window": "1s", "by": "ip"]]],
            ])
        #expect(api["name"]?.text == "shop")
        #expect(api["base_path"]?.text == "/shop/v1")
        let gateway: JSONValue? = try await fixture.send("GET", "\(Self.apis)/shop/revisions/1").json["gateway"]
        #expect(gateway?["policies"]?.elements?.count == 1)
        #expect(gateway?["policies"]?.elements?.first?["rate_limit"]?["limit"]?.integer == 5)
        #expect(gateway?["upstream"]?["strip_prefix"]?.text == "/shop/v1")
        #expect(gateway?["upstream"]?["targets"]?.elements?.first?["url"]?.text == "http://127.0.0.1:9700")
        let paths: [String] = gateway?["routes"]?.elements?.map { $0["path"]?.text ?? "" } ?? []
        #expect(paths == ["/shop/v1/", "/shop/v1", "/shop/v1/open", "/shop/v1/{id}"])
        #expect(gateway?["routes"]?.elements?[2]["methods"] == ["GET", "POST"])
        #expect(GatewayReader.problems(gateway: gateway) == [])
    }

    @Test(arguments: [
        ("https://api.example.com/billing/v2", "/billing/v2"), ("/v3", "/v3"), ("https://api.example.com", "/billing"),
        ("https://api.example.com/", "/billing"),
    ])
    func takesTheBasePathFromTheFirstServer(url: String, basePath: String) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let api: JSONValue = try await fixture.importAPI(Documents.withServer(url))
        #expect(api["base_path"]?.text == basePath)
        let gateway: JSONValue? = try await fixture.send("GET", "\(Self.apis)/billing/revisions/1").json["gateway"]
        #expect(gateway?["policies"] == [["api_key": ["header": "X-API-Key"]]])
        #expect(GatewayReader.problems(gateway: gateway) == [])
    }

    @Test func refusesANameThatIsTakenAndFreesItWithTheAPI() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let api: JSONValue = try await fixture.importAPI()
        let again: TestAnswer = try await fixture.send("POST", Self.apis, Documents.body(Documents.orders))
        #expect(again.status == 409)
        #expect(again.detail.contains("further revision"))
        #expect(try await fixture.send("DELETE", "\(Self.apis)/orders-api").status == 204)
        let next: JSONValue = try await fixture.importAPI()
        #expect(next["id"] != api["id"])
        #expect(try await fixture.send("GET", "\(Self.apis)/\(api["id"]?.text ?? "")").status == 404)
    }

    @Test func aRepeatedImportIsMadeOnce() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let key: [(String, String)] = [("Idempotency-Key", "import-1")]
        let body: JSONValue = Documents.body(Documents.orders)
        let first: TestAnswer = try await fixture.send("POST", Self.apis, body, fields: key)
        let again: TestAnswer = try await fixture.send("POST", Self.apis, body, fields: key)
        #expect(again.status == 201)
        #expect(again.bytes == first.bytes)
        let other: TestAnswer = try await fixture.send(
            "POST", Self.apis, Documents.body(Documents.ordersLater), fields: key)
        #expect(other.status == 422)
        #expect(try await fixture.harness.events(Topics.apiCreated).count == 1)
    }

    @Test func changesTitleAndStateFromTheVersionThatWasRead() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let api: JSONValue = try await fixture.importAPI()
        let path: String = "\(Self.apis)/orders-api"
        let stale: TestAnswer = try await fixture.send(
            "PATCH", path, .object(["state": "retired"]), fields: [("If-Match", "\"3\"")])
        #expect(stale.status == 412)
        let changed: TestAnswer = try await fixture.send(
            "PATCH", path, .object(["state": "deprecated", "title": "Orders API"]), fields: [("If-Match", "\"1\"")])
        #expect(changed.status == 200)
        #expect(changed.json["state"]?.text == "deprecated")
        #expect(changed.fields["ETag"] == "\"2\"")
        #expect(
            try await fixture.harness.events(Topics.apiUpdated) == [
                .object([
                    "api_id": api["id"] ?? .null, "tenant": "acme", "changes": ["state"],
                    "updated_by": "usr_devops_acme",
                ])
            ])
        #expect(try await fixture.harness.auditEntries("api.updated").first?["changes"]?["state"]?.text == "deprecated")
    }

    @Test(arguments: [JSONValue.object([:]), .object(["title": "Orders API"]), .object(["state": "published"])])
    func whatChangesNothingIsNoChange(body: JSONValue) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI()
        let answer: TestAnswer = try await fixture.send("PATCH", "\(Self.apis)/orders-api", body)
        #expect(answer.status == 200)
        #expect(answer.fields["ETag"] == "\"1\"")
        #expect(try await fixture.harness.events(Topics.apiUpdated).isEmpty)
        #expect(try await fixture.harness.auditEntries("api.updated").isEmpty)
    }

    @Test func refusesUnknownStatesAndFields() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI()
        let path: String = "\(Self.apis)/orders-api"
        #expect(try await fixture.send("PATCH", path, .object(["state": "gone"])).pointers == ["/state"])
        #expect(
            try await fixture.send("PATCH", path, .object(["base_path": "/x", "created_by": "me"])).pointers.sorted()
                == ["/base_path", "/created_by"])
        #expect(try await fixture.send("PATCH", "\(Self.apis)/nothing", .object([:])).status == 404)
        #expect(try await fixture.send("DELETE", "\(Self.apis)/nothing").status == 404)
        #expect(try await fixture.send("DELETE", "\(Self.apis)/orders-api?undeploy=yes").status == 400)
    }

    @Test func aLiveAPIIsDeletedOnlyWithItsDeployments() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let api: JSONValue = try await fixture.importAPI()
        let id: String = api["id"]?.text ?? ""
        fixture.deployments.set([LiveRevision(environment: "dev", revision: 1, deploymentID: "dep_1")], of: id)
        let read: TestAnswer = try await fixture.send("GET", "\(Self.apis)/orders-api")
        #expect(read.json["live"] == [["environment": "dev", "revision": 1, "deployment": "dep_1"]])
        let refused: TestAnswer = try await fixture.send("DELETE", "\(Self.apis)/orders-api")
        #expect(refused.status == 409)
        #expect(refused.detail.contains("dev"))
        #expect(
            try await fixture.send("DELETE", "\(Self.apis)/orders-api?undeploy=true", fields: [("If-Match", "\"8\"")])
                .status == 412)
        #expect(try await fixture.harness.events(Topics.apiDeleted).isEmpty)
        #expect(try await fixture.send("DELETE", "\(Self.apis)/orders-api?undeploy=true").status == 204)
        #expect(try await fixture.send("GET", "\(Self.apis)/orders-api").status == 404)
        #expect(try await fixture.send("GET", "\(Self.apis)/orders-api/revisions").status == 404)
        #expect(try await fixture.send("GET", Self.apis).items.isEmpty)
        let events: [JSONValue] = try await fixture.harness.events(Topics.apiDeleted)
        #expect(events.count == 1)
        #expect(events.first?["api_id"]?.text == id)
        #expect(events.first?["tenant"]?.text == "acme")
        #expect(events.first?["deleted_by"]?.text == "usr_devops_acme")
        #expect(events.first?["timestamp"]?.text == "2026-01-01T00:00:00.000Z")
        #expect(events.first?.object?.count == 4)
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("api.deleted").first)
        #expect(entry["resource"]?["version"]?.integer == 2)
    }

    @Test func pagesThroughAPIsByName() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        for name in ["c", "a", "b"] { try await fixture.importAPI(extra: ["name": .string(name)]) }
        let first: TestAnswer = try await fixture.send("GET", "\(Self.apis)?limit=2")
        #expect(first.items("name") == ["a", "b"])
        let second: TestAnswer = try await fixture.send(
            "GET", "\(Self.apis)?limit=2&cursor=\(first.json["next"]?.text ?? "")")
        #expect(second.items("name") == ["c"])
    }

    @Test(arguments: [
        ("devops@acme", 201), ("cpi-tenant@acme", 201), ("cpi-admin", 201), ("developer@acme", 403),
        ("operator@acme", 403), ("auditor@acme", 403), ("viewer@acme", 403),
    ])
    func importsByRole(token: String, status: Int) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let body: JSONValue = Documents.body(Documents.orders)
        #expect(try await fixture.send("POST", Self.apis, token: token, body).status == status)
        #expect(try await fixture.send("GET", Self.apis, token: token).status == 200)
    }

    @Test func platformAdministratorsCannotImportForATenantThatIsNotThere() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants/nobody/apis", token: "admin", Documents.body(Documents.orders))
        #expect(answer.status == 404)
    }
}
