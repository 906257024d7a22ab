import Telemetry

/// Rate, errors and duration of the REST interface, per operation and status class.
final class RequestMetrics: Sendable {
    private let requests: [[Counter]]
    private let durations: [Histogram]
    private let limitedCallers: Counter
    private let limitedAddresses: Counter

    init(registry: MetricRegistry, operations: [String]) {
        var requests: [[Counter]] = []
        var durations: [Histogram] = []
        for operation in operations + ["none"] {
            var classes: [Counter] = []
            for status in 1...5 {
                classes.append(
                    registry.counter(
                        "passerelle_rest_requests_total", help: "Requests answered by the REST interface.",
                        labels: ["operation": operation, "status": "\(status)xx"]))
            }
            requests.append(classes)
            durations.append(
                registry.histogram(
                    "passerelle_rest_duration_seconds", help: "Time from request to answer.",
                    labels: ["operation": operation]))
        }
        func limited(_ sender: String) -> Counter {
            registry.counter(
                "passerelle_rest_limited_total", help: "Requests refused because their sender sent too many.",
                labels: ["sender": sender])
        }
        self.limitedCallers = limited("caller")
        self.limitedAddresses = limited("address")
        self.requests = requests
        self.durations = durations
    }

    func limited(_ sender: RequestSender) {
        switch sender {
        case .caller: self.limitedCallers.add(1)
        case .address: self.limitedAddresses.add(1)
        }
    }

    /// - Parameter route: index of the operation; one past the last for requests that found no route.
    func record(route: Int, status: Int, nanoseconds: UInt64) {
        self.requests[route][min(max(status / 100, 1), 5) - 1].add(1)
        self.durations[route].observe(Double(nanoseconds) / 1e9)
    }
}
