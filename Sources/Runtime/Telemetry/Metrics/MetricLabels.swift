/// The labels of one series: names from the code, values from anywhere.
///
/// Kept as the text Prometheus reads (`method="GET",status="200"`), which is also the series' identity.
package struct MetricLabels: Sendable, Hashable, ExpressibleByDictionaryLiteral {
    /// Longest value kept; the rest is cut off, so that a hostile path cannot bloat every scrape.
    package static let valueBytesMax: Int = 256

    package let text: String
    package let names: [String]
    /// The tenant whose series it is, where a label says so.
    package let tenant: String?

    package init(dictionaryLiteral elements: (String, String)...) {
        self.init(elements)
    }

    /// Names must be Prometheus label names (`[a-zA-Z_][a-zA-Z0-9_]*`) written in the code; a bad one traps.
    package init(_ elements: [(String, String)]) {
        var text: [UInt8] = []
        var names: [String] = []
        var tenant: String?
        for (name, value) in elements {
            if name == "tenant" { tenant = value }
            precondition(isMetricName(name, colonAllowed: false), "bad metric label name: \(name)")
            precondition(!names.contains(name), "metric label given twice: \(name)")
            if !text.isEmpty { text.append(UInt8(ascii: ",")) }
            text.append(contentsOf: name.utf8)
            text.append(contentsOf: "=\"".utf8)
            appendEscaped(MetricLabels.cut(value), quotes: true, to: &text)
            text.append(UInt8(ascii: "\""))
            names.append(name)
        }
        self.text = String(decoding: text, as: UTF8.self)
        self.names = names
        self.tenant = tenant
    }

    /// The same names, every value `overflow`: where everything goes once a family is full.
    var overflow: MetricLabels { MetricLabels(self.names.map { ($0, "overflow") }) }

    private static func cut(_ value: String) -> String {
        guard value.utf8.count > MetricLabels.valueBytesMax else { return value }
        // Decoding repairs a character cut in two.
        return String(decoding: Array(value.utf8.prefix(MetricLabels.valueBytesMax)), as: UTF8.self)
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, for metric names also with colons.
func isMetricName(_ name: String, colonAllowed: Bool) -> Bool {
    guard let first: UInt8 = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else {
        return false
    }
    for byte in name.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): continue
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): continue
        case UInt8(ascii: ":") where colonAllowed: continue
        default: return false
        }
    }
    return true
}

/// Escapes as the text format wants: backslash and line feed always, the double quote in label values only.
func appendEscaped(_ text: String, quotes: Bool, to bytes: inout [UInt8]) {
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "\\"): bytes.append(contentsOf: "\\\\".utf8)
        case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
        case UInt8(ascii: "\"") where quotes: bytes.append(contentsOf: "\\\"".utf8)
        default: bytes.append(byte)
        }
    }
}
