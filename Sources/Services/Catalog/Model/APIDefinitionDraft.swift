import Bytes
import Crypto
import Documents
import GatewayConfiguration
import Identifiers
import JSON
import OpenAPI
import REST

/// What an import asks for, as the request says it.
struct ImportRequest: Sendable {
    /// Largest OpenAPI document, bytes. JSON escapes at most double what is text.
    static let documentBytesMax: Int = 8 << 20
    static let bodyBytesMax: Int = 2 * Self.documentBytesMax + (1 << 20)

    let document: [UInt8]
    let upstream: String
    let name: String?
    let basePath: String?
    let needsKey: Bool
    /// Policies put behind authentication, as the gateway document has them.
    let policies: [JSONValue]

    static let schema: JSONValue = Schema.object(
        [
            "name": Schema.text(min: 1, max: 63), "document": Schema.text(min: 1, max: documentBytesMax),
            "upstream": Schema.text(min: 1, max: 2_048), "base_path": Schema.text(min: 1, max: 1_024),
            "authentication": Schema.choice(["api_key", "none"]),
            "policies": Schema.array(.object(["type": "object"]), max: 64),
        ], required: ["document", "upstream"])

    init(_ body: JSONValue) {
        self.document = Array((body["document"]?.text ?? "").utf8)
        self.upstream = body["upstream"]?.text ?? ""
        self.name = body["name"]?.text
        self.basePath = body["base_path"]?.text
        self.needsKey = body["authentication"]?.text != "none"
        self.policies = body["policies"]?.elements ?? []
    }
}

/// A revision before it is stored: the checked document and the gateway configuration made from it. Made outside any
/// transaction, because reading a document takes its time.
struct APIDefinitionDraft: Sendable {
    let document: [UInt8]
    let documentHash: String
    let title: String
    let apiVersion: String
    let name: String
    let basePath: String
    /// Where the gateway forwards to.
    let upstream: String
    /// An entry of the gateway document's `apis` without `id`, `tenant` and `hosts`.
    let gateway: JSONValue
    /// SHA-256 of its canonical form, lower-case hex.
    let gatewayHash: String

    /// - Throws: an invalid-document problem with every finding by line, column and pointer; or an invalid-request problem.
    /// - Parameter existing: name and base path of the API when this becomes a further revision of one.
    init(_ request: ImportRequest, existing: (name: String, basePath: String)?) throws {
        let document: OpenAPIDocument = try Self.read(request.document)
        self.document = request.document
        self.documentHash = Hex.encode(SHA256.hash(request.document))
        self.title = document.title
        self.apiVersion = document.apiVersion
        self.name = try existing?.name ?? Self.name(request.name, title: document.title)
        self.basePath = try Self.basePath(request.basePath ?? existing?.basePath, document: document, name: self.name)
        self.upstream = request.upstream
        self.gateway = try Self.gateway(request, document: document, basePath: self.basePath)
        self.gatewayHash = Hex.encode(SHA256.hash(self.gateway.canonical()))
        try Self.check(self.gateway, of: request)
    }

    private static func read(_ bytes: [UInt8]) throws -> OpenAPIDocument {
        // The schema counts characters; this is about bytes.
        guard bytes.count <= ImportRequest.documentBytesMax else {
            throw APIProblem.invalid("/document", "expected at most \(ImportRequest.documentBytesMax) bytes")
        }
        do {
            return try OpenAPIDocument.read(bytes)
        } catch {
            throw Self.invalid(error.problems)
        }
    }

    /// The problem document of a document's findings: line and column beside the pointer.
    private static func invalid(_ problems: [Problem]) -> APIProblem {
        var errors: [JSONValue] = []
        for problem in problems {
            errors.append(
                .object([
                    "pointer": .string(problem.pointer), "line": .int(Int64(problem.line)),
                    "column": .int(Int64(problem.column)), "detail": .string(problem.message),
                ]))
        }
        let count: String = problems.count == 1 ? "one problem" : "\(problems.count) problems"
        var problem: APIProblem = APIProblem(.invalidDocument, "The OpenAPI document has \(count); nothing was stored.")
        problem.members["errors"] = .array(errors)
        return problem
    }

    private static func name(_ wanted: String?, title: String) throws -> String {
        if let wanted: String {
            if let problem: String = Slug.validate(wanted) { throw APIProblem.invalid("/name", problem) }
            return wanted
        }
        let name: String = Self.slug(of: title)
        if Slug.validate(name) != nil {
            throw APIProblem.invalid("/name", "no name can be made from the title '\(title.prefix(100))': give one")
        }
        return name
    }

    /// Letters and digits of the text in lower case, everything else as single hyphens.
    static func slug(of text: String) -> String {
        var bytes: [UInt8] = []
        for byte in text.lowercased().utf8 {
            let isWord: Bool = (byte >= 48 && byte <= 57) || (byte >= 97 && byte <= 122)
            if isWord { bytes.append(byte) } else if let last: UInt8 = bytes.last, last != 45 { bytes.append(45) }
            if bytes.count == Slug.lengthMax { break }
        }
        while bytes.last == 45 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func basePath(_ wanted: String?, document: OpenAPIDocument, name: String) throws -> String {
        var path: String = wanted ?? document.basePath ?? ""
        while path.utf8.last == UInt8(ascii: "/") { path.removeLast() }
        if path.isEmpty { path = "/\(name)" }
        guard path.utf8.first == UInt8(ascii: "/"), !path.utf8.contains(UInt8(ascii: "{")),
            !path.utf8.contains(UInt8(ascii: "*"))
        else { throw APIProblem.invalid("/base_path", "expected a path such as /orders, without parameters and '*'") }
        return path
    }

    /// One route a path with its methods. The base path is always removed before forwarding: the upstream's URL says where the
    /// API's root is there.
    private static func gateway(
        _ request: ImportRequest, document: OpenAPIDocument, basePath: String
    ) throws -> JSONValue {
        var order: [String] = []
        var methods: [String: [JSONValue]] = [:]
        for operation in document.operations {
            if methods[operation.path] == nil { order.append(operation.path) }
            methods[operation.path, default: []].append(.string(operation.method.uppercased()))
        }
        var routes: [JSONValue] = []
        for path in order {
            let list: JSONValue = .array(methods[path] ?? [])
            routes.append(.object(["path": .string(basePath + path), "methods": list]))
            if path == "/" { routes.append(.object(["path": .string(basePath), "methods": list])) }
        }
        var policies: [JSONValue] = []
        if request.needsKey { policies.append(.object(["api_key": .object(["header": "X-API-Key"])])) }
        policies.append(contentsOf: try ValidationDocument.filled(request.policies, from: document))
        return .object([
            "routes": .array(routes),
            "upstream": .object([
                "targets": .array([.object(["url": .string(request.upstream)])]), "strip_prefix": .string(basePath),
            ]),
            "policies": .array(policies),
        ])
    }

    /// Reads the gateway configuration as a gateway will, so that what cannot compile is refused here and not in production.
    private static func check(_ gateway: JSONValue, of request: ImportRequest) throws {
        let problems: [Problem] = Self.problems(of: gateway)
        if problems.isEmpty { return }
        var others: Set<String> = []
        for problem in Self.problems(of: Self.withoutPolicies(gateway, of: request)) { others.insert(problem.pointer) }
        var errors: [InvalidField] = []
        for problem in problems {
            let field: String =
                others.contains(problem.pointer)
                ? Self.field(of: problem.pointer, request) : Self.policy(of: problem.pointer, request)
            errors.append(InvalidField(field, problem.message))
        }
        throw APIProblem(
            .invalidRequest, "The gateway configuration made from this import is not valid.", errors: errors)
    }

    private static func problems(of gateway: JSONValue) -> [Problem] {
        var entry: JSONObject = gateway.object ?? [:]
        entry["id"] = "check"
        entry["tenant"] = "check"
        return APIDefinition.problems(json: .object(entry))
    }

    /// The configuration with nothing but what the platform puts into it: what is wrong with it then is not the policies' fault.
    private static func withoutPolicies(_ gateway: JSONValue, of request: ImportRequest) -> JSONValue {
        var entry: JSONObject = gateway.object ?? [:]
        let policies: [JSONValue] = entry["policies"]?.elements ?? []
        entry["policies"] = .array(Array(policies.dropLast(request.policies.count)))
        return .object(entry)
    }

    /// The field of the request that a place in the gateway document was made from.
    private static func field(of pointer: String, _ request: ImportRequest) -> String {
        if pointer.hasPrefix("/apis/0/upstream") {
            return pointer.hasSuffix("/strip_prefix") ? "/base_path" : "/upstream"
        }
        let isBaseFine: Bool = request.basePath.map { (try? PathPattern(parsing: $0)) != nil } ?? true
        return isBaseFine ? "/document" : "/base_path"
    }

    /// The policy of the request that a place in the gateway document belongs to; all of them where a rule about several fails.
    private static func policy(of pointer: String, _ request: ImportRequest) -> String {
        let parts: [Substring] = pointer.split(separator: "/")
        guard parts.count > 3, parts[2] == "policies", let index: Int = Int(parts[3]) else { return "/policies" }
        let own: [Substring] = ["policies", "\(index - (request.needsKey ? 1 : 0))"]
        return "/" + (own + parts.dropFirst(4)).joined(separator: "/")
    }
}
