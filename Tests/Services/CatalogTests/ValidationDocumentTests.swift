import JSON
import ServiceTestKit
import Testing

@testable import Catalog

/// The document that travels with a `validation` policy.
struct ValidationDocumentTests {
    private static let apis: String = "/v1/tenants/acme/apis"

    @Test func isPutIntoThePolicyThatBringsNone() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let own: JSONValue = ["openapi": "3.1.0", "paths": ["/x": ["get": [:]]]]
        for (name, policy) in [("a", ["responses": "report"]), ("b", ["document": own])] as [(String, JSONValue)] {
            _ = try await fixture.importAPI(extra: ["name": .string(name), "policies": [["validation": policy]]])
            let revision: JSONValue = try await fixture.send("GET", "\(Self.apis)/\(name)/revisions/1").json
            let validation: JSONValue? = revision["gateway"]?["policies"]?[1]?["validation"]
            #expect(GatewayReader.problems(gateway: revision["gateway"]) == [])
            guard name == "a" else {
                #expect(validation == policy)
                continue
            }
            #expect(validation?["responses"]?.text == "report")
            #expect(validation?["document"]?["openapi"]?.text == "3.0.3")
            #expect(validation?["document"]?["paths"]?.object?.keys == ["/", "/open", "/{id}"])
            #expect(validation?["document"]?["info"] == nil)
        }
    }

    @Test func examplesAreKeptForAMock() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let document: String = """
            openapi: 3.0.3
            info: {title: Orders API, version: "1"}
            paths:
              /{id}:
                parameters: [{name: id, in: path, required: true, schema: {type: string}}]
                get:
                  responses:
                    "200":
                      description: One
                      content: {application/json: {examples: {one: {summary: The first, value: {example: 1}}}}}
                post:
                  requestBody: {content: {application/json: {example: 2}}}
                  responses: {"201": {description: Made, content: {application/json: {schema: {$ref: '#/components/schemas/O'}}}}}
            components: {schemas: {O: {type: object, example: {title: kept}}}}
            """
        let mock: JSONValue = ["mock": ["examples": true, "headers": ["X-Mock": "1"]]]
        _ = try await fixture.importAPI(
            document,
            extra: [
                "name": "a", "policies": [mock],
                "gateway": ["routes": [["path": "/{id}", "methods": ["POST"], "policies": [mock]]]],
            ])
        let revision: JSONValue = try await fixture.send("GET", "\(Self.apis)/a/revisions/1").json
        #expect(GatewayReader.problems(gateway: revision["gateway"]) == [])
        let policy: JSONValue? = revision["gateway"]?["policies"]?[1]?["mock"]
        #expect(policy?["headers"] == ["X-Mock": "1"])
        #expect(policy?["examples"] == nil)
        let item: JSONValue? = policy?["document"]?["paths"]?["/{id}"]
        let content: JSONValue? = item?["get"]?["responses"]?["200"]?["content"]?["application/json"]
        #expect(content?["examples"]?["one"]?["value"] == ["example": 1])
        #expect(item?["post"]?["requestBody"] == nil)
        #expect(policy?["document"]?["components"]?["schemas"]?["O"]?["example"] == ["title": "kept"])
        // A route's own policies get it too.
        let routes: [JSONValue] = revision["gateway"]?["routes"]?.elements ?? []
        #expect(routes.contains { $0["policies"]?[0]?["mock"]?["document"] != nil })
    }

    @Test func keepsWhatSaysSomethingAboutMessages() throws {
        let root: JSONValue = [
            "openapi": "3.1.0", "info": ["title": "T"], "tags": [],
            "paths": [
                "/a": [
                    "summary": "s", "x-y": 1,
                    "get": [
                        "description": "d", "tags": ["t"], "security": [],
                        "parameters": [
                            ["name": "description", "in": "query", "schema": ["example": 1, "type": "integer"]]
                        ],
                        "responses": [
                            "200": ["description": "d", "links": [:], "headers": ["X-Title": ["schema": [:]]]]
                        ],
                    ],
                ]
            ],
            "components": [
                "examples": [:], "securitySchemes": [:],
                "schemas": [
                    "title": [
                        "title": "T", "enum": [["description": "kept"]], "default": ["title": 1],
                        "properties": ["title": ["description": "d", "type": "string"], "x-z": [:]],
                        "required": ["title"],
                    ]
                ],
            ],
        ]
        let expected: JSONValue = [
            "openapi": "3.1.0",
            "paths": [
                "/a": [
                    "get": [
                        "parameters": [["name": "description", "in": "query", "schema": ["type": "integer"]]],
                        "responses": ["200": ["headers": ["X-Title": ["schema": [:]]]]],
                    ]
                ]
            ],
            "components": [
                "schemas": [
                    "title": [
                        "enum": [["description": "kept"]], "default": ["title": 1],
                        "properties": ["title": ["type": "string"], "x-z": [:]], "required": ["title"],
                    ]
                ]
            ],
        ]
        #expect(ValidationDocument.reduced(root) == expected)
    }

    @Test func aDocumentThatCannotBeCheckedByIsRefused() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let old: String = """
            swagger: "2.0"
            info: {title: Old, version: "1"}
            paths: {/a: {get: {responses: {"200": {description: ok}}}}}
            """
        let large: String =
            "openapi: 3.0.3\ninfo: {title: Large, version: '1'}\npaths: {/a: {get: {parameters: [{name: a, in: query, schema: {type: string, enum: ["
            + String(repeating: "x", count: ValidationDocument.bytesMax)
            + "]}}], responses: {'200': {description: ok}}}}}"
        for (document, pointer) in [(old, "/policies/0/validation/document"), (large, "/policies/0/validation")] {
            let answer: TestAnswer = try await fixture.send(
                "POST", Self.apis, Documents.body(document, ["policies": [["validation": [:]]]]))
            #expect(answer.status == 400)
            #expect(answer.pointers == [pointer])
        }
    }
}
