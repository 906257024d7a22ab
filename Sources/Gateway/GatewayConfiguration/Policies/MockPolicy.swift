import Bytes
import Documents
package import JSON
package import JSONSchema

/// `mock`: the gateway answers itself, and nothing goes upstream.
package struct MockPolicy: Sendable, Equatable {
    /// 200 to 599. Default 200.
    package var status: Int
    /// Fields of the answer. Default: `Content-Type: application/json` with `json`, `text/plain; charset=utf-8` with `body`.
    package var fields: [HeaderField]
    /// The body as it goes out; at most 256 KiB. Default: none.
    package var body: [UInt8]
    /// An OpenAPI document, 3.0 or 3.1, whose examples are the answers instead; its paths are those that upstreams would see.
    /// Default: none.
    package let document: JSONValue?
    /// The document's answers.
    package let plan: MockPlan?

    package init(status: Int = 200, fields: [HeaderField] = [], body: [UInt8] = []) {
        self.status = status
        self.fields = fields
        self.body = body
        self.document = nil
        self.plan = nil
    }

    /// Throws the first thing in the document that cannot be answered by, with its place.
    package init(document: JSONValue, fields: [HeaderField] = []) throws(SchemaError) {
        self.status = 200
        self.fields = fields
        self.body = []
        self.document = document
        self.plan = try MockPlan(document)
    }

    package static func == (left: MockPolicy, right: MockPolicy) -> Bool {
        left.status == right.status && left.fields == right.fields && left.body == right.body
            && (left.plan === right.plan || left.document == right.document)
    }

    package static let statuses: ClosedRange<Int> = 200...599
    package static let bodyBytesMax: Int = 256 << 10
}

extension MockPolicy {
    static func read(_ decoder: NodeDecoder) -> MockPolicy? {
        guard let fields: NodeFields = decoder.fields(["status", "headers", "body", "json", "document"]) else {
            return nil
        }
        if let document: NodeDecoder = fields["document"] { return self.read(document, fields) }
        let status: Int? = fields.value("status", default: 200) { $0.integer(in: self.statuses) }
        var headers: [HeaderField]? = fields.value("headers", default: []) { HeaderPolicy.Changes.fieldsSet($0) }
        let text: String?? = fields.optional("body") { $0.string(length: 0...self.bodyBytesMax) }
        if let json: NodeDecoder = fields["json"], fields["body"] != nil {
            json.problem("expected 'body' or 'json', not both")
        }
        var body: [UInt8] = []
        if let text: String = text ?? nil {
            body = Array(text.utf8)
            self.addType("text/plain; charset=utf-8", to: &headers)
        } else if let json: NodeDecoder = fields["json"] {
            body = json.node.json().serialized()
            if body.count > self.bodyBytesMax { json.problem("expected at most \(self.bodyBytesMax) bytes") }
            self.addType("application/json", to: &headers)
        }
        guard let status, let headers, text != nil else { return nil }
        return MockPolicy(status: status, fields: headers, body: body)
    }

    private static func read(_ document: NodeDecoder, _ fields: NodeFields) -> MockPolicy? {
        for name in ["status", "body", "json"] { fields[name]?.problem("expected '\(name)' or 'document', not both") }
        let headers: [HeaderField]? = fields.value("headers", default: []) { HeaderPolicy.Changes.fieldsSet($0) }
        guard let headers else { return nil }
        do throws(SchemaError) {
            return try MockPolicy(document: document.node.json(), fields: headers)
        } catch {
            document.problem("\(error.pointer.isEmpty ? "/" : error.pointer): \(error.message)")
            return nil
        }
    }

    private static func addType(_ type: String, to fields: inout [HeaderField]?) {
        if fields?.contains(where: { $0.name == "content-type" }) == true { return }
        fields?.append(HeaderField(name: "content-type", value: type))
    }

    /// Always the bytes as text: what was `json` in a file is the same body.
    func write(_ body: inout DefinitionWriter) {
        body.set("document", self.document)
        body.set("status", self.status, unless: 200)
        var fields: DefinitionWriter = DefinitionWriter()
        for field in self.fields { fields.set(field.name, .string(field.value)) }
        if !self.fields.isEmpty { body.set("headers", fields.value) }
        if !self.body.isEmpty { body.set("body", .string(String(decoding: self.body, as: UTF8.self))) }
    }
}
