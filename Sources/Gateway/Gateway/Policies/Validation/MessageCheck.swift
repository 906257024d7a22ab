import GatewayConfiguration
import JSON
import JSONSchema

/// Checks one message by one operation. Pure: what it needs of the message is given.
struct MessageCheck {
    let policy: ValidationPolicy
    let operation: ValidatedOperation

    /// The parameters of a request. `query` without what the gateway took out of it.
    func parameters(
        path values: [String: String], query: [QueryText.Pair], fields: (String) -> [String]
    ) -> [MessageFinding] {
        let reader: ParameterReader = ParameterReader(schemas: self.policy.plan.requestSchemas)
        var findings: [MessageFinding] = []
        var known: Set<String> = []
        for parameter in self.operation.parameters {
            switch parameter.place {
            case .path:
                let text: String? = values[parameter.name].map { PercentText.decoded($0) }
                // A name that is not in the path's template is the document's mistake, not the client's.
                if let text: String { findings += reader.check(parameter, [text]) }
            case .header: findings += reader.check(parameter, fields(parameter.name))
            case .cookie:
                findings += self.cookie(parameter, CookieText.pairs(fields("cookie")), reader)
            case .query: findings += self.query(parameter, query, reader, &known)
            }
        }
        if self.policy.refusesUnknownQuery {
            var told: Set<String> = []
            for pair in query where !known.contains(pair.name) && told.insert(pair.name).inserted {
                findings.append(
                    MessageFinding(place: "query", name: pair.name, detail: "expected only parameters of the document"))
            }
        }
        return findings
    }

    private func cookie(
        _ parameter: ValidatedParameter, _ cookies: [(name: String, value: String)], _ reader: ParameterReader
    ) -> [MessageFinding] {
        guard reader.hasOwnMembers(parameter) else {
            return reader.check(parameter, cookies.filter { $0.name == parameter.name }.map { $0.value })
        }
        let members: [(name: String, value: String)] = cookies.filter { parameter.members[$0.name] != nil }
        return reader.check(parameter, members: members.map { ($0.name, $0.value) })
    }

    private func query(
        _ parameter: ValidatedParameter, _ query: [QueryText.Pair], _ reader: ParameterReader,
        _ known: inout Set<String>
    ) -> [MessageFinding] {
        guard reader.hasOwnMembers(parameter) else {
            known.insert(parameter.name)
            return reader.check(parameter, query.filter { $0.name == parameter.name }.map { $0.value })
        }
        var members: [(key: String, value: String)] = []
        for pair in query {
            let key: String
            if parameter.style == .deepObject {
                guard pair.name.hasPrefix(parameter.name + "["), pair.name.hasSuffix("]") else { continue }
                key = String(pair.name.dropFirst(parameter.name.count + 1).dropLast())
            } else {
                guard parameter.members[pair.name] != nil else { continue }
                key = pair.name
            }
            known.insert(pair.name)
            members.append((key, pair.value))
        }
        return reader.check(parameter, members: members)
    }

    /// What a body has to be.
    enum BodyShape: Sendable {
        /// JSON that fits this schema.
        case json(Int)
        /// A form whose fields together fit this schema.
        case urlEncoded(ValidatedForm, Int)
        /// The same, with its `Content-Type`.
        case multipart(ValidatedForm, Int, type: String)
    }

    /// What a body is checked by.
    enum BodyRule {
        /// Nothing is said about it, or what is said is met.
        case free
        case shape(BodyShape)
        /// The operation does not take this type.
        case unsupported(MessageFinding)
    }

    /// - Parameters:
    ///   - type: the value of `Content-Type`; nil when there is none.
    ///   - isEncoded: the body is compressed.
    func rule(for body: ValidatedBody, type: String?, isEncoded: Bool) -> BodyRule {
        if body.media.isEmpty { return .free }
        let wanted: String = body.media.map { $0.range }.joined(separator: ", ")
        let essence: String = MediaText.essence(type ?? "")
        guard let media: ValidatedMedia = body.media(for: essence) else {
            return .unsupported(
                MessageFinding(place: "header", name: "content-type", detail: "expected one of \(wanted)"))
        }
        let shape: BodyShape
        switch (media.schema, media.form) {
        case (let schema?, let form?) where essence == ValidatedForm.urlEncoded: shape = .urlEncoded(form, schema)
        case (let schema?, let form?) where essence == ValidatedForm.multipart:
            shape = .multipart(form, schema, type: type ?? "")
        case (let schema?, _) where MediaText.isJSON(essence): shape = .json(schema)
        default: return .free
        }
        if isEncoded {
            return .unsupported(
                MessageFinding(place: "header", name: "content-encoding", detail: "expected a body that is not encoded")
            )
        }
        return .shape(shape)
    }

    static func body(_ bytes: [UInt8], _ schemas: SchemaSet, _ shape: BodyShape) -> [MessageFinding] {
        switch shape {
        case .json(let schema): return self.json(bytes, schemas, schema)
        case .urlEncoded(let form, let schema):
            guard let text: String = String(validating: bytes, as: UTF8.self) else {
                return [MessageFinding(place: "body", detail: "expected a form in UTF-8")]
            }
            let fields: [FormReader.Field] = QueryText.pairs(text).map {
                FormReader.Field(name: $0.name, text: $0.value)
            }
            return FormReader(form: form, schemas: schemas).check(fields, with: schema)
        case .multipart(let form, let schema, let type):
            guard let reader: MultipartReader = MultipartReader(contentType: type) else {
                return [MessageFinding(place: "header", name: "content-type", detail: "expected a boundary")]
            }
            do throws(MultipartReader.Failure) {
                let fields: [FormReader.Field] = try reader.parts(of: bytes).map {
                    // A file's bytes are a text as far as schemas go: what they say of it is its presence.
                    FormReader.Field(
                        name: $0.name, text: String(decoding: $0.body, as: UTF8.self), type: $0.type, fields: $0.fields)
                }
                return FormReader(form: form, schemas: schemas).check(fields, with: schema)
            } catch {
                return [MessageFinding(place: "body", detail: error.detail)]
            }
        }
    }

    private static func json(_ bytes: [UInt8], _ schemas: SchemaSet, _ schema: Int) -> [MessageFinding] {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONReader.parse(bytes)
        } catch {
            return [
                MessageFinding(
                    place: "body", detail: "expected JSON: line \(error.line), column \(error.column): \(error.message)"
                )
            ]
        }
        return schemas.validate(value, with: schema).map {
            MessageFinding(place: "body", pointer: $0.pointer, detail: $0.message)
        }
    }
}
