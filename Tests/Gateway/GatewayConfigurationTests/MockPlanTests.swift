import Documents
import JSON
import JSONSchema
import Testing

@testable import GatewayConfiguration

/// Answers made from the examples of OpenAPI documents.
struct MockPlanTests {
    private static func plan(_ yaml: String) throws -> MockPlan {
        let document: Node = try DocumentReader.parse(Array(("openapi: 3.1.0\n" + yaml).utf8))
        return try MockPlan(document.json())
    }

    /// A plan whose one operation answers 200 with this content.
    private static func bodies(_ content: String, components: String = "{}") throws -> [String] {
        let plan: MockPlan = try self.plan(
            """
            paths: {/a: {get: {responses: {"200": {content: \(content)}}}}}
            components: \(components)
            """)
        let media: [MockPlan.Media] = try #require(plan.responses("GET", path: "/a")?.first?.media)
        return media.flatMap { media in media.examples.map { String(decoding: $0.body, as: UTF8.self) } }
    }

    @Test(arguments: [
        ("{application/json: {example: {a: 1}}}", ["{\"a\":1}"]),
        ("{application/json: {examples: {one: {value: 1}, two: {value: [2]}}}}", ["1", "[2]"]),
        ("{application/json: {examples: {one: {$ref: '#/components/examples/E'}}}}", ["\"e\""]),
        ("{text/plain: {example: hello}}", ["hello"]), ("{application/json: {example: hello}}", ["\"hello\""]),
        (
            "{application/json: {schema: {type: object, properties: {a: {type: integer}}, example: {a: 7}}}}",
            ["{\"a\":7}"]
        ),
        ("{application/json: {schema: {$ref: '#/components/schemas/S'}}}", ["{\"id\":3,\"tags\":[\"string\"]}"]),
        ("{application/json: {schema: {type: string, format: uuid}}}", ["\"00000000-0000-4000-8000-000000000000\""]),
        ("{application/json: {schema: {type: [string, 'null'], minLength: 8, maxLength: 8}}}", ["\"stringst\""]),
        ("{application/json: {schema: {enum: [b, a]}}}", ["\"b\""]),
        ("{application/json: {schema: {const: 5}}}", ["5"]),
        ("{application/json: {schema: {type: integer, minimum: 4}}}", ["4"]),
        ("{application/json: {schema: {type: integer, maximum: -4}}}", ["-4"]),
        ("{application/json: {schema: {type: array, items: {type: boolean}, minItems: 2}}}", ["[true,true]"]),
        ("{application/json: {schema: {oneOf: [{type: boolean}, {type: string}]}}}", ["true"]),
        (
            "{application/json: {schema: {allOf: [{type: object, properties: {a: {type: integer}}}, {type: object, properties: {b: {default: x}}}]}}}",
            ["{\"a\":0,\"b\":\"x\"}"]
        ),
        ("{application/json: {schema: {type: object, properties: {p: {type: string, writeOnly: true}}}}}", ["{}"]),
        // Of what is no JSON only a written example is known to be right.
        ("{image/png: {schema: {type: string, format: binary}}}", []), ("{application/json: {}}", []),
    ]) func makesBodies(_ content: String, expected: [String]) throws {
        let components: String = """
            {schemas: {S: {type: object, properties: {id: {type: integer, example: 3}, tags: {type: array, items: {type: string}}}}}, examples: {E: {value: e}}}
            """
        #expect(try Self.bodies(content, components: components) == expected)
    }

    @Test func aSchemaThatContainsItselfEnds() throws {
        let bodies: [String] = try Self.bodies(
            "{application/json: {schema: {$ref: '#/components/schemas/T'}}}",
            components:
                "{schemas: {T: {type: object, properties: {left: {$ref: '#/components/schemas/T'}, right: {$ref: '#/components/schemas/T'}}}}}"
        )
        #expect(bodies.count == 1)
        #expect(bodies[0].utf8.count < 40_000)
    }

    @Test(
        arguments: [
            (nil, 201, false), (404, 404, true), (422, 422, true), (503, 503, true), (200, 200, true), (301, 301, true),
        ] as [(Int?, Int, Bool)]) func choosesTheStatus(_ preferred: Int?, status: Int, isPreferred: Bool) throws
    {
        let plan: MockPlan = try Self.plan(
            """
            paths:
              /a:
                post:
                  responses:
                    default: {description: d}
                    "404": {description: missing}
                    "4XX": {description: wrong}
                    "202": {description: later}
                    "201": {description: made}
                    "101": {description: not an answer}
            """)
        let responses: [MockPlan.Response] = try #require(plan.responses("POST", path: "/a"))
        let chosen = try #require(MockPlan.choose(responses, status: preferred))
        #expect(chosen.status == status)
        #expect(chosen.isPreferred == isPreferred)
        #expect(plan.responses("GET", path: "/a") == nil)
        #expect(plan.responses("POST", path: "/b") == nil)
    }

    @Test(
        arguments: [
            (nil, "application/json"), ("*/*", "application/json"), ("text/*", "text/csv"),
            ("application/xml, text/csv;q=0.5", "text/csv"), ("image/png", "application/json"),
        ] as [(String?, String)]) func choosesTheType(_ accept: String?, expected: String)
    {
        let media: [MockPlan.Media] = ["application/json", "text/csv"].map { MockPlan.Media(type: $0, examples: []) }
        #expect(MockPlan.media(media, accept: accept)?.type == expected)
    }

    @Test(arguments: [
        ("paths: {/a: {get: {responses: {\"200\": {$ref: '#/nowhere'}}}}}", "/paths/~1a/get/responses/200"),
        ("paths: {\"/a/{p\": {get: {}}}", "/paths/~1a~1{p"), ("info: {}", "/paths"),
    ]) func saysWhatCannotBeAnsweredBy(_ yaml: String, pointer: String) {
        let error: SchemaError? = #expect(throws: SchemaError.self) { try Self.plan(yaml) }
        #expect(error?.pointer == pointer)
    }

    @Test func boundsItsBodies() {
        let text: String = String(repeating: "x", count: MockPolicy.bodyBytesMax)
        #expect(throws: SchemaError.self) { try Self.bodies("{application/json: {example: \(text)}}") }
    }
}
