import HTTP
import Telemetry

/// Rate, errors and duration of requests from records: by route, by subscription, by target, by reason of refusal.
///
/// A batch is summed in plain numbers first; series are found by number in arrays, and the registry is asked once for each. The
/// registry bounds the series of a family, so cardinality is bounded whatever tenants publish. Used by the collector only.
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

    /// Durations of a batch by bucket, as `Histogram.secondsDefault` has them.
    private struct DurationSums: BitwiseCopyable {
        var counts: InlineArray<17, UInt32> = InlineArray(repeating: 0)
        var microseconds: UInt64 = 0

        @inline(__always)
        mutating func add(_ microseconds: UInt32) -> Int {
            let bucket: Int = Histogram.bucketDefault(microseconds: microseconds)
            self.counts[bucket] &+= 1
            self.microseconds &+= UInt64(microseconds)
            return bucket
        }
    }

    private struct RouteSums: BitwiseCopyable {
        var classes: InlineArray<6, UInt32> = InlineArray(repeating: 0)
        var durations: DurationSums = DurationSums()
        var upstream: DurationSums = DurationSums()
        var bytesIn: UInt64 = 0
        var bytesOut: UInt64 = 0
        /// Of each bucket, the place in the batch of the last record that was sampled, plus one.
        var examples: InlineArray<17, UInt32> = InlineArray(repeating: 0)
    }

    private struct ClassSums: BitwiseCopyable {
        var classes: InlineArray<6, UInt32> = InlineArray(repeating: 0)
        /// Of a subscription, whose it is.
        var application: IdentityNumber = .none
    }

    private let registry: MetricRegistry
    private var routes: [RouteSeries?] = []
    private var subscriptions: [ClassSeries?] = []
    private var targets: [ClassSeries?] = []
    private var reasons: [ReasonKey: Counter] = [:]
    private let routeSums: BatchSums<RouteSums> = BatchSums(none: RouteSums())
    private let subscriptionSums: BatchSums<ClassSums> = BatchSums(none: ClassSums())
    private let targetSums: BatchSums<ClassSums> = BatchSums(none: ClassSums())
    private var counts: [UInt64] = [UInt64](repeating: 0, count: 17)

    init(_ registry: MetricRegistry) {
        self.registry = registry
    }

    /// Adds a batch; some ten nanoseconds a record.
    mutating func count(_ batch: RecordBatch) {
        batch.records.withUnsafeBufferPointer { (records: UnsafeBufferPointer<RequestRecord>) in
            for index in records.indices {
                self.sum(records[index], at: index)
                if records[index].reason != .none { self.countReason(records[index], batch) }
            }
        }
        let (routes, subscriptions, targets) = (self.routeSums, self.subscriptionSums, self.targetSums)
        routes.takeEach { self.count($1.pointee, of: IdentityNumber($0), batch) }
        subscriptions.takeEach { self.countSubscription($1.pointee, IdentityNumber($0), batch) }
        targets.takeEach { self.countTarget($1.pointee, IdentityNumber($0), batch) }
    }

    // MARK: Summing

    @inline(__always)
    private func sum(_ record: RequestRecord, at index: Int) {
        let statusClass: Int = Self.statusClass(record.status)
        let route: UnsafeMutablePointer<RouteSums> = self.routeSums.of(record.route.value)
        route.pointee.classes[statusClass] &+= 1
        let bucket: Int = route.pointee.durations.add(record.durationMicroseconds)
        // A sampled request is the example of its bucket: its trace can be looked at.
        if record.isSampled { route.pointee.examples[bucket] = UInt32(truncatingIfNeeded: index &+ 1) }
        if record.upstreamMicroseconds > 0 { _ = route.pointee.upstream.add(record.upstreamMicroseconds) }
        route.pointee.bytesIn &+= record.bytesIn
        route.pointee.bytesOut &+= record.bytesOut
        if record.subscription != .none {
            let subscription: UnsafeMutablePointer<ClassSums> = self.subscriptionSums.of(record.subscription.value)
            subscription.pointee.classes[statusClass] &+= 1
            subscription.pointee.application = record.application
        }
        if record.target != .none { self.targetSums.of(record.target.value).pointee.classes[statusClass] &+= 1 }
    }

    /// 1 to 5 for 1xx to 5xx, 0 for anything else.
    @inline(__always)
    private static func statusClass(_ status: UInt16) -> Int { status >= 100 && status < 600 ? Int(status / 100) : 0 }

    private static let classNames: [String] = ["other", "1xx", "2xx", "3xx", "4xx", "5xx"]

    // MARK: Counting

    private static func series<Series>(
        _ list: inout [Series?], _ number: IdentityNumber, _ make: () -> Series
    ) -> Series {
        let index: Int = Int(number.value)
        while list.count <= index { list.append(nil) }
        if let series: Series = list[index] { return series }
        let series: Series = make()
        list[index] = series
        return series
    }

    private mutating func count(_ sums: RouteSums, of number: IdentityNumber, _ batch: RecordBatch) {
        let identity: Identity = batch.identity(number)
        let registry: MetricRegistry = self.registry
        let series: RouteSeries = Self.series(&self.routes, number) { RouteSeries(registry, identity) }
        Self.add(sums.classes, to: &series.classes) { (name: String) in
            registry.counter(
                "passerelle_gateway_requests_total", help: "Requests answered.",
                labels: [
                    "tenant": identity.tenant, "api": identity.api, "route": identity.detail, "class": name,
                ])
        }
        self.observe(sums.durations, series.duration)
        self.observe(sums.upstream, series.upstream)
        for bucket in 0..<17 where sums.examples[bucket] > 0 {
            Self.keep(batch.records[Int(sums.examples[bucket]) - 1], series.duration)
        }
        if sums.bytesIn > 0 { series.bytesIn.add(sums.bytesIn) }
        if sums.bytesOut > 0 { series.bytesOut.add(sums.bytesOut) }
    }

    private mutating func observe(_ sums: DurationSums, _ histogram: Histogram) {
        var isEmpty: Bool = true
        for bucket in 0..<17 {
            self.counts[bucket] = UInt64(sums.counts[bucket])
            if sums.counts[bucket] > 0 { isEmpty = false }
        }
        if !isEmpty { histogram.merge(counts: self.counts, sum: Double(sums.microseconds) / 1_000_000) }
    }

    private static func keep(_ record: RequestRecord, _ histogram: Histogram) {
        let seconds: Double = Double(record.durationMicroseconds) / 1_000_000
        let ended: Int64 = record.started / 1_000_000 + Int64(record.durationMicroseconds / 1000)
        histogram.keep(
            MetricExemplar(
                traceHigh: record.traceHigh, traceLow: record.traceLow, value: seconds, time: Double(ended) / 1000),
            of: seconds)
    }

    private static func add(
        _ sums: InlineArray<6, UInt32>, to classes: inout [Counter?], _ make: (_ className: String) -> Counter
    ) {
        for index in 0..<6 where sums[index] > 0 {
            let counter: Counter = classes[index] ?? make(Self.classNames[index])
            classes[index] = counter
            counter.add(UInt64(sums[index]))
        }
    }

    private mutating func countSubscription(_ sums: ClassSums, _ number: IdentityNumber, _ batch: RecordBatch) {
        let registry: MetricRegistry = self.registry
        let series: ClassSeries = Self.series(&self.subscriptions, number) { ClassSeries() }
        Self.add(sums.classes, to: &series.classes) { (name: String) in
            let identity: Identity = batch.identity(number)
            return registry.counter(
                "passerelle_gateway_application_requests_total", help: "Requests of applications.",
                labels: [
                    "tenant": identity.tenant, "api": identity.api,
                    "application": batch.identity(sums.application).detail, "class": name,
                ])
        }
    }

    private mutating func countTarget(_ sums: ClassSums, _ number: IdentityNumber, _ batch: RecordBatch) {
        let registry: MetricRegistry = self.registry
        let series: ClassSeries = Self.series(&self.targets, number) { ClassSeries() }
        Self.add(sums.classes, to: &series.classes) { (name: String) in
            let identity: Identity = batch.identity(number)
            return registry.counter(
                "passerelle_gateway_upstream_requests_total", help: "Requests sent to upstream targets.",
                labels: [
                    "tenant": identity.tenant, "api": identity.api, "target": identity.detail, "class": name,
                ])
        }
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
