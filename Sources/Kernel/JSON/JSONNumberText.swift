/// Writes integers in decimal.
enum JSONNumberText {
    /// Appends without building a string.
    static func append(_ value: Int64, to bytes: inout [UInt8]) {
        if value >= 0, value < 10 { return bytes.append(UInt8(truncatingIfNeeded: value) + UInt8(ascii: "0")) }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { scratch in
            var index: Int = 20
            var rest: UInt64 = value.magnitude
            repeat {
                index -= 1
                scratch[index] = UInt8(truncatingIfNeeded: rest % 10) + UInt8(ascii: "0")
                rest /= 10
            } while rest > 0
            if value < 0 {
                index -= 1
                scratch[index] = UInt8(ascii: "-")
            }
            bytes.append(contentsOf: UnsafeMutableBufferPointer(rebasing: scratch[index...]))
        }
    }
}

/// Writes doubles as ECMAScript's `Number::toString` does (ECMA-262 section 6.1.6.1.20), which RFC 8785 section 3.2.2.3 asks for.
enum ECMAScriptNumber {
    /// Up to this size every integral double is written digit by digit.
    private static let exactIntegerMax: Double = 9_007_199_254_740_992

    static func append(_ value: Double, to bytes: inout [UInt8]) {
        precondition(value.isFinite, "JSON has no infinite numbers and no NaN")
        // Covers both zeros: -0 is written "0".
        if abs(value) <= self.exactIntegerMax, let integer: Int64 = Int64(exactly: value) {
            return JSONNumberText.append(integer, to: &bytes)
        }
        if value < 0 { bytes.append(UInt8(ascii: "-")) }
        let (digits, point): (digits: [UInt8], point: Int) = self.shortest(abs(value))
        self.layOut(digits, point: point, into: &bytes)
    }

    /// The fewest digits that read back as `value`, without zeros at either end, and where the decimal point stands: the value
    /// is 0.digits × 10^point. Swift's description finds the same digits as ECMAScript and only lays them out differently.
    private static func shortest(_ value: Double) -> (digits: [UInt8], point: Int) {
        var digits: [UInt8] = []
        digits.reserveCapacity(20)
        var point: Int? = nil
        var exponent: Int = 0
        var text: Substring.UTF8View = value.description[...].utf8
        if let mark: Substring.UTF8View.Index = text.firstIndex(of: UInt8(ascii: "e")) {
            exponent = Int(Substring(text[text.index(after: mark)...])) ?? 0
            text = text[..<mark]
        }
        for character: UInt8 in text {
            if character == UInt8(ascii: ".") { point = digits.count } else { digits.append(character) }
        }
        var position: Int = (point ?? digits.count) + exponent
        let zeros: Int = digits.prefix { $0 == UInt8(ascii: "0") }.count
        digits.removeFirst(zeros)
        position -= zeros
        while digits.last == UInt8(ascii: "0") { digits.removeLast() }
        return (digits, position)
    }

    private static func layOut(_ digits: [UInt8], point: Int, into bytes: inout [UInt8]) {
        let zero: UInt8 = UInt8(ascii: "0")
        switch point {
        case digits.count...21 where digits.count <= 21:
            bytes.append(contentsOf: digits)
            bytes.append(contentsOf: repeatElement(zero, count: point - digits.count))
        case 1...21:
            bytes.append(contentsOf: digits[..<point])
            bytes.append(UInt8(ascii: "."))
            bytes.append(contentsOf: digits[point...])
        case -5...0:
            bytes.append(zero)
            bytes.append(UInt8(ascii: "."))
            bytes.append(contentsOf: repeatElement(zero, count: -point))
            bytes.append(contentsOf: digits)
        default:
            bytes.append(digits[0])
            if digits.count > 1 {
                bytes.append(UInt8(ascii: "."))
                bytes.append(contentsOf: digits[1...])
            }
            bytes.append(UInt8(ascii: "e"))
            bytes.append(UInt8(ascii: point > 0 ? "+" : "-"))
            JSONNumberText.append(Int64(abs(point - 1)), to: &bytes)
        }
    }
}
