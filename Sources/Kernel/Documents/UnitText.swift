/// Spans of time as configuration writes them: a whole number and one unit.
package enum DurationText {
    private static let units: [(suffix: String, milliseconds: Int64)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]

    /// Reads `250ms`, `30s`, `5m`, `2h` or `7d`; nil for anything else.
    package static func parse(_ text: String) -> Duration? {
        guard let (number, unit): (Int64, Substring) = NumberWithUnit.split(text) else { return nil }
        for (suffix, milliseconds) in self.units where unit == suffix {
            let (product, overflow): (Int64, Bool) = number.multipliedReportingOverflow(by: milliseconds)
            return overflow ? nil : .milliseconds(product)
        }
        return nil
    }

    /// Writes whole milliseconds with the largest unit that leaves no rest.
    package static func text(_ duration: Duration) -> String {
        let parts: (seconds: Int64, attoseconds: Int64) = duration.components
        let milliseconds: Int64 = parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000
        if milliseconds == 0 { return "0s" }
        for (suffix, size) in self.units.reversed() where milliseconds % size == 0 {
            return "\(milliseconds / size)\(suffix)"
        }
        return "\(milliseconds)ms"
    }
}

/// Sizes as configuration writes them: a whole number, alone or with a unit.
package enum ByteCountText {
    private static let units: [(suffix: String, bytes: Int64)] = [
        ("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30),
    ]

    /// Reads `65536`, `512B`, `64KiB`, `10MiB` or `1GiB`; nil for anything else.
    package static func parse(_ text: String) -> Int? {
        guard let (number, unit): (Int64, Substring) = NumberWithUnit.split(text) else { return nil }
        for (suffix, bytes) in self.units where unit == suffix {
            let (product, overflow): (Int64, Bool) = number.multipliedReportingOverflow(by: bytes)
            return overflow ? nil : Int(product)
        }
        return nil
    }

    package static func text(_ count: Int) -> String {
        for (suffix, bytes) in self.units.reversed() where count != 0 && Int64(count) % bytes == 0 {
            return "\(Int64(count) / bytes)\(suffix)"
        }
        return "\(count)"
    }
}

private enum NumberWithUnit {
    /// Up to 18 digits, then what follows them.
    static func split(_ text: String) -> (number: Int64, unit: Substring)? {
        let digits: Substring = text.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty, digits.utf8.count <= 18, let number: Int64 = Int64(digits) else { return nil }
        return (number, text[digits.endIndex...])
    }
}
