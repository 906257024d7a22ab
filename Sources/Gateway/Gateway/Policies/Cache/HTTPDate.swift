/// Reads the dates of header fields in the three forms of RFC 9110, 5.6.7: IMF-fixdate, and the obsolete ones of RFC 850 and of
/// asctime.
enum HTTPDate {
    /// Seconds since 1970, UTC; nil for anything else. `now` tells the century of a year of two digits.
    static func seconds(_ text: String, now: Int64) -> Int64? {
        var words: [Substring] = []
        for word in text.split(whereSeparator: { $0 == " " || $0 == "," || $0 == "-" }) { words.append(word) }
        // IMF-fixdate and RFC 850: weekday day month year time GMT. asctime: weekday month day time year.
        if words.count == 6, words[5] == "GMT" {
            guard let day: Int64 = self.number(words[1], 2...2), let month: Int64 = self.month(words[2]),
                let year: Int64 = self.year(words[3], now: now)
            else { return nil }
            return self.seconds(year, month, day, words[4])
        }
        if words.count == 5 {
            guard let month: Int64 = self.month(words[1]), let day: Int64 = self.number(words[2], 1...2),
                let year: Int64 = self.number(words[4], 4...4)
            else { return nil }
            return self.seconds(year, month, day, words[3])
        }
        return nil
    }

    private static let months: [String] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    private static func month(_ text: Substring) -> Int64? {
        for (index, name) in self.months.enumerated() where text == name { return Int64(index + 1) }
        return nil
    }

    /// Digits alone, so many of them.
    private static func number(_ text: Substring, _ digits: ClosedRange<Int>) -> Int64? {
        guard digits.contains(text.utf8.count) else { return nil }
        var value: Int64 = 0
        for byte in text.utf8 {
            guard byte >= 0x30, byte <= 0x39 else { return nil }
            value = value * 10 + Int64(byte - 0x30)
        }
        return value
    }

    /// A year of two digits that seems to be more than 50 years ahead is the last one that ended so.
    private static func year(_ text: Substring, now: Int64) -> Int64? {
        if let year: Int64 = self.number(text, 4...4) { return year }
        guard let short: Int64 = self.number(text, 2...2) else { return nil }
        let present: Int64 = 1970 + now / 31_556_952
        let year: Int64 = present - present % 100 + short
        return year > present + 50 ? year - 100 : year
    }

    private static func seconds(_ year: Int64, _ month: Int64, _ day: Int64, _ time: Substring) -> Int64? {
        let parts: [Substring] = time.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, let hour: Int64 = self.number(parts[0], 2...2),
            let minute: Int64 = self.number(parts[1], 2...2), let second: Int64 = self.number(parts[2], 2...2),
            hour < 24, minute < 60, second < 61, day >= 1, day <= self.days(month, year)
        else { return nil }
        // Days of the proleptic Gregorian calendar, counted from March so that leap days come last.
        let shifted: Int64 = month <= 2 ? year - 1 : year
        let era: Int64 = shifted / 400
        let yearOfEra: Int64 = shifted - era * 400
        let dayOfYear: Int64 = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let days: Int64 = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return days * 86_400 + hour * 3600 + minute * 60 + second
    }

    private static func days(_ month: Int64, _ year: Int64) -> Int64 {
        switch month {
        case 2: return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: return 30
        default: return 31
        }
    }
}
