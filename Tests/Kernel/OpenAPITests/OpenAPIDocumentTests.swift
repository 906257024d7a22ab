import Documents
import JSON
import OpenAPI
import Testing

struct OpenAPIDocumentTests {
    @Test func readsVersion3_0() throws {
        let document: OpenAPIDocument = try OpenAPIDocument.read(Array(Examples.v3_0.utf8))
        #expect(document.version == .v3_0)
        #expect(document.title == "Orders")
        #expect(document.apiVersion == "1.4.0")
        #expect(document.description == "Orders and their items")
        #expect(document.servers.map(\.url) == ["https://eu.example.com/live/v1/", "/v1"])
        #expect(document.servers.map(\.description) == ["Production", nil])
        #expect(document.basePath == "/live/v1")
        #expect(
            document.operations.map { "\($0.method) \($0.path)" } == [
                "GET /orders", "POST /orders", "GET /orders/{id}", "PUT /orders/{id}", "GET /files/{name}.{ext}",
            ])
        #expect(
            document.operations[0]
                == OpenAPIOperation(
                    method: "GET", path: "/orders", operationID: "listOrders", summary: "List orders", tags: ["orders"],
                    deprecated: false, pointer: "/paths/~1orders/get"))
        #expect(document.operations[1].deprecated)
        #expect(document.operations[4].pointer == "/x-shared/files/get")
        #expect(document.root["info"]?["title"]?.position == SourcePosition(line: 3, column: 10))
    }

    @Test func readsVersion3_1() throws {
        let document: OpenAPIDocument = try OpenAPIDocument.read(Array(Examples.v3_1.utf8))
        #expect(document.version == .v3_1)
        #expect(document.summary == "Short")
        #expect(document.servers == [])
        #expect(document.basePath == nil)
        #expect(document.operations.map(\.operationID) == ["getEvent"])
        #expect(document.operations.map(\.path) == ["/events/{id}"])
    }

    @Test func readsVersion2() throws {
        let document: OpenAPIDocument = try OpenAPIDocument.read(Array(Examples.v2.utf8))
        #expect(document.version == .v2)
        #expect(document.basePath == "/v2")
        #expect(document.servers.map(\.url) == ["https://api.example.com:8443/v2/", "http://api.example.com:8443/v2/"])
        #expect(document.operations.map(\.method) == ["GET", "PUT", "POST"])
    }

    @Test(arguments: [Examples.v2, Examples.v3_0, Examples.v3_1])
    func readsTheSameFromJSON(_ text: String) throws {
        let document: OpenAPIDocument = try OpenAPIDocument.read(Array(text.utf8))
        let again: OpenAPIDocument = try OpenAPIDocument.read(document.root.json().pretty())
        #expect(again.operations == document.operations)
        #expect(again.root.json() == document.root.json())
    }

    @Test(
        arguments: [
            ("/", nil), ("https://a.example", nil), ("https://a.example/", nil), ("https://a.example/v1/", "/v1"),
            ("/v1", "/v1"),
            ("//a.example/v1", "//a.example/v1"), ("https://a.example/v1?x=/y", "/v1"), ("v1", nil),
        ] as [(String, String?)])
    func takesTheBasePathFromTheFirstServer(_ url: String, _ basePath: String?) throws {
        let text: String =
            "openapi: 3.0.0\ninfo: {title: t, version: '1'}\nservers: [{url: '\(url)'}, {url: /other}]\npaths: {}\n"
        #expect(try OpenAPIDocument.read(Array(text.utf8)).basePath == basePath)
    }
}
