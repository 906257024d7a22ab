import GatewayConfiguration

/// What a client says about content codings in `Accept-Encoding` (RFC 9110, 12.5.3).
struct AcceptEncoding: Equatable {
    /// Thousandths by coding, lower case.
    private var weights: [String: Int] = [:]

    /// Reads a list such as `gzip;q=0.5, br, *;q=0`. Members that are none are passed over; a weight that is none counts as 0.
    init(_ text: String) {
        for member in text.split(separator: ",") {
            let parts: [Substring] = member.split(separator: ";", omittingEmptySubsequences: false)
            let name: String = AcceptEncoding.trimmed(parts[0]).lowercased()
            if name.isEmpty { continue }
            var weight: Int = 1000
            for part in parts.dropFirst() {
                let parameter: String = AcceptEncoding.trimmed(part).lowercased()
                if parameter.hasPrefix("q=") { weight = AcceptEncoding.weight(parameter.dropFirst(2)) }
            }
            if self.weights[name] == nil { self.weights[name] = weight }
        }
    }

    private static func trimmed(_ text: Substring) -> String { String(text.filter { $0 != " " && $0 != "\t" }) }

    /// `0`, `1`, `0.5`, `1.000` in thousandths.
    private static func weight(_ text: Substring) -> Int {
        let bytes: [UInt8] = Array(text.utf8)
        guard let first: UInt8 = bytes.first, first == 0x30 || first == 0x31, bytes.count <= 5 else { return 0 }
        var value: Int = Int(first - 0x30) * 1000
        if bytes.count == 1 { return value }
        guard bytes[1] == 0x2E else { return 0 }
        var unit: Int = 100
        for byte in bytes[2...] {
            guard byte >= 0x30, byte <= 0x39 else { return 0 }
            value += Int(byte - 0x30) * unit
            unit /= 10
        }
        return min(1000, value)
    }

    private func weight(of coding: String) -> Int {
        if let weight: Int = self.weights[coding] { return weight }
        if coding == "gzip", let weight: Int = self.weights["x-gzip"] { return weight }
        return self.weights["*"] ?? 0
    }

    /// The coding the client likes best; of those it likes equally the first. Nil: as it is.
    func choose(_ algorithms: [CompressionPolicy.Algorithm]) -> CompressionPolicy.Algorithm? {
        var best: CompressionPolicy.Algorithm?
        var most: Int = 0
        for algorithm in algorithms {
            let weight: Int = self.weight(of: algorithm.rawValue)
            if weight > most {
                best = algorithm
                most = weight
            }
        }
        // "identity" without a word about it is acceptable, and never preferred to what the client names.
        if let plain: Int = self.weights["identity"], plain > most { return nil }
        return best
    }
}
