import GatewayConfiguration
import JSON
import JSONSchema
import Testing

@testable import Gateway

/// Every style of OpenAPI 3.1 (4.8.12.3 and 4.8.12.4) with and without `explode`, for a number, an array and an object.
struct ParameterStyleTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let place: String
        let style: String
        let explodes: Bool
        let kind: String
        /// The segment, the query, the field's value, or the value of `Cookie`.
        let text: String
        var fits: Bool = true

        var testDescription: String {
            "\(self.place) \(self.style)\(self.explodes ? "*" : "") \(self.kind) \(self.text) \(self.fits)"
        }
    }

    private static let schemas: [String: String] = [
        "number": #"{"type": "integer", "maximum": 9}"#,
        "array": #"{"type": "array", "items": {"type": "integer", "maximum": 9}, "minItems": 2}"#,
        // Put together, so that members are looked for in all of its parts.
        "object": """
        {"type": "object", "allOf": [{"$ref": "#/components/schemas/Red"}, {"required": ["g"],
         "properties": {"g": {"type": "integer", "maximum": 9}}}]}
        """,
    ]

    private static let fitting: [Row] = {
        var rows: [Row] = []
        func add(_ place: String, _ style: String, _ explodes: Bool, _ kind: String, _ texts: String...) {
            for text in texts {
                rows.append(Row(place: place, style: style, explodes: explodes, kind: kind, text: text))
            }
        }
        add("path", "simple", false, "number", "5")
        add("path", "simple", false, "array", "3,4", "3%2C4")
        add("path", "simple", false, "object", "r,1,g,2")
        add("path", "simple", true, "number", "5")
        add("path", "simple", true, "array", "3,4")
        add("path", "simple", true, "object", "r=1,g=2")
        add("path", "label", false, "number", ".5")
        add("path", "label", false, "array", ".3,4")
        add("path", "label", false, "object", ".r,1,g,2")
        add("path", "label", true, "number", ".5")
        add("path", "label", true, "array", ".3.4")
        add("path", "label", true, "object", ".r=1.g=2")
        add("path", "matrix", false, "number", ";v=5")
        add("path", "matrix", false, "array", ";v=3,4")
        add("path", "matrix", false, "object", ";v=r,1,g,2")
        add("path", "matrix", true, "number", ";v=5")
        add("path", "matrix", true, "array", ";v=3;v=4")
        add("path", "matrix", true, "object", ";r=1;g=2")
        add("query", "form", false, "number", "v=5")
        add("query", "form", false, "array", "v=3,4", "v=3%2C4")
        add("query", "form", false, "object", "v=r,1,g,2")
        add("query", "form", true, "number", "v=5")
        add("query", "form", true, "array", "v=3&v=4")
        add("query", "form", true, "object", "r=1&g=2")
        add("query", "spaceDelimited", false, "array", "v=3%204", "v=3+4")
        add("query", "spaceDelimited", false, "object", "v=r%201%20g%202")
        add("query", "spaceDelimited", true, "array", "v=3&v=4")
        add("query", "pipeDelimited", false, "array", "v=3%7C4", "v=3|4")
        add("query", "pipeDelimited", false, "object", "v=r|1|g|2")
        add("query", "pipeDelimited", true, "array", "v=3&v=4")
        add("query", "deepObject", true, "object", "v[r]=1&v[g]=2", "v%5Br%5D=1&v%5Bg%5D=2")
        add("header", "simple", false, "number", "5")
        add("header", "simple", false, "array", "3,4", "3, 4")
        add("header", "simple", false, "object", "r,1,g,2")
        add("header", "simple", true, "number", "5")
        add("header", "simple", true, "array", "3, 4")
        add("header", "simple", true, "object", "r=1,g=2", "r=1, g=2")
        add("cookie", "form", false, "number", "v=5")
        add("cookie", "form", false, "array", "v=3,4")
        add("cookie", "form", false, "object", "v=r,1,g,2")
        add("cookie", "form", true, "number", "v=5")
        add("cookie", "form", true, "array", "v=3; v=4")
        add("cookie", "form", true, "object", "a=b; r=1; g=2")
        return rows
    }()

    private static let unfitting: [Row] = [
        // What stands in front is missing, or another name does.
        Row(place: "path", style: "label", explodes: false, kind: "number", text: "5", fits: false),
        Row(place: "path", style: "label", explodes: true, kind: "array", text: ".3,4", fits: false),
        Row(place: "path", style: "matrix", explodes: false, kind: "number", text: "5", fits: false),
        Row(place: "path", style: "matrix", explodes: false, kind: "number", text: ";w=5", fits: false),
        Row(place: "path", style: "matrix", explodes: true, kind: "array", text: ";v=3;w=4", fits: false),
        Row(place: "path", style: "matrix", explodes: true, kind: "array", text: ";v=3,4", fits: false),
        // Written in another way.
        Row(place: "path", style: "simple", explodes: false, kind: "object", text: "r=1,g=2", fits: false),
        Row(place: "query", style: "form", explodes: true, kind: "array", text: "v=3,4", fits: false),
        Row(place: "query", style: "pipeDelimited", explodes: false, kind: "array", text: "v=3,4", fits: false),
        Row(place: "cookie", style: "form", explodes: false, kind: "array", text: "v=3; v=x", fits: false),
    ]

    /// Each that fits, with a last digit that makes the value too large.
    static let all: [Row] = {
        var rows: [Row] = fitting + unfitting
        for row in fitting {
            rows.append(
                Row(
                    place: row.place, style: row.style, explodes: row.explodes, kind: row.kind, text: row.text + "7",
                    fits: false))
        }
        return rows
    }()

    @Test(arguments: all) func readsParametersAsTheyAreWritten(_ row: Row) throws {
        let schema: String = try #require(Self.schemas[row.kind])
        let policy: ValidationPolicy = try ValidationPolicy(
            document: try JSONReader.parse(
                """
                {"openapi": "3.1.0", "info": {"title": "t", "version": "1"},
                 "components": {"schemas": {"Red": {"required": ["r"], "properties": {"r": {"type": "integer"}}}}},
                 "paths": {"\(row.place == "path" ? "/p/{v}" : "/p")": {"get": {"parameters": [
                  {"name": "v", "in": "\(row.place)", "required": true, "style": "\(row.style)",
                   "explode": \(row.explodes), "schema": \(schema)}]}}}}
                """))
        let path: String = row.place == "path" ? "/p/\(row.text)" : "/p"
        let found = try #require(policy.plan.operation("GET", path: path))
        let findings: [MessageFinding] = MessageCheck(policy: policy, operation: found.operation).parameters(
            path: found.values, query: row.place == "query" ? QueryText.pairs(row.text) : []
        ) { name in
            if row.place == "header", name == "v" { return [row.text] }
            return row.place == "cookie" && name == "cookie" ? [row.text] : []
        }
        #expect(findings.isEmpty == row.fits, "\(findings)")
        #expect(findings.allSatisfy { $0.place == row.place && $0.name == "v" })
    }

    @Test(arguments: [
        ("path", "form"), ("path", "deepObject"), ("query", "simple"), ("query", "matrix"), ("header", "form"),
        ("header", "label"), ("cookie", "simple"), ("cookie", "pipeDelimited"), ("query", "unheard"),
    ])
    func aStyleThatItsPlaceDoesNotHaveIsRefused(_ place: String, style: String) throws {
        let document: JSONValue = try JSONReader.parse(
            """
            {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/p/{v}": {"get": {"parameters": [
              {"name": "v", "in": "\(place)", "style": "\(style)", "schema": {}}]}}}}
            """)
        #expect(throws: SchemaError.self) { try ValidationPolicy(document: document) }
    }
}
