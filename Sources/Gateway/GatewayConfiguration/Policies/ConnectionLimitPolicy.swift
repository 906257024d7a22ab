import Documents
import JSON

/// `connection_limit`: so many connections of clients at the same time. A connection counts from its first request that the
/// policy sees until it is closed; its streams and further requests count as one. Of several gateways each admits its part.
package struct ConnectionLimitPolicy: Sendable, Equatable {
    /// Connections at once, 1 to 1,000,000. Required.
    package var limit: Int
    /// `ip` (each address apart) or `api` (all of the API's, or of the route's, together). Default `ip`.
    package var by: RateLimitPolicy.Subject

    /// Default `divided`; `shared` is not for this kind.
    package var scope: LimitScope

    package init(limit: Int, by: RateLimitPolicy.Subject = .ip, scope: LimitScope = .divided) {
        self.limit = limit
        self.by = by
        self.scope = scope
    }

    package static let limits: ClosedRange<Int> = 1...1_000_000
}

extension ConnectionLimitPolicy {
    /// A number, or a mapping.
    static func read(_ decoder: NodeDecoder) -> ConnectionLimitPolicy? {
        if decoder.node.members == nil {
            return decoder.integer(in: self.limits).map { ConnectionLimitPolicy(limit: $0) }
        }
        guard let fields: NodeFields = decoder.fields(["limit", "by", "scope"]) else { return nil }
        let limit: Int? = fields.integer("limit", in: self.limits)
        let by: RateLimitPolicy.Subject? = fields.choice("by", default: .ip, ["ip": .ip, "api": .api])
        let scope: LimitScope? = fields.choice(
            "scope", default: .divided, ["divided": .divided, "gateway": .gateway])
        guard let limit, let by, let scope else { return nil }
        return ConnectionLimitPolicy(limit: limit, by: by, scope: scope)
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("limit", .int(Int64(self.limit)))
        if self.by != .ip { body.set("by", .string(self.by.rawValue)) }
        if self.scope != .divided { body.set("scope", .string(self.scope.rawValue)) }
    }
}
