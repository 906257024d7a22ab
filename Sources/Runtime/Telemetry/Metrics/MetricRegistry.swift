import Synchronization

/// All metrics of a process, and their text for Prometheus.
///
/// Ask for an instrument once and keep it: asking looks up names under a lock, using it does not. The same name and labels give
/// the same instrument. Names, kinds and label names are written in the code, so a contradiction traps; label values may come
/// from anywhere, therefore a family holds at most `seriesMax` series: what comes later shares one series whose label values are
/// all `overflow`.
package final class MetricRegistry: Sendable {
    package static let seriesMaxDefault: Int = 2000

    private let seriesMax: Int
    private let families: Mutex<[String: MetricFamily]> = Mutex([:])

    package init(seriesMax: Int = MetricRegistry.seriesMaxDefault) {
        self.seriesMax = seriesMax
    }

    /// A counter; its name ends in `_total`.
    package func counter(_ name: String, help: String, labels: MetricLabels = [:]) -> Counter {
        precondition(name.hasSuffix("_total"), "the name of a counter ends in _total: \(name)")
        let series: MetricSeries = self.series(name, .counter, help, labels) { .counter(Counter()) }
        guard case .counter(let counter) = series else { preconditionFailure("\(name) is read by a callback") }
        return counter
    }

    package func gauge(_ name: String, help: String, labels: MetricLabels = [:]) -> Gauge {
        let series: MetricSeries = self.series(name, .gauge, help, labels) { .gauge(Gauge()) }
        guard case .gauge(let gauge) = series else { preconditionFailure("\(name) is read by a callback") }
        return gauge
    }

    /// A histogram; `bounds` are the upper bounds of its buckets in the unit of its name (`…_seconds`, `…_bytes`).
    package func histogram(
        _ name: String, help: String, labels: MetricLabels = [:], bounds: [Double] = Histogram.secondsDefault
    ) -> Histogram {
        precondition(!labels.names.contains("le"), "the label le belongs to the histogram itself: \(name)")
        let series: MetricSeries = self.series(name, .histogram, help, labels) { .histogram(Histogram(bounds: bounds)) }
        guard case .histogram(let histogram) = series else { preconditionFailure("\(name) is read by a callback") }
        return histogram
    }

    /// A gauge read at each scrape, on the scraping thread: `read` must not block. A later one of the same name and labels replaces it.
    package func gauge(
        _ name: String, help: String, labels: MetricLabels = [:], read: @escaping @Sendable () -> Double
    ) {
        let series: MetricSeries = .callback { [MetricSample(labels: [:], value: read())] }
        self.families.withLock { (families: inout [String: MetricFamily]) in
            let family: MetricFamily = MetricRegistry.family(name, .gauge, help, in: families)
            families[name] = family
            family.replace(labels, with: series, seriesMax: self.seriesMax)
        }
    }

    /// A whole family read at each scrape, on the scraping thread: lag per group, state per target. At most `seriesMax`
    /// samples are shown. One family has one such callback; a later one replaces it.
    package func samples(
        _ name: String, kind: MetricKind, help: String, read: @escaping @Sendable () -> [MetricSample]
    ) {
        precondition(kind != .histogram, "a callback cannot give a histogram: \(name)")
        self.families.withLock { (families: inout [String: MetricFamily]) in
            let family: MetricFamily = MetricRegistry.family(name, kind, help, in: families)
            family.replaceAll(with: .callback(read))
            families[name] = family
        }
    }

    /// Forgets one series, so that what was deleted does not stay in every scrape. Instruments still held go on counting unseen.
    package func remove(_ name: String, labels: MetricLabels) {
        self.families.withLock { $0[name]?.remove(labels) }
    }

    /// Everything in Prometheus' text format 0.0.4, families by name. Send it as `MetricFormat.prometheus.contentType`.
    package func prometheusText() -> [UInt8] {
        self.text(.prometheus)
    }

    /// Everything in the format a scrape asked for, families by name. Send it as the format's `contentType`.
    ///
    /// - Parameter showing: whether who asks may see the series of a tenant.
    package func text(_ format: MetricFormat, showing: @escaping (_ tenant: String) -> Bool = { _ in true }) -> [UInt8]
    {
        var tenants: [String: Bool] = [:]
        var text: MetricText = MetricText(format, seriesMax: self.seriesMax) { tenant in
            if let known: Bool = tenants[tenant] { return known }
            let isShown: Bool = showing(tenant)
            tenants[tenant] = isShown
            return isShown
        }
        for family in self.snapshots() { text.append(family) }
        return text.finished()
    }

    private func snapshots() -> [MetricFamily.Snapshot] {
        // Callbacks run outside the lock: one of them may ask for an instrument.
        let families: [MetricFamily.Snapshot] = self.families.withLock { (families: inout [String: MetricFamily]) in
            families.values.map { $0.snapshot() }
        }
        return families.sorted { $0.name < $1.name }
    }

    private func series(
        _ name: String, _ kind: MetricKind, _ help: String, _ labels: MetricLabels, make: () -> MetricSeries
    ) -> MetricSeries {
        self.families.withLock { (families: inout [String: MetricFamily]) -> MetricSeries in
            let family: MetricFamily = MetricRegistry.family(name, kind, help, in: families)
            families[name] = family
            return family.series(labels, seriesMax: self.seriesMax, make: make)
        }
    }

    private static func family(
        _ name: String, _ kind: MetricKind, _ help: String, in families: [String: MetricFamily]
    ) -> MetricFamily {
        if let family: MetricFamily = families[name] {
            precondition(family.kind == kind, "the metric \(name) is used as two kinds")
            return family
        }
        precondition(isMetricName(name, colonAllowed: true), "bad metric name: \(name)")
        return MetricFamily(name: name, kind: kind, help: help)
    }
}

package enum MetricKind: String, Sendable {
    case counter, gauge, histogram
}

/// One value read by a callback.
package struct MetricSample: Sendable {
    package var labels: MetricLabels
    package var value: Double

    package init(labels: MetricLabels, value: Double) {
        self.labels = labels
        self.value = value
    }
}

enum MetricSeries: Sendable {
    case counter(Counter)
    case gauge(Gauge)
    case histogram(Histogram)
    case callback(@Sendable () -> [MetricSample])
}

/// The series of one name. Used only under the registry's lock, but for `Snapshot`.
final class MetricFamily {
    struct Snapshot: Sendable {
        let name: String
        let kind: MetricKind
        let help: String
        let series: [(labels: MetricLabels, series: MetricSeries)]
    }

    let kind: MetricKind
    private let name: String
    private let help: String
    private var index: [MetricLabels: Int] = [:]
    private var series: [(labels: MetricLabels, series: MetricSeries)] = []

    init(name: String, kind: MetricKind, help: String) {
        self.name = name
        self.kind = kind
        self.help = help
    }

    func series(_ labels: MetricLabels, seriesMax: Int, make: () -> MetricSeries) -> MetricSeries {
        if let known: Int = self.index[labels] { return self.series[known].series }
        if self.series.count >= seriesMax, !labels.names.isEmpty, labels != labels.overflow {
            return self.series(labels.overflow, seriesMax: seriesMax, make: make)
        }
        let made: MetricSeries = make()
        self.index[labels] = self.series.count
        self.series.append((labels, made))
        return made
    }

    func replace(_ labels: MetricLabels, with series: MetricSeries, seriesMax: Int) {
        if let known: Int = self.index[labels] {
            self.series[known].series = series
        } else {
            _ = self.series(labels, seriesMax: seriesMax) { series }
        }
    }

    func replaceAll(with series: MetricSeries) {
        let none: MetricLabels = [:]
        self.index = [none: 0]
        self.series = [(none, series)]
    }

    func remove(_ labels: MetricLabels) {
        guard let position: Int = self.index.removeValue(forKey: labels) else { return }
        self.series.remove(at: position)
        for later in position..<self.series.count { self.index[self.series[later].labels] = later }
    }

    func snapshot() -> Snapshot {
        Snapshot(name: self.name, kind: self.kind, help: self.help, series: self.series)
    }
}
