import Documents
import JSON
import OpenAPI
import REST

/// The part of an OpenAPI document that gateways check messages by: it travels with the revision's `validation` policy.
enum ValidationDocument {
    /// As JSON, bytes. It is in every snapshot that has the revision.
    static let bytesMax: Int = 512 << 10

    /// The policies of an import, with the document in each `validation` that brings none of its own, and in each `mock` that says
    /// `examples: true`. They stand at `place` of the request.
    ///
    /// - Throws: an invalid-request problem when the document is too large or too deep for a snapshot.
    static func filled(
        _ policies: [JSONValue], from document: OpenAPIDocument, at place: String = "/policies"
    ) throws(APIProblem) -> [JSONValue] {
        var filled: [JSONValue] = []
        for (index, policy) in policies.enumerated() {
            if var mock: JSONObject = policy["mock"]?.object, mock["examples"]?.boolean == true {
                mock["examples"] = nil
                let reduced: JSONValue = self.reduced(document.root.json(), keeping: .examples)
                mock["document"] = try self.checked(reduced, "\(place)/\(index)/mock")
                filled.append(.object(["mock": .object(mock)]))
                continue
            }
            guard let body: JSONValue = policy["validation"], policy.object?.count == 1, body["document"] == nil,
                var fields: JSONObject = body.object
            else {
                filled.append(policy)
                continue
            }
            fields["document"] = try self.checked(self.reduced(document.root.json()), "\(place)/\(index)/validation")
            filled.append(.object(["validation": .object(fields)]))
        }
        return filled
    }

    private static func checked(_ document: JSONValue, _ field: String) throws(APIProblem) -> JSONValue {
        let bytes: [UInt8] = document.serialized()
        guard bytes.count <= self.bytesMax else {
            throw APIProblem.invalid(
                field, "expected a document whose paths and schemas come to at most \(self.bytesMax) bytes")
        }
        // What stands around it in a snapshot is nested too.
        guard document.depth <= self.depthMax else {
            throw APIProblem.invalid(field, "expected a document of at most \(self.depthMax) levels of nesting")
        }
        return document
    }

    private static let depthMax: Int = 48

    /// What of a document is kept.
    enum Kept {
        /// What messages are checked by.
        case schemas
        /// What can be answered.
        case examples
    }

    /// Paths and components without what only people read.
    static func reduced(_ root: JSONValue, keeping kept: Kept = .schemas) -> JSONValue {
        var reduced: JSONObject = JSONObject()
        for key in ["openapi", "swagger"] { if let version: JSONValue = root[key] { reduced[key] = version } }
        reduced["paths"] = self.walk(root["paths"] ?? [:], isNamed: true, kept)
        var components: JSONObject = JSONObject()
        let groups: [String] =
            kept == .schemas
            ? ["schemas", "parameters", "requestBodies", "responses", "headers", "pathItems"]
            : ["schemas", "responses", "examples", "pathItems"]
        for key in groups {
            guard let members: JSONValue = root["components"]?[key] else { continue }
            components[key] = key == "examples" ? members : self.walk(members, isNamed: true, kept)
        }
        if !components.isEmpty { reduced["components"] = .object(components) }
        return .object(reduced)
    }

    /// Members that say nothing about a message.
    private static let dropped: Set<String> = [
        "description", "summary", "title", "example", "examples", "externalDocs", "tags", "operationId", "security",
        "servers", "callbacks", "links", "deprecated", "$comment", "xml",
    ]
    /// Objects whose members are called by the document's author: there `description` is a name like any other.
    private static let named: Set<String> = [
        "properties", "patternProperties", "dependentSchemas", "$defs", "definitions", "schemas", "parameters",
        "responses", "headers", "requestBodies", "content", "encoding",
    ]
    /// Values, not schemas.
    private static let verbatim: Set<String> = ["enum", "const", "default", "mapping", "required", "dependentRequired"]

    private static let exampleNames: Set<String> = ["example", "examples"]
    private static let requestNames: Set<String> = ["parameters", "requestBody"]

    private static func isDropped(_ key: String, _ kept: Kept) -> Bool {
        if kept == .examples {
            if self.exampleNames.contains(key) { return false }
            if self.requestNames.contains(key) { return true }
        }
        return self.dropped.contains(key) || key.hasPrefix("x-")
    }

    private static func walk(_ value: JSONValue, isNamed: Bool, _ kept: Kept) -> JSONValue {
        switch value {
        case .array(let elements): return .array(elements.map { self.walk($0, isNamed: false, kept) })
        case .object(let object):
            var left: JSONObject = JSONObject()
            for (key, member) in object.members {
                if isNamed {
                    left.append(key, self.walk(member, isNamed: false, kept))
                } else if self.verbatim.contains(key) || kept == .examples && self.exampleNames.contains(key) {
                    left.append(key, member)
                } else if !self.isDropped(key, kept) {
                    left.append(key, self.walk(member, isNamed: self.named.contains(key), kept))
                }
            }
            return .object(left)
        default: return value
        }
    }
}

extension JSONValue {
    /// Levels of arrays and objects inside one another.
    fileprivate var depth: Int {
        var deepest: Int = 0
        switch self {
        case .array(let elements): for element in elements { deepest = max(deepest, element.depth) }
        case .object(let object): for member in object.members { deepest = max(deepest, member.value.depth) }
        default: return 0
        }
        return deepest + 1
    }
}
