import Documents
import JSON

/// `quota`: so many requests in a span of the calendar. Counts survive a restart and are shared by all gateways.
package struct QuotaPolicy: Sendable, Equatable {
    /// Requests a window, 1 to 1,000,000,000,000. Required.
    package var limit: Int64
    /// Required.
    package var window: CalendarUnit
    /// `api`, `application` or `key`. Default `application`; callers without one share a count.
    package var by: RateLimitPolicy.Subject
    /// The policy's name in `RateLimit-Policy` and `RateLimit`. Default: from its place, `api` or `route`.
    package var name: String?

    package init(
        limit: Int64, window: CalendarUnit, by: RateLimitPolicy.Subject = .application, name: String? = nil
    ) {
        self.limit = limit
        self.window = window
        self.by = by
        self.name = name
    }

    package static let limitMax: Int64 = 1_000_000_000_000
}

/// So many requests in a span of the calendar, of one subscription by its plan or of a whole tenant; ranges as in `QuotaPolicy`.
package struct PlanQuota: Sendable, Equatable {
    package var limit: Int64
    package var window: CalendarUnit

    package init(limit: Int64, window: CalendarUnit) {
        self.limit = limit
        self.window = window
    }
}

extension QuotaPolicy {
    static func read(_ decoder: NodeDecoder) -> QuotaPolicy? {
        guard let fields: NodeFields = decoder.fields(["limit", "window", "by", "name"]) else { return nil }
        let limit: Int? = fields.integer("limit", in: 1...Int(QuotaPolicy.limitMax))
        let window: CalendarUnit? = CalendarUnit.read(fields)
        let by: RateLimitPolicy.Subject? = fields.choice(
            "by", default: .application, ["api": .api, "application": .application, "key": .key])
        let name: String?? = fields.optional("name") { $0.id() }
        guard let limit, let window, let by, let name else { return nil }
        return QuotaPolicy(limit: Int64(limit), window: window, by: by, name: name)
    }

    func write(to body: inout DefinitionWriter) {
        body.set("limit", .int(self.limit))
        body.set("window", .string(self.window.rawValue))
        if self.by != .application { body.set("by", .string(self.by.rawValue)) }
        body.set("name", self.name.map { .string($0) })
    }
}

extension PlanQuota {
    static func read(_ decoder: NodeDecoder) -> PlanQuota? {
        guard let fields: NodeFields = decoder.fields(["limit", "window"]) else { return nil }
        let limit: Int? = fields.integer("limit", in: 1...Int(QuotaPolicy.limitMax))
        let window: CalendarUnit? = CalendarUnit.read(fields)
        guard let limit, let window else { return nil }
        return PlanQuota(limit: Int64(limit), window: window)
    }

    func json() -> JSONValue {
        var body: DefinitionWriter = DefinitionWriter()
        body.set("limit", .int(self.limit))
        body.set("window", .string(self.window.rawValue))
        return body.value
    }
}

extension CalendarUnit {
    static func read(_ fields: NodeFields) -> CalendarUnit? {
        fields.required("window")?.choice([
            "minute": .minute, "hour": .hour, "day": .day, "week": .week, "month": .month, "year": .year,
        ])
    }
}
