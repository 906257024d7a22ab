package import JSON
import Time
import Tokens

/// Writes members of an object, leaving out what has its default: so a field that a later version adds does not change the hash
/// of documents that do not use it, and a snapshot stays small.
struct DefinitionWriter {
    private(set) var object: JSONObject = JSONObject()

    mutating func set(_ key: String, _ value: JSONValue) {
        self.object.append(key, value)
    }

    mutating func set(_ key: String, _ value: JSONValue?) {
        if let value { self.object.append(key, value) }
    }

    mutating func set(_ key: String, _ value: Duration, unless absent: Duration) {
        if value != absent { self.object.append(key, .string(Self.text(value))) }
    }

    mutating func set(_ key: String, _ value: Int, unless absent: Int) {
        if value != absent { self.object.append(key, .int(Int64(value))) }
    }

    mutating func set(_ key: String, list: [JSONValue]) {
        if !list.isEmpty { self.object.append(key, .array(list)) }
    }

    var value: JSONValue { .object(self.object) }

    /// Milliseconds always: one form for one value.
    static func text(_ duration: Duration) -> String { "\(DefinitionText.milliseconds(duration))ms" }
}

extension GatewayDocument {
    /// The document as JSON; `GatewayDocument.decode` reads it back.
    package func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("version", .int(GatewayDocument.formatVersion))
        writer.set("apis", list: self.apis.map { $0.json() })
        writer.set("applications", list: self.applications.map { $0.json() })
        writer.set("plans", list: self.plans.map { $0.json() })
        writer.set("tenants", list: self.tenants.map { $0.json() })
        return writer.value
    }
}

extension APIDefinition {
    package func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("id", .string(self.id))
        writer.set("tenant", .string(self.tenant))
        if self.product != self.id { writer.set("product", .string(self.product)) }
        if self.name != self.id { writer.set("name", .string(self.name)) }
        writer.set("revision", self.revision.map { .int($0) })
        writer.set("hosts", list: self.hosts.map { .string($0.text) })
        writer.set("version", self.version?.json())
        writer.set("routes", list: self.routes.map { $0.json() })
        writer.set("upstream", self.upstream.json())
        writer.set("policies", list: self.policies.map { $0.json() })
        if self.encodedSlashes != .refuse { writer.set("encoded_slashes", .string(self.encodedSlashes.rawValue)) }
        return writer.value
    }
}

extension RouteDefinition {
    package func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        let derived: String = RouteDefinition.derivedID(
            path: self.path, methods: self.methods, headers: self.headers, query: self.query)
        if self.id != derived { writer.set("id", .string(self.id)) }
        if let expression: TextExpression = self.path.expression {
            writer.set("regex", .string(expression.source))
        } else {
            writer.set("path", .string(self.path.text))
        }
        writer.set("methods", list: self.methods.map { .string($0) })
        writer.set("headers", Self.json(self.headers))
        writer.set("query", Self.json(self.query))
        writer.set("policies", list: self.policies.map { $0.json() })
        writer.set("upstream", self.upstream?.json())
        writer.set("cost", self.cost, unless: 1)
        return writer.value
    }

    private static func json(_ conditions: [RouteCondition]) -> JSONValue? {
        if conditions.isEmpty { return nil }
        var writer: DefinitionWriter = DefinitionWriter()
        for condition in conditions { writer.set(condition.name, self.json(condition.test)) }
        return writer.value
    }
}

extension RouteDefinition {
    private static func json(_ test: RouteCondition.Test) -> JSONValue {
        switch test {
        case .present: return "*"
        case .absent: return ["present": false]
        case .exact("*"): return ["exact": "*"]
        case .exact(let value): return .string(value)
        case .prefix(let value): return ["prefix": .string(value)]
        case .regex(let expression): return ["regex": .string(expression.source)]
        }
    }
}

extension VersionDefinition {
    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("name", .string(self.name))
        switch self.place {
        case .path: writer.set("in", "path")
        case .header(let name):
            writer.set("in", "header")
            writer.set("header", .string(name))
        case .query(let name):
            writer.set("in", "query")
            writer.set("query", .string(name))
        }
        if self.isDefault { writer.set("default", true) }
        return writer.value
    }
}

extension PolicyDefinition {
    func json() -> JSONValue {
        var body: DefinitionWriter = DefinitionWriter()
        switch self {
        case .apiKey(let policy):
            body.set("header", policy.header.map { .string($0) })
            body.set("query", policy.query.map { .string($0) })
        case .anonymous: break
        case .jwt(let policy): policy.write(&body)
        case .introspection(let policy): policy.write(&body)
        case .basic(let policy): policy.write(&body)
        case .signature(let policy): policy.write(&body)
        case .clientCertificate(let policy): policy.write(&body)
        case .acl(let policy): policy.write(&body)
        case .identityHeaders(let policy): policy.write(&body)
        case .rateLimit(let policy): Self.write(policy, &body)
        case .quota(let policy): policy.write(to: &body)
        case .concurrency(let policy): policy.write(to: &body)
        case .spikeArrest(let policy): policy.write(to: &body)
        case .connectionLimit(let policy): policy.write(&body)
        case .addresses(let policy):
            body.set("allow", list: policy.allow.map { .string($0.text) })
            body.set("deny", list: policy.deny.map { .string($0.text) })
        case .requestSize(let policy): body.set("max", .int(policy.bytesMax))
        case .timeouts(let policy):
            let defaults: TimeoutPolicy = TimeoutPolicy()
            body.set("connect", policy.connect, unless: defaults.connect)
            body.set("response", policy.response, unless: defaults.response)
            body.set("idle", policy.idle, unless: defaults.idle)
            body.set("total", policy.total, unless: defaults.total)
        case .headers(let policy):
            body.set("request", policy.request.json())
            body.set("response", policy.response.json())
        case .mock(let policy): policy.write(&body)
        case .externalAuthorization(let policy): policy.write(&body)
        case .validation(let policy): policy.write(&body)
        case .compression(let policy): policy.write(&body)
        case .cache(let policy): policy.write(&body)
        case .idempotency(let policy): policy.write(&body)
        case .cors(let policy): policy.write(&body)
        case .securityHeaders(let policy): policy.write(&body)
        case .rewrite(let policy): policy.write(&body)
        case .redirect(let policy): policy.write(&body)
        case .transform(let policy): policy.write(&body)
        }
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set(self.kind, body.value)
        return writer.value
    }

    private static func write(_ policy: RateLimitPolicy, _ body: inout DefinitionWriter) {
        body.set("limit", .int(policy.limit))
        body.set("window", .string(DefinitionWriter.text(policy.window)))
        if policy.by != .api { body.set("by", .string(policy.by.rawValue)) }
        body.set("header", policy.header.map { .string($0) })
        body.set("claim", policy.claim.map { .string($0.text) })
        if policy.algorithm != .window { body.set("algorithm", .string(policy.algorithm.rawValue)) }
        if policy.scope != .divided { body.set("scope", .string(policy.scope.rawValue)) }
        body.set("cost", policy.cost.map { .int(Int64($0)) })
        body.set("name", policy.name.map { .string($0) })
    }
}

extension HeaderPolicy.Changes {
    func json() -> JSONValue? {
        if self.isEmpty { return nil }
        var writer: DefinitionWriter = DefinitionWriter()
        if !self.set.isEmpty {
            var fields: DefinitionWriter = DefinitionWriter()
            for field in self.set { fields.set(field.name, .string(field.value)) }
            writer.set("set", fields.value)
        }
        if !self.add.isEmpty {
            var fields: DefinitionWriter = DefinitionWriter()
            for field in self.add { fields.set(field.name, .string(field.value)) }
            writer.set("add", fields.value)
        }
        writer.set("remove", list: self.remove.map { .string($0) })
        return writer.value
    }
}

extension ApplicationDefinition {
    package func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("id", .string(self.id))
        writer.set("tenant", .string(self.tenant))
        if self.state != .active { writer.set("state", .string(self.state.rawValue)) }
        writer.set("keys", list: self.keys.map { $0.json() })
        writer.set("credentials", list: self.credentials.map { $0.json() })
        writer.set("subscriptions", list: self.subscriptions.map { $0.json() })
        return writer.value
    }
}

extension KeyDefinition {
    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("id", self.id.map { .string($0) })
        writer.set("sha256", .string(self.digest.hex))
        writer.set("expires", self.expires.map { .string($0.rfc3339) })
        return writer.value
    }
}

extension SubscriptionDefinition {
    func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("id", self.id.map { .string($0) })
        writer.set("api", .string(self.api))
        writer.set("plan", self.plan.map { .string($0) })
        if self.state != .active { writer.set("state", .string(self.state.rawValue)) }
        return writer.value
    }
}

extension PlanDefinition {
    package func json() -> JSONValue {
        var writer: DefinitionWriter = DefinitionWriter()
        writer.set("id", .string(self.id))
        writer.set("tenant", .string(self.tenant))
        writer.set("rate_limit", self.rateLimit?.json())
        writer.set("quota", self.quota.map { $0.json() })
        writer.set("concurrency", self.concurrency.map { .int($0) })
        return writer.value
    }
}

extension PlanRateLimit {
    func json() -> JSONValue {
        var body: DefinitionWriter = DefinitionWriter()
        body.set("limit", .int(self.limit))
        body.set("window", .string(DefinitionWriter.text(self.window)))
        if self.algorithm != .window { body.set("algorithm", .string(self.algorithm.rawValue)) }
        if self.scope != .divided { body.set("scope", .string(self.scope.rawValue)) }
        return body.value
    }
}
