import GatewayConfiguration
import JSON
import OpenAPI
import REST

/// What an import says of the gateway beside the document: the member `gateway`, in the words of the gateway's configuration.
///
/// `upstream` is an upstream without `strip_prefix` (the base path is always taken off); without `targets`, the import's `upstream`
/// is its one target. `routes` are settings for paths of the document, `path` and `methods` as they stand there.
struct GatewayOptions: Sendable {
    let upstream: JSONObject?
    let routes: [JSONValue]
    let encodedSlashes: JSONValue?
    let version: JSONValue?

    static let schema: JSONValue = Schema.object([
        "upstream": .object(["type": "object"]), "routes": Schema.array(.object(["type": "object"]), max: 5_000),
        "encoded_slashes": Schema.choice(["refuse", "keep"]), "version": .object(["type": "object"]),
    ])

    init(_ body: JSONValue?) {
        self.upstream = body?["upstream"]?.object
        self.routes = body?["routes"]?.elements ?? []
        self.encodedSlashes = body?["encoded_slashes"]
        self.version = body?["version"]
    }

    var hasTargets: Bool { self.upstream?["targets"] != nil }

    /// The upstream of the API. - Parameter url: the import's `upstream`; empty where it has none.
    func upstream(url: String, basePath: String, tenant: String) throws(APIProblem) -> JSONValue {
        var upstream: JSONObject = try self.checked(self.upstream ?? [:], "/gateway/upstream", tenant: tenant)
        if self.hasTargets {
            guard url.isEmpty else {
                throw APIProblem.invalid("/upstream", "expected 'upstream' or 'gateway.upstream.targets', not both")
            }
        } else {
            guard !url.isEmpty else {
                throw APIProblem.invalid("/upstream", "expected the URL requests go to, or 'gateway.upstream.targets'")
            }
            upstream["targets"] = .array([.object(["url": .string(url)])])
        }
        upstream["strip_prefix"] = .string(basePath)
        return .object(upstream)
    }

    /// Routes of the document's paths, each with the place of its settings in `routes`; nil: it has none.
    ///
    /// Settings with conditions leave the path's plain route beside theirs; others take their methods from it.
    func routes(
        of document: OpenAPIDocument, basePath: String, tenant: String
    ) throws(APIProblem) -> [(route: JSONValue, source: Int?)] {
        var order: [String] = []
        var methods: [String: [String]] = [:]
        for operation in document.operations {
            if methods[operation.path] == nil { order.append(operation.path) }
            methods[operation.path, default: []].append(operation.method.uppercased())
        }
        var own: [String: [Int]] = [:]
        for (index, settings) in self.routes.enumerated() {
            guard let path: String = settings["path"]?.text, methods[path] != nil else {
                throw APIProblem.invalid(
                    "/gateway/routes/\(index)/path", "expected a path of the document, as it is written there")
            }
            own[path, default: []].append(index)
        }
        var routes: [(route: JSONValue, source: Int?)] = []
        for path in order {
            var left: [String] = methods[path] ?? []
            for index in own[path] ?? [] {
                let settings: JSONObject = self.routes[index].object ?? [:]
                let wanted: [String] = try self.methods(settings, index, known: methods[path] ?? [])
                let isConditional: Bool = settings["headers"] != nil || settings["query"] != nil
                if !isConditional { left.removeAll { wanted.contains($0) } }
                let route: JSONObject = try self.route(
                    settings, index, wanted, of: document, basePath: basePath, tenant: tenant)
                for one in Self.placed(route, path: path, basePath: basePath) { routes.append((one, index)) }
            }
            if left.isEmpty { continue }
            let plain: JSONObject = ["methods": .array(left.map { .string($0) })]
            for one in Self.placed(plain, path: path, basePath: basePath) { routes.append((one, nil)) }
        }
        return routes
    }

    private func methods(
        _ settings: JSONObject, _ index: Int, known: [String]
    ) throws(APIProblem) -> [String] {
        guard let wanted: [JSONValue] = settings["methods"]?.elements else { return known }
        var methods: [String] = []
        for (place, value) in wanted.enumerated() {
            guard let method: String = value.text, known.contains(method) else {
                throw APIProblem.invalid(
                    "/gateway/routes/\(index)/methods/\(place)",
                    "expected a method of the path: \(known.joined(separator: ", "))")
            }
            methods.append(method)
        }
        return methods
    }

    private func route(
        _ settings: JSONObject, _ index: Int, _ methods: [String], of document: OpenAPIDocument, basePath: String,
        tenant: String
    ) throws(APIProblem) -> JSONObject {
        var route: JSONObject = settings
        if let policies: [JSONValue] = settings["policies"]?.elements {
            let place: String = "/gateway/routes/\(index)/policies"
            try Self.refuseFiles(policies, at: place)
            route["policies"] = .array(try ValidationDocument.filled(policies, from: document, at: place))
        }
        route["methods"] = .array(methods.map { .string($0) })
        guard let upstream: JSONObject = settings["upstream"]?.object else { return route }
        var own: JSONObject = try self.checked(upstream, "/gateway/routes/\(index)/upstream", tenant: tenant)
        own["strip_prefix"] = .string(basePath)
        route["upstream"] = .object(own)
        return route
    }

    /// The route at its path; at the root also without the slash.
    private static func placed(_ route: JSONObject, path: String, basePath: String) -> [JSONValue] {
        var placed: JSONObject = route
        placed["path"] = .string(basePath + path)
        guard path == "/" else { return [.object(placed)] }
        var root: JSONObject = route
        root["path"] = .string(basePath)
        if let id: String = route["id"]?.text { root["id"] = .string("\(id) \(basePath)") }
        return [.object(placed), .object(root)]
    }

    // MARK: What a tenant may not say

    /// Where gateways keep certificates that tenants may name, in their data folders.
    static let certificateFolder: String = "upstream-certificates"

    /// Refuses policies that name a file: on the machines of gateways a tenant has none.
    static func refuseFiles(_ policies: [JSONValue], at place: String = "/policies") throws(APIProblem) {
        for (index, policy) in policies.enumerated() {
            let issuers: [JSONValue] = policy["jwt"]?["issuers"]?.elements ?? []
            for (number, issuer) in issuers.enumerated() where issuer["keys"]?["file"] != nil {
                throw APIProblem.invalid(
                    "\(place)/\(index)/jwt/issuers/\(number)/keys/file",
                    "expected url or jwks in its place: files are for a gateway that runs from a file of its own")
            }
        }
    }

    /// An upstream with the files of its certificate in the tenant's own folder: a tenant cannot show a target what is another's. A
    /// key as text has to be a secret: an API's revisions are kept for ever, and many may read them.
    private func checked(
        _ upstream: JSONObject, _ place: String, tenant: String
    ) throws(APIProblem) -> JSONObject {
        if upstream["strip_prefix"] != nil {
            throw APIProblem.invalid("\(place)/strip_prefix", "expected none: the base path is always taken off")
        }
        guard var tls: JSONObject = upstream["tls"]?.object, var files: JSONObject = tls["certificate"]?.object else {
            return upstream
        }
        if let key: JSONValue = files["key_pem"], key.text.map({ !SecretReference.isOneReference($0) }) ?? true {
            throw APIProblem.invalid(
                "\(place)/tls/certificate/key_pem", "expected a secret, such as secret://orders-client-key")
        }
        for name in ["cert", "key"] {
            guard let file: String = files[name]?.text else { continue }
            guard EntryRules.problem(id: file) == nil, !file.hasPrefix(".") else {
                throw APIProblem.invalid(
                    "\(place)/tls/certificate/\(name)",
                    "expected the name of a file in the folder \(Self.certificateFolder)/\(tenant) of the gateways")
            }
            files[name] = .string("\(Self.certificateFolder)/\(tenant)/\(file)")
        }
        tls["certificate"] = .object(files)
        var checked: JSONObject = upstream
        checked["tls"] = .object(tls)
        return checked
    }
}
