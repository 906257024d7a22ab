extension JSONScanner {
    /// Powers of ten that a double holds exactly.
    private static let exactPowers: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
        1e20, 1e21,
        1e22,
    ]

    /// Reads a number; `position` stands on its minus sign or first digit.
    mutating func number() throws(JSONError) -> JSONValue {
        let start: Int = self.position
        let isNegative: Bool = self.current == UInt8(ascii: "-")
        if isNegative { self.position += 1 }
        var digits: Decimal = Decimal()
        try self.integerPart(into: &digits)
        var isIntegral: Bool = true
        if self.current == UInt8(ascii: ".") {
            isIntegral = false
            self.position += 1
            let fraction: Int = self.position
            try self.digits(into: &digits, "a digit after the decimal point")
            digits.exponent -= self.position - fraction
        }
        if self.current | 0x20 == UInt8(ascii: "e") {
            isIntegral = false
            try self.exponent(into: &digits)
        }
        guard self.position - start <= Self.numberBytesMax else {
            throw self.failure("expected a number of at most \(Self.numberBytesMax) characters", at: start)
        }
        if isIntegral, let value: Int64 = digits.integer(isNegative: isNegative) { return .int(value) }
        return .double(try self.double(digits, isNegative: isNegative, from: start))
    }

    /// What the digits of a number spell, as far as 64 bits hold it.
    struct Decimal {
        var significand: UInt64 = 0
        /// Whether the significand is complete.
        var isExact: Bool = true
        var exponent: Int = 0

        @inline(__always)
        mutating func take(_ digit: UInt64) {
            // 19 digits always fit; a twentieth may not.
            if self.significand < 1_000_000_000_000_000_000 {
                self.significand = self.significand &* 10 &+ digit
            } else {
                let (product, overflow): (UInt64, Bool) = self.significand.multipliedReportingOverflow(by: 10)
                let (sum, carry): (UInt64, Bool) = product.addingReportingOverflow(digit)
                self.isExact = self.isExact && !overflow && !carry
                self.significand = sum
            }
        }

        /// The integer, unless it does not fit 64 bits; nor is there an integer for -0.
        func integer(isNegative: Bool) -> Int64? {
            guard self.isExact else { return nil }
            guard isNegative else { return Int64(exactly: self.significand) }
            if self.significand == 0 { return nil }
            if self.significand == UInt64(Int64.max) + 1 { return Int64.min }
            return Int64(exactly: self.significand).map { -$0 }
        }
    }

    private mutating func integerPart(into digits: inout Decimal) throws(JSONError) {
        if self.current == UInt8(ascii: "0") {
            self.position += 1
            if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self.current) {
                throw self.failure("expected a number without leading zeros", at: self.position - 1)
            }
            return
        }
        try self.digits(into: &digits, "a digit")
    }

    @inline(__always)
    private mutating func digits(into digits: inout Decimal, _ wanted: StaticString) throws(JSONError) {
        let start: Int = self.position
        while self.position < self.bytes.count {
            let digit: UInt8 = self.bytes[self.position] &- UInt8(ascii: "0")
            if digit > 9 { break }
            digits.take(UInt64(digit))
            self.position += 1
        }
        if self.position == start { throw self.unexpected("\(wanted)", at: start) }
    }

    private mutating func exponent(into digits: inout Decimal) throws(JSONError) {
        self.position += 1
        let isNegative: Bool = self.current == UInt8(ascii: "-")
        if isNegative || self.current == UInt8(ascii: "+") { self.position += 1 }
        var exponent: Decimal = Decimal()
        try self.digits(into: &exponent, "a digit of the exponent")
        // Anything this large is zero or out of range; the slow path tells which.
        let size: Int = exponent.isExact ? Int(min(exponent.significand, 100_000)) : 100_000
        digits.exponent += isNegative ? -size : size
    }

    private func double(_ digits: Decimal, isNegative: Bool, from start: Int) throws(JSONError) -> Double {
        // Both factors are exact doubles, so one rounding gives the nearest double (Clinger's fast path).
        if digits.isExact, digits.significand <= 1 << 53, abs(digits.exponent) <= 22 {
            let power: Double = Self.exactPowers[abs(digits.exponent)]
            let value: Double = Double(digits.significand)
            let scaled: Double = digits.exponent < 0 ? value / power : value * power
            return isNegative ? -scaled : scaled
        }
        let text: String = String(decoding: self.bytes[start..<self.position], as: UTF8.self)
        guard let value: Double = Double(text), value.isFinite else {
            throw self.failure("expected a number within the range of a double", at: start)
        }
        return value
    }
}
