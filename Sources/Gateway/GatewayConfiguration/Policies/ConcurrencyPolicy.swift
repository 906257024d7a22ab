import Documents
import JSON

/// `concurrency`: so many requests at the same time, from their decision to the end of their answer.
package struct ConcurrencyPolicy: Sendable, Equatable {
    /// Requests at once, 1 to 1,000,000. Required.
    package var limit: Int64
    /// `api`, `application` or `key`. Default `api`; callers without an application share a count.
    package var by: RateLimitPolicy.Subject
    /// Default `divided`; `shared` is not for this kind.
    package var scope: LimitScope
    /// The policy's name in `RateLimit-Policy` and `RateLimit`. Default: from its place, `api` or `route`.
    package var name: String?

    package init(
        limit: Int64, by: RateLimitPolicy.Subject = .api, scope: LimitScope = .divided, name: String? = nil
    ) {
        self.limit = limit
        self.by = by
        self.scope = scope
        self.name = name
    }

    package static let limitMax: Int64 = 1_000_000
}

extension ConcurrencyPolicy {
    /// A number, or a mapping.
    static func read(_ decoder: NodeDecoder) -> ConcurrencyPolicy? {
        let range: ClosedRange<Int> = 1...Int(ConcurrencyPolicy.limitMax)
        if decoder.node.members == nil { return decoder.integer(in: range).map { ConcurrencyPolicy(limit: Int64($0)) } }
        guard let fields: NodeFields = decoder.fields(["limit", "by", "scope", "name"]) else { return nil }
        let limit: Int? = fields.integer("limit", in: range)
        let by: RateLimitPolicy.Subject? = fields.choice(
            "by", default: .api, ["api": .api, "application": .application, "key": .key])
        let scope: LimitScope? = fields.choice(
            "scope", default: .divided, ["divided": .divided, "gateway": .gateway])
        let name: String?? = fields.optional("name") { $0.id() }
        guard let limit, let by, let scope, let name else { return nil }
        return ConcurrencyPolicy(limit: Int64(limit), by: by, scope: scope, name: name)
    }

    func write(to body: inout DefinitionWriter) {
        body.set("limit", .int(self.limit))
        if self.by != .api { body.set("by", .string(self.by.rawValue)) }
        if self.scope != .divided { body.set("scope", .string(self.scope.rawValue)) }
        body.set("name", self.name.map { .string($0) })
    }
}
