import Contracts
import JSON
import REST
import ServiceTestKit
import Store
import Testing

/// What an import refuses, and that nothing of it is stored.
struct ImportRefusalTests {
    private static let apis: String = "/v1/tenants/acme/apis"

    private static func expectNothing(in fixture: CatalogFixture) async throws {
        #expect(try await fixture.send("GET", self.apis).items.isEmpty)
        #expect(try await fixture.harness.events(Topics.apiCreated).isEmpty)
        #expect(try await fixture.harness.auditEntries("api.created").isEmpty)
        let documents: Int64 = try await fixture.harness.services.store.read { reader in
            try reader.first("SELECT COUNT(*) FROM documents") { try $0.int(0) } ?? -1
        }
        #expect(documents == 0)
    }

    private struct Finding: Sendable, Equatable {
        let line: Int64
        let column: Int64
        let pointer: String

        init(_ line: Int64, _ column: Int64, _ pointer: String) {
            self.line = line
            self.column = column
            self.pointer = pointer
        }
    }

    @Test func namesEveryProblemOfADocumentByLineColumnAndPointer() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let document: String = """
            openapi: 3.0.3
            info: {title: Orders}
            paths:
              orders:
                get: {responses: {"200": {description: ok}}}
              /a:
                get: {response: {}}
            """
        let answer: TestAnswer = try await fixture.send("POST", Self.apis, Documents.body(document))
        #expect(answer.status == 422)
        #expect(answer.json["type"]?.text == "urn:passerelle:problem:invalid-document")
        var findings: [Finding] = []
        for error in answer.json["errors"]?.elements ?? [] {
            #expect(error["detail"]?.text?.isEmpty == false)
            findings.append(
                Finding(
                    error["line"]?.integer ?? 0, error["column"]?.integer ?? 0, error["pointer"]?.text ?? "?"))
        }
        #expect(
            findings.contains(Finding(2, 7, "/info/version")) || findings.contains(Finding(2, 7, "/info")),
            "\(findings)")
        #expect(findings.contains(Finding(4, 3, "/paths/orders")), "\(findings)")
        #expect(findings.contains { $0.line == 7 && $0.pointer.hasPrefix("/paths/~1a/get") }, "\(findings)")
        #expect(findings.count >= 3)
        try await Self.expectNothing(in: fixture)
    }

    @Test(arguments: [
        ("not: [closed\nopenapi: x", 2), ("{\"openapi\":\"3.0.0\",\n\"info\":}", 2), ("just text", 1), ("[1, 2]", 1),
        ("swagger: 1.2", 1), ("openapi: 4.0.0", 1), ("a: 1\na: 2", 2), ("a: &x [*x]", 1), ("---\na: 1\n---\nb: 2", 3),
    ])
    func namesTheLineOfWhatCannotBeRead(document: String, line: Int64) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await fixture.send("POST", Self.apis, Documents.body(document))
        #expect(answer.status == 422)
        #expect(answer.json["errors"]?.elements?.first?["line"]?.integer == line, "\(answer.json)")
        #expect((answer.json["errors"]?.elements?.first?["column"]?.integer ?? 0) >= 1)
        try await Self.expectNothing(in: fixture)
    }

    @Test func refusesWhatLooksLikeASecretAndIsNone() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        var body: JSONObject = Documents.body(Documents.orders).object ?? [:]
        body["authentication"] = "none"
        body["policies"] = .array([
            .object([
                "headers": .object([
                    "request": .object(["set": .object(["X-A": "secret://crm-token", "X-B": "Bearer secret://CRM"])])
                ])
            ])
        ])
        let answer: TestAnswer = try await fixture.send("POST", Self.apis, .object(body))
        #expect(answer.status == 400)
        #expect(answer.pointers == ["/policies/0/headers/request/set/X-B"])
        try await Self.expectNothing(in: fixture)
    }

    @Test func refusesADocumentThatIsTooLarge() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let padding: String = String(repeating: "x", count: 8 << 20)
        let answer: TestAnswer = try await fixture.send(
            "POST", Self.apis, Documents.body(Documents.orders + "\n# " + padding))
        #expect(answer.status == 400)
        #expect(answer.pointers == ["/document"])
        // Few characters, many bytes: the limit is one of bytes.
        let wide: String = String(repeating: "\u{1F600}", count: 3 << 20)
        let bytes: TestAnswer = try await fixture.send(
            "POST", Self.apis, Documents.body(Documents.orders + "\n# " + wide))
        #expect(bytes.status == 400)
        #expect(bytes.pointers == ["/document"])
        let huge: TestAnswer = try await fixture.send("POST", Self.apis, Documents.body(padding + padding + padding))
        #expect(huge.status == 413)
        try await Self.expectNothing(in: fixture)
    }

    @Test func namesUnknownAndMissingFields() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await fixture.send(
            "POST", Self.apis, .object(["document": "x", "tenant": "globex", "authentication": "basic"]))
        #expect(answer.status == 400)
        #expect(Set(answer.pointers).isSuperset(of: ["/tenant", "/authentication"]))
        #expect(answer.pointers.count == 4, "an upstream, or one in 'gateway', is missing: \(answer.json)")
        try await Self.expectNothing(in: fixture)
    }

    /// Fields of an import that a gateway could not run, and the field that is named for each.
    static let fields: [(JSONObject, [String])] = [
        (["name": "No Slug"], ["/name"]),
        (["name": ""], ["/name"]),
        (["upstream": "127.0.0.1:9700"], ["/upstream"]),
        (["upstream": "ftp://x"], ["/upstream"]),
        (["upstream": "http://user:secret@x"], ["/upstream"]),
        (["upstream": "http://x/?q=1"], ["/upstream"]),
        (["upstream": "http://"], ["/upstream"]),
        (["upstream": "http://x:99999"], ["/upstream"]),
        (["base_path": "orders"], ["/base_path"]),
        (["base_path": "/{x}"], ["/base_path"]),
        (["base_path": "/a/*"], ["/base_path"]),
        (["base_path": "//a"], ["/base_path"]),
        (["base_path": "/a?b"], ["/base_path"]),
        (["base_path": "/a#b"], ["/base_path"]),
        (["base_path": "/%zz"], ["/base_path"]),
        (["base_path": "/a/../b"], ["/base_path"]),
        (["policies": [["rate_limit": ["limit": 0, "window": "1s", "by": "ip"]]]], ["/policies/0/rate_limit/limit"]),
        (["policies": [["nonsense": [:]]]], ["/policies/0"]),
        (
            ["policies": [["rate_limit": ["limit": 1, "window": "1s", "by": "ip"]], ["rate_limt": [:]]]],
            ["/policies/1"]
        ),
        (["policies": [["api_key": ["header": "X-Key"]]]], ["/policies"]),
        (
            ["authentication": "none", "policies": [["rate_limit": ["limit": 1, "window": "1s", "by": "key"]]]],
            ["/policies"]
        ),
        (["policies": ["fast"]], ["/policies/0"]),
    ]

    @Test(arguments: fields)
    func namesTheFieldThatAGatewayCouldNotRun(extra: JSONObject, pointers: [String]) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await fixture.send("POST", Self.apis, Documents.body(Documents.orders, extra))
        #expect(answer.status == 400, "\(answer.json)")
        #expect(!answer.pointers.isEmpty)
        for pointer in answer.pointers {
            #expect(pointers.contains { pointer == $0 || pointer.hasPrefix($0 + "/") }, "\(answer.json)")
        }
        try await Self.expectNothing(in: fixture)
    }

    @Test func aDocumentWithoutAnyPathNamesTheDocument() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let answer: TestAnswer = try await fixture.send(
            "POST", Self.apis, Documents.body("openapi: 3.0.3\ninfo: {title: Empty, version: '1'}\npaths: {}"))
        #expect(answer.status == 400)
        #expect(answer.pointers == ["/document"])
        try await Self.expectNothing(in: fixture)
    }

    @Test func aTitleWithoutLettersNeedsAName() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let document: String = Documents.withServer("/v1", title: "注文")
        let answer: TestAnswer = try await fixture.send("POST", Self.apis, Documents.body(document))
        #expect(answer.status == 400)
        #expect(answer.pointers == ["/name"])
        #expect(try await fixture.importAPI(document, extra: ["name": "orders"])["title"]?.text == "注文")
    }

    @Test func importsADocumentOfThousandsOfOperations() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let segment: String = String(repeating: "long-", count: 24)
        var paths: [String] = []
        for number in 0..<4_000 {
            paths.append(#""/\#(segment)\#(number)":{"get":{"responses":{"200":{"description":"ok"}}}}"#)
        }
        let document: String =
            #"{"openapi":"3.0.0","info":{"title":"Many","version":"1"},"paths":{\#(paths.joined(separator: ","))}}"#
        let extra: JSONObject = ["base_path": .string("/" + String(repeating: "b", count: 200))]
        let api: JSONValue = try await fixture.importAPI(document, extra: extra)
        #expect(api["latest_revision"]?.integer == 1)
        #expect(try await fixture.harness.auditEntries("api.created").count == 1)
    }
}
