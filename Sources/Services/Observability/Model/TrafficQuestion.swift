package import Time

/// What somebody wants to know of a tenant's traffic: a span of time, grouped, perhaps cut into intervals.
package struct TrafficQuestion: Sendable, Equatable {
    /// By what the sums are told apart.
    package enum Grouping: String, Sendable, CaseIterable {
        case api, application, route, environment

        /// The member that names the group in an answer.
        package var member: String {
            switch self {
            case .api: "api_id"
            case .application: "application_id"
            case .route: "route"
            case .environment: "environment"
            }
        }
    }

    /// Into which intervals the span is cut.
    package enum Interval: String, Sendable, CaseIterable {
        case minute, hour, day

        package var milliseconds: Int64 {
            switch self {
            case .minute: 60_000
            case .hour: 3_600_000
            case .day: 86_400_000
            }
        }
    }

    /// What is asked when nothing is said: the last hour.
    package static let spanDefault: Duration = .seconds(3_600)
    /// Most intervals of one answer.
    package static let intervalsMax: Int64 = 1_500

    package let grouping: Grouping
    package let interval: Interval?
    /// Whole minutes: from the first, up to and not including the last. Milliseconds since 1970.
    package let minutes: Range<Int64>

    /// - Parameters from, to: RFC 3339; the last hour up to now when absent.
    package init(grouping: Grouping, interval: Interval?, from: String?, to: String?, now: Timestamp)
        throws(TrafficProblem)
    {
        self.grouping = grouping
        self.interval = interval
        let end: Timestamp = try to.map { (text: String) throws(TrafficProblem) in try Self.time(text, "to") } ?? now
        let start: Timestamp =
            try from.map { (text: String) throws(TrafficProblem) in try Self.time(text, "from") }
            ?? end.adding(.zero - Self.spanDefault)
        guard start < end else { throw TrafficProblem(parameter: "from", expected: "expected a time before `to`") }
        let minute: Int64 = TrafficRollup.minuteMilliseconds
        let first: Int64 = start.milliseconds.floorDivided(by: minute) * minute
        let last: Int64 = -((-end.milliseconds).floorDivided(by: minute)) * minute
        guard last - first <= TrafficRollup.retention.millisecondsClamped + 2 * minute else {
            throw TrafficProblem(
                parameter: "from", expected: "expected at most 30 days before `to`: traffic is kept that long")
        }
        if let interval: Interval, (last - first) / interval.milliseconds > Self.intervalsMax {
            throw TrafficProblem(
                parameter: "interval",
                expected: "expected at most \(Self.intervalsMax) intervals; ask for longer ones or a shorter span")
        }
        self.minutes = first..<last
    }

    private static func time(_ text: String, _ parameter: String) throws(TrafficProblem) -> Timestamp {
        guard let time: Timestamp = Timestamp(rfc3339: text) else {
            throw TrafficProblem(parameter: parameter, expected: "expected a time such as 2026-01-02T03:04:05Z")
        }
        return time
    }
}

/// A question that cannot be asked: which parameter, and what was expected there.
package struct TrafficProblem: Error, Sendable, Equatable {
    package let parameter: String
    package let expected: String
}
