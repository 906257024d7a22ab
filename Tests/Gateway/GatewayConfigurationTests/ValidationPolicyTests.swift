import Documents
import JSON
import JSONSchema
import Testing

@testable import GatewayConfiguration

struct ValidationPolicyTests {
    private static func document(_ paths: String, version: String = "3.0.3") throws -> JSONValue {
        try JSONReader.parse("{\"openapi\": \"\(version)\", \"paths\": \(paths)}")
    }

    @Test func findsOperationsLiteralsFirst() throws {
        let plan: ValidationPlan = try ValidationPlan(
            try Self.document(
                "{\"/a/{x}\": {\"get\": {}, \"post\": {}}, \"/a/b\": {\"get\": {}}, \"/a/{y}/c\": {\"put\": {}}, \"/\": {\"get\": {}}}"
            ), checksFormats: true, checksResponses: false)
        #expect(plan.operation("GET", path: "/a/b")?.values == [:])
        #expect(plan.operation("GET", path: "/a/z")?.values == ["x": "z"])
        // The literal way ends without this method: the parameter's has it.
        #expect(plan.operation("POST", path: "/a/b")?.values == ["x": "b"])
        #expect(plan.operation("PUT", path: "/a/b/c")?.values == ["y": "b"])
        #expect(plan.operation("HEAD", path: "/")?.operation.method == "GET")
        for (method, path) in [("DELETE", "/a/b"), ("GET", "/a"), ("GET", "/a/"), ("GET", "/a/b/"), ("PUT", "/a//c")] {
            #expect(plan.operation(method, path: path) == nil, "\(method) \(path)")
        }
    }

    @Test(arguments: [
        (
            "{\"/a\": {\"get\": {\"parameters\": [{\"$ref\": \"#/components/parameters/P\"}]}}}",
            "/paths/~1a/get/parameters/0"
        ),
        ("{\"/a\": {\"get\": {\"parameters\": [{\"name\": \"p\", \"in\": \"body\"}]}}}", "/paths/~1a/get/parameters/0"),
        (
            "{\"/a/{p}\": {\"get\": {\"parameters\": [{\"name\": \"p\", \"in\": \"path\", \"style\": \"form\"}]}}}",
            "/paths/~1a~1{p}/get/parameters/0/style"
        ),
        ("{\"/a/{p\": {\"get\": {}}}", "/paths/~1a~1{p/get"),
        (
            "{\"/a\": {\"post\": {\"requestBody\": {\"content\": {\"application/json\": {\"schema\": {\"type\": \"text\"}}}}}}}",
            "/paths/~1a/post/requestBody/content/application~1json/schema/type"
        ),
        ("{\"/a\": {\"$ref\": \"#/paths/~1a\"}}", "/paths/~1a"), ("7", "/paths"),
    ])
    func refusesWhatCannotBeCheckedBy(paths: String, pointer: String) throws {
        let document: JSONValue = try Self.document(paths)
        let error: SchemaError? = #expect(throws: SchemaError.self) { try ValidationPolicy(document: document) }
        #expect(error?.pointer == pointer)
    }

    @Test func readsOnlyVersionsItKnows() throws {
        #expect(throws: SchemaError.self) { try ValidationPolicy(document: ["swagger": "2.0", "paths": [:]]) }
        #expect(throws: SchemaError.self) { try ValidationPolicy(document: try Self.document("{}", version: "4.0.0")) }
        #expect(throws: Never.self) { try ValidationPolicy(document: try Self.document("{}", version: "3.1.1")) }
    }

    @Test func comesBackFromJSONAsItWas() throws {
        let document: JSONValue = try Self.document("{\"/a\": {\"get\": {\"responses\": {\"200\": {}}}}}")
        let policies: [ValidationPolicy] = [
            try ValidationPolicy(document: document),
            try ValidationPolicy(
                document: document, requests: .report, responses: .enforce, bodyBytesMax: 5, checksFormats: false,
                refusesUndocumented: false, refusesUnknownQuery: true),
        ]
        for policy in policies {
            let api: APIDefinition = APIDefinition(
                id: "a", routes: [RouteDefinition(path: try PathPattern(parsing: "/*"))],
                upstream: UpstreamDefinition(targets: [TargetDefinition(url: try TargetURL(parsing: "http://u:1"))]),
                policies: [.validation(policy)])
            let written: GatewayDocument = GatewayDocument(apis: [api])
            let text: [UInt8] = written.json().serialized()
            #expect(try GatewayDocument.decode(try DocumentReader.parse(text)) == written)
        }
    }
}
