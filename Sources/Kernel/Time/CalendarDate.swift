/// A date of the proleptic Gregorian calendar, in UTC.
///
/// The conversion counts days in eras of 400 years (146,097 days each), years beginning in March so that the leap day is the
/// last of its year: integer arithmetic only, no table and no locale.
package struct CalendarDate: Sendable, Hashable {
    package let year: Int64
    /// 1 to 12.
    package let month: Int64
    /// 1 to 31.
    package let day: Int64

    /// The date `days` after 1970-01-01 (before, when negative).
    package init(daysSince1970 days: Int64) {
        let shifted: Int64 = days + 719_468
        let era: Int64 = shifted.floorDivided(by: 146_097)
        let dayOfEra: Int64 = shifted - era * 146_097
        let yearOfEra: Int64 = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear: Int64 = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch: Int64 = (5 * dayOfYear + 2) / 153
        self.day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        self.month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        self.year = yearOfEra + era * 400 + (self.month <= 2 ? 1 : 0)
    }

    /// The date given by its parts; nil when there is no such day (April 31, February 29 outside leap years).
    package init?(year: Int64, month: Int64, day: Int64) {
        guard (1...12).contains(month), day >= 1, day <= CalendarDate.lengthOfMonth(month, year: year) else {
            return nil
        }
        self.year = year
        self.month = month
        self.day = day
    }

    /// Days since 1970-01-01; negative before.
    package var daysSince1970: Int64 {
        let yearFromMarch: Int64 = self.month <= 2 ? self.year - 1 : self.year
        let era: Int64 = yearFromMarch.floorDivided(by: 400)
        let yearOfEra: Int64 = yearFromMarch - era * 400
        let monthFromMarch: Int64 = self.month > 2 ? self.month - 3 : self.month + 9
        let dayOfYear: Int64 = (153 * monthFromMarch + 2) / 5 + self.day - 1
        let dayOfEra: Int64 = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// 0 for Sunday to 6 for Saturday. 1970-01-01 was a Thursday.
    package var weekday: Int {
        let shifted: Int64 = self.daysSince1970 + 4
        return Int(shifted - shifted.floorDivided(by: 7) * 7)
    }

    private static func lengthOfMonth(_ month: Int64, year: Int64) -> Int64 {
        switch month {
        case 4, 6, 9, 11: return 30
        case 2: return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        default: return 31
        }
    }
}
