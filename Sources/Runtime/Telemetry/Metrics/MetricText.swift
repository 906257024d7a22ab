/// Writes families in one of the two text formats that scrapers read. Prometheus' 0.0.4:
/// ```
/// # HELP name text, with \\ and \n escaped
/// # TYPE name counter
/// name{label="value"} 12
/// ```
/// OpenMetrics' 1.0.0 has the type first, escapes quotes in the help too, names a family of counters without the `_total` of its
/// samples, ends with `# EOF`, and its buckets carry exemplars:
/// `name_bucket{le="0.5"} 3 # {trace_id="…"} 0.35 1767323045.678`.
///
/// A histogram has cumulative `name_bucket{le="…"}` lines, `name_sum` and `name_count`.
struct MetricText {
    private static let counterSuffix: String = "_total"

    private let format: MetricFormat
    private let seriesMax: Int
    private let shows: (_ tenant: String) -> Bool
    private var bytes: [UInt8] = []

    /// - Parameter shows: whether the series of a tenant are written.
    init(_ format: MetricFormat, seriesMax: Int, shows: @escaping (_ tenant: String) -> Bool = { _ in true }) {
        self.shows = shows
        self.format = format
        self.seriesMax = seriesMax
    }

    /// Everything that was appended; in OpenMetrics with the line that says that nothing is missing.
    func finished() -> [UInt8] {
        switch self.format {
        case .prometheus: return self.bytes
        case .openMetrics: return self.bytes + Array("# EOF\n".utf8)
        }
    }

    mutating func append(_ family: MetricFamily.Snapshot) {
        self.appendHead(family)
        for (labels, series) in family.series where labels.tenant.map(self.shows) ?? true {
            switch series {
            case .counter(let counter): self.line(family.name, labels.text, String(counter.value))
            case .gauge(let gauge): self.line(family.name, labels.text, Self.number(gauge.value))
            case .histogram(let histogram): self.append(histogram, family.name, labels.text)
            case .callback(let read):
                for sample in read().prefix(self.seriesMax) where sample.labels.tenant.map(self.shows) ?? true {
                    let text: String = Self.joined(labels.text, sample.labels.text)
                    self.line(family.name, text, Self.number(sample.value))
                }
            }
        }
    }

    private mutating func appendHead(_ family: MetricFamily.Snapshot) {
        switch self.format {
        case .prometheus:
            self.bytes.append(contentsOf: "# HELP \(family.name) ".utf8)
            appendEscaped(family.help, quotes: false, to: &self.bytes)
            self.bytes.append(contentsOf: "\n# TYPE \(family.name) \(family.kind.rawValue)\n".utf8)
        case .openMetrics:
            var name: String = family.name
            var kind: String = family.kind.rawValue
            if family.kind == .counter {
                if name.hasSuffix(Self.counterSuffix) {
                    name.removeLast(Self.counterSuffix.count)
                } else {
                    kind = "unknown"
                }
            }
            self.bytes.append(contentsOf: "# TYPE \(name) \(kind)\n# HELP \(name) ".utf8)
            appendEscaped(family.help, quotes: true, to: &self.bytes)
            self.bytes.append(UInt8(ascii: "\n"))
        }
    }

    private mutating func append(_ histogram: Histogram, _ name: String, _ labels: String) {
        let counts: [UInt64] = histogram.bucketCounts
        let exemplars: [MetricExemplar?] = self.format == .openMetrics ? histogram.exemplars : []
        var cumulative: UInt64 = 0
        for (index, count) in counts.enumerated() {
            cumulative += count
            let bound: String = index < histogram.bounds.count ? self.bound(histogram.bounds[index]) : "+Inf"
            self.line(
                name + "_bucket", Self.joined(labels, "le=\"\(bound)\""), String(cumulative),
                index < exemplars.count ? exemplars[index] : nil)
        }
        self.line(name + "_sum", labels, Self.number(histogram.sum))
        self.line(name + "_count", labels, String(cumulative))
    }

    private mutating func line(
        _ name: String, _ labels: String, _ value: String, _ exemplar: MetricExemplar? = nil
    ) {
        self.bytes.append(contentsOf: name.utf8)
        if !labels.isEmpty {
            self.bytes.append(UInt8(ascii: "{"))
            self.bytes.append(contentsOf: labels.utf8)
            self.bytes.append(UInt8(ascii: "}"))
        }
        self.bytes.append(UInt8(ascii: " "))
        self.bytes.append(contentsOf: value.utf8)
        if let exemplar {
            let number: String = Self.number(exemplar.value)
            let time: String = Self.number(exemplar.time)
            self.bytes.append(contentsOf: " # {trace_id=\"\(exemplar.traceID)\"} \(number) \(time)".utf8)
        }
        self.bytes.append(UInt8(ascii: "\n"))
    }

    /// In OpenMetrics bounds always have a fraction, so that the same bucket has the same label everywhere.
    private func bound(_ value: Double) -> String {
        let text: String = Self.number(value)
        if self.format == .prometheus { return text }
        return text.contains(".") || text.contains("e") ? text : text + ".0"
    }

    private static func joined(_ first: String, _ second: String) -> String {
        if first.isEmpty { return second }
        return second.isEmpty ? first : first + "," + second
    }

    /// Whole numbers without a fraction; `+Inf`, `-Inf` and `NaN` as Prometheus spells them.
    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), value.magnitude < 1e15 { return String(Int64(value)) }
        return value.description
    }
}
