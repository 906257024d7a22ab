import Bytes
import Documents
import JSON

/// `mock`: the gateway answers itself, and nothing goes upstream.
package struct MockPolicy: Sendable, Equatable {
    /// 200 to 599. Default 200.
    package var status: Int
    /// Fields of the answer. Default: `Content-Type: application/json` with `json`, `text/plain; charset=utf-8` with `body`.
    package var fields: [HeaderField]
    /// The body as it goes out; at most 256 KiB. Default: none.
    package var body: [UInt8]

    package init(status: Int = 200, fields: [HeaderField] = [], body: [UInt8] = []) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    package static let statuses: ClosedRange<Int> = 200...599
    package static let bodyBytesMax: Int = 256 << 10
}

extension MockPolicy {
    static func read(_ decoder: NodeDecoder) -> MockPolicy? {
        guard let fields: NodeFields = decoder.fields(["status", "headers", "body", "json"]) else { return nil }
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

    private static func addType(_ type: String, to fields: inout [HeaderField]?) {
        if fields?.contains(where: { $0.name == "content-type" }) == true { return }
        fields?.append(HeaderField(name: "content-type", value: type))
    }

    /// Always the bytes as text: what was `json` in a file is the same body.
    func write(_ body: inout DefinitionWriter) {
        body.set("status", self.status, unless: 200)
        var fields: DefinitionWriter = DefinitionWriter()
        for field in self.fields { fields.set(field.name, .string(field.value)) }
        if !self.fields.isEmpty { body.set("headers", fields.value) }
        if !self.body.isEmpty { body.set("body", .string(String(decoding: self.body, as: UTF8.self))) }
    }
}
