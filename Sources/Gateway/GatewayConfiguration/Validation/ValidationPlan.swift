package import JSON
package import JSONSchema

/// What an OpenAPI 3.0 or 3.1 document asks of messages, with every schema compiled. Immutable; made once, when the policy is
/// read, and shared by all routes of its API.
package final class ValidationPlan: Sendable {
    package let operations: [ValidatedOperation]
    /// The schemas that requests are checked by, and responses: what is read-only or write-only differs.
    package let requestSchemas: SchemaSet
    package let responseSchemas: SchemaSet
    private let tree: PathTree

    /// Operations of one document at most.
    package static let operationsMax: Int = 5000

    /// Throws the first thing in the document that cannot be checked by, with its place.
    package init(_ document: JSONValue, checksFormats: Bool, checksResponses: Bool) throws(SchemaError) {
        var reader: OperationReader = OperationReader(document, checksResponses: checksResponses)
        let operations: [ValidatedOperation] = try reader.read()
        var options: SchemaOptions = reader.isVersion30 ? .openAPI30 : .tolerant
        options.checksFormats = checksFormats
        options.direction = .request
        self.requestSchemas = try SchemaSet(compiling: reader.requestPlaces, in: document, options: options)
        options.direction = .response
        self.responseSchemas = try SchemaSet(compiling: reader.responsePlaces, in: document, options: options)
        self.operations = operations
        self.tree = PathTree(operations.map { ($0.method, $0.segments) })
    }

    /// The operation of a path in normal form: literal segments go before those with text beside parameters, and these before
    /// parameters. `HEAD` is answered as `GET` where the document does not say. With the values of its parameters as they stand
    /// in the path.
    package func operation(
        _ method: String, path: String
    ) -> (operation: ValidatedOperation, values: [String: String])? {
        guard let found: Int = self.tree.operation(method, path: path) else { return nil }
        let segments: [Substring] = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        let operation: ValidatedOperation = self.operations[found]
        var values: [String: String] = [:]
        for (segment, text) in zip(operation.segments, segments) {
            switch segment {
            case .literal: break
            case .parameter(let name): values[name] = String(text)
            case .pattern(let pattern):
                for (name, value) in pattern.values(in: Array(text.utf8)) ?? [] { values[name] = value }
            }
        }
        return (operation, values)
    }
}

/// One operation of a document.
package struct ValidatedOperation: Sendable {
    /// Upper case.
    package let method: String
    package let segments: [PathPattern.Segment]
    package let parameters: [ValidatedParameter]
    /// Nil: the document says nothing about a body.
    package let body: ValidatedBody?
    package let responses: [ValidatedResponse]

    /// What the document says about a status: exactly, as a class, or by default; nil: nothing.
    package func response(_ status: Int) -> ValidatedResponse? {
        for wanted in ["\(status)", "\(status / 100)XX", "DEFAULT"] {
            for response in self.responses where response.status == wanted { return response }
        }
        return nil
    }
}

/// A parameter of an operation, or a header field of a response.
package struct ValidatedParameter: Sendable {
    package enum Place: String, Sendable {
        case path
        case query
        case header
        case cookie
    }

    /// How a value is written.
    package enum Style: String, Sendable {
        case simple
        case label
        case matrix
        case form
        case spaceDelimited
        case pipeDelimited
        case deepObject
    }

    package let name: String
    package let place: Place
    package let isRequired: Bool
    package let style: Style
    package let explodes: Bool
    /// The value is a JSON text (`content`).
    package let isJSON: Bool
    /// Number of its schema; nil: any value.
    package let schema: Int?
    /// Numbers of the schemas of elements and of members: how their texts are read.
    package let items: Int?
    package let members: [String: Int]
}

/// The bodies that are taken, or given.
package struct ValidatedBody: Sendable {
    package let isRequired: Bool
    package let media: [ValidatedMedia]

    /// The most specific range that the type is in.
    package func media(for essence: String) -> ValidatedMedia? {
        let main: Substring = essence.prefix { $0 != "/" }
        for range in [essence, "\(main)/*", "*/*"] {
            for media in self.media where media.range == range { return media }
        }
        return nil
    }
}

package struct ValidatedMedia: Sendable {
    /// A type without parameters or a range, lower case.
    package let range: String
    package let schema: Int?
    /// How the fields of a form are read; nil: it is none.
    package let form: ValidatedForm?
}

/// The fields of a form, `application/x-www-form-urlencoded` or `multipart/form-data`, which make one object.
package struct ValidatedForm: Sendable {
    package static let urlEncoded: String = "application/x-www-form-urlencoded"
    package static let multipart: String = "multipart/form-data"

    package struct Field: Sendable {
        /// As a query parameter of that name would be read.
        package let parameter: ValidatedParameter
        /// Objects are JSON texts: nothing else is said about them.
        package let objectsAreJSON: Bool
        /// Media ranges that a part may have; empty: any.
        package let types: [String]
        /// Fields of a part's head; of `multipart/form-data` only.
        package let headers: [ValidatedParameter]
    }

    /// By name. Fields that are not here are texts.
    package let fields: [String: Field]
}

package struct ValidatedResponse: Sendable {
    /// `200`, `2XX` or `DEFAULT`.
    package let status: String
    package let headers: [ValidatedParameter]
    /// Without media there is nothing said about the body.
    package let body: ValidatedBody
}
