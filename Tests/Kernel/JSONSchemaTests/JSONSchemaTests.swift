import JSON
import JSONSchema
import Testing

struct JSONSchemaTests {
    private func problems(_ schema: JSONValue, _ value: JSONValue) throws -> [String] {
        try JSONSchema(compiling: schema).validate(value).map(\.description)
    }

    static let valid: [(schema: JSONValue, value: JSONValue)] = [
        (true, [1, "x"]), ([:], nil), (["type": "null"], nil), (["type": "integer"], 3), (["type": "integer"], 3.0),
        (["type": "integer"], .double(1e300)), (["type": "number"], 3), (["type": ["string", "null"]], nil),
        (["enum": [1, "a", nil]], 1.0),
        (["const": ["a": [1, 2]]], ["a": [1.0, 2]]), (["minLength": 1, "maxLength": 1], "😀"), (["minLength": 2], 1),
        (["minimum": 1, "maximum": 3], 3), (["exclusiveMinimum": 1, "exclusiveMaximum": 3], 2),
        (["multipleOf": 0.1], 0.3),
        (["multipleOf": 5], -10), (["minimum": .int(.max)], .int(.max)),
        (["items": ["type": "integer"], "maxItems": 2], [1, 2]),
        (["prefixItems": [["type": "integer"]], "items": ["type": "string"]], [1, "a", "b"]),
        (["uniqueItems": true], [1, "1", [1], ["a": 1]]),
        (["properties": ["a": ["type": "integer"]], "required": ["a"]], ["a": 1, "b": "x"]),
        (["additionalProperties": false], [:]),
        (["additionalProperties": ["type": "integer"], "properties": ["s": true]], ["s": "x", "n": 1]),
        (["minProperties": 1, "maxProperties": 2], ["a": 1]),
        (["allOf": [["minimum": 1], ["maximum": 2]]], 2), (["anyOf": [["type": "string"], ["type": "integer"]]], 1),
        (["oneOf": [["type": "integer"], ["minimum": 5]]], 5.5), (["not": ["type": "string"]], 1),
        (["$defs": ["n": ["type": "integer"]], "properties": ["a": ["$ref": "#/$defs/n"]]], ["a": 1]),
        (["properties": ["next": ["$ref": "#"]], "additionalProperties": false], ["next": ["next": [:]]]),
        (
            [
                "title": "t", "description": "d", "default": 1, "examples": [1], "deprecated": true, "$comment": "c",
                "$schema": "s", "$id": "i", "contentMediaType": "image/png", "contentEncoding": "base64",
            ], 1
        ),
    ]

    @Test(arguments: valid)
    func accepts(_ schema: JSONValue, _ value: JSONValue) throws {
        #expect(try self.problems(schema, value) == [])
    }

    static let invalid: [(schema: JSONValue, value: JSONValue, problems: [String])] = [
        (false, 1, ["nothing is allowed here"]), (["type": "string"], 1, ["expected a string, found an integer"]),
        (["type": "integer"], 1.5, ["expected an integer, found a number"]),
        (["type": ["string", "null"]], [], ["expected null or a string, found an array"]),
        (["enum": ["a", "b"]], "c", ["expected one of \"a\", \"b\""]), (["const": 1], 2, ["expected 1"]),
        (["type": "string", "maxLength": 3], "abcd", ["expected a string of at most 3 characters, found 4"]),
        (["minLength": 1], "", ["expected a string of at least 1 characters, found 0"]),
        (["minLength": 2, "maxLength": 4], "a", ["expected a string of 2 to 4 characters, found 1"]),
        (["minimum": 1], 0, ["expected a number of at least 1"]),
        (["maximum": 1.5], 2, ["expected a number of at most 1.5"]),
        (["exclusiveMinimum": 1], 1, ["expected a number greater than 1"]),
        (["exclusiveMaximum": 1], 1.0, ["expected a number less than 1"]),
        (["multipleOf": 0.1], 0.35, ["expected a multiple of 0.1"]),
        (["minimum": .int(.max)], .int(.max - 1), ["expected a number of at least 9223372036854775807"]),
        (
            ["items": ["type": "integer"], "minItems": 3], [1, "x"],
            ["expected an array of at least 3 elements, found 2", "/1: expected an integer, found a string"]
        ),
        (
            ["prefixItems": [["type": "integer"]], "items": false], ["x", 1],
            ["/0: expected an integer, found a string", "/1: nothing is allowed here"]
        ),
        (
            ["uniqueItems": true], [1, ["b": 1, "a": 2], ["a": 2, "b": 1], 1.0],
            ["/2: expected each element once", "/3: expected each element once"]
        ),
        (
            ["required": ["name", "b/c"]], [:],
            ["/name: expected a value, found nothing", "/b~1c: expected a value, found nothing"]
        ),
        (
            ["properties": ["name": true, "owner": true], "additionalProperties": false], ["nmae": 1, "zzzzz": 1],
            ["/nmae: unknown field, did you mean \"name\"?", "/zzzzz: unknown field, expected one of name, owner"]
        ),
        (["additionalProperties": ["type": "integer"]], ["a": ["b": 1]], ["/a: expected an integer, found an object"]),
        (["minProperties": 1], [:], ["expected an object of at least 1 members, found 0"]),
        (
            ["allOf": [["minimum": 5], ["multipleOf": 2]]], 3,
            ["expected a number of at least 5", "expected a multiple of 2"]
        ),
        (["not": ["type": "string"]], "x", ["expected another value than this"]),
        (["oneOf": [["type": "integer"], ["minimum": 5]]], 6, ["expected exactly one of 2 forms, found 2 that match"]),
        (
            ["anyOf": [["type": "string"], ["properties": ["a": ["type": "integer"]]]]], ["a": "x"],
            [
                "expected one of 2 forms; what is wrong with the nearest follows",
                "/a: expected an integer, found a string",
            ]
        ),
        (
            ["$defs": ["n": ["type": "integer"]], "items": ["$ref": "#/$defs/n"]], ["x"],
            ["/0: expected an integer, found a string"]
        ),
        (
            ["$ref": "#/$defs/n", "maximum": 3, "$defs": ["n": ["type": "integer"]]], 4,
            ["expected a number of at most 3"]
        ),
    ]

    @Test(arguments: invalid)
    func namesEveryProblem(_ schema: JSONValue, _ value: JSONValue, _ problems: [String]) throws {
        #expect(try self.problems(schema, value) == problems)
    }

    @Test(
        arguments: [
            (1, "", "expected a schema (an object or a boolean), found an integer"),
            (["typ": "string"], "/typ", "unknown keyword \"typ\", did you mean \"type\"?"),
            (
                ["pattern": "("], "/pattern",
                "expected a regular expression of ECMA-262: missing closing parenthesis (at offset 1)"
            ),
            (["x-note": 1], "/x-note", "unknown keyword \"x-note\""),
            (
                ["properties": ["a": ["maxlength": 1]]], "/properties/a/maxlength",
                "unknown keyword \"maxlength\", did you mean \"maxLength\"?"
            ),
            (
                ["type": "text"], "/type",
                "expected one of the types null, boolean, integer, number, string, array, object, or an array of them"
            ),
            (["type": []], "/type", "expected at least one type"),
            (["enum": []], "/enum", "expected an array with at least one value"),
            (["minLength": -1], "/minLength", "expected an integer of at least 0"),
            (["maximum": "1"], "/maximum", "expected a number"),
            (["multipleOf": 0], "/multipleOf", "expected a number greater than 0"),
            (["required": "a"], "/required", "expected an array of strings"),
            (["allOf": []], "/allOf", "expected an array with at least one schema"),
            (["items": [[:]]], "/items", "expected a schema (an object or a boolean), found an array"),
            (["$defs": ["unused": ["x": 1]]], "/$defs/unused/x", "unknown keyword \"x\""),
            (["properties": 1], "/properties", "expected an object"),
            (
                ["$ref": "other.json"], "/$ref",
                "expected a reference into this document, such as \"#/$defs/name\", or to one that was given with it"
            ),
            (["$ref": "#/$defs/none"], "/$ref", "expected a schema at \"#/$defs/none\", found nothing"),
            (["$ref": "#"], "", "expected a schema that does not refer back to itself"),
            (
                ["$defs": ["a": ["allOf": [["$ref": "#/$defs/b"]]], "b": ["not": ["$ref": "#/$defs/a"]]]], "/$defs/a",
                "expected a schema that does not refer back to itself"
            ),
            (["minItems": 2, "maxItems": 1], "", "expected minItems to be at most maxItems"),
            (["minimum": 2, "maximum": 1], "", "expected minimum to be at most maximum"),
            (["properties": ["a": ["$id": 1]]], "/properties/a/$id", "expected a string"),
            (["$id": "https://a.example/#x"], "/$id", "expected a URI without a fragment"),
            (
                ["$anchor": "1x"], "/$anchor",
                "expected a name of letters, digits, '-', '_' and '.', starting with a letter or '_'"
            ),
            (
                ["$schema": "http://json-schema.org/draft-07/schema#"], "/$schema",
                "expected a schema of draft 2020-12"
            ),
            (
                ["format": "color"], "/format",
                "expected one of the formats date-time, date, time, duration, uuid, uri, uri-reference, uri-template, iri, "
                    + "iri-reference, email, idn-email, hostname, idn-hostname, ipv4, ipv6, json-pointer, "
                    + "relative-json-pointer, regex, int32, int64, byte"
            ),
        ] as [(JSONValue, String, String)])
    func doesNotCompile(_ schema: JSONValue, _ pointer: String, _ message: String) {
        let error: SchemaError? = #expect(throws: SchemaError.self) { try JSONSchema(compiling: schema) }
        #expect(error?.message == message)
        // Of a loop, any schema on it may be named.
        if !message.hasSuffix("itself") { #expect(error?.pointer == pointer) }
    }

    @Test func reportsAHundredProblemsAtMost() throws {
        let schema: JSONSchema = try JSONSchema(compiling: ["items": ["type": "string"]])
        #expect(schema.validate(.array(Array(repeating: 1, count: 100_000))).count == 100)
    }

    @Test func refusesAValueThatWouldTakeForEver() throws {
        let form: JSONValue = ["properties": ["a": ["$ref": "#/$defs/n"]], "not": true]
        let schema: JSONSchema = try JSONSchema(compiling: [
            "$defs": ["n": ["anyOf": [form, form]]], "$ref": "#/$defs/n",
        ])
        var value: JSONValue = [:]
        for _ in 0..<60 { value = ["a": value] }
        #expect(schema.validate(value).map(\.message) == ["expected a value that takes less effort to check"])
    }
}
