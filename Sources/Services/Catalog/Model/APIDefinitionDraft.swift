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
    /// Whether there is none: the latest revision's is meant.
    let lacksDocument: Bool
    /// Empty: there is none.
    let upstream: String
    let name: String?
    let basePath: String?
    let needsKey: Bool
    /// Policies put behind authentication, as the gateway document has them.
    let policies: [JSONValue]
    let options: GatewayOptions
    /// Where something looks like a reference to a secret and is none.
    let noReferences: [InvalidField]

    /// Of a first import, and of a further revision, which may leave the document as it was.
    static let schema: JSONValue = schema(["labels": LabelsField.schema], required: ["document"])
    static let revisionSchema: JSONValue = schema([:], required: [])

    private static func schema(_ more: JSONObject, required: [String]) -> JSONValue {
        var properties: JSONObject = [
            "name": Schema.text(min: 1, max: 63), "document": Schema.text(min: 1, max: documentBytesMax),
            "upstream": Schema.text(min: 1, max: 2_048), "base_path": Schema.text(min: 1, max: 1_024),
            "authentication": Schema.choice(["api_key", "none"]),
            "policies": Schema.array(.object(["type": "object"]), max: 64), "gateway": GatewayOptions.schema,
        ]
        for member in more.members { properties[member.key] = member.value }
        var schema: JSONObject = Schema.object(properties, required: required).object ?? [:]
        // Where requests go is said in one place or the other.
        schema["allOf"] = [["anyOf": [["required": ["upstream"]], ["required": ["gateway"]]]]]
        return .object(schema)
    }

    /// - Parameter latest: the document of the latest revision, for an import without one.
    init(_ body: JSONValue, latest: [UInt8] = []) {
        self.lacksDocument = body["document"] == nil
        self.document = body["document"]?.text.map { Array($0.utf8) } ?? latest
        self.options = GatewayOptions(body["gateway"])
        self.upstream = body["upstream"]?.text ?? ""
        self.name = body["name"]?.text
        self.basePath = body["base_path"]?.text
        self.needsKey = body["authentication"]?.text != "none"
        self.policies = body["policies"]?.elements ?? []
        var noReferences: [InvalidField] = []
        for name in ["upstream", "policies", "gateway"] {
            let place: JSONPointer = JSONPointer(tokens: [name])
            for problem in SecretReference.problems(in: body[name] ?? .null, at: place) {
                noReferences.append(InvalidField(problem.place.text, problem.message))
            }
        }
        self.noReferences = noReferences
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
    /// Where the gateway forwards to, for people: the URLs of the API's first targets.
    let upstream: String
    private static let targetsShown: Int = 8
    /// An entry of the gateway document's `apis` without `id`, `tenant` and `hosts`.
    let gateway: JSONValue
    /// SHA-256 of its canonical form, lower-case hex.
    let gatewayHash: String

    /// - Throws: an invalid-document problem with every finding by line, column and pointer; or an invalid-request problem.
    /// - Parameter existing: name and base path of the API when this becomes a further revision of one.
    init(_ request: ImportRequest, tenant: String, existing: (name: String, basePath: String)?) throws {
        if request.lacksDocument, request.document.isEmpty {
            throw APIProblem.invalid("/document", "expected an OpenAPI document")
        }
        guard request.noReferences.isEmpty else {
            throw APIProblem(
                .invalidRequest, "The API refers to secrets in a way that none can be found by.",
                errors: request.noReferences)
        }
        let document: OpenAPIDocument = try Self.read(request.document)
        self.document = request.document
        self.documentHash = Hex.encode(SHA256.hash(request.document))
        self.title = document.title
        self.apiVersion = document.apiVersion
        self.name = try existing?.name ?? Self.name(request.name, title: document.title)
        self.basePath = try Self.basePath(request.basePath ?? existing?.basePath, document: document, name: self.name)
        let made: Made = try Self.gateway(request, tenant: tenant, document: document, basePath: self.basePath)
        self.gateway = made.gateway
        let targets: [JSONValue] = made.gateway["upstream"]?["targets"]?.elements ?? []
        self.upstream = targets.prefix(Self.targetsShown).compactMap { $0["url"]?.text }.joined(separator: " ")
        self.gatewayHash = Hex.encode(SHA256.hash(self.gateway.canonical()))
        try Self.check(made, of: request)
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

    /// A configuration, and which settings of the request each of its routes has.
    private struct Made {
        let gateway: JSONValue
        let sources: [Int?]
    }

    /// One route a path with its methods, and those with settings of their own. The base path is always removed before forwarding:
    /// the upstream's URL says where the API's root is there.
    private static func gateway(
        _ request: ImportRequest, tenant: String, document: OpenAPIDocument, basePath: String
    ) throws -> Made {
        let options: GatewayOptions = request.options
        let routes: [(route: JSONValue, source: Int?)] = try options.routes(
            of: document, basePath: basePath, tenant: tenant)
        var policies: [JSONValue] = []
        if request.needsKey { policies.append(.object(["api_key": .object(["header": "X-API-Key"])])) }
        try GatewayOptions.refuseFiles(request.policies)
        policies.append(contentsOf: try ValidationDocument.filled(request.policies, from: document))
        var gateway: JSONObject = [
            "routes": .array(routes.map { $0.route }),
            "upstream": try options.upstream(url: request.upstream, basePath: basePath, tenant: tenant),
            "policies": .array(policies),
        ]
        if let slashes: JSONValue = options.encodedSlashes { gateway["encoded_slashes"] = slashes }
        if let version: JSONValue = options.version { gateway["version"] = version }
        return Made(gateway: .object(gateway), sources: routes.map { $0.source })
    }

    /// Reads the gateway configuration as a gateway will, so that what cannot compile is refused here and not in production.
    private static func check(_ made: Made, of request: ImportRequest) throws {
        let problems: [Problem] = Self.problems(of: made.gateway)
        if problems.isEmpty { return }
        var others: Set<String> = []
        for problem in Self.problems(of: Self.withoutPolicies(made.gateway, of: request)) {
            others.insert(problem.pointer)
        }
        var errors: [InvalidField] = []
        for problem in problems {
            let field: String =
                others.contains(problem.pointer)
                ? Self.field(of: problem.pointer, made, request) : Self.policy(of: problem.pointer, request)
            errors.append(InvalidField(field, problem.message))
        }
        throw APIProblem(
            .invalidRequest, "The gateway configuration made from this import is not valid.", errors: errors)
    }

    /// Stands for a secret while a configuration is checked: text, and 32 bytes in base64.
    private static let possibleSecret: String = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I="

    private static func problems(of gateway: JSONValue) -> [Problem] {
        var entry: JSONObject = gateway.object ?? [:]
        entry["id"] = "check"
        entry["tenant"] = "check"
        // What a reference stands for is known where it is deployed; here it need only be possible.
        let possible: JSONValue = SecretReference.replacing(in: .object(entry)) { _, _ in Self.possibleSecret }
        return APIDefinition.problems(json: possible)
    }

    /// The configuration with nothing but what the platform puts into it: what is wrong with it then is not the policies' fault.
    private static func withoutPolicies(_ gateway: JSONValue, of request: ImportRequest) -> JSONValue {
        var entry: JSONObject = gateway.object ?? [:]
        let policies: [JSONValue] = entry["policies"]?.elements ?? []
        entry["policies"] = .array(Array(policies.dropLast(request.policies.count)))
        return .object(entry)
    }

    /// The field of the request that a place in the gateway document was made from.
    private static func field(of pointer: String, _ made: Made, _ request: ImportRequest) -> String {
        let parts: [Substring] = pointer.split(separator: "/").dropFirst(2).map { $0 }
        let rest: String = "/" + parts.joined(separator: "/")
        switch parts.first {
        case "upstream":
            if pointer.hasSuffix("/strip_prefix") { return "/base_path" }
            let isOwn: Bool = request.options.upstream != nil
            if isOwn && (request.options.hasTargets || !rest.hasPrefix("/upstream/targets")) {
                return "/gateway" + rest
            }
            return "/upstream"
        case "routes":
            guard parts.count > 1, let route: Int = Int(parts[1]), made.sources.indices.contains(route),
                let source: Int = made.sources[route]
            else { break }
            return (["/gateway/routes/\(source)"] + parts.dropFirst(2)).joined(separator: "/")
        case "encoded_slashes", "version": return "/gateway" + rest
        default: break
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
