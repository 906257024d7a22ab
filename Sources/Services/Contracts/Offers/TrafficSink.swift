/// What gateways report of their traffic: sums per API, application and status class over a short span.
package struct TrafficReport: Sendable {
    package struct Line: Sendable {
        package let tenant: String
        package let apiID: String
        package let environment: String
        package let route: String
        /// Empty for callers without an application.
        package let applicationID: String
        /// Start of the minute, milliseconds since 1970.
        package let minute: Int64
        /// 2 for 2xx … 5 for 5xx.
        package let statusClass: Int
        package let requests: Int64
        package let durationMicroseconds: Int64
        package let durationMicrosecondsMax: Int64
        package let bytesIn: Int64
        package let bytesOut: Int64

        package init(
            tenant: String, apiID: String, environment: String, route: String, applicationID: String, minute: Int64,
            statusClass: Int, requests: Int64, durationMicroseconds: Int64, durationMicrosecondsMax: Int64,
            bytesIn: Int64,
            bytesOut: Int64
        ) {
            self.tenant = tenant
            self.apiID = apiID
            self.environment = environment
            self.route = route
            self.applicationID = applicationID
            self.minute = minute
            self.statusClass = statusClass
            self.requests = requests
            self.durationMicroseconds = durationMicroseconds
            self.durationMicrosecondsMax = durationMicrosecondsMax
            self.bytesIn = bytesIn
            self.bytesOut = bytesOut
        }
    }

    package let gatewayID: String
    /// Number of the batch at this gateway; a repeat is counted once.
    package let sequence: Int64
    package let lines: [Line]

    package init(gatewayID: String, sequence: Int64, lines: [Line]) {
        self.gatewayID = gatewayID
        self.sequence = sequence
        self.lines = lines
    }
}

/// Where traffic reports go. Offered by `observability`.
package protocol TrafficSink: Sendable {
    func accept(_ report: TrafficReport) async throws
}
