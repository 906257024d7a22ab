import Bytes
import JSON

/// Turns a schema document into rules. Every schema object is compiled once, whoever refers to it.
struct SchemaCompiler {
    /// More would be a mistake, or an attack.
    private static let rulesMax: Int = 10_000
    private static let depthMax: Int = 64

    static let annotations: Set<String> = [
        "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment",
    ]

    private let document: JSONValue
    private var rules: [SchemaRule] = []
    /// Where each rule stands in the document, for errors.
    private var pointers: [JSONPointer] = []
    private var indices: [JSONPointer: Int] = [:]
    /// Compiled but not yet read: schemas are read one after the other, so that nesting costs no stack.
    private var pending: [Int] = []

    init(_ document: JSONValue) { self.document = document }

    mutating func compile() throws(SchemaError) -> [SchemaRule] {
        _ = try self.index(of: .root, from: .root)
        while let index: Int = self.pending.popLast() { try self.read(index) }
        try self.refuseLoops()
        return self.rules
    }

    // MARK: Places

    /// The index of the rule for the schema at `pointer`, which `source` mentions.
    private mutating func index(of pointer: JSONPointer, from source: JSONPointer) throws(SchemaError) -> Int {
        if let known: Int = self.indices[pointer] { return known }
        guard self.rules.count < Self.rulesMax else {
            throw self.error("expected at most \(Self.rulesMax) schemas", at: source)
        }
        guard pointer.tokens.count <= Self.depthMax else {
            throw self.error("expected at most \(Self.depthMax) levels of nesting", at: source)
        }
        let index: Int = self.rules.count
        self.rules.append(SchemaRule())
        self.pointers.append(pointer)
        self.indices[pointer] = index
        self.pending.append(index)
        return index
    }

    private mutating func read(_ index: Int) throws(SchemaError) {
        let pointer: JSONPointer = self.pointers[index]
        switch pointer.resolve(in: self.document) {
        case .bool(let isAnything): self.rules[index].isNever = !isAnything
        case .object(let object):
            var rule: SchemaRule = SchemaRule()
            for member: JSONObject.Member in object.members {
                let place: JSONPointer = pointer.appending(member.key)
                if try self.readValueKeyword(member.key, member.value, at: place, into: &rule) { continue }
                if try self.readContainerKeyword(member.key, member.value, at: place, into: &rule) { continue }
                if try self.readCombination(member.key, member.value, at: place, into: &rule) { continue }
                throw self.unknown(member.key, at: place)
            }
            try self.checkBounds(rule, at: pointer)
            self.rules[index] = rule
        case let other:
            throw self.error(
                "expected a schema (an object or a boolean), found \(other?.kindName ?? "nothing")", at: pointer)
        }
    }

    private func unknown(_ keyword: String, at place: JSONPointer) -> SchemaError {
        var message: String = "unknown keyword \(Quoted.text(keyword))"
        if let meant: String = NearestName.suggestion(for: keyword, among: Self.keywords) {
            message += ", did you mean \(Quoted.text(meant))?"
        }
        return self.error(message, at: place)
    }

    private static let keywords: [String] = [
        "type", "enum", "const", "properties", "required", "additionalProperties", "minProperties", "maxProperties",
        "items",
        "prefixItems", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "format", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "allOf", "anyOf", "oneOf", "not", "$ref", "$defs",
    ]

    func error(_ message: String, at pointer: JSONPointer) -> SchemaError {
        SchemaError(pointer: pointer.text, message: message)
    }

    // MARK: Keywords that hold other schemas

    private mutating func readCombination(
        _ keyword: String, _ value: JSONValue, at place: JSONPointer, into rule: inout SchemaRule
    ) throws(SchemaError) -> Bool {
        switch keyword {
        case "allOf": rule.allOf = try self.list(value, at: place)
        case "anyOf": rule.anyOf = try self.list(value, at: place)
        case "oneOf": rule.oneOf = try self.list(value, at: place)
        case "not": rule.not = try self.index(of: place, from: place)
        case "$ref": rule.reference = try self.reference(value, at: place)
        case "$defs":
            guard let definitions: JSONObject = value.object else { throw self.error("expected an object", at: place) }
            // Compiled even if nothing refers to them, so that their mistakes are found.
            for name: String in definitions.keys { _ = try self.index(of: place.appending(name), from: place) }
        case "$schema", "$id":
            guard place.tokens.count == 1, value.text != nil else {
                throw self.error("expected \(keyword) at the root only, as a string", at: place)
            }
        default: return Self.annotations.contains(keyword)
        }
        return true
    }

    private mutating func readContainerKeyword(
        _ keyword: String, _ value: JSONValue, at place: JSONPointer, into rule: inout SchemaRule
    ) throws(SchemaError) -> Bool {
        switch keyword {
        case "items": rule.items = try self.index(of: place, from: place)
        case "prefixItems": rule.prefixItems = try self.list(value, at: place)
        case "properties":
            guard let properties: JSONObject = value.object else { throw self.error("expected an object", at: place) }
            rule.propertyNames = properties.keys
            for name: String in properties.keys {
                rule.properties[name] = try self.index(of: place.appending(name), from: place)
            }
        case "additionalProperties":
            switch value {
            case .bool(let isAllowed): rule.additional = isAllowed ? .anything : .nothing
            default: rule.additional = .rule(try self.index(of: place, from: place))
            }
        case "required":
            guard let names: [JSONValue] = value.elements else {
                throw self.error("expected an array of strings", at: place)
            }
            for name: JSONValue in names {
                guard let text: String = name.text else { throw self.error("expected an array of strings", at: place) }
                rule.required.append(text)
            }
        default: return false
        }
        return true
    }

    private mutating func list(_ value: JSONValue, at place: JSONPointer) throws(SchemaError) -> [Int] {
        guard let schemas: [JSONValue] = value.elements, !schemas.isEmpty else {
            throw self.error("expected an array with at least one schema", at: place)
        }
        var indices: [Int] = []
        for position: Int in schemas.indices {
            indices.append(try self.index(of: place.appending(position), from: place))
        }
        return indices
    }

    private mutating func reference(_ value: JSONValue, at place: JSONPointer) throws(SchemaError) -> Int {
        guard let text: String = value.text, let target: JSONPointer = JSONPointer(fragment: text) else {
            throw self.error("expected a reference into this document, such as \"#/$defs/name\"", at: place)
        }
        guard target.resolve(in: self.document) != nil else {
            throw self.error("expected a schema at \(Quoted.text(text)), found nothing", at: place)
        }
        return try self.index(of: target, from: place)
    }

    // MARK: Loops

    /// A schema that refers to itself without going into the value would never come to an end.
    private func refuseLoops() throws(SchemaError) {
        // 0: not seen, 1: on the path, 2: done.
        var marks: [UInt8] = Array(repeating: 0, count: self.rules.count)
        for start: Int in self.rules.indices where marks[start] == 0 {
            var path: [(index: Int, next: [Int])] = [(start, self.rules[start].inPlace)]
            marks[start] = 1
            while var top: (index: Int, next: [Int]) = path.popLast() {
                guard let next: Int = top.next.popLast() else {
                    marks[top.index] = 2
                    continue
                }
                path.append(top)
                if marks[next] == 1 {
                    throw self.error("expected a schema that does not refer back to itself", at: self.pointers[next])
                }
                if marks[next] == 0 {
                    marks[next] = 1
                    path.append((next, self.rules[next].inPlace))
                }
            }
        }
    }
}
