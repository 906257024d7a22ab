/// Which requests get a line in the access log, and what it says of them.
package struct AccessLogRules: Sendable, Equatable {
    /// Share of requests that get a line, 0 to 1; those that end with 500 to 599 always do. Default 1.
    package var sample: Double
    /// Default: all.
    package var fields: Set<AccessLogField>

    /// How much of a client's address a line says, and a span. Default: its network.
    package var addresses: LoggedAddresses

    package init(
        sample: Double = 1, fields: Set<AccessLogField> = Set(AccessLogField.allCases),
        addresses: LoggedAddresses = .truncated
    ) {
        self.sample = sample
        self.fields = fields
        self.addresses = addresses
    }
}

/// How much of clients' addresses is written where requests are told of one by one.
package enum LoggedAddresses: String, Sendable, CaseIterable {
    case full
    /// The first 24 bits of IPv4, the first 48 of IPv6; the others are 0.
    case truncated
    case none

    /// What is written of an address; nil: nothing.
    package func shown(_ address: IPAddress) -> IPAddress? {
        switch self {
        case .full: address
        case .truncated:
            address.isIPv4
                ? IPAddress(high: address.high, low: address.low & ~0xff)
                : IPAddress(high: address.high & ~0xffff, low: 0)
        case .none: nil
        }
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
