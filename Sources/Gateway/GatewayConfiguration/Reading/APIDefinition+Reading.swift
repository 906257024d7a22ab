import Documents

extension APIDefinition {
    private static let known: [String] = [
        "id", "tenant", "product", "name", "revision", "hosts", "routes", "upstream", "policies", "encoded_slashes",
    ]

    static func read(_ decoder: NodeDecoder) -> APIDefinition? {
        var places: [NodeDecoder] = []
        return self.read(decoder, routePlaces: &places)
    }

    /// Reads an API; `routePlaces` gets a decoder for each route that was read, for problems found later.
    static func read(_ decoder: NodeDecoder, routePlaces: inout [NodeDecoder]) -> APIDefinition? {
        guard let fields: NodeFields = decoder.fields(self.known, planned: ["openapi", "cors"]) else { return nil }
        let id: String? = fields.required("id")?.id()
        let tenant: String? = fields.tenant()
        let product: String?? = fields.optional("product") { $0.id() }
        let name: String?? = fields.optional("name") { $0.string(length: 1...200) }
        let revision: Int?? = fields.optional("revision") { $0.integer(in: 1...Int.max) }
        let hosts: [HostPattern]? = self.hosts(fields)
        var places: [NodeDecoder] = []
        let routes: [RouteDefinition]? = fields.required("routes")?.list(count: 1...APIDefinition.routesMax) {
            element in
            let route: RouteDefinition? = RouteDefinition.read(element)
            if route != nil { places.append(element) }
            return route
        }
        let upstream: UpstreamDefinition? = fields.required("upstream").flatMap { UpstreamDefinition.read($0) }
        let policies: [PolicyDefinition]? = PolicyDefinition.readList(fields)
        let slashes: EncodedSlashes? = fields.choice(
            "encoded_slashes", default: .refuse, ["refuse": .refuse, "keep": .keep])
        guard let id, let tenant, let product, let name, let revision, let hosts, let routes, let upstream,
            let policies,
            let slashes
        else { return nil }
        routePlaces = places
        return APIDefinition(
            id: id, tenant: tenant, product: product, name: name, revision: revision.map { Int64($0) }, hosts: hosts,
            routes: routes,
            upstream: upstream, policies: policies, encodedSlashes: slashes)
    }

    private static func hosts(_ fields: NodeFields) -> [HostPattern]? {
        var seen: Set<HostPattern> = []
        return fields.list("hosts", count: 0...APIDefinition.hostsMax) { decoder in
            guard let host: HostPattern = decoder.host() else { return nil }
            if !seen.insert(host).inserted { decoder.problem("expected each host only once") }
            return host
        }
    }
}

extension RouteDefinition {
    static func read(_ decoder: NodeDecoder) -> RouteDefinition? {
        let known: [String] = ["id", "path", "methods", "headers", "query", "policies"]
        let planned: [String] = ["regex", "rewrite", "redirect", "upstream"]
        guard let fields: NodeFields = decoder.fields(known, planned: planned) else { return nil }
        let id: String?? = fields.optional("id") { $0.string(length: 1...200) }
        // A path that is planned but not there yet has been refused already; asking for 'path' as well would mislead.
        let path: PathPattern? = fields["regex"] == nil ? fields.required("path")?.path() : fields["path"]?.path()
        let methods: [String]? = self.methods(fields)
        let headers: [RouteCondition]? = fields.value("headers", default: []) { self.conditions($0, areHeaders: true) }
        let query: [RouteCondition]? = fields.value("query", default: []) { self.conditions($0, areHeaders: false) }
        let policies: [PolicyDefinition]? = PolicyDefinition.readList(fields)
        guard let id, let path, let methods, let headers, let query, let policies else { return nil }
        return RouteDefinition(
            id: id, path: path, methods: methods, headers: headers, query: query, policies: policies)
    }

    private static func methods(_ fields: NodeFields) -> [String]? {
        var seen: Set<String> = []
        return fields.list("methods", count: 0...RouteDefinition.methodsMax) { decoder in
            let method: String? = decoder.choice([
                "GET": "GET", "HEAD": "HEAD", "POST": "POST", "PUT": "PUT", "PATCH": "PATCH", "DELETE": "DELETE",
                "OPTIONS": "OPTIONS", "TRACE": "TRACE",
            ])
            if let method, !seen.insert(method).inserted { decoder.problem("expected each method only once") }
            return method
        }
    }

    /// `name: value` pairs; `"*"` stands for any value.
    private static func conditions(_ decoder: NodeDecoder, areHeaders: Bool) -> [RouteCondition]? {
        let pairs: [(key: String, value: RouteCondition)]? = decoder.dictionary { name, element in
            guard let text: String = element.string(length: 0...HeaderRules.valueLengthMax) else { return nil }
            let value: String? = text == "*" ? nil : text
            return areHeaders ? self.header(name, value, element) : self.query(name, value, element)
        }
        guard let pairs else { return nil }
        if pairs.count > RouteDefinition.conditionsMax {
            decoder.problem("expected at most \(RouteDefinition.conditionsMax) conditions, found \(pairs.count)")
        }
        var names: Set<String> = []
        var conditions: [RouteCondition] = []
        for (_, condition) in pairs {
            if !names.insert(condition.name).inserted {
                decoder.problem("expected each name only once, found \(condition.name) again")
            }
            conditions.append(condition)
        }
        return conditions
    }

    private static func header(_ name: String, _ value: String?, _ element: NodeDecoder) -> RouteCondition? {
        guard let lower: String = HeaderRules.name(name) else {
            element.problem("expected the name of a header field")
            return nil
        }
        return RouteCondition(name: lower, value: value)
    }

    /// Query strings are compared as they are sent, so a name or value that cannot be sent would never match.
    private static func query(_ name: String, _ value: String?, _ element: NodeDecoder) -> RouteCondition? {
        let isName: Bool = !name.isEmpty && self.isSendable(name) && !name.utf8.contains(UInt8(ascii: "="))
        guard isName, self.isSendable(value ?? "") else {
            element.problem(
                "expected a name and a value as they stand in a query: percent-encoded, without '&' and '#'")
            return nil
        }
        return RouteCondition(name: name, value: value)
    }

    private static func isSendable(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "&") && $0 != UInt8(ascii: "#") }
    }
}
