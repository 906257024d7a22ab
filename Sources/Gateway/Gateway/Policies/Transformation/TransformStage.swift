import GatewayConfiguration
import JSON

/// Changes a request's fields, query and JSON body before it goes upstream.
final class TransformStage: RequestStage, @unchecked Sendable {
    private let changes: MessageTransform
    private let body: [CompiledBodyChange]
    /// The response's body is to be read, so the upstream may not compress it.
    private let readsResponse: Bool

    /// Bytes of a query that goes upstream at most: fields of the request may have made it long.
    private static let queryBytesMax: Int = 16 << 10

    init(_ changes: MessageTransform, readsResponse: Bool) {
        self.changes = changes
        self.body = changes.body.map { CompiledBodyChange($0) }
        self.readsResponse = readsResponse
        super.init(rank: .transformation)
    }

    override func run(
        _ request: RequestView, _ context: PolicyContext, _ decision: inout Decision
    ) -> StageOutcome {
        let changesBody: Bool = !self.body.isEmpty && Self.hasJSON(request)
        if changesBody, context.body == nil { return .needsBody(max: self.changes.bodyBytesMax) }
        let scope: TemplateScope = TemplateScope(context)
        if changesBody, let bytes: [UInt8] = context.edits.body ?? context.body, !bytes.isEmpty {
            guard bytes.count <= self.changes.bodyBytesMax, var document: JSONValue = try? JSONReader.parse(bytes)
            else {
                return decision.refuse(bytes.count > self.changes.bodyBytesMax ? .bodyTooLarge : .badRequest)
            }
            for change in self.body { change.apply(to: &document, scope) }
            context.edits.body = document.serialized()
        }
        self.changeFields(request, context, scope)
        if !self.changes.query.isEmpty {
            self.changeQuery(context, scope, decision.forwarding)
            guard context.edits.query?.count ?? 0 <= Self.queryBytesMax else { return decision.refuse(.headTooLarge) }
        }
        if self.readsResponse { context.edits.setField("accept-encoding", "identity") }
        return .next
    }

    private static func hasJSON(_ request: RequestView) -> Bool {
        guard request.contentLength != 0, let type: String = request.fields.text("content-type") else { return false }
        return MediaText.isJSON(MediaText.essence(type))
    }

    private func changeFields(_ request: RequestView, _ context: PolicyContext, _ scope: TemplateScope) {
        let headers: NamedChanges = self.changes.headers
        for rename in headers.rename {
            let values: [String] = request.fields.texts(named: rename.from)
            if values.isEmpty { continue }
            context.edits.removeField(rename.from)
            context.edits.removeField(rename.to)
            for value in values { context.edits.addField(rename.to, value) }
        }
        for name in headers.remove { context.edits.removeField(name) }
        for field in headers.set {
            if field.value.namesCaller {
                context.edits.reserve([Array(field.name.lowercased().utf8)], from: request.fields)
            }
            if let value: String = scope.text(field.value, for: .field) { context.edits.setField(field.name, value) }
        }
        for field in headers.add {
            if let value: String = scope.text(field.value, for: .field) { context.edits.addField(field.name, value) }
        }
    }

    private func changeQuery(_ context: PolicyContext, _ scope: TemplateScope, _ forwarding: Forwarding) {
        let query: NamedChanges = self.changes.query
        var pairs: [QueryText.Pair] = QueryText.pairs(
            String(decoding: context.forwardedQuery(forwarding), as: UTF8.self))
        for rename in query.rename where pairs.contains(where: { $0.name == rename.from }) {
            pairs.removeAll { $0.name == rename.to }
            for index in pairs.indices where pairs[index].name == rename.from {
                pairs[index] = QueryText.pair(rename.to, pairs[index].value)
            }
        }
        for name in query.remove { pairs.removeAll { $0.name == name } }
        for parameter in query.set {
            let value: String? = scope.text(parameter.value, for: .json)
            if value == nil, !parameter.value.namesCaller { continue }
            pairs.removeAll { $0.name == parameter.name }
            if let value: String { pairs.append(QueryText.pair(parameter.name, value)) }
        }
        for parameter in query.add {
            if let value: String = scope.text(parameter.value, for: .json) {
                pairs.append(QueryText.pair(parameter.name, value))
            }
        }
        context.edits.query = QueryText.text(pairs)
    }
}

/// A change to a JSON body with its templates read.
enum CompiledBodyChange: Sendable {
    case set(JSONPointer, CompiledValue)
    case remove(JSONPointer)
    case rename(JSONPointer, to: String)
    case move(JSONPointer, to: JSONPointer)
    case copy(JSONPointer, to: JSONPointer)

    init(_ change: BodyChange) {
        switch change {
        case .set(let place, let value): self = .set(place, CompiledValue(value))
        case .remove(let place): self = .remove(place)
        case .rename(let place, let to): self = .rename(place, to: to)
        case .move(let place, let to): self = .move(place, to: to)
        case .copy(let place, let to): self = .copy(place, to: to)
        }
    }

    /// Whether what it writes depends on the request.
    var isFilled: Bool {
        guard case .set(_, let value) = self else { return false }
        return value.isFilled
    }

    func apply(to document: inout JSONValue, _ scope: TemplateScope) {
        switch self {
        case .set(let place, let value):
            if let filled: JSONValue = value.filled(scope) {
                JSONEdit.set(filled, at: place.tokens[...], in: &document)
            } else if case .template(let template) = value, template.namesCaller {
                JSONEdit.remove(at: place.tokens[...], in: &document)
            }
        case .remove(let place): JSONEdit.remove(at: place.tokens[...], in: &document)
        case .rename(let place, let to): JSONEdit.rename(at: place.tokens[...], to: to, in: &document)
        case .move(let place, let to):
            if let value: JSONValue = JSONEdit.remove(at: place.tokens[...], in: &document) {
                JSONEdit.set(value, at: to.tokens[...], in: &document)
            }
        case .copy(let place, let to):
            if let value: JSONValue = place.resolve(in: document) {
                JSONEdit.set(value, at: to.tokens[...], in: &document)
            }
        }
    }
}

/// A JSON value whose strings are templates.
indirect enum CompiledValue: Sendable {
    case plain(JSONValue)
    case template(TextTemplate)
    case array([CompiledValue])
    case object([(key: String, value: CompiledValue)])

    init(_ value: JSONValue) {
        switch value {
        case .string(let text):
            if let template: TextTemplate = try? TextTemplate(parsing: text), template.fixedText == nil {
                self = .template(template)
            } else {
                self = .plain(.string((try? TextTemplate(parsing: text))?.fixedText ?? text))
            }
        case .array(let elements): self = .array(elements.map { CompiledValue($0) })
        case .object(let object): self = .object(object.members.map { ($0.key, CompiledValue($0.value)) })
        default: self = .plain(value)
        }
    }

    /// Whether a template stands in it.
    var isFilled: Bool {
        switch self {
        case .plain: false
        case .template: true
        case .array(let elements): elements.contains { $0.isFilled }
        case .object(let members): members.contains { $0.value.isFilled }
        }
    }

    /// Nil, or left out of what is around it, where a template asks for what is not there.
    func filled(_ scope: TemplateScope) -> JSONValue? {
        switch self {
        case .plain(let value): return value
        case .template(let template):
            return scope.claim(template) ?? scope.text(template, for: .json).map { .string($0) }
        case .array(let elements):
            var filled: [JSONValue] = []
            for element in elements { if let value: JSONValue = element.filled(scope) { filled.append(value) } }
            return .array(filled)
        case .object(let members):
            var object: JSONObject = JSONObject()
            for (key, member) in members { if let value: JSONValue = member.filled(scope) { object[key] = value } }
            return .object(object)
        }
    }
}
