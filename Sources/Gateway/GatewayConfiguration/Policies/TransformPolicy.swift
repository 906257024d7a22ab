import Documents
package import JSON

/// `transform`: fields, query and JSON bodies changed on the way, with values of the request.
package struct TransformPolicy: Sendable, Equatable {
    package var request: MessageTransform
    package var response: MessageTransform

    package init(request: MessageTransform = MessageTransform(), response: MessageTransform = MessageTransform()) {
        self.request = request
        self.response = response
    }
}

/// What happens to one message, in this order: renamed, removed, set, added.
package struct MessageTransform: Sendable, Equatable {
    package var headers: NamedChanges
    /// Of requests only; names and values decoded.
    package var query: NamedChanges
    /// In order; only of bodies that are JSON.
    package var body: [BodyChange]
    /// A larger body is refused, 1 B to 10 MiB. Default 1 MiB.
    package var bodyBytesMax: Int

    package init(
        headers: NamedChanges = NamedChanges(), query: NamedChanges = NamedChanges(), body: [BodyChange] = [],
        bodyBytesMax: Int = MessageTransform.bodyBytesDefault
    ) {
        self.headers = headers
        self.query = query
        self.body = body
        self.bodyBytesMax = bodyBytesMax
    }

    package static let bodyBytesDefault: Int = 1 << 20
    package static let bodyBytesLimit: Int = 10 << 20
    /// Changes of one kind at most.
    package static let changesMax: Int = 64
}

/// Changes to fields or parameters by name. A value whose template asks for what the request has not is not set.
package struct NamedChanges: Sendable, Equatable {
    package struct Value: Sendable, Equatable {
        package var name: String
        package var value: TextTemplate

        package init(name: String, value: TextTemplate) {
            self.name = name
            self.value = value
        }
    }

    package struct Rename: Sendable, Equatable {
        package var from: String
        package var to: String

        package init(from: String, to: String) {
            self.from = from
            self.to = to
        }
    }

    package var rename: [Rename]
    package var remove: [String]
    package var set: [Value]
    package var add: [Value]

    package init(rename: [Rename] = [], remove: [String] = [], set: [Value] = [], add: [Value] = []) {
        self.rename = rename
        self.remove = remove
        self.set = set
        self.add = add
    }

    package var isEmpty: Bool { self.rename.isEmpty && self.remove.isEmpty && self.set.isEmpty && self.add.isEmpty }
}

/// A change to a JSON body, by JSON pointer (RFC 6901).
package enum BodyChange: Sendable, Equatable {
    /// Strings in the value are templates. Objects on the way are made; `-` appends to an array.
    case set(JSONPointer, JSONValue)
    case remove(JSONPointer)
    /// The member gets another name in its object.
    case rename(JSONPointer, to: String)
    case move(JSONPointer, to: JSONPointer)
    case copy(JSONPointer, to: JSONPointer)
}

extension TransformPolicy {
    static func read(_ decoder: NodeDecoder) -> TransformPolicy? {
        guard let fields: NodeFields = decoder.fields(["request", "response"]) else { return nil }
        let none: MessageTransform = MessageTransform()
        let request: MessageTransform? = fields.value("request", default: none) {
            MessageTransform.read($0, isRequest: true)
        }
        let response: MessageTransform? = fields.value("response", default: none) {
            MessageTransform.read($0, isRequest: false)
        }
        guard let request, let response else { return nil }
        return TransformPolicy(request: request, response: response)
    }

    func write(_ body: inout DefinitionWriter) {
        if self.request != MessageTransform() { body.set("request", self.request.json()) }
        if self.response != MessageTransform() { body.set("response", self.response.json()) }
    }
}

extension MessageTransform {
    static func read(_ decoder: NodeDecoder, isRequest: Bool) -> MessageTransform? {
        let known: [String] = ["headers", "body", "body_max"] + (isRequest ? ["query"] : [])
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let headers: NamedChanges? = fields.value("headers", default: NamedChanges()) {
            NamedChanges.read($0, areHeaders: true)
        }
        let query: NamedChanges? =
            isRequest
            ? fields.value("query", default: NamedChanges()) { NamedChanges.read($0, areHeaders: false) }
            : NamedChanges()
        let body: [BodyChange]? = fields.list("body", count: 0...self.changesMax) { BodyChange.read($0) }
        let max: Int? = fields.byteCount("body_max", default: self.bodyBytesDefault, in: 1...self.bodyBytesLimit)
        guard let headers, let query, let body, let max else { return nil }
        return MessageTransform(headers: headers, query: query, body: body, bodyBytesMax: max)
    }

    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        if !self.headers.isEmpty { writer.set("headers", self.headers.json()) }
        if !self.query.isEmpty { writer.set("query", self.query.json()) }
        writer.set("body", list: self.body.map { $0.json() })
        writer.set("body_max", self.bodyBytesMax, unless: Self.bodyBytesDefault)
        return writer.value
    }
}

extension NamedChanges {
    static func read(_ decoder: NodeDecoder, areHeaders: Bool) -> NamedChanges? {
        guard let fields: NodeFields = decoder.fields(["rename", "remove", "set", "add"]) else { return nil }
        let rename: [Rename]? = fields.value("rename", default: []) { element in
            let pairs: [(key: String, value: Rename)]? = element.dictionary { key, value in
                guard let from: String = self.name(key, value, areHeaders), let text: String = value.string(),
                    let to: String = self.name(text, value, areHeaders)
                else { return nil }
                return Rename(from: from, to: to)
            }
            return pairs?.map { $0.value }
        }
        let remove: [String]? = fields.list("remove", count: 0...MessageTransform.changesMax) { element in
            element.string().flatMap { self.name($0, element, areHeaders) }
        }
        let set: [Value]? = fields.value("set", default: []) { self.values($0, areHeaders) }
        let add: [Value]? = fields.value("add", default: []) { self.values($0, areHeaders) }
        guard let rename, let remove, let set, let add else { return nil }
        return NamedChanges(rename: rename, remove: remove, set: set, add: add)
    }

    private static func values(_ decoder: NodeDecoder, _ areHeaders: Bool) -> [Value]? {
        let pairs: [(key: String, value: Value)]? = decoder.dictionary { key, element in
            guard let name: String = self.name(key, element, areHeaders), let value: TextTemplate = element.template()
            else {
                return nil
            }
            if areHeaders, let message: String = HeaderRules.problem(value: value.source) { element.problem(message) }
            return Value(name: name, value: value)
        }
        guard let pairs else { return nil }
        if pairs.count > MessageTransform.changesMax {
            decoder.problem("expected at most \(MessageTransform.changesMax), found \(pairs.count)")
        }
        return pairs.map { $0.value }
    }

    private static func name(_ text: String, _ decoder: NodeDecoder, _ areHeaders: Bool) -> String? {
        guard areHeaders else {
            if !text.isEmpty && text.utf8.count <= HeaderRules.nameLengthMax { return text }
            decoder.problem("expected the name of a query parameter")
            return nil
        }
        guard let name: String = HeaderRules.name(text) else {
            decoder.problem("expected the name of a header field")
            return nil
        }
        if HeaderRules.isReserved(name) {
            decoder.problem("expected a field of the API's own, not one that frames or routes a message")
        }
        return name
    }

    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        var renames: DefinitionWriter = DefinitionWriter()
        for rename in self.rename { renames.set(rename.from, .string(rename.to)) }
        if !self.rename.isEmpty { writer.set("rename", renames.value) }
        writer.set("remove", list: self.remove.map { .string($0) })
        for (key, values) in [("set", self.set), ("add", self.add)] where !values.isEmpty {
            var members: DefinitionWriter = DefinitionWriter()
            for value in values { members.set(value.name, .string(value.value.source)) }
            writer.set(key, members.value)
        }
        return writer.value
    }
}

extension BodyChange {
    private static let kinds: [String] = ["set", "remove", "rename", "move", "copy"]

    static func read(_ decoder: NodeDecoder) -> BodyChange? {
        guard let fields: NodeFields = decoder.fields(self.kinds + ["value", "to"]) else { return nil }
        let given: [String] = self.kinds.filter { fields[$0] != nil }
        guard given.count == 1, let place: NodeDecoder = fields[given[0]], let pointer: JSONPointer = place.pointer()
        else {
            if given.count != 1 { decoder.problem("expected one of \(self.kinds.joined(separator: ", "))") }
            return nil
        }
        if given[0] != "set" { fields["value"]?.problem("expected 'value' only with 'set'") }
        if given[0] == "set" || given[0] == "remove" {
            fields["to"]?.problem("expected 'to' only with rename, move and copy")
        }
        switch given[0] {
        case "set":
            guard let value: NodeDecoder = fields["value"] else {
                fields.problem("expected 'value'")
                return nil
            }
            let json: JSONValue = value.node.json()
            if let message: String = self.problem(in: json) {
                value.problem(message)
                return nil
            }
            return .set(pointer, json)
        case "remove": return .remove(pointer)
        case "rename": return fields.required("to")?.string(length: 1...1024).map { .rename(pointer, to: $0) }
        case "move": return fields.required("to")?.pointer().map { .move(pointer, to: $0) }
        default: return fields.required("to")?.pointer().map { .copy(pointer, to: $0) }
        }
    }

    /// Every string in a value is a template.
    private static func problem(in value: JSONValue) -> String? {
        switch value {
        case .string(let text):
            do throws(PatternError) {
                _ = try TextTemplate(parsing: text)
                return nil
            } catch {
                return error.message
            }
        case .array(let elements):
            for element in elements { if let message: String = self.problem(in: element) { return message } }
        case .object(let object):
            for member in object.members { if let message: String = self.problem(in: member.value) { return message } }
        default: break
        }
        return nil
    }

    func json() -> JSONValue {
        switch self {
        case .set(let place, let value): return ["set": .string(place.text), "value": value]
        case .remove(let place): return ["remove": .string(place.text)]
        case .rename(let place, let to): return ["rename": .string(place.text), "to": .string(to)]
        case .move(let place, let to): return ["move": .string(place.text), "to": .string(to.text)]
        case .copy(let place, let to): return ["copy": .string(place.text), "to": .string(to.text)]
        }
    }
}

extension NodeDecoder {
    /// A JSON pointer to a part of a body.
    func pointer() -> JSONPointer? {
        self.parsed("a JSON pointer such as /a/b/0") { text in text.isEmpty ? nil : JSONPointer(parsing: text) }
    }
}
