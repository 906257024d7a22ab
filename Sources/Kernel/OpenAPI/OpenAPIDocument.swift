package import Documents
import JSON

/// The versions of OpenAPI that are read.
package enum OpenAPIVersion: String, Sendable {
    case v2 = "2.0"
    case v3_0 = "3.0"
    case v3_1 = "3.1"
}

/// One operation: a method on a path.
package struct OpenAPIOperation: Sendable, Equatable {
    /// Upper case: "GET".
    package let method: String
    /// As written, with its parameters: "/orders/{id}". The base path is not part of it.
    package let path: String
    package let operationID: String?
    package let summary: String?
    package let tags: [String]
    package let deprecated: Bool
    /// JSON pointer of the operation in the document.
    package let pointer: String

    package init(
        method: String, path: String, operationID: String?, summary: String?, tags: [String], deprecated: Bool,
        pointer: String
    ) {
        self.method = method
        self.path = path
        self.operationID = operationID
        self.summary = summary
        self.tags = tags
        self.deprecated = deprecated
        self.pointer = pointer
    }
}

/// Where an API is served.
package struct OpenAPIServer: Sendable, Equatable {
    /// Variables are replaced by their defaults; may be relative ("/v1").
    package let url: String
    package let description: String?

    package init(url: String, description: String?) {
        self.url = url
        self.description = description
    }
}

/// What went wrong with a document: every problem, with its place.
package typealias OpenAPIError = InvalidDocument

/// What a document may contain at most.
package struct OpenAPILimits: Sendable {
    /// Size, nesting and number of values of the text.
    package var document: DocumentLimits
    package var operations: Int

    package init(document: DocumentLimits = .standard, operations: Int = 5000) {
        self.document = document
        self.operations = operations
    }

    package static let standard: OpenAPILimits = OpenAPILimits()
}

/// A valid OpenAPI 2.0, 3.0 or 3.1 document and what the platform needs to know of it.
package struct OpenAPIDocument: Sendable {
    package let version: OpenAPIVersion
    package let title: String
    /// `info.version`: the API's own version.
    package let apiVersion: String
    package let summary: String?
    package let description: String?
    /// In the document's order.
    package let operations: [OpenAPIOperation]
    package let servers: [OpenAPIServer]
    /// What comes before every path: "/v1"; nil for none. The first server's path, or `basePath` of 2.0.
    package let basePath: String?
    /// The whole document.
    package let root: Node

    /// Reads and checks a document in JSON or YAML; throws all of its problems together, in the order of their places.
    ///
    /// Checked: the structure of every object of the version (unknown fields, kinds, required fields, choices), references
    /// (into this document only, to the right kind, not in circles), path templates and their parameters, operation ids,
    /// responses, servers, security. Schema Objects may hold keywords beyond OpenAPI's; those known are checked. Values under
    /// `x-…` are free. Cost: about a second for the largest document allowed.
    package static func read(
        _ bytes: [UInt8], limits: OpenAPILimits = .standard
    ) throws(OpenAPIError) -> OpenAPIDocument {
        let root: Node
        do {
            root = try DocumentReader.parse(bytes, limits: limits.document)
        } catch {
            throw InvalidDocument(problems: [error.problem])
        }
        let version: OpenAPIVersion = try OpenAPIVersion.detect(root)
        try DocumentCheck(root, version, limits).run()
        return OpenAPIDocument(checked: root, version)
    }
}

extension OpenAPIVersion {
    /// The version that the root names; throws the one problem that this is no OpenAPI document.
    static func detect(_ root: Node) throws(OpenAPIError) -> OpenAPIVersion {
        let wanted: String = "swagger: \"2.0\", or openapi: with 3.0.x or 3.1.x"
        guard root.members != nil else {
            throw Self.error("", root.position, "expected an OpenAPI document (a mapping), found \(root.kindName)")
        }
        if let version: Node = root["swagger"] {
            if version.text == "2.0" { return .v2 }
            throw Self.error("/swagger", version.position, "expected \(wanted), found \(Self.shown(version))")
        }
        guard let version: Node = root["openapi"] else {
            throw Self.error("", root.position, "expected an OpenAPI document: \(wanted)")
        }
        if let text: String = version.text {
            if self.isPatch(of: "3.0.", text) { return .v3_0 }
            if self.isPatch(of: "3.1.", text) { return .v3_1 }
        }
        throw Self.error("/openapi", version.position, "expected \(wanted), found \(Self.shown(version))")
    }

    private static func isPatch(of prefix: String, _ text: String) -> Bool {
        guard text.hasPrefix(prefix), text.utf8.count > prefix.utf8.count else { return false }
        // "3.1.0-rc1" is a version too.
        return text.utf8.dropFirst(prefix.utf8.count).first.map { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }
            ?? false
    }

    private static func shown(_ version: Node) -> String {
        switch version.kind {
        case .int, .double: return "the number \(version.json().jsonText) (put it in quotes)"
        case .string(let text): return Quoted.text(text)
        default: return version.kindName
        }
    }

    private static func error(_ pointer: String, _ position: SourcePosition, _ message: String) -> OpenAPIError {
        InvalidDocument(problems: [Problem(pointer: pointer, at: position, message)])
    }
}
