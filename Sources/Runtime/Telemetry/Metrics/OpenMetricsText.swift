/// Writes families in OpenMetrics' text format 1.0.0:
/// ```
/// # TYPE name counter
/// # HELP name text, with \\, \n and \" escaped
/// name_total{label="value"} 12
/// # EOF
/// ```
/// A family of counters is named without the `_total` of its samples. Buckets carry exemplars:
/// `name_bucket{le="0.5"} 3 # {trace_id="…"} 0.35 1767323045.678`.
struct OpenMetricsText {
    private var bytes: [UInt8] = []
    private let seriesMax: Int

    private static let counterSuffix: String = "_total"

    init(seriesMax: Int) {
        self.seriesMax = seriesMax
    }

    /// Everything, with the line that says that nothing is missing.
    func finished() -> [UInt8] { self.bytes + Array("# EOF\n".utf8) }

    mutating func append(_ family: MetricFamily.Snapshot) {
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
        let exemplars: [MetricExemplar?] = histogram.exemplars
        var cumulative: UInt64 = 0
        for (index, count) in counts.enumerated() {
            cumulative += count
            let bound: String = index < histogram.bounds.count ? Self.bound(histogram.bounds[index]) : "+Inf"
            self.line(
                name + "_bucket", PrometheusText.joined(labels, "le=\"\(bound)\""), String(cumulative),
                index < exemplars.count ? exemplars[index] : nil)
        }
        self.line(name + "_sum", labels, PrometheusText.number(histogram.sum))
        self.line(name + "_count", labels, String(cumulative))
    }

    private mutating func line(
        _ name: String, _ labels: String, _ value: String, _ exemplar: MetricExemplar? = nil
    ) {
        self.bytes.append(contentsOf: name.utf8)
        if !labels.isEmpty { self.bytes.append(contentsOf: "{\(labels)}".utf8) }
        self.bytes.append(contentsOf: " \(value)".utf8)
        if let exemplar {
            let number: String = PrometheusText.number(exemplar.value)
            let time: String = PrometheusText.number(exemplar.time)
            self.bytes.append(contentsOf: " # {trace_id=\"\(exemplar.traceID)\"} \(number) \(time)".utf8)
        }
        self.bytes.append(UInt8(ascii: "\n"))
    }

    /// Bounds always have a fraction, so that the same bucket has the same label everywhere.
    private static func bound(_ value: Double) -> String {
        let text: String = PrometheusText.number(value)
        return text.contains(".") || text.contains("e") ? text : text + ".0"
    }
}
