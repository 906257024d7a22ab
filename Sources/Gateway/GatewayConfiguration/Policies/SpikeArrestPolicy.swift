import Documents
import JSON
import Time

/// `spike_arrest`: spreads requests evenly: one every `window / limit`, whatever the time since the last. Runs before callers
/// are known.
package struct SpikeArrestPolicy: Sendable, Equatable {
    /// Requests a window, 1 to 100,000,000. Required.
    package var limit: Int64
    /// Length of the window, 1 s to 31 days. Required.
    package var window: Duration
    /// `api` or `ip`. Default `api`.
    package var by: RateLimitPolicy.Subject
    /// Requests that may come at once, 1 to 10,000. Default 1.
    package var burst: Int64

    package init(limit: Int64, window: Duration, by: RateLimitPolicy.Subject = .api, burst: Int64 = 1) {
        self.limit = limit
        self.window = window
        self.by = by
        self.burst = burst
    }

    package static let burstMax: Int64 = 10_000
}

extension SpikeArrestPolicy {
    static func read(_ decoder: NodeDecoder) -> SpikeArrestPolicy? {
        guard let fields: NodeFields = decoder.fields(["limit", "window", "by", "burst"]) else { return nil }
        let limit: Int? = fields.integer("limit", in: 1...Int(RateLimitPolicy.limitMax))
        let window: Duration? = fields.duration("window", in: RateLimitPolicy.windows)
        let by: RateLimitPolicy.Subject? = fields.choice("by", default: .api, ["api": .api, "ip": .ip])
        let burst: Int? = fields.integer("burst", default: 1, in: 1...Int(SpikeArrestPolicy.burstMax))
        guard let limit, let window, let by, let burst else { return nil }
        return SpikeArrestPolicy(limit: Int64(limit), window: window, by: by, burst: Int64(burst))
    }

    func write(to body: inout DefinitionWriter) {
        body.set("limit", .int(self.limit))
        body.set("window", .string(DefinitionWriter.text(self.window)))
        if self.by != .api { body.set("by", .string(self.by.rawValue)) }
        body.set("burst", Int(self.burst), unless: 1)
    }
}
