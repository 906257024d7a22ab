/// Dates and times of RFC 3339 section 5.6.
enum DateFormat {
    static func isDateTime(_ text: [UInt8]) -> Bool {
        text.count >= 20 && self.isDate(text[..<10]) && text[10] | 0x20 == UInt8(ascii: "t") && self.isTime(text[11...])
    }

    /// `full-time`: a time with its offset. Second 60 exists at the end of a day of UTC only.
    static func isTime(_ text: ArraySlice<UInt8>) -> Bool {
        let bytes: [UInt8] = Array(text)
        guard bytes.count >= 9, bytes[2] == UInt8(ascii: ":"), bytes[5] == UInt8(ascii: ":"),
            let hour: Int = self.number(bytes[0..<2]), hour < 24, let minute: Int = self.number(bytes[3..<5]),
            minute < 60, let second: Int = self.number(bytes[6..<8]), second <= 60
        else { return false }
        var rest: ArraySlice<UInt8> = bytes[8...]
        if rest.first == UInt8(ascii: ".") {
            let fraction: ArraySlice<UInt8> = rest.dropFirst().prefix(while: NameFormat.isDigit)
            if fraction.isEmpty { return false }
            rest = rest.dropFirst(fraction.count + 1)
        }
        guard let offset: Int = self.offset(Array(rest)) else { return false }
        let minutes: Int = (hour * 60 + minute - offset + 2 * 1440) % 1440
        return second < 60 || minutes == 1439
    }

    /// Minutes east of UTC.
    private static func offset(_ text: [UInt8]) -> Int? {
        if text.count == 1 { return text[0] | 0x20 == UInt8(ascii: "z") ? 0 : nil }
        guard text.count == 6, text[0] == UInt8(ascii: "+") || text[0] == UInt8(ascii: "-"),
            text[3] == UInt8(ascii: ":"), let hour: Int = self.number(text[1..<3]), hour < 24,
            let minute: Int = self.number(text[4..<6]), minute < 60
        else { return nil }
        return (text[0] == UInt8(ascii: "-") ? -1 : 1) * (hour * 60 + minute)
    }

    static func isDate(_ text: ArraySlice<UInt8>) -> Bool {
        let bytes: [UInt8] = Array(text)
        guard bytes.count == 10, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            let year: Int = self.number(bytes[0..<4]), let month: Int = self.number(bytes[5..<7]),
            (1...12).contains(month), let day: Int = self.number(bytes[8..<10])
        else { return false }
        let isLeap: Bool = year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
        let days: [Int] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return day >= 1 && day <= days[month - 1]
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        var value: Int = 0
        for digit: UInt8 in digits {
            guard NameFormat.isDigit(digit) else { return nil }
            value = value * 10 + Int(digit - UInt8(ascii: "0"))
        }
        return value
    }
}

/// Durations of RFC 3339 appendix A: `P1Y2M3DT4H5M6S` without gaps between units, or `P4W`.
enum DurationFormat {
    static func matches(_ text: [UInt8]) -> Bool {
        guard text.first == UInt8(ascii: "P"), text.count > 2 else { return false }
        var rest: ArraySlice<UInt8> = text[1...]
        if text.last == UInt8(ascii: "W") { return self.units(&rest, "W") == 1 && rest.isEmpty }
        let days: Int? = self.units(&rest, "YMD")
        guard let days: Int else { return false }
        if rest.isEmpty { return days > 0 }
        guard rest.popFirst() == UInt8(ascii: "T") else { return false }
        guard let times: Int = self.units(&rest, "HMS") else { return false }
        return times > 0 && rest.isEmpty
    }

    /// Takes numbers with units in their order, none left out in between; nil when they are not so.
    private static func units(_ text: inout ArraySlice<UInt8>, _ units: String) -> Int? {
        let letters: [UInt8] = Array(units.utf8)
        var next: Int? = nil
        var count: Int = 0
        while let first: UInt8 = text.first, NameFormat.isDigit(first) {
            let digits: ArraySlice<UInt8> = text.prefix(while: NameFormat.isDigit)
            text = text.dropFirst(digits.count)
            guard let letter: UInt8 = text.popFirst(), let place: Int = letters.firstIndex(of: letter) else {
                return nil
            }
            if let next: Int, place != next { return nil }
            next = place + 1
            count += 1
        }
        return count
    }
}
