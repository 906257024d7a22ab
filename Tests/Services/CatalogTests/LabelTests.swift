import Contracts
import HTTP
import JSON
import ServiceTestKit
import Testing

/// Labels of APIs over REST.
struct LabelTests {
    private static let apis: String = "/v1/tenants/acme/apis"

    private static func change(_ labels: JSONObject) -> JSONValue { .object(["labels": .object(labels)]) }

    @Test func areSetAtImportAndShown() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let api: JSONValue = try await fixture.importAPI(extra: ["labels": ["tier": "gold", "team": "payments"]])
        let labels: JSONValue = ["team": "payments", "tier": "gold"]
        #expect(api["labels"] == labels)
        #expect(try await fixture.send("GET", "\(Self.apis)/orders-api").json["labels"] == labels)
        #expect(try await fixture.send("GET", Self.apis).items.first?["labels"] == labels)
        #expect(try await fixture.harness.auditEntries("api.created").first?["changes"]?["labels"] == labels)
        let plain: JSONValue = try await fixture.importAPI(extra: ["name": "plain", "base_path": "/plain"])
        #expect(plain["labels"] == .object([:]))
    }

    @Test func aChangeMergesAndTellsGatewaysNothing() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        try await fixture.importAPI(extra: ["labels": ["tier": "gold", "team": "payments"]])
        let path: String = "\(Self.apis)/orders-api"
        let touched: [String] = try await fixture.harness.touched()
        let answer: TestAnswer = try await fixture.send(
            "PATCH", path, Self.change(["tier": .null, "team": "billing", "stage": ""]),
            fields: [("If-Match", "\"1\"")])
        #expect(answer.status == 200)
        #expect(answer.json["labels"] == ["stage": "", "team": "billing"])
        #expect(answer.fields["ETag"] == "\"2\"")
        #expect(try await fixture.harness.touched() == touched)
        #expect(try await fixture.harness.events(Topics.apiUpdated).map { $0["changes"] } == [["labels"]])
        let entry: JSONValue? = try await fixture.harness.auditEntries("api.updated").first
        #expect(entry?["changes"]?["labels"] == ["stage": "", "team": "billing"])
        for labels: JSONObject in [[:], ["team": "billing"], ["none": .null]] {
            #expect(try await fixture.send("PATCH", path, Self.change(labels)).fields["ETag"] == "\"2\"")
        }
        #expect(try await fixture.harness.events(Topics.apiUpdated).count == 1, "what changes nothing is no change")
        let revision: TestAnswer = try await fixture.send(
            "POST", "\(path)/revisions", Documents.body(Documents.ordersLater))
        #expect(revision.status == 201)
        #expect(try await fixture.send("GET", path).json["labels"] == ["stage": "", "team": "billing"])
    }

    @Test func aListShowsThoseWithAllLabelsPageByPage() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        for number in 0..<7 {
            try await fixture.importAPI(extra: [
                "name": .string("api-\(number)"), "base_path": .string("/\(number)"),
                "labels": ["team": number % 2 == 0 ? "payments" : "billing", "tier": number < 4 ? "gold" : "silver"],
            ])
        }
        func names(_ query: String) async throws -> [String] {
            var (names, next): ([String], String) = ([], "")
            repeat {
                let page: TestAnswer = try await fixture.send("GET", "\(Self.apis)?limit=2&labels=\(query)\(next)")
                #expect(page.items.count <= 2)
                names += page.items("name")
                next = page.json["next"]?.text.map { "&cursor=\($0)" } ?? ""
            } while !next.isEmpty
            return names
        }
        #expect(try await names("team=payments") == ["api-0", "api-2", "api-4", "api-6"])
        #expect(try await names("team=payments,tier=gold") == ["api-0", "api-2"])
        #expect(try await names("team=nobody").isEmpty)
        let last: TestAnswer = try await fixture.send("GET", "\(Self.apis)?limit=2&labels=team=payments,tier=gold")
        #expect(last.json["next"] == .null)
    }

    @Test(arguments: [
        (JSONValue.object(["-team": "x"]), "/labels/-team"), (.object(["team": "a b"]), "/labels/team"),
        (.object(["a/b": "x"]), "/labels/a~1b"), (.object(["": "x"]), "/labels/"),
        (.object(["team": 1]), "/labels/team"),
        (.array([]), "/labels"), (.string("team=payments"), "/labels"),
    ])
    func refusesWhatAreNoLabels(labels: JSONValue, pointer: String) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let made: TestAnswer = try await fixture.send(
            "POST", Self.apis, Documents.body(Documents.orders, ["labels": labels]))
        #expect(made.status == 400)
        #expect(made.pointers == [pointer])
        try await fixture.importAPI()
        let changed: TestAnswer = try await fixture.send(
            "PATCH", "\(Self.apis)/orders-api", .object(["labels": labels]))
        #expect(changed.pointers == [pointer])
    }

    @Test func anAPIHasSoManyLabelsAtMost() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        var labels: JSONObject = [:]
        for number in 0..<APILabels.countMax { labels["k\(number)"] = "v" }
        try await fixture.importAPI(extra: ["labels": .object(labels)])
        let path: String = "\(Self.apis)/orders-api"
        #expect(try await fixture.send("PATCH", path, Self.change(["more": "v"])).pointers == ["/labels"])
        #expect(try await fixture.send("PATCH", path, Self.change(["more": "v", "k0": .null])).status == 200)
        labels["one-more"] = "v"
        let over: JSONValue = Documents.body(Documents.orders, ["name": "other", "labels": .object(labels)])
        #expect(try await fixture.send("POST", Self.apis, over).pointers == ["/labels"])
    }

    @Test(arguments: ["team", "", "a=b%20c", "a=1,,b=2"])
    func refusesWhatIsNoSelector(selector: String) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await fixture.send("GET", "\(Self.apis)?labels=\(selector)")
        #expect(answer.pointers == ["query:labels"])
    }
}
