/// Which requests get a line in the access log, and what it says of them.
package struct AccessLogRules: Sendable, Equatable {
    /// Share of requests that get a line, 0 to 1; those that end with 500 to 599 always do. Default 1.
    package var sample: Double
    /// Default: all.
    package var fields: Set<AccessLogField>

    package init(sample: Double = 1, fields: Set<AccessLogField> = Set(AccessLogField.allCases)) {
        self.sample = sample
        self.fields = fields
    }
}

/// What a line may say, in its order. No field holds a credential: there are no header fields, and paths have no query.
package enum AccessLogField: String, Sendable, CaseIterable {
    case time, client, method, path, status
    case duration = "duration_us"
    case upstream = "upstream_us"
    case bytesIn = "bytes_in"
    case bytesOut = "bytes_out"
    case tenant, api, route, target, application, subscription, reason
    case trace = "trace_id"
    case span = "span_id"
}
