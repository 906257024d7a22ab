import GatewayConfiguration
import Testing

@testable import Gateway

/// `mock` with an OpenAPI document.
struct MockExampleTests {
    private static let api: String = """
        routes: [{path: /shop/*}]
        policies:
          - mock:
              headers: {X-Mock: "1"}
              document:
                openapi: 3.0.3
                paths:
                  /orders/{id}:
                    get:
                      responses:
                        "200":
                          content:
                            application/json: {examples: {one: {value: {id: 1}}, two: {value: {id: 2}}}}
                            text/csv: {example: "id\\n1"}
                        "404": {description: missing, content: {application/problem+json: {example: {status: 404}}}}
                    delete: {responses: {"204": {description: gone}}}
        """

    @Test func answersWithTheDocumentsExamples() async throws {
        let content: ContentGateway = try await .start(Self.api)
        // The document's paths are those behind the prefix; here nothing is taken off.
        #expect(try content.exchange("GET /shop/orders/7 HTTP/1.1").status == 404)
        await content.stop()
        let stripped: ContentGateway = try await .start(Self.api) { $0.upstream.stripPrefix = "/shop" }
        let first: RawMessage = try stripped.exchange("GET /shop/orders/7 HTTP/1.1")
        #expect(first.status == 200)
        #expect(first.text == "{\"id\":1}")
        #expect(first.field("content-type") == "application/json")
        #expect(first.field("x-mock") == "1")
        #expect(first.field("preference-applied") == nil)
        let second: RawMessage = try stripped.exchange("GET /shop/orders/7 HTTP/1.1\nPrefer: example=two")
        #expect(second.text == "{\"id\":2}")
        #expect(second.field("preference-applied") == "example=two")
        let text: RawMessage = try stripped.exchange("GET /shop/orders/7 HTTP/1.1\nAccept: text/csv")
        #expect(text.text == "id\n1")
        let missing: RawMessage = try stripped.exchange("GET /shop/orders/7 HTTP/1.1\nPrefer: code=404")
        #expect(missing.status == 404)
        #expect(missing.field("content-type") == "application/problem+json")
        #expect(missing.field("preference-applied") == "code=404")
        #expect(try stripped.exchange("DELETE /shop/orders/7 HTTP/1.1").status == 204)
        let head: RawMessage = try stripped.exchange("HEAD /shop/orders/7 HTTP/1.1")
        #expect(head.field("content-length") == "8")
        let unknown: RawMessage = try stripped.exchange("GET /shop/nothing HTTP/1.1")
        #expect(unknown.status == 404)
        #expect(unknown.text.contains("no-route"))
        #expect(stripped.upstream.requests.isEmpty)
        await stripped.stop()
    }

    @Test(
        arguments: [
            (["code=404"], 404, nil), (["respond-async, code=201; example=a"], 201, "a"),
            (["example=\"two\""], nil, "two"),
            (["code=99"], nil, nil), (["code=x", "code=500"], 500, nil), ([], nil, nil), (["code"], nil, nil),
        ] as [([String], Int?, String?)]) func readsPreferences(_ lines: [String], status: Int?, example: String?)
    {
        let preference: MockPreference = MockPreference(lines)
        #expect(preference.status == status)
        #expect(preference.example == example)
    }
}
