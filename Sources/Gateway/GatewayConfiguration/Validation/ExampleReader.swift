import JSON
import JSONSchema

/// Reads the examples of an OpenAPI document, 3.0 or 3.1.
struct ExampleReader {
    struct Operation {
        let method: String
        let segments: [PathPattern.Segment]
        let responses: [MockPlan.Response]
    }

    private let document: JSONValue
    private var bytes: Int = 0

    private static let methods: [String] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]
    /// References in a row.
    private static let referencesMax: Int = 32

    init(_ document: JSONValue) { self.document = document }

    mutating func read() throws(SchemaError) -> [Operation] {
        guard let version: String = self.document["openapi"]?.text, version.hasPrefix("3.0") || version.hasPrefix("3.1")
        else { throw SchemaError(pointer: "/openapi", message: "expected an OpenAPI document of version 3.0 or 3.1") }
        guard let paths: JSONObject = self.document["paths"]?.object else {
            throw SchemaError(pointer: "/paths", message: "expected the paths of the API")
        }
        var operations: [Operation] = []
        for (path, item) in paths.members where path.hasPrefix("/") {
            let place: JSONPointer = JSONPointer(tokens: ["paths", path])
            let pattern: PathPattern
            do throws(PatternError) {
                pattern = try PathPattern(parsing: path)
            } catch {
                throw SchemaError(pointer: place.text, message: error.message)
            }
            let item: JSONValue = try self.follow(item, place)
            for method in Self.methods {
                guard let operation: JSONValue = item[method] else { continue }
                let responses: [MockPlan.Response] = try self.responses(operation, place.appending(method))
                operations.append(
                    Operation(method: method.uppercased(), segments: pattern.segments, responses: responses))
                guard operations.count <= MockPlan.operationsMax else {
                    throw SchemaError(
                        pointer: "/paths", message: "expected at most \(MockPlan.operationsMax) operations")
                }
            }
        }
        return operations
    }

    private mutating func responses(
        _ operation: JSONValue, _ place: JSONPointer
    ) throws(SchemaError) -> [MockPlan.Response] {
        var responses: [MockPlan.Response] = []
        for (key, value) in operation["responses"]?.object?.members ?? [] where !key.hasPrefix("x-") {
            let place: JSONPointer = place.appending("responses").appending(key)
            let response: JSONValue = try self.follow(value, place)
            let isRange: Bool = key.uppercased().hasSuffix("XX")
            let isDefault: Bool = key == "default"
            let number: Int? = isRange ? Int(key.prefix(1)).map { $0 * 100 } : isDefault ? 200 : Int(key)
            guard let status: Int = number, MockPolicy.statuses.contains(status) else {
                // What cannot be answered finally, such as 101, is no example.
                continue
            }
            var media: [MockPlan.Media] = []
            for (range, content) in response["content"]?.object?.members ?? [] {
                let type: String = MediaRange.essence(range)
                let examples: [MockPlan.Example] = try self.examples(
                    content, type, place.appending("content").appending(range))
                // A range says nothing that could be sent as a type.
                media.append(MockPlan.Media(type: type.contains("*") ? "application/json" : type, examples: examples))
            }
            responses.append(
                MockPlan.Response(status: status, isRange: isRange, isDefault: isDefault, media: media))
        }
        return responses
    }

    private mutating func examples(
        _ content: JSONValue, _ type: String, _ place: JSONPointer
    ) throws(SchemaError) -> [MockPlan.Example] {
        if let value: JSONValue = content["example"] { return [try self.example(nil, value, type, place)] }
        var examples: [MockPlan.Example] = []
        for (name, value) in content["examples"]?.object?.members ?? [] {
            let place: JSONPointer = place.appending("examples").appending(name)
            let object: JSONValue = try self.follow(value, place)
            if let value: JSONValue = object["value"] {
                examples.append(try self.example(name, value, type, place))
            }
        }
        if !examples.isEmpty { return examples }
        guard let schema: JSONValue = content["schema"] else { return [] }
        var maker: ExampleMaker = ExampleMaker(self.document)
        guard MediaRange.isJSON(type) || type.contains("*") else {
            // Of other types only an example that is written is known to be right.
            return try maker.written(schema).map { (value: JSONValue) throws(SchemaError) in
                [try self.example(nil, value, type, place)]
            } ?? []
        }
        return [try self.example(nil, maker.value(of: schema), type, place)]
    }

    private mutating func example(
        _ name: String?, _ value: JSONValue, _ type: String, _ place: JSONPointer
    ) throws(SchemaError) -> MockPlan.Example {
        let isText: Bool = !MediaRange.isJSON(type) && value.text != nil
        let body: [UInt8] = isText ? Array((value.text ?? "").utf8) : value.serialized()
        self.bytes += body.count
        guard body.count <= MockPolicy.bodyBytesMax, self.bytes <= MockPlan.bytesMax else {
            throw SchemaError(
                pointer: place.text,
                message: "expected examples of at most \(MockPolicy.bodyBytesMax) bytes, \(MockPlan.bytesMax) together")
        }
        return MockPlan.Example(name: name, body: body)
    }

    /// What a reference into the document leads to, at last.
    private func follow(_ value: JSONValue, _ place: JSONPointer) throws(SchemaError) -> JSONValue {
        var found: JSONValue = value
        for _ in 0..<Self.referencesMax {
            guard let text: String = found["$ref"]?.text else { return found }
            guard let next: JSONValue = JSONPointer(fragment: text)?.resolve(in: self.document) else {
                throw SchemaError(pointer: place.text, message: "expected a reference into this document")
            }
            found = next
        }
        throw SchemaError(pointer: place.text, message: "expected a reference that leads somewhere")
    }
}

/// Makes a value that looks like what a schema describes. Not every schema can be met: it is an example, not a proof.
struct ExampleMaker {
    private let document: JSONValue
    /// Values made so far: what refers to itself ends.
    private var made: Int = 0

    private static let valuesMax: Int = 1000
    private static let depthMax: Int = 16
    private static let lengthMax: Int = 256

    init(_ document: JSONValue) { self.document = document }

    /// The example that the schema itself has.
    func written(_ schema: JSONValue) -> JSONValue? {
        let schema: JSONValue = self.resolved(schema)
        return schema["example"] ?? schema["examples"]?.elements?.first ?? schema["const"] ?? schema["default"]
            ?? schema["enum"]?.elements?.first
    }

    mutating func value(of schema: JSONValue) -> JSONValue { self.value(of: schema, depth: 0) }

    private func resolved(_ schema: JSONValue) -> JSONValue {
        var found: JSONValue = schema
        for _ in 0..<Self.depthMax {
            guard let text: String = found["$ref"]?.text, let pointer: JSONPointer = JSONPointer(fragment: text),
                let next: JSONValue = pointer.resolve(in: self.document)
            else { break }
            found = next
        }
        return found
    }

    private mutating func value(of schema: JSONValue, depth: Int) -> JSONValue {
        self.made += 1
        guard self.made <= Self.valuesMax, depth < Self.depthMax else { return .null }
        if let written: JSONValue = self.written(schema) { return written }
        let schema: JSONValue = self.resolved(schema)
        if let parts: [JSONValue] = schema["allOf"]?.elements { return self.merged(parts, schema, depth: depth) }
        for key in ["oneOf", "anyOf"] {
            if let first: JSONValue = schema[key]?.elements?.first { return self.value(of: first, depth: depth + 1) }
        }
        switch Self.type(of: schema) {
        case "object": return self.object(schema, depth: depth)
        case "array": return self.array(schema, depth: depth)
        case "string": return .string(Self.text(schema))
        case "integer": return .int(schema["minimum"]?.integer ?? min(0, schema["maximum"]?.integer ?? 0))
        case "number": return schema["minimum"] ?? .int(min(0, schema["maximum"]?.integer ?? 0))
        case "boolean": return .bool(true)
        default: return .null
        }
    }

    private mutating func merged(_ parts: [JSONValue], _ schema: JSONValue, depth: Int) -> JSONValue {
        var object: JSONObject = JSONObject()
        var other: JSONValue = .null
        for part in parts {
            let value: JSONValue = self.value(of: part, depth: depth + 1)
            guard let members: JSONObject = value.object else {
                if value != .null { other = value }
                continue
            }
            for (key, member) in members.members { object[key] = member }
        }
        for (key, member) in self.object(schema, depth: depth).object?.members ?? [] { object[key] = member }
        return object.isEmpty && other != .null ? other : .object(object)
    }

    private mutating func object(_ schema: JSONValue, depth: Int) -> JSONValue {
        var object: JSONObject = JSONObject()
        for (key, member) in schema["properties"]?.object?.members ?? [] {
            let member: JSONValue = self.resolved(member)
            // A response never has what is only written.
            if member["writeOnly"]?.boolean == true { continue }
            object[key] = self.value(of: member, depth: depth + 1)
        }
        return .object(object)
    }

    private mutating func array(_ schema: JSONValue, depth: Int) -> JSONValue {
        if let parts: [JSONValue] = schema["prefixItems"]?.elements {
            var elements: [JSONValue] = []
            for part in parts { elements.append(self.value(of: part, depth: depth + 1)) }
            return .array(elements)
        }
        guard let items: JSONValue = schema["items"], items.object != nil else { return .array([]) }
        let count: Int64 = max(1, min(schema["minItems"]?.integer ?? 1, 16))
        if schema["maxItems"]?.integer == 0 { return .array([]) }
        var elements: [JSONValue] = []
        for _ in 0..<count { elements.append(self.value(of: items, depth: depth + 1)) }
        return .array(elements)
    }

    private static func type(of schema: JSONValue) -> String {
        if let type: String = schema["type"]?.text { return type }
        for type in schema["type"]?.elements ?? [] where type.text != "null" { return type.text ?? "null" }
        if schema["properties"] != nil { return "object" }
        return schema["items"] != nil || schema["prefixItems"] != nil ? "array" : "null"
    }

    private static func text(_ schema: JSONValue) -> String {
        switch schema["format"]?.text {
        case "date-time": return "2026-01-31T12:00:00Z"
        case "date": return "2026-01-31"
        case "time": return "12:00:00Z"
        case "duration": return "PT1H"
        case "uuid": return "00000000-0000-4000-8000-000000000000"
        case "email": return "someone@example.com"
        case "hostname": return "www.example.com"
        case "ipv4": return "192.0.2.1"
        case "ipv6": return "2001:db8::1"
        case "uri", "url", "iri": return "https://example.com/"
        case "byte": return "dGV4dA=="
        default: break
        }
        let least: Int = Int(max(0, min(schema["minLength"]?.integer ?? 0, Int64(self.lengthMax))))
        var text: String = "string"
        while text.count < least { text += "string" }
        if let most: Int64 = schema["maxLength"]?.integer, most >= 0, most < Int64(text.count) {
            return String(text.prefix(Int(most)))
        }
        return least > 0 && text.count > max(least, 6) ? String(text.prefix(least)) : text
    }
}
