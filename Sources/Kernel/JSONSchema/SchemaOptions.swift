package import JSON

/// How a schema is read and what checking may cost.
package struct SchemaOptions: Sendable {
    /// The language a schema is written in.
    package enum Dialect: Sendable {
        /// JSON Schema 2020-12, which OpenAPI 3.1 uses as it is.
        case draft2020
        /// OpenAPI 2.0 and 3.0: `nullable`, `exclusiveMinimum` as a boolean, nothing counts beside `$ref`.
        case openAPI30
    }

    /// Which way a message goes: `required` does not ask a request for what is `readOnly`, nor a response for what is
    /// `writeOnly`.
    package enum Direction: Sendable {
        case request
        case response
    }

    package var dialect: Dialect
    /// Whether a keyword, or a format, that is not known is a mistake rather than a note.
    package var refusesUnknown: Bool
    /// Whether `format` is checked; otherwise it is a note.
    package var checksFormats: Bool
    package var direction: Direction?
    /// Documents that references may name, by their absolute URI. Nothing is ever fetched.
    package var documents: [String: JSONValue]
    /// Where the document comes from, when it does not say so with `$id`.
    package var baseURI: String
    /// Applications of a schema to a value at most, per value checked.
    package var stepsMax: Int

    package init(
        dialect: Dialect = .draft2020, refusesUnknown: Bool = true, checksFormats: Bool = true,
        direction: Direction? = nil, documents: [String: JSONValue] = [:], baseURI: String = "",
        stepsMax: Int = 1_000_000
    ) {
        self.dialect = dialect
        self.refusesUnknown = refusesUnknown
        self.checksFormats = checksFormats
        self.direction = direction
        self.documents = documents
        self.baseURI = baseURI
        self.stepsMax = stepsMax
    }

    /// For our own documents.
    package static let standard: SchemaOptions = SchemaOptions()
    /// For schemas of others.
    package static let tolerant: SchemaOptions = SchemaOptions(refusesUnknown: false)
    /// For schemas in OpenAPI 2.0 and 3.0 documents.
    package static let openAPI30: SchemaOptions = SchemaOptions(dialect: .openAPI30, refusesUnknown: false)
}
