import CLinux

/// The time of one loop: read once per turn, so that everything inside a turn agrees and nothing pays for a clock.
struct LoopClock: ~Copyable {
    private static let nanosecondsPerSecond: UInt64 = 1_000_000_000

    /// Monotonic nanoseconds.
    private(set) var now: UInt64
    /// Wall clock minus monotonic, looked up again once a second.
    private var wallOffset: Int64
    private var nextCalibration: UInt64
    private var dateSecond: Int64 = .min
    private let date: UnsafeMutablePointer<UInt8>

    init() {
        self.now = clinux_monotonic_nanoseconds()
        self.wallOffset = clinux_realtime_nanoseconds() - Int64(self.now)
        self.nextCalibration = self.now + LoopClock.nanosecondsPerSecond
        self.date = .allocate(capacity: HTTPDate.length)
        self.date.initialize(repeating: 0x20, count: HTTPDate.length)
    }

    deinit { self.date.deallocate() }

    var wallNow: Int64 { Int64(bitPattern: self.now) &+ self.wallOffset }

    mutating func refresh() {
        self.now = clinux_monotonic_nanoseconds()
        guard self.now >= self.nextCalibration else { return }
        self.wallOffset = clinux_realtime_nanoseconds() &- Int64(bitPattern: self.now)
        self.nextCalibration = self.now &+ LoopClock.nanosecondsPerSecond
    }

    /// The 29 bytes of a `Date` header, written anew when the second has changed. Valid until the next call.
    mutating func httpDate() -> UnsafeRawBufferPointer {
        let second: Int64 = self.wallNow / 1_000_000_000
        if second != self.dateSecond {
            HTTPDate.write(secondsSince1970: second, into: self.date)
            self.dateSecond = second
        }
        return UnsafeRawBufferPointer(start: self.date, count: HTTPDate.length)
    }
}

/// IMF-fixdate of RFC 9110, 5.6.7: "Sun, 06 Nov 1994 08:49:37 GMT".
enum HTTPDate {
    static let length: Int = 29
    private static let days: StaticString = "ThuFriSatSunMonTueWed"
    private static let months: StaticString = "JanFebMarAprMayJunJulAugSepOctNovDec"

    /// Writes `length` bytes. Civil date from days after Howard Hinnant's algorithm (eras of 400 years from 1 March 0000).
    static func write(secondsSince1970: Int64, into out: UnsafeMutablePointer<UInt8>) {
        let day: Int64 = secondsSince1970 >= 0 ? secondsSince1970 / 86_400 : (secondsSince1970 - 86_399) / 86_400
        let second: Int = Int(secondsSince1970 - day * 86_400)
        let shifted: Int64 = day + 719_468
        let era: Int64 = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra: Int64 = shifted - era * 146_097
        let yearOfEra: Int64 = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear: Int64 = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth: Int64 = (5 * dayOfYear + 2) / 153
        let dayOfMonth: Int = Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
        let month: Int = Int(shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9)
        let year: Int = Int(yearOfEra + era * 400) + (month <= 2 ? 1 : 0)
        let weekday: Int = Int(((day % 7) + 7) % 7)

        self.copy(self.days.utf8Start + weekday * 3, 3, out)
        out[3] = 0x2C
        out[4] = 0x20
        self.twoDigits(dayOfMonth, out + 5)
        out[7] = 0x20
        self.copy(self.months.utf8Start + (month - 1) * 3, 3, out + 8)
        out[11] = 0x20
        self.twoDigits(year / 100, out + 12)
        self.twoDigits(year % 100, out + 14)
        out[16] = 0x20
        self.twoDigits(second / 3600, out + 17)
        out[19] = 0x3A
        self.twoDigits(second / 60 % 60, out + 20)
        out[22] = 0x3A
        self.twoDigits(second % 60, out + 23)
        let zone: StaticString = " GMT"
        self.copy(zone.utf8Start, 4, out + 25)
    }

    private static func copy(_ from: UnsafePointer<UInt8>, _ count: Int, _ to: UnsafeMutablePointer<UInt8>) {
        to.update(from: from, count: count)
    }

    private static func twoDigits(_ value: Int, _ out: UnsafeMutablePointer<UInt8>) {
        out[0] = 0x30 + UInt8(truncatingIfNeeded: value / 10 % 10)
        out[1] = 0x30 + UInt8(truncatingIfNeeded: value % 10)
    }
}
