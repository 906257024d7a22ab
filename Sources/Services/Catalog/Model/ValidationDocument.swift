import Documents
import JSON
import OpenAPI
import REST

/// The part of an OpenAPI document that gateways check messages by: it travels with the revision's `validation` policy.
enum ValidationDocument {
    /// As JSON, bytes. It is in every snapshot that has the revision.
    static let bytesMax: Int = 512 << 10

    /// The policies of an import, with the document in each `validation` that brings none of its own.
    ///
    /// - Throws: an invalid-request problem when the document is too large or too deep for a snapshot.
    static func filled(_ policies: [JSONValue], from document: OpenAPIDocument) throws(APIProblem) -> [JSONValue] {
        var filled: [JSONValue] = []
        for (index, policy) in policies.enumerated() {
            guard let body: JSONValue = policy["validation"], policy.object?.count == 1, body["document"] == nil,
                var fields: JSONObject = body.object
            else {
                filled.append(policy)
                continue
            }
            fields["document"] = try self.checked(self.reduced(document.root.json()), "/policies/\(index)/validation")
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

    /// Paths and components without what only people read.
    static func reduced(_ root: JSONValue) -> JSONValue {
        var reduced: JSONObject = JSONObject()
        for key in ["openapi", "swagger"] { if let version: JSONValue = root[key] { reduced[key] = version } }
        reduced["paths"] = self.walk(root["paths"] ?? [:], isNamed: true)
        var components: JSONObject = JSONObject()
        for key in ["schemas", "parameters", "requestBodies", "responses", "headers", "pathItems"] {
            if let members: JSONValue = root["components"]?[key] { components[key] = self.walk(members, isNamed: true) }
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

    private static func walk(_ value: JSONValue, isNamed: Bool) -> JSONValue {
        switch value {
        case .array(let elements): return .array(elements.map { self.walk($0, isNamed: false) })
        case .object(let object):
            var kept: JSONObject = JSONObject()
            for (key, member) in object.members {
                if isNamed {
                    kept.append(key, self.walk(member, isNamed: false))
                } else if self.verbatim.contains(key) {
                    kept.append(key, member)
                } else if !self.dropped.contains(key), !key.hasPrefix("x-") {
                    kept.append(key, self.walk(member, isNamed: self.named.contains(key)))
                }
            }
            return .object(kept)
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
