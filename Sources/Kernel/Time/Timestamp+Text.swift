extension Timestamp {
    /// `2026-01-02T03:04:05.678Z`: always milliseconds, always UTC (RFC 3339 section 5.6). What is finer than a
    /// millisecond is cut off.
    package var rfc3339: String {
        String(unsafeUninitializedCapacity: 24) { (bytes: UnsafeMutableBufferPointer<UInt8>) -> Int in
            let parts = TimeParts(self)
            write(parts.date.year, digits: 4, to: bytes, at: 0)
            bytes[4] = UInt8(ascii: "-")
            write(parts.date.month, digits: 2, to: bytes, at: 5)
            bytes[7] = UInt8(ascii: "-")
            write(parts.date.day, digits: 2, to: bytes, at: 8)
            bytes[10] = UInt8(ascii: "T")
            parts.writeClock(to: bytes, at: 11)
            bytes[19] = UInt8(ascii: ".")
            write(parts.millisecond, digits: 3, to: bytes, at: 20)
            bytes[23] = UInt8(ascii: "Z")
            return 24
        }
    }

    /// `Fri, 02 Jan 2026 03:04:05 GMT`: the IMF-fixdate of HTTP (RFC 9110 section 5.6.7). 29 bytes.
    package var httpDate: String {
        String(unsafeUninitializedCapacity: Timestamp.httpDateLength) {
            (bytes: UnsafeMutableBufferPointer<UInt8>) -> Int in
            self.writeHTTPDate(to: bytes)
            return Timestamp.httpDateLength
        }
    }

    /// Bytes of an IMF-fixdate.
    package static var httpDateLength: Int { 29 }

    /// Writes the IMF-fixdate into the first 29 bytes of `bytes`; allocates nothing.
    package func writeHTTPDate(to bytes: UnsafeMutableBufferPointer<UInt8>) {
        precondition(bytes.count >= Timestamp.httpDateLength)
        let parts = TimeParts(self)
        let weekdays: StaticString = "SunMonTueWedThuFriSat"
        let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"
        for offset in 0..<3 {
            bytes[offset] = weekdays.utf8Start[parts.date.weekday * 3 + offset]
            bytes[8 + offset] = months.utf8Start[Int(parts.date.month - 1) * 3 + offset]
        }
        bytes[3] = UInt8(ascii: ",")
        bytes[4] = UInt8(ascii: " ")
        write(parts.date.day, digits: 2, to: bytes, at: 5)
        bytes[7] = UInt8(ascii: " ")
        bytes[11] = UInt8(ascii: " ")
        write(parts.date.year, digits: 4, to: bytes, at: 12)
        bytes[16] = UInt8(ascii: " ")
        parts.writeClock(to: bytes, at: 17)
        bytes[25] = UInt8(ascii: " ")
        bytes[26] = UInt8(ascii: "G")
        bytes[27] = UInt8(ascii: "M")
        bytes[28] = UInt8(ascii: "T")
    }

    /// Reads an RFC 3339 date-time: `2026-01-02T03:04:05Z`, with or without a fraction, with `Z` or `±hh:mm`.
    ///
    /// Strict: every field in its range, no such day as April 31, no leap second (there is none on this time line), one to
    /// nine digits of fraction, nothing before or after. Nil otherwise, and for years a `Timestamp` cannot hold.
    package init?(rfc3339 text: some StringProtocol) {
        var reader = TextReader(Array(text.utf8))
        guard let year: Int64 = reader.number(digits: 4), reader.take("-"),
            let month: Int64 = reader.number(digits: 2), reader.take("-"),
            let day: Int64 = reader.number(digits: 2), reader.take("T") || reader.take("t"),
            let date = CalendarDate(year: year, month: month, day: day),
            let hour: Int64 = reader.number(digits: 2), hour <= 23, reader.take(":"),
            let minute: Int64 = reader.number(digits: 2), minute <= 59, reader.take(":"),
            let second: Int64 = reader.number(digits: 2), second <= 59,
            let fraction: Int64 = reader.fraction(),
            let offset: Int64 = reader.offsetSeconds(), reader.isAtEnd
        else { return nil }
        let seconds: Int64 = date.daysSince1970 * 86_400 + hour * 3600 + minute * 60 + second - offset
        let nanoseconds = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let sum = nanoseconds.partialValue.addingReportingOverflow(fraction)
        guard !nanoseconds.overflow, !sum.overflow else { return nil }
        self.init(nanoseconds: sum.partialValue)
    }
}

/// The fields of a moment in UTC.
private struct TimeParts {
    let date: CalendarDate
    let hour: Int64
    let minute: Int64
    let second: Int64
    let millisecond: Int64

    init(_ timestamp: Timestamp) {
        let seconds: Int64 = timestamp.seconds
        let days: Int64 = seconds.floorDivided(by: 86_400)
        let secondOfDay: Int64 = seconds - days * 86_400
        self.date = CalendarDate(daysSince1970: days)
        self.hour = secondOfDay / 3600
        self.minute = secondOfDay / 60 % 60
        self.second = secondOfDay % 60
        self.millisecond = timestamp.milliseconds - seconds * 1000
    }

    /// `hh:mm:ss` from `offset` on.
    func writeClock(to bytes: UnsafeMutableBufferPointer<UInt8>, at offset: Int) {
        write(self.hour, digits: 2, to: bytes, at: offset)
        bytes[offset + 2] = UInt8(ascii: ":")
        write(self.minute, digits: 2, to: bytes, at: offset + 3)
        bytes[offset + 5] = UInt8(ascii: ":")
        write(self.second, digits: 2, to: bytes, at: offset + 6)
    }
}

/// Writes `value` as exactly `digits` decimal digits.
private func write(_ value: Int64, digits: Int, to bytes: UnsafeMutableBufferPointer<UInt8>, at offset: Int) {
    var rest: Int64 = value
    for position in stride(from: offset + digits - 1, through: offset, by: -1) {
        bytes[position] = UInt8(ascii: "0") + UInt8(rest % 10)
        rest /= 10
    }
}

/// Walks over the bytes of a date-time.
private struct TextReader {
    private let bytes: [UInt8]
    private var position: Int = 0

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { self.position == self.bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard self.position < self.bytes.count, self.bytes[self.position] == UInt8(ascii: character) else {
            return false
        }
        self.position += 1
        return true
    }

    mutating func digit() -> Int64? {
        guard self.position < self.bytes.count else { return nil }
        let byte: UInt8 = self.bytes[self.position]
        guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
        self.position += 1
        return Int64(byte - UInt8(ascii: "0"))
    }

    /// Exactly `digits` digits.
    mutating func number(digits: Int) -> Int64? {
        var value: Int64 = 0
        for _ in 0..<digits {
            guard let next: Int64 = self.digit() else { return nil }
            value = value * 10 + next
        }
        return value
    }

    /// The fraction in nanoseconds: 0 without one, nil when the point has no digit or more than nine behind it.
    mutating func fraction() -> Int64? {
        guard self.take(".") else { return 0 }
        var value: Int64 = 0
        var digits: Int = 0
        while let next: Int64 = self.digit() {
            value = value * 10 + next
            digits += 1
            if digits > 9 { return nil }
        }
        guard digits > 0 else { return nil }
        for _ in digits..<9 { value *= 10 }
        return value
    }

    /// Seconds east of UTC.
    mutating func offsetSeconds() -> Int64? {
        if self.take("Z") || self.take("z") { return 0 }
        let sign: Int64
        if self.take("+") {
            sign = 1
        } else if self.take("-") {
            sign = -1
        } else {
            return nil
        }
        guard let hours: Int64 = self.number(digits: 2), hours <= 23, self.take(":"),
            let minutes: Int64 = self.number(digits: 2), minutes <= 59
        else { return nil }
        return sign * (hours * 3600 + minutes * 60)
    }
}
