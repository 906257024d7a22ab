import Documents

extension APIDefinition {
    private static let known: [String] = [
        "id", "tenant", "product", "name", "revision", "hosts", "version", "routes", "upstream", "policies",
        "encoded_slashes",
    ]

    static func read(_ decoder: NodeDecoder) -> APIDefinition? {
        var places: [NodeDecoder] = []
        return self.read(decoder, routePlaces: &places)
    }

    /// Reads an API; `routePlaces` gets a decoder for each route that was read, for problems found later.
    static func read(_ decoder: NodeDecoder, routePlaces: inout [NodeDecoder]) -> APIDefinition? {
        guard let fields: NodeFields = decoder.fields(self.known) else { return nil }
        let id: String? = fields.required("id")?.id()
        let tenant: String? = fields.tenant()
        let product: String?? = fields.optional("product") { $0.id() }
        let name: String?? = fields.optional("name") { $0.string(length: 1...200) }
        let revision: Int?? = fields.optional("revision") { $0.integer(in: 1...Int.max) }
        let hosts: [HostPattern]? = self.hosts(fields)
        let version: VersionDefinition?? = fields.optional("version") { VersionDefinition.read($0) }
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
        guard let id, let tenant, let product, let name, let revision, let hosts, let version, let routes, let upstream,
            let policies,
            let slashes
        else { return nil }
        routePlaces = places
        return APIDefinition(
            id: id, tenant: tenant, product: product, name: name, revision: revision.map { Int64($0) }, hosts: hosts,
            version: version, routes: routes,
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
        let known: [String] = ["id", "path", "regex", "methods", "headers", "query", "policies", "upstream", "cost"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let id: String?? = fields.optional("id") { $0.string(length: 1...200) }
        let path: PathPattern? = self.path(fields)
        let methods: [String]? = self.methods(fields)
        let headers: [RouteCondition]? = fields.value("headers", default: []) { self.conditions($0, areHeaders: true) }
        let query: [RouteCondition]? = fields.value("query", default: []) { self.conditions($0, areHeaders: false) }
        let policies: [PolicyDefinition]? = PolicyDefinition.readList(fields)
        let upstream: UpstreamDefinition?? = fields.optional("upstream") { UpstreamDefinition.read($0) }
        let cost: Int? = fields.integer("cost", default: 1, in: RouteDefinition.costs)
        guard let id, let path, let methods, let headers, let query, let policies, let upstream, let cost else {
            return nil
        }
        return RouteDefinition(
            id: id, path: path, methods: methods, headers: headers, query: query, policies: policies,
            upstream: upstream, cost: cost)
    }

    /// Either `path` or `regex`.
    private static func path(_ fields: NodeFields) -> PathPattern? {
        guard let regex: NodeDecoder = fields["regex"] else { return fields.required("path")?.path() }
        if fields["path"] != nil { fields.problem("expected either 'path' or 'regex'") }
        return regex.expression().map { PathPattern(regex: $0) }
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

    /// Names with a value, `"*"` for any value, or one of `exact`, `prefix`, `regex` and `present`.
    private static func conditions(_ decoder: NodeDecoder, areHeaders: Bool) -> [RouteCondition]? {
        let pairs: [(key: String, value: RouteCondition)]? = decoder.dictionary { name, element in
            guard let test: RouteCondition.Test = self.test(element) else { return nil }
            return areHeaders ? self.header(name, test, element) : self.query(name, test, element)
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

    private static func test(_ decoder: NodeDecoder) -> RouteCondition.Test? {
        let lengths: ClosedRange<Int> = 0...HeaderRules.valueLengthMax
        guard let members: [Node.Member] = decoder.node.members else {
            return decoder.string(length: lengths).map { $0 == "*" ? .present : .exact($0) }
        }
        guard let fields: NodeFields = decoder.fields(["exact", "prefix", "regex", "present"]) else { return nil }
        guard members.count == 1 else {
            decoder.problem("expected one of 'exact', 'prefix', 'regex' and 'present'")
            return nil
        }
        if let value: NodeDecoder = fields["exact"] { return value.string(length: lengths).map { .exact($0) } }
        if let value: NodeDecoder = fields["prefix"] {
            return value.string(length: 1...HeaderRules.valueLengthMax).map { .prefix($0) }
        }
        if let value: NodeDecoder = fields["regex"] { return value.expression().map { .regex($0) } }
        return fields["present"]?.boolean().map { $0 ? .present : .absent }
    }

    private static func header(
        _ name: String, _ test: RouteCondition.Test, _ element: NodeDecoder
    ) -> RouteCondition? {
        guard let lower: String = HeaderRules.name(name) else {
            element.problem("expected the name of a header field")
            return nil
        }
        return RouteCondition(name: lower, test: test)
    }

    /// Query strings are compared as they are sent, so a name or value that cannot be sent would never match.
    private static func query(
        _ name: String, _ test: RouteCondition.Test, _ element: NodeDecoder
    ) -> RouteCondition? {
        let isName: Bool = !name.isEmpty && self.isSendable(name) && !name.utf8.contains(UInt8(ascii: "="))
        var value: String = ""
        switch test {
        case .exact(let text), .prefix(let text): value = text
        default: break
        }
        guard isName, self.isSendable(value) else {
            element.problem(
                "expected a name and a value as they stand in a query: percent-encoded, without '&' and '#'")
            return nil
        }
        return RouteCondition(name: name, test: test)
    }

    private static func isSendable(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "&") && $0 != UInt8(ascii: "#") }
    }
}

extension VersionDefinition {
    static func read(_ decoder: NodeDecoder) -> VersionDefinition? {
        let known: [String] = ["name", "in", "header", "query", "default"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let name: String? = fields.required("name")?.id()
        let header: String?? = fields.optional("header") { $0.fieldName() }
        let query: String?? = fields.optional("query") { $0.id() }
        let isDefault: Bool? = fields.boolean("default", default: false)
        let place: String? = fields.required("in")?.choice(["path": "path", "header": "header", "query": "query"])
        guard let name, let header, let query, let isDefault, let place else { return nil }
        if header != nil && place != "header" { fields["header"]?.problem("expected 'header' only with 'in: header'") }
        if query != nil && place != "query" { fields["query"]?.problem("expected 'query' only with 'in: query'") }
        switch place {
        case "path":
            if isDefault { fields["default"]?.problem("expected 'default' only with 'in: header' or 'in: query'") }
            return VersionDefinition(name: name, place: .path)
        case "header":
            guard let header else {
                fields.problem("expected 'header', the field that names the version")
                return nil
            }
            return VersionDefinition(name: name, place: .header(header), isDefault: isDefault)
        default:
            guard let query else {
                fields.problem("expected 'query', the parameter that names the version")
                return nil
            }
            return VersionDefinition(name: name, place: .query(query), isDefault: isDefault)
        }
    }
}
