import Foundation
import JSON
import JSONSchema
import Testing

/// Replays the tables in `Tests/Kernel/Golden/schemas`: for each schema, values that fit it and values that do not.
struct SchemaTableTests {
    static let tables: [String] = ["applicators", "validation", "references", "unevaluated", "formats", "openapi"]

    private func table(_ name: String) throws -> JSONValue {
        let folder: URL = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let file: URL = folder.appendingPathComponent("Golden/schemas/\(name).json")
        return try JSONReader.parse([UInt8](Data(contentsOf: file)))
    }

    private func options(_ entry: JSONValue) -> SchemaOptions {
        var options: SchemaOptions = entry["dialect"] == "openapi-3.0" ? .openAPI30 : .tolerant
        if let direction: String = entry["direction"]?.text {
            options.direction = direction == "request" ? .request : .response
        }
        for member: JSONObject.Member in entry["documents"]?.object?.members ?? [] {
            options.documents[member.key] = member.value
        }
        return options
    }

    @Test(arguments: tables)
    func valuesFitOrDoNot(_ name: String) throws {
        var count: Int = 0
        for entry: JSONValue in try self.table(name).elements ?? [] {
            let about: String = entry["about"]?.text ?? "?"
            let schema: JSONSchema = try JSONSchema(compiling: entry["schema"] ?? .null, options: self.options(entry))
            for value: JSONValue in entry["valid"]?.elements ?? [] {
                #expect(schema.validate(value) == [], "\(about): \(value)")
                count += 1
            }
            for value: JSONValue in entry["invalid"]?.elements ?? [] {
                #expect(schema.validate(value) != [], "\(about): \(value)")
                count += 1
            }
            for expected: JSONValue in entry["problems"]?.elements ?? [] {
                let found: [JSONValue] = schema.validate(expected["value"] ?? .null).map { .string($0.description) }
                #expect(.array(found) == expected["found"], "\(about)")
                count += 1
            }
        }
        #expect(count >= 15)
    }

    /// Every keyword of the draft stands in some table.
    @Test func tablesHaveEveryKeyword() throws {
        var text: String = ""
        for name: String in Self.tables { text += try self.table(name).jsonText }
        for keyword: String in [
            "$id", "$schema", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary", "$comment", "$defs",
            "prefixItems", "items", "contains", "additionalProperties", "properties", "patternProperties",
            "dependentSchemas", "propertyNames", "if", "then", "else", "allOf", "anyOf", "oneOf", "not",
            "unevaluatedItems", "unevaluatedProperties", "type", "const", "enum", "multipleOf", "maximum",
            "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems",
            "minItems", "uniqueItems", "maxContains", "minContains", "maxProperties", "minProperties", "required",
            "dependentRequired", "format", "contentEncoding", "contentMediaType", "contentSchema", "title",
            "description", "default", "deprecated", "readOnly", "writeOnly", "examples",
        ] {
            #expect(text.contains("\"\(keyword)\":"), "\(keyword)")
        }
    }
}

struct SchemaSetTests {
    private static let document: JSONValue = [
        "paths": ["/a": ["schema": ["$ref": "#/components/schemas/Order"]], "/b": ["schema": ["type": "integer"]]],
        "components": ["schemas": ["Order": ["type": "object", "required": ["id"]]]],
    ]

    @Test func compilesPlacesOfADocumentThatIsNoSchema() throws {
        let places: [JSONPointer] = [
            JSONPointer(tokens: ["paths", "/a", "schema"]), JSONPointer(tokens: ["paths", "/b", "schema"]),
        ]
        let set: SchemaSet = try SchemaSet(compiling: places, in: Self.document)
        #expect(set.validate([:], with: 0).map(\.description) == ["/id: expected a value, found nothing"])
        #expect(set.validate([:], with: 1).map(\.description) == ["expected an integer, found an object"])
        #expect(set.kinds(of: 0) == .object)
        #expect(set.kinds(of: 1) == .integer)
    }

    @Test func saysWhereASchemaInADocumentIsWrong() {
        let error: SchemaError? = #expect(throws: SchemaError.self) {
            try SchemaSet(compiling: [JSONPointer(tokens: ["a"])], in: ["a": ["items": ["type": "list"]]])
        }
        #expect(error?.pointer == "/a/items/type")
    }

    @Test func boundsWorkOfReferencesThatMultiply() throws {
        var definitions: JSONObject = ["d0": ["type": "integer"]]
        for level: Int in 1...60 {
            let next: JSONValue = ["$ref": .string("#/$defs/d\(level - 1)")]
            definitions.append("d\(level)", ["allOf": [next, next]])
        }
        let schema: JSONSchema = try JSONSchema(compiling: ["$defs": .object(definitions), "$ref": "#/$defs/d60"])
        #expect(schema.validate(1).map(\.message) == ["expected a value that takes less effort to check"])
    }

    @Test func boundsWorkOfDynamicReferencesInACircle() throws {
        let schema: JSONSchema = try JSONSchema(
            compiling: [
                "$id": "https://example.com/root", "$dynamicAnchor": "x", "$ref": "other",
                "$defs": [
                    "other": [
                        "$id": "other", "$dynamicRef": "#x",
                        "$defs": ["x": ["$dynamicAnchor": "x", "type": "integer"]],
                    ]
                ],
            ], options: .tolerant)
        #expect(schema.validate(1).map(\.message) == ["expected a value that takes less effort to check"])
    }

    @Test func aPatternThatRunsAwayIsAProblem() throws {
        let schema: JSONSchema = try JSONSchema(compiling: ["pattern": "^(a+)+$"])
        let text: String = String(repeating: "a", count: 60) + "b"
        #expect(schema.validate(.string(text)).map(\.message) == ["expected a text that takes less effort to match"])
    }
}
