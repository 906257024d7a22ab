/// Writes families in Prometheus' text format 0.0.4:
/// ```
/// # HELP name text, with \\ and \n escaped
/// # TYPE name counter
/// name{label="value"} 12
/// ```
/// A histogram has cumulative `name_bucket{le="…"}` lines, `name_sum` and `name_count`.
struct PrometheusText {
    private(set) var bytes: [UInt8] = []
    private let seriesMax: Int

    init(seriesMax: Int) {
        self.seriesMax = seriesMax
    }

    mutating func append(_ family: MetricFamily.Snapshot) {
        self.bytes.append(contentsOf: "# HELP \(family.name) ".utf8)
        appendEscaped(family.help, quotes: false, to: &self.bytes)
        self.bytes.append(contentsOf: "\n# TYPE \(family.name) \(family.kind.rawValue)\n".utf8)
        for (labels, series) in family.series {
            switch series {
            case .counter(let counter): self.line(family.name, labels.text, String(counter.value))
            case .gauge(let gauge): self.line(family.name, labels.text, PrometheusText.number(gauge.value))
            case .histogram(let histogram): self.append(histogram, family.name, labels.text)
            case .callback(let read):
                for sample in read().prefix(self.seriesMax) {
                    let text: String = PrometheusText.joined(labels.text, sample.labels.text)
                    self.line(family.name, text, PrometheusText.number(sample.value))
                }
            }
        }
    }

    private mutating func append(_ histogram: Histogram, _ name: String, _ labels: String) {
        let counts: [UInt64] = histogram.bucketCounts
        var cumulative: UInt64 = 0
        for (index, count) in counts.enumerated() {
            cumulative += count
            let bound: String = index < histogram.bounds.count ? PrometheusText.number(histogram.bounds[index]) : "+Inf"
            self.line(name + "_bucket", PrometheusText.joined(labels, "le=\"\(bound)\""), String(cumulative))
        }
        self.line(name + "_sum", labels, PrometheusText.number(histogram.sum))
        self.line(name + "_count", labels, String(cumulative))
    }

    private mutating func line(_ name: String, _ labels: String, _ value: String) {
        self.bytes.append(contentsOf: name.utf8)
        if !labels.isEmpty {
            self.bytes.append(UInt8(ascii: "{"))
            self.bytes.append(contentsOf: labels.utf8)
            self.bytes.append(UInt8(ascii: "}"))
        }
        self.bytes.append(UInt8(ascii: " "))
        self.bytes.append(contentsOf: value.utf8)
        self.bytes.append(UInt8(ascii: "\n"))
    }

    static func joined(_ first: String, _ second: String) -> String {
        if first.isEmpty { return second }
        return second.isEmpty ? first : first + "," + second
    }

    /// Whole numbers without a fraction; `+Inf`, `-Inf` and `NaN` as Prometheus spells them.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), value.magnitude < 1e15 { return String(Int64(value)) }
        return value.description
    }
}
