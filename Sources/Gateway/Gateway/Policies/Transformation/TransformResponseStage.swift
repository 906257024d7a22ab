import GatewayConfiguration
import JSON

/// Changes a response's fields and JSON body.
final class TransformResponseStage: ResponseStage, @unchecked Sendable {
    private let changes: MessageTransform
    private let body: [CompiledBodyChange]
    /// It writes something of the request or its caller into the response.
    private let isPersonal: Bool

    init(_ changes: MessageTransform) {
        self.changes = changes
        self.body = changes.body.map { CompiledBodyChange($0) }
        self.isPersonal =
            (changes.headers.set + changes.headers.add).contains { $0.value.fixedText == nil }
            || self.body.contains { $0.isFilled }
        super.init(rank: .transformation)
    }

    override func makeFilter(_ head: ResponseHead, _ context: PolicyContext) -> ResponseFilter? {
        if self.isPersonal { context.isResponsePersonal = true }
        let scope: TemplateScope = TemplateScope(context)
        let headers: NamedChanges = self.changes.headers
        for rename in headers.rename {
            guard let value: String = head.fields.joined(rename.from) else { continue }
            head.fields.remove(rename.from)
            head.fields.set(rename.to, value)
        }
        for name in headers.remove { head.fields.remove(name) }
        for field in headers.set {
            if let value: String = scope.text(field.value, for: .field) { head.fields.set(field.name, value) }
        }
        for field in headers.add {
            if let value: String = scope.text(field.value, for: .field) { head.fields.add(field.name, value) }
        }
        guard !self.body.isEmpty, !head.isBodyless, let type: String = head.fields.first("content-type"),
            MediaText.isJSON(MediaText.essence(type))
        else { return nil }
        return TransformFilter(self.body, scope, max: self.changes.bodyBytesMax)
    }
}

/// Collects a JSON body, changes it and gives it out whole.
final class TransformFilter: ResponseFilter {
    private let changes: [CompiledBodyChange]
    private let scope: TemplateScope
    private let bytesMax: Int
    private var collected: [UInt8] = []
    private var isEncoded: Bool = false

    init(_ changes: [CompiledBodyChange], _ scope: TemplateScope, max: Int) {
        self.changes = changes
        self.scope = scope
        self.bytesMax = max
    }

    override var transformsBody: Bool { true }

    override func head(_ head: ResponseHead) -> HeadOutcome {
        self.isEncoded = head.fields.first("content-encoding").map { $0.lowercased() != "identity" } ?? false
        // They name the body as it was.
        for name in ["etag", "content-md5", "digest", "content-digest", "repr-digest", "accept-ranges"] {
            head.fields.remove(name)
        }
        return .hold
    }

    override func body(_ bytes: UnsafeRawBufferPointer, _ out: inout FilterOutput) {
        guard !self.isEncoded, self.collected.count + bytes.count <= self.bytesMax else {
            // Passed on as it is it might tell what the policy takes out.
            out.fail(.upstreamInvalidResponse)
            return
        }
        self.collected.append(contentsOf: bytes)
    }

    override func end(_ out: inout FilterOutput) {
        if self.collected.isEmpty { return }
        guard var document: JSONValue = try? JSONReader.parse(self.collected) else {
            out.fail(.upstreamInvalidResponse)
            return
        }
        for change in self.changes { change.apply(to: &document, self.scope) }
        out.append(document.serialized())
    }
}
