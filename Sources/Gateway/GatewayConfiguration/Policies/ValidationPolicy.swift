import Bytes
import Documents
package import JSON
package import JSONSchema

/// `validation`: messages are checked by the API's OpenAPI document.
package struct ValidationPolicy: Sendable, Equatable {
    /// What becomes of a message that does not fit.
    package enum Mode: String, Sendable, Equatable, CaseIterable {
        /// It is not looked at.
        case off
        /// It is counted and goes on.
        case report
        /// It is refused.
        case enforce
    }

    /// The document, OpenAPI 3.0 or 3.1; its paths are those that upstreams see, behind `strip_prefix`. Required.
    package let document: JSONValue
    /// Default `enforce`: 400, or 415 for a media type that the operation does not take.
    package var requests: Mode
    /// Default `off`; `enforce` is 502.
    package let responses: Mode
    /// A larger body is 413, or 502 for a response; 1 B to 10 MiB. Default 1 MiB.
    package var bodyBytesMax: Int
    /// Whether `format` is checked. Default true.
    package let checksFormats: Bool
    /// Whether a request that no operation of the document describes is refused. Default true.
    package var refusesUndocumented: Bool
    /// Whether query parameters that the operation does not name are refused. Default false.
    package var refusesUnknownQuery: Bool
    /// What the document says, compiled.
    package let plan: ValidationPlan

    /// Throws the first thing in the document that cannot be checked by, with its place.
    package init(
        document: JSONValue, requests: Mode = .enforce, responses: Mode = .off,
        bodyBytesMax: Int = ValidationPolicy.bodyBytesDefault, checksFormats: Bool = true,
        refusesUndocumented: Bool = true, refusesUnknownQuery: Bool = false
    ) throws(SchemaError) {
        self.document = document
        self.requests = requests
        self.responses = responses
        self.bodyBytesMax = bodyBytesMax
        self.checksFormats = checksFormats
        self.refusesUndocumented = refusesUndocumented
        self.refusesUnknownQuery = refusesUnknownQuery
        self.plan = try ValidationPlan(document, checksFormats: checksFormats, checksResponses: responses != .off)
    }

    package static let bodyBytesDefault: Int = 1 << 20
    package static let bodyBytesLimit: Int = 10 << 20

    package static func == (left: ValidationPolicy, right: ValidationPolicy) -> Bool {
        left.requests == right.requests && left.responses == right.responses
            && left.bodyBytesMax == right.bodyBytesMax && left.checksFormats == right.checksFormats
            && left.refusesUndocumented == right.refusesUndocumented
            && left.refusesUnknownQuery == right.refusesUnknownQuery
            && (left.plan === right.plan || left.document == right.document)
    }
}

extension ValidationPolicy {
    static func read(_ decoder: NodeDecoder) -> ValidationPolicy? {
        let known: [String] = [
            "document", "requests", "responses", "body_max", "formats", "undocumented", "unknown_query",
        ]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let modes: KeyValuePairs<String, Mode> = ["off": .off, "report": .report, "enforce": .enforce]
        let choices: KeyValuePairs<String, Bool> = ["refuse": true, "allow": false]
        let document: NodeDecoder? = fields.required("document")
        let requests: Mode? = fields.choice("requests", default: .enforce, modes)
        let responses: Mode? = fields.choice("responses", default: .off, modes)
        let body: Int? = fields.byteCount("body_max", default: self.bodyBytesDefault, in: 1...self.bodyBytesLimit)
        let formats: Bool? = fields.boolean("formats", default: true)
        let undocumented: Bool? = fields.choice("undocumented", default: true, choices)
        let query: Bool? = fields.choice("unknown_query", default: false, choices)
        guard let document, let requests, let responses, let body, let formats, let undocumented, let query else {
            return nil
        }
        do throws(SchemaError) {
            return try ValidationPolicy(
                document: document.node.json(), requests: requests, responses: responses, bodyBytesMax: body,
                checksFormats: formats, refusesUndocumented: undocumented, refusesUnknownQuery: query)
        } catch {
            document.problem("\(error.pointer.isEmpty ? "/" : error.pointer): \(error.message)")
            return nil
        }
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("document", self.document)
        if self.requests != .enforce { body.set("requests", .string(self.requests.rawValue)) }
        if self.responses != .off { body.set("responses", .string(self.responses.rawValue)) }
        body.set("body_max", self.bodyBytesMax, unless: ValidationPolicy.bodyBytesDefault)
        if !self.checksFormats { body.set("formats", .bool(false)) }
        if !self.refusesUndocumented { body.set("undocumented", .string("allow")) }
        if self.refusesUnknownQuery { body.set("unknown_query", .string("refuse")) }
    }
}
