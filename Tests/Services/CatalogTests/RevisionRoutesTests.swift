import Bytes
import Contracts
import Crypto
import HTTP
import JSON
import ServiceTestKit
import Testing

struct RevisionRoutesTests {
    private static let api: String = "/v1/tenants/acme/apis/orders-api"

    @Test func keepsEveryRevisionByteForByte() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let api: JSONValue = try await fixture.importAPI()
        let made: TestAnswer = try await fixture.send(
            "POST", "\(Self.api)/revisions", Documents.body(Documents.ordersLater))
        #expect(made.status == 201)
        #expect(made.fields["Location"] == "\(Self.api)/revisions/2")
        #expect(made.json["revision"]?.integer == 2)
        #expect(made.json["api_version"]?.text == "2.0.0")
        let hash: String = Hex.encode(SHA256.hash(Array(Documents.ordersLater.utf8)))
        #expect(made.json["document_sha256"]?.text == hash)
        for (revision, document) in [(1, Documents.orders), (2, Documents.ordersLater)] {
            let read: TestAnswer = try await fixture.send("GET", "\(Self.api)/revisions/\(revision)/document")
            #expect(read.bytes == Array(document.utf8))
            #expect(read.fields["Content-Type"] == "application/openapi+yaml")
            #expect(read.fields["X-Content-Type-Options"] == "nosniff")
        }
        let after: JSONValue = try await fixture.send("GET", Self.api).json
        #expect(after["latest_revision"]?.integer == 2)
        #expect(after["id"] == api["id"])
        #expect(after["base_path"]?.text == "/orders-api")
        #expect(try await fixture.harness.events(Topics.apiUpdated).map { $0["changes"] } == [["revision"]])
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("api.revision-created").first)
        #expect(entry["changes"]?["document_sha256"]?.text == hash)
        #expect(entry["resource"]?["version"]?.integer == 2)
    }

    @Test func theSameDocumentMakesNoRevision() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI()
        let same: TestAnswer = try await fixture.send("POST", "\(Self.api)/revisions", Documents.body(Documents.orders))
        #expect(same.status == 200)
        #expect(same.json["revision"]?.integer == 1)
        #expect(try await fixture.harness.events(Topics.apiUpdated).isEmpty)
        #expect(try await fixture.harness.auditEntries("api.revision-created").isEmpty)
        let other: TestAnswer = try await fixture.send(
            "POST", "\(Self.api)/revisions", Documents.body(Documents.orders, ["upstream": "http://127.0.0.1:9701"]))
        #expect(other.status == 201, "another upstream is another revision")
        let back: TestAnswer = try await fixture.send("POST", "\(Self.api)/revisions", Documents.body(Documents.orders))
        #expect(back.json["revision"]?.integer == 3, "only the latest one is compared")
        #expect(try await fixture.send("GET", "\(Self.api)/revisions/3/document").bytes == Array(Documents.orders.utf8))
    }

    @Test func aFailedRevisionStoresNothing() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI()
        let path: String = "\(Self.api)/revisions"
        #expect(try await fixture.send("POST", path, Documents.body("openapi: 3.0.3")).status == 422)
        let named: TestAnswer = try await fixture.send(
            "POST", path, Documents.body(Documents.ordersLater, ["name": "x"]))
        #expect(named.pointers == ["/name"])
        let stale: TestAnswer = try await fixture.send(
            "POST", path, Documents.body(Documents.ordersLater), fields: [("If-Match", "\"4\"")])
        #expect(stale.status == 412)
        let unknown: TestAnswer = try await fixture.send(
            "POST", "/v1/tenants/acme/apis/nothing/revisions", Documents.body(Documents.ordersLater))
        #expect(unknown.status == 404)
        #expect(try await fixture.send("GET", path).items.count == 1)
        #expect(try await fixture.harness.events(Topics.apiUpdated).isEmpty)
    }

    @Test func listsRevisionsNewestFirst() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI()
        for number in 1...3 {
            let body: JSONValue = Documents.body(
                Documents.orders, ["upstream": .string("http://127.0.0.1:970\(number)")])
            #expect(try await fixture.send("POST", "\(Self.api)/revisions", body).status == 201)
        }
        let first: TestAnswer = try await fixture.send("GET", "\(Self.api)/revisions?limit=3")
        #expect(first.items.map { $0["revision"]?.integer } == [4, 3, 2])
        let next: String = first.json["next"]?.text ?? ""
        let second: TestAnswer = try await fixture.send("GET", "\(Self.api)/revisions?limit=3&cursor=\(next)")
        #expect(second.items.map { $0["revision"]?.integer } == [1])
        let foreign: String = Base64.encodeURL(Array("orders".utf8))
        let wrong: TestAnswer = try await fixture.send("GET", "\(Self.api)/revisions?cursor=\(foreign)")
        #expect(wrong.status == 400)
        #expect(wrong.pointers == ["query:cursor"])
    }

    @Test(arguments: ["0", "2", "-1", "x", "1.0", "9223372036854775808"])
    func anUnknownRevisionIsNotFound(revision: String) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI()
        #expect(try await fixture.send("GET", "\(Self.api)/revisions/\(revision)").status == 404)
        #expect(try await fixture.send("GET", "\(Self.api)/revisions/\(revision)/document").status == 404)
    }

    @Test func tellsWhatChangedForCallers() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI()
        #expect(try await fixture.send("GET", "\(Self.api)/diff").json == .object(["changes": []]))
        _ = try await fixture.send("POST", "\(Self.api)/revisions", Documents.body(Documents.ordersLater))
        let forward: [JSONValue] =
            try await fixture.send("GET", "\(Self.api)/diff").json["changes"]?.elements ?? []
        let lines: [String] = forward.map {
            "\($0["change"]?.text ?? "") \($0["method"]?.text ?? "") \($0["path"]?.text ?? "")"
        }
        #expect(lines == ["added GET /closed", "changed GET /open", "removed POST /open", "changed GET /{id}"])
        #expect(forward.last?["detail"]?.text == "is deprecated now")
        #expect(forward.first?["detail"]?.text == "Closed ones")
        let backward: [JSONValue] =
            try await fixture.send("GET", "\(Self.api)/diff?from=2&to=1").json["changes"]?.elements ?? []
        #expect(backward.map { $0["change"]?.text } == ["removed", "changed", "added", "changed"])
        #expect(try await fixture.send("GET", "\(Self.api)/diff?from=7").status == 404)
        #expect(try await fixture.send("GET", "\(Self.api)/diff?from=0").status == 400)
        #expect(try await fixture.send("GET", "\(Self.api)/diff?form=1").pointers == ["query:form"])
    }

    @Test func aJSONDocumentIsServedAsOne() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI(Documents.withServer("/v1"))
        let read: TestAnswer = try await fixture.send("GET", "/v1/tenants/acme/apis/billing/revisions/1/document")
        #expect(read.fields["Content-Type"] == "application/openapi+json")
    }
}
