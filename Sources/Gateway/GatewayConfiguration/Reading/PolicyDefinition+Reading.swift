import Bytes
import Documents
import JSON
import Tokens

extension PolicyDefinition {
    private static let kinds: [String] = [
        "api_key", "anonymous", "rate_limit", "quota", "concurrency", "spike_arrest", "ip", "request_size",
        "timeouts", "headers", "mock", "idempotency", "cors", "security_headers", "rewrite", "redirect",
        "transform", "cache", "compression", "jwt", "introspection", "basic", "hmac", "client_certificate", "acl",
        "identity_headers", "external_authorization", "validation", "connection_limit",
    ]
    /// Other names of policies.
    private static let synonyms: [String: String] = ["oauth2_introspection": "introspection"]

    /// The list `policies` of an API or a route.
    static func readList(_ fields: NodeFields) -> [PolicyDefinition]? {
        fields.list("policies", count: 0...PolicyDefinition.countMax) { PolicyDefinition.read($0) }
    }

    /// One policy: a mapping with its name as the only key, or the bare word `anonymous`.
    static func read(_ decoder: NodeDecoder) -> PolicyDefinition? {
        if decoder.node.text == "anonymous" { return .anonymous }
        guard let members: [Node.Member] = decoder.node.members, members.count == 1,
            let name: String = members[0].key.text
        else {
            decoder.problem("expected one policy, such as 'api_key: {header: X-API-Key}'")
            return nil
        }
        let known: [String] = self.kinds + self.synonyms.keys
        guard known.contains(name), let fields: NodeFields = decoder.fields(known) else {
            decoder.problem(self.unknown(name))
            return nil
        }
        if name == "anonymous" { return self.anonymous(fields) }
        // Policies whose fields all have defaults may stand without any.
        if fields[name] == nil {
            switch name {
            case "basic": return .basic(BasicPolicy())
            case "hmac": return .signature(SignaturePolicy())
            case "client_certificate": return .clientCertificate(ClientCertificatePolicy())
            default: break
            }
        }
        guard let body: NodeDecoder = fields.required(name) else { return nil }
        return self.read(self.synonyms[name] ?? name, body)
    }

    private static func read(_ name: String, _ body: NodeDecoder) -> PolicyDefinition? {
        switch name {
        case "jwt": return JWTPolicy.read(body).map { .jwt($0) }
        case "introspection": return IntrospectionPolicy.read(body).map { .introspection($0) }
        case "basic": return BasicPolicy.read(body).map { .basic($0) }
        case "hmac": return SignaturePolicy.read(body).map { .signature($0) }
        case "client_certificate": return ClientCertificatePolicy.read(body).map { .clientCertificate($0) }
        case "acl": return ACLPolicy.read(body).map { .acl($0) }
        case "identity_headers": return IdentityHeadersPolicy.read(body).map { .identityHeaders($0) }
        case "api_key": return APIKeyPolicy.read(body).map { .apiKey($0) }
        case "rate_limit": return RateLimitPolicy.read(body).map { .rateLimit($0) }
        case "quota": return QuotaPolicy.read(body).map { .quota($0) }
        case "concurrency": return ConcurrencyPolicy.read(body).map { .concurrency($0) }
        case "spike_arrest": return SpikeArrestPolicy.read(body).map { .spikeArrest($0) }
        case "connection_limit": return ConnectionLimitPolicy.read(body).map { .connectionLimit($0) }
        case "ip": return AddressPolicy.read(body).map { .addresses($0) }
        case "request_size": return RequestSizePolicy.read(body).map { .requestSize($0) }
        case "timeouts": return TimeoutPolicy.read(body).map { .timeouts($0) }
        case "idempotency": return IdempotencyPolicy.read(body).map { .idempotency($0) }
        case "cache": return CachePolicy.read(body).map { .cache($0) }
        case "compression": return CompressionPolicy.read(body).map { .compression($0) }
        case "external_authorization":
            return ExternalAuthorizationPolicy.read(body).map { .externalAuthorization($0) }
        case "validation": return ValidationPolicy.read(body).map { .validation($0) }
        case "mock": return MockPolicy.read(body).map { .mock($0) }
        case "cors": return CORSPolicy.read(body).map { .cors($0) }
        case "security_headers": return SecurityHeadersPolicy.read(body).map { .securityHeaders($0) }
        case "rewrite": return RewritePolicy.read(body).map { .rewrite($0) }
        case "redirect": return RedirectPolicy.read(body).map { .redirect($0) }
        case "transform": return TransformPolicy.read(body).map { .transform($0) }
        default: return HeaderPolicy.read(body).map { .headers($0) }
        }
    }

    private static func unknown(_ name: String) -> String {
        let message: String = "unknown policy \(Quoted.text(name))"
        if let meant: String = NearestName.suggestion(for: name, among: self.kinds) {
            return message + ", did you mean \(Quoted.text(meant))?"
        }
        return message + ", expected one of \(self.kinds.joined(separator: ", "))"
    }

    /// `anonymous:`, `anonymous: {}` and `anonymous: true` mean the same.
    private static func anonymous(_ fields: NodeFields) -> PolicyDefinition? {
        guard let body: NodeDecoder = fields["anonymous"] else { return .anonymous }
        if case .bool(true) = body.node.kind { return .anonymous }
        return body.fields([]) == nil ? nil : .anonymous
    }
}

extension APIKeyPolicy {
    static func read(_ decoder: NodeDecoder) -> APIKeyPolicy? {
        guard let fields: NodeFields = decoder.fields(["header", "query"]) else { return nil }
        let header: String?? = fields.optional("header") { element in
            guard let name: String = element.fieldName() else { return nil }
            if HeaderRules.isReserved(name) { element.problem("expected a header field that can hold a key") }
            return name
        }
        let query: String?? = fields.optional("query") { element in
            element.parsed("the name of a query parameter: letters, digits, '-', '_' or '.'") {
                EntryRules.problem(id: $0) == nil ? $0 : nil
            }
        }
        if fields["header"] == nil && fields["query"] == nil {
            fields.problem("expected 'header', 'query' or both")
            return nil
        }
        guard let header, let query else { return nil }
        return APIKeyPolicy(header: header, query: query)
    }
}

extension RateLimitPolicy {
    static let windows: ClosedRange<Duration> = RateLimitPolicy.windowMin...RateLimitPolicy.windowMax

    static func read(_ decoder: NodeDecoder) -> RateLimitPolicy? {
        let known: [String] = ["limit", "window", "by", "header", "claim", "algorithm", "scope", "name", "cost"]
        guard let fields: NodeFields = decoder.fields(known) else { return nil }
        let cost: Int?? = fields.optional("cost") { $0.integer(in: RouteDefinition.costs) }
        let limit: Int? = fields.integer("limit", in: 1...Int(RateLimitPolicy.limitMax))
        let window: Duration? = fields.duration("window", in: self.windows)
        let by: Subject? = fields.value("by", default: .api) { element in
            element.choice([
                "api": .api, "application": .application, "key": .key, "ip": .ip, "header": .header, "claim": .claim,
            ])
        }
        let claim: ClaimPath?? = fields.optional("claim") { $0.claimPath() }
        let header: String?? = fields.optional("header") { $0.fieldName() }
        let algorithm: Algorithm? = self.algorithm(fields)
        let name: String?? = fields.optional("name") { $0.id() }
        let scope: LimitScope? = LimitScope.read(fields)
        self.checkScope(scope, by, algorithm, fields)
        self.checkSliding(limit, algorithm, fields)
        if by == .header && fields["header"] == nil {
            fields.problem("expected 'header', the field whose values are counted")
            return nil
        }
        if by == .claim && fields["claim"] == nil {
            fields.problem("expected 'claim', the claim whose values are counted")
            return nil
        }
        if let by, by != .claim { fields["claim"]?.problem("expected 'claim' only with 'by: claim'") }
        if let by, by != .header { fields["header"]?.problem("expected 'header' only with 'by: header'") }
        guard let limit, let window, let by, let header, let claim, let algorithm, let scope, let name,
            let cost
        else {
            return nil
        }
        return RateLimitPolicy(
            limit: Int64(limit), window: window, by: by, header: header, claim: claim, algorithm: algorithm,
            scope: scope, name: name, cost: cost)
    }

    /// What is counted together has a counter that all gateways name alike and whose windows begin at the same time.
    private static func checkScope(
        _ scope: LimitScope?, _ by: Subject?, _ algorithm: Algorithm?, _ fields: NodeFields
    ) {
        guard scope == .shared else { return }
        if by == .ip || by == .header || by == .claim {
            fields["scope"]?.problem("expected 'shared' only with 'by: api', 'by: application' or 'by: key'")
        }
        if let algorithm, algorithm != .window {
            fields["algorithm"]?.problem("expected 'window' with 'scope: shared'")
        }
    }

    static func checkSliding(_ limit: Int?, _ algorithm: Algorithm?, _ fields: NodeFields) {
        guard algorithm == .slidingWindow, let limit, limit > Int(RateLimitPolicy.slidingLimitMax) else { return }
        fields["limit"]?.problem("expected at most \(RateLimitPolicy.slidingLimitMax) with 'algorithm: sliding_window'")
    }

    static func algorithm(_ fields: NodeFields) -> Algorithm? {
        fields.choice(
            "algorithm", default: .window,
            ["window": .window, "sliding_window": .slidingWindow, "token_bucket": .tokenBucket])
    }
}

extension LimitScope {
    static func read(_ fields: NodeFields) -> LimitScope? {
        fields.choice(
            "scope", default: .divided, ["divided": .divided, "gateway": .gateway, "shared": .shared])
    }
}

extension AddressPolicy {
    static func read(_ decoder: NodeDecoder) -> AddressPolicy? {
        guard let fields: NodeFields = decoder.fields(["allow", "deny"]) else { return nil }
        let allow: [AddressBlock]? = self.blocks(fields, "allow")
        let deny: [AddressBlock]? = self.blocks(fields, "deny")
        guard let allow, let deny else { return nil }
        if fields["allow"] == nil && fields["deny"] == nil {
            decoder.problem("expected addresses in 'allow', 'deny' or both")
            return nil
        }
        return AddressPolicy(allow: allow, deny: deny)
    }

    /// An empty list is a mistake: an empty `allow` reads like "nobody" and would mean "everybody".
    private static func blocks(_ fields: NodeFields, _ name: String) -> [AddressBlock]? {
        fields.list(name, count: 1...AddressPolicy.blocksMax) { element in
            element.pattern { (text: String) throws(PatternError) -> AddressBlock in try AddressBlock(parsing: text) }
        }
    }
}

extension RequestSizePolicy {
    /// A size, or a mapping with `max`.
    static func read(_ decoder: NodeDecoder) -> RequestSizePolicy? {
        let range: ClosedRange<Int> = 0...Int(RequestSizePolicy.bytesLimit)
        var body: NodeDecoder? = decoder
        if decoder.node.members != nil { body = decoder.fields(["max"])?.required("max") }
        return body?.byteCount(in: range).map { RequestSizePolicy(bytesMax: Int64($0)) }
    }
}

extension TimeoutPolicy {
    static func read(_ decoder: NodeDecoder) -> TimeoutPolicy? {
        guard let fields: NodeFields = decoder.fields(["connect", "response", "idle", "total"]) else { return nil }
        let defaults: TimeoutPolicy = TimeoutPolicy()
        let range: ClosedRange<Duration> = .milliseconds(1) ... .seconds(3600)
        let connect: Duration? = fields.duration("connect", default: defaults.connect, in: range)
        let response: Duration? = fields.duration("response", default: defaults.response, in: range)
        let idle: Duration? = fields.duration("idle", default: defaults.idle, in: range)
        let total: Duration? = fields.duration("total", default: defaults.total, in: .zero ... .seconds(3600))
        guard let connect, let response, let idle, let total else { return nil }
        return TimeoutPolicy(connect: connect, response: response, idle: idle, total: total)
    }
}

extension HeaderPolicy {
    static func read(_ decoder: NodeDecoder) -> HeaderPolicy? {
        guard let fields: NodeFields = decoder.fields(["request", "response"]) else { return nil }
        let request: Changes? = fields.value("request", default: Changes()) { Changes.read($0) }
        let response: Changes? = fields.value("response", default: Changes()) { Changes.read($0) }
        guard let request, let response else { return nil }
        return HeaderPolicy(request: request, response: response)
    }
}

extension HeaderPolicy.Changes {
    static func read(_ decoder: NodeDecoder) -> HeaderPolicy.Changes? {
        guard let fields: NodeFields = decoder.fields(["set", "add", "remove"]) else { return nil }
        let set: [HeaderField]? = fields.value("set", default: []) { self.fieldsSet($0) }
        let add: [HeaderField]? = fields.value("add", default: []) { self.fieldsSet($0) }
        let remove: [String]? = fields.list("remove", count: 0...HeaderPolicy.fieldsMax) { element in
            guard let name: String = element.fieldName() else { return nil }
            self.checkReserved(name, element)
            return name
        }
        guard let set, let add, let remove else { return nil }
        for field in set where remove.contains(field.name) {
            decoder.problem("expected \(field.name) in 'set' or in 'remove', not in both")
        }
        return HeaderPolicy.Changes(set: set, add: add, remove: remove)
    }

    static func fieldsSet(_ decoder: NodeDecoder) -> [HeaderField]? {
        var names: Set<String> = []
        let pairs: [(key: String, value: HeaderField)]? = decoder.dictionary { key, element in
            guard let name: String = HeaderRules.name(key) else {
                element.problem("expected the name of a header field")
                return nil
            }
            self.checkReserved(name, element)
            if !names.insert(name).inserted { element.problem("expected each field only once") }
            guard let value: String = element.string() else { return nil }
            if let message: String = HeaderRules.problem(value: value) {
                element.problem(message)
                return nil
            }
            return HeaderField(name: name, value: value)
        }
        guard let pairs else { return nil }
        if pairs.count > HeaderPolicy.fieldsMax {
            decoder.problem("expected at most \(HeaderPolicy.fieldsMax) fields, found \(pairs.count)")
        }
        return pairs.map { $0.value }
    }

    private static func checkReserved(_ name: String, _ element: NodeDecoder) {
        guard HeaderRules.isReserved(name) else { return }
        element.problem("expected a field of the API's own, not one that frames or routes a message")
    }
}
