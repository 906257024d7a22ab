/// The two forms metrics are told in.
package enum MetricFormat: Sendable, CaseIterable {
    /// Prometheus' text format 0.0.4.
    case prometheus
    /// OpenMetrics 1.0.0: the same numbers, and exemplars.
    case openMetrics

    package var contentType: String {
        switch self {
        case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// What an `Accept` field asks for: OpenMetrics where it is named and liked no less than plain text; else Prometheus' format.
    package init(accept: String?) {
        var openMetrics: Double = 0
        var plain: Double = 0
        for range in (accept ?? "").split(separator: ",") {
            let (type, version, quality): (String, String?, Double) = MetricFormat.read(range)
            switch type {
            case "application/openmetrics-text":
                // 0.0.1 is what Prometheus called the draft that became 1.0.0.
                guard version == nil || version == "1.0.0" || version == "0.0.1" else { continue }
                openMetrics = max(openMetrics, quality)
            case "text/plain", "text/*": plain = max(plain, quality)
            default: break
            }
        }
        self = openMetrics > 0 && openMetrics >= plain ? .openMetrics : .prometheus
    }

    /// A media range (RFC 9110 section 12.5.1); a weight that is no number counts as none.
    private static func read(_ range: Substring) -> (type: String, version: String?, quality: Double) {
        var parts: [String] = []
        for part in range.split(separator: ";", omittingEmptySubsequences: false) {
            parts.append(String(part.filter { $0 != " " && $0 != "\t" && $0 != "\"" }).lowercased())
        }
        var version: String?
        var quality: Double = 1
        for parameter in parts.dropFirst() {
            if parameter.hasPrefix("version=") { version = String(parameter.dropFirst("version=".count)) }
            if parameter.hasPrefix("q=") { quality = Double(parameter.dropFirst("q=".count)) ?? 0 }
        }
        return (parts.first ?? "", version, quality)
    }
}
