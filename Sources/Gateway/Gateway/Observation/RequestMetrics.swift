import HTTP
import Telemetry

/// Rate, errors and duration of requests from records: by route, by subscription, by target, by reason of refusal.
///
/// Series are looked up by number in arrays; the registry is asked once for each. The registry bounds the series of a family,
/// so cardinality is bounded whatever tenants publish. Used by the collector only.
struct RequestMetrics {
    /// Requests without a route have number 0: they are counted as route "none".
    private final class RouteSeries {
        var classes: [Counter?] = [Counter?](repeating: nil, count: 6)
        let duration: Histogram
        let upstream: Histogram
        let bytesIn: Counter
        let bytesOut: Counter

        init(_ registry: MetricRegistry, _ identity: Identity) {
            let route: MetricLabels = [
                "tenant": identity.tenant, "api": identity.api, "route": identity.detail,
            ]
            let api: MetricLabels = ["tenant": identity.tenant, "api": identity.api]
            self.duration = registry.histogram(
                "passerelle_gateway_request_duration_seconds",
                help: "Time from a complete request head to the last byte of the answer.", labels: route)
            self.upstream = registry.histogram(
                "passerelle_gateway_upstream_duration_seconds",
                help: "Time an upstream took to begin its answer.", labels: api)
            self.bytesIn = registry.counter(
                "passerelle_gateway_request_bytes_total", help: "Bytes of requests' bodies.", labels: api)
            self.bytesOut = registry.counter(
                "passerelle_gateway_response_bytes_total", help: "Bytes of answers' bodies.", labels: api)
        }
    }

    private final class ClassSeries {
        var classes: [Counter?] = [Counter?](repeating: nil, count: 6)
    }

    private struct ReasonKey: Hashable {
        let route: UInt32
        let reason: RequestReason
    }

    private let registry: MetricRegistry
    private var routes: [RouteSeries?] = []
    private var subscriptions: [ClassSeries?] = []
    private var targets: [ClassSeries?] = []
    private var reasons: [ReasonKey: Counter] = [:]

    init(_ registry: MetricRegistry) {
        self.registry = registry
    }

    /// Adds a batch; some hundred nanoseconds a record.
    mutating func count(_ batch: RecordBatch) {
        Self.grow(&self.routes, to: batch.identities.count)
        Self.grow(&self.subscriptions, to: batch.identities.count)
        Self.grow(&self.targets, to: batch.identities.count)
        for record in batch.records {
            self.countRoute(record, batch)
            if record.subscription != .none { self.countSubscription(record, batch) }
            if record.target != .none { self.countTarget(record, batch) }
            if record.reason != .none { self.countReason(record, batch) }
        }
    }

    private static func grow<Series>(_ list: inout [Series?], to count: Int) {
        while list.count < count { list.append(nil) }
    }

    /// 1 to 5 for 1xx to 5xx, 0 for anything else.
    private static func statusClass(_ status: UInt16) -> Int { status >= 100 && status < 600 ? Int(status / 100) : 0 }

    private static let classNames: [String] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"]

    private mutating func countRoute(_ record: RequestRecord, _ batch: RecordBatch) {
        let number: Int = Int(record.route.value)
        let identity: Identity = batch.identity(record.route)
        let series: RouteSeries = self.routes[number] ?? RouteSeries(self.registry, identity)
        self.routes[number] = series
        let statusClass: Int = Self.statusClass(record.status)
        let counter: Counter =
            series.classes[statusClass]
            ?? self.registry.counter(
                "passerelle_gateway_requests_total", help: "Requests answered.",
                labels: [
                    "tenant": identity.tenant, "api": identity.api, "route": identity.detail,
                    "class": Self.classNames[statusClass],
                ])
        series.classes[statusClass] = counter
        counter.add(1)
        self.observe(record, series.duration)
        if record.upstreamMicroseconds > 0 { series.upstream.observe(Double(record.upstreamMicroseconds) / 1_000_000) }
        if record.bytesIn > 0 { series.bytesIn.add(record.bytesIn) }
        if record.bytesOut > 0 { series.bytesOut.add(record.bytesOut) }
    }

    /// A sampled request is the example of its bucket: its trace can be looked at.
    private func observe(_ record: RequestRecord, _ histogram: Histogram) {
        let seconds: Double = Double(record.durationMicroseconds) / 1_000_000
        guard record.isSampled else { return histogram.observe(seconds) }
        let ended: Int64 = record.started / 1_000_000 + Int64(record.durationMicroseconds / 1000)
        histogram.observe(
            seconds,
            exemplar: MetricExemplar(
                traceHigh: record.traceHigh, traceLow: record.traceLow, value: seconds, time: Double(ended) / 1000))
    }

    private mutating func countSubscription(_ record: RequestRecord, _ batch: RecordBatch) {
        let number: Int = Int(record.subscription.value)
        let series: ClassSeries = self.subscriptions[number] ?? ClassSeries()
        self.subscriptions[number] = series
        let statusClass: Int = Self.statusClass(record.status)
        if series.classes[statusClass] == nil {
            let identity: Identity = batch.identity(record.subscription)
            series.classes[statusClass] = self.registry.counter(
                "passerelle_gateway_application_requests_total", help: "Requests of applications.",
                labels: [
                    "tenant": identity.tenant, "api": identity.api,
                    "application": batch.identity(record.application).detail, "class": Self.classNames[statusClass],
                ])
        }
        series.classes[statusClass]?.add(1)
    }

    private mutating func countTarget(_ record: RequestRecord, _ batch: RecordBatch) {
        let number: Int = Int(record.target.value)
        let series: ClassSeries = self.targets[number] ?? ClassSeries()
        self.targets[number] = series
        let statusClass: Int = Self.statusClass(record.status)
        if series.classes[statusClass] == nil {
            let identity: Identity = batch.identity(record.target)
            series.classes[statusClass] = self.registry.counter(
                "passerelle_gateway_upstream_requests_total", help: "Requests sent to upstream targets.",
                labels: [
                    "tenant": identity.tenant, "api": identity.api, "target": identity.detail,
                    "class": Self.classNames[statusClass],
                ])
        }
        series.classes[statusClass]?.add(1)
    }

    private mutating func countReason(_ record: RequestRecord, _ batch: RecordBatch) {
        let key: ReasonKey = ReasonKey(route: record.route.value, reason: record.reason)
        if let counter: Counter = self.reasons[key] {
            counter.add(1)
            return
        }
        let identity: Identity = batch.identity(record.route)
        let counter: Counter = self.registry.counter(
            "passerelle_gateway_failures_total",
            help: "Requests the gateway answered itself or could not finish, by reason.",
            labels: ["tenant": identity.tenant, "api": identity.api, "reason": record.reason.slug])
        counter.add(1)
        self.reasons[key] = counter
    }
}
