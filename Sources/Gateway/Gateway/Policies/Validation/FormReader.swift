import GatewayConfiguration
import JSON
import JSONSchema

/// Reads the fields of a form as one object and checks it.
struct FormReader {
    let form: ValidatedForm
    let schemas: SchemaSet

    /// A field as it was sent.
    struct Field {
        let name: String
        let text: String
        /// Of a part, without parameters; nil: none was said.
        var type: String?
        /// Of a part's head; names in lower case.
        var fields: [(name: String, value: String)] = []
    }

    /// Fields of one form at most.
    static let fieldsMax: Int = 1000

    func check(_ fields: [Field], with schema: Int) -> [MessageFinding] {
        guard fields.count <= Self.fieldsMax else {
            return [MessageFinding(place: "body", detail: "expected at most \(Self.fieldsMax) fields")]
        }
        var findings: [MessageFinding] = []
        var object: JSONObject = JSONObject()
        for (name, sent) in self.grouped(fields) {
            findings += self.heads(name, sent)
            do throws(UnreadableValue) {
                object[name] = try self.value(name, sent)
            } catch {
                findings.append(Self.finding(name, error.detail))
            }
        }
        if !findings.isEmpty { return findings }
        return self.schemas.validate(.object(object), with: schema).map {
            MessageFinding(place: "body", pointer: $0.pointer, detail: $0.message)
        }
    }

    /// What is wrong with the heads of the parts that a member was sent in.
    private func heads(_ name: String, _ sent: [Field]) -> [MessageFinding] {
        guard let wanted: [ValidatedParameter] = self.form.fields[name]?.headers, !wanted.isEmpty else { return [] }
        let reader: ParameterReader = ParameterReader(schemas: self.schemas)
        var findings: [MessageFinding] = []
        for part in sent {
            for header in wanted {
                let texts: [String] = part.fields.filter { $0.name == header.name }.map { $0.value }
                for found in reader.check(header, texts) {
                    findings.append(Self.finding(name, "the part's field \(header.name): \(found.detail)"))
                }
            }
        }
        return findings
    }

    private static func finding(_ name: String, _ detail: String) -> MessageFinding {
        MessageFinding(place: "body", pointer: JSONPointer(tokens: [name]).text, detail: detail)
    }

    /// Fields by the member they belong to: by name, but for objects whose members are fields of their own.
    private func grouped(_ fields: [Field]) -> [(name: String, fields: [Field])] {
        let owners: [String: String] = self.owners
        var places: [String: Int] = [:]
        var groups: [(name: String, fields: [Field])] = []
        for field in fields {
            let name: String = self.form.fields[field.name] == nil ? self.owner(of: field.name, owners) : field.name
            if let place: Int = places[name] {
                groups[place].fields.append(field)
            } else {
                places[name] = groups.count
                groups.append((name, [field]))
            }
        }
        return groups
    }

    private func hasOwnMembers(_ field: ValidatedForm.Field) -> Bool {
        !field.objectsAreJSON && ParameterReader(schemas: self.schemas).hasOwnMembers(field.parameter)
    }

    /// The object that a field of this name is a member of.
    private var owners: [String: String] {
        var owners: [String: String] = [:]
        for (name, field) in self.form.fields where field.parameter.style == .form && self.hasOwnMembers(field) {
            for member in field.parameter.members.keys { owners[member] = name }
        }
        return owners
    }

    private func owner(of name: String, _ owners: [String: String]) -> String {
        if let owner: String = owners[name] { return owner }
        guard name.hasSuffix("]"), let bracket: String.Index = name.firstIndex(of: "[") else { return name }
        let owner: String = String(name[..<bracket])
        guard let field: ValidatedForm.Field = self.form.fields[owner], field.parameter.style == .deepObject else {
            return name
        }
        return owner
    }

    private func value(_ name: String, _ sent: [Field]) throws(UnreadableValue) -> JSONValue {
        let reader: ParameterReader = ParameterReader(schemas: self.schemas)
        guard let field: ValidatedForm.Field = self.form.fields[name], let schema: Int = field.parameter.schema else {
            guard sent.count == 1 else { return .array(sent.map { .string($0.text) }) }
            return .string(sent[0].text)
        }
        for part in sent where !self.takes(field, part.type) {
            throw UnreadableValue(detail: "expected a part of type \(field.types.joined(separator: ", "))")
        }
        if self.hasOwnMembers(field) {
            var pairs: [(key: String, value: String)] = []
            for part in sent {
                var key: String = part.name
                if field.parameter.style == .deepObject, key.hasPrefix(name + "["), key.hasSuffix("]") {
                    key = String(key.dropFirst(name.count + 1).dropLast())
                }
                pairs.append((key, part.text))
            }
            return reader.object(field.parameter, pairs)
        }
        let kinds: SchemaKinds = self.schemas.kinds(of: schema)
        if kinds == .object, field.objectsAreJSON, sent.count == 1 { return try ParameterReader.json(sent[0].text) }
        if kinds == .array, field.objectsAreJSON, self.itemsAreObjects(field) {
            var elements: [JSONValue] = []
            for part in sent { elements.append(try ParameterReader.json(part.text)) }
            return .array(elements)
        }
        return try reader.value(field.parameter, sent.map { $0.text })
    }

    private func itemsAreObjects(_ field: ValidatedForm.Field) -> Bool {
        guard let items: Int = field.parameter.items else { return false }
        let kinds: SchemaKinds = self.schemas.kinds(of: items)
        return kinds == .object || kinds == .array
    }

    /// A part that says nothing about its type is text (RFC 7578, 4.4).
    private func takes(_ field: ValidatedForm.Field, _ type: String?) -> Bool {
        guard !field.types.isEmpty, let type: String else { return true }
        let main: Substring = type.prefix { $0 != "/" }
        return field.types.contains(type) || field.types.contains("\(main)/*") || field.types.contains("*/*")
    }
}
