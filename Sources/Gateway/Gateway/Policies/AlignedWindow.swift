import GatewayConfiguration

/// Windows that begin at the same moment on every gateway: spans of the calendar in UTC, or of fixed length counted from 1970.
///
/// Time is nanoseconds since 1970. Plain arithmetic, some nanoseconds a call.
struct AlignedWindow: BitwiseCopyable, Sendable, Equatable {
    private enum Kind: UInt8, BitwiseCopyable {
        case fixed, week, month, year
    }

    private let kind: Kind
    /// For `fixed`.
    private let length: UInt64

    private static let second: UInt64 = 1_000_000_000
    private static let day: UInt64 = 86_400 * second

    init(milliseconds: UInt64) {
        self.kind = .fixed
        self.length = milliseconds * 1_000_000
    }

    init(_ unit: CalendarUnit) {
        switch unit {
        case .minute: (self.kind, self.length) = (.fixed, 60 * Self.second)
        case .hour: (self.kind, self.length) = (.fixed, 3600 * Self.second)
        case .day: (self.kind, self.length) = (.fixed, Self.day)
        case .week: (self.kind, self.length) = (.week, 7 * Self.day)
        case .month: (self.kind, self.length) = (.month, 0)
        case .year: (self.kind, self.length) = (.year, 0)
        }
    }

    /// The number of the window that holds `wall`; consecutive windows have consecutive numbers.
    func number(at wall: UInt64) -> UInt64 {
        switch self.kind {
        case .fixed: return wall / self.length
        // 1970 began on a Thursday.
        case .week: return (wall / Self.day + 3) / 7
        case .month:
            let (year, month): (Int, Int) = Self.civil(wall)
            return UInt64(year * 12 + month - 1)
        case .year: return UInt64(Self.civil(wall).year)
        }
    }

    /// When the window that holds `wall` ends.
    func end(at wall: UInt64) -> UInt64 {
        switch self.kind {
        case .fixed: return (wall / self.length + 1) * self.length
        case .week: return (self.number(at: wall) * 7 + 4) * Self.day
        case .month:
            let (year, month): (Int, Int) = Self.civil(wall)
            return Self.start(year: month == 12 ? year + 1 : year, month: month == 12 ? 1 : month + 1)
        case .year: return Self.start(year: Self.civil(wall).year + 1, month: 1)
        }
    }

    /// Length in seconds, as `RateLimit-Policy` states it: of a month 30 days, of a year 365.
    var nominalSeconds: UInt64 {
        switch self.kind {
        case .fixed, .week: return max(1, self.length / Self.second)
        case .month: return 30 * 86_400
        case .year: return 365 * 86_400
        }
    }

    // Days to a date and back, for years from March so that the leap day comes last; every 400 years are alike.

    private static func civil(_ wall: UInt64) -> (year: Int, month: Int) {
        let shifted: Int = Int(wall / Self.day) + 719_468
        let era: Int = shifted / 146_097
        let dayOfEra: Int = shifted - era * 146_097
        let yearOfEra: Int = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear: Int = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch: Int = (5 * dayOfYear + 2) / 153
        let month: Int = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month)
    }

    private static func start(year: Int, month: Int) -> UInt64 {
        let marchYear: Int = month <= 2 ? year - 1 : year
        let era: Int = marchYear / 400
        let yearOfEra: Int = marchYear - era * 400
        let dayOfYear: Int = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5
        let dayOfEra: Int = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return UInt64(era * 146_097 + dayOfEra - 719_468) * Self.day
    }
}
