import Documents
import JSON

/// `connection_limit`: so many connections of clients at the same time. A connection counts from its first request that the
/// policy sees until it is closed; its streams and further requests count as one. Each gateway counts its own.
package struct ConnectionLimitPolicy: Sendable, Equatable {
    /// Connections at once, 1 to 1,000,000. Required.
    package var limit: Int
    /// `ip` (each address apart) or `api` (all of the API's, or of the route's, together). Default `ip`.
    package var by: RateLimitPolicy.Subject

    package init(limit: Int, by: RateLimitPolicy.Subject = .ip) {
        self.limit = limit
        self.by = by
    }

    package static let limits: ClosedRange<Int> = 1...1_000_000
}

extension ConnectionLimitPolicy {
    /// A number, or a mapping.
    static func read(_ decoder: NodeDecoder) -> ConnectionLimitPolicy? {
        if decoder.node.members == nil {
            return decoder.integer(in: self.limits).map { ConnectionLimitPolicy(limit: $0) }
        }
        guard let fields: NodeFields = decoder.fields(["limit", "by"]) else { return nil }
        let limit: Int? = fields.integer("limit", in: self.limits)
        let by: RateLimitPolicy.Subject? = fields.choice("by", default: .ip, ["ip": .ip, "api": .api])
        guard let limit, let by else { return nil }
        return ConnectionLimitPolicy(limit: limit, by: by)
    }

    func write(_ body: inout DefinitionWriter) {
        body.set("limit", .int(Int64(self.limit)))
        if self.by != .ip { body.set("by", .string(self.by.rawValue)) }
    }
}
