import Testing
import Time

@Suite struct TimestampTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (-2_208_988_800_000, "1900-01-01T00:00:00.000Z"),
        ] as [(Int64, String)])
    func writesAndReadsRFC3339(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).rfc3339 == text)
        #expect(Timestamp(rfc3339: text)?.milliseconds == milliseconds)
    }

    @Test(
        arguments: [
            ("2026-01-02T03:04:05Z", 1_767_323_045_000_000_000),
            ("2026-01-02t03:04:05z", 1_767_323_045_000_000_000),
            ("2026-01-02T03:04:05.5Z", 1_767_323_045_500_000_000),
            ("2026-01-02T03:04:05.123456789Z", 1_767_323_045_123_456_789),
            ("2026-01-02T05:34:05+02:30", 1_767_323_045_000_000_000),
            ("2026-01-01T22:04:05-05:00", 1_767_323_045_000_000_000),
            ("2026-01-02T03:04:05-00:00", 1_767_323_045_000_000_000),
        ] as [(String, Int64)])
    func readsFractionsAndOffsets(text: String, nanoseconds: Int64) {
        #expect(Timestamp(rfc3339: text)?.nanoseconds == nanoseconds)
    }

    @Test(arguments: [
        "", "2026", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z", "2026-1-02T03:04:05Z",
        "2026-00-02T03:04:05Z", "2026-13-02T03:04:05Z", "2026-02-29T03:04:05Z", "2026-04-31T03:04:05Z",
        "2026-01-00T03:04:05Z",
        "1900-02-29T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T03:60:05Z", "2026-12-31T23:59:60Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05.1234567890Z", "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+02:60",
        "2026-01-02T03:04:05+0200",
        "2026-01-02T03:04:05Zx", " 2026-01-02T03:04:05Z", "+026-01-02T03:04:05Z", "1600-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "２026-01-02T03:04:05Z",
    ])
    func refusesWhatIsNotADateTime(text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
    }

    @Test(
        arguments: [
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (1_767_323_045_678, "Fri, 02 Jan 2026 03:04:05 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
        ] as [(Int64, String)])
    func writesHTTPDates(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).httpDate == text)
    }

    @Test func everyDayOfFourHundredYearsConvertsBothWays() {
        var previous: CalendarDate = CalendarDate(daysSince1970: -146_097)
        for day in Int64(-146_096)...Int64(146_097) {
            let date = CalendarDate(daysSince1970: day)
            #expect(date.daysSince1970 == day)
            #expect(CalendarDate(year: date.year, month: date.month, day: date.day) == date)
            if date.day != 1 { #expect(date.day == previous.day + 1 && date.month == previous.month) }
            if date.day == 1 { #expect(date.month == previous.month % 12 + 1) }
            #expect(date.weekday == (previous.weekday + 1) % 7)
            previous = date
        }
    }

    @Test func arithmeticStopsAtTheEndsOfTheRange() {
        let last = Timestamp(nanoseconds: .max)
        let first = Timestamp(nanoseconds: .min)
        #expect(last.adding(.seconds(1)) == last)
        #expect(first.adding(.seconds(-1)) == first)
        #expect(last - first == .nanoseconds(Int64.max))
        #expect(first - last == .nanoseconds(Int64.min))
        #expect(Timestamp(milliseconds: .max) == last)
        #expect(Timestamp(seconds: .min) == first)
        #expect(Duration.seconds(Int64.max).nanosecondsClamped == .max)
        #expect(Duration.seconds(Int64.min).nanosecondsClamped == .min)
        #expect(first.rfc3339 == "1677-09-21T00:12:43.145Z")
        #expect(last.rfc3339 == "2262-04-11T23:47:16.854Z")
    }

    @Test func differencesAndSumsAgree() {
        let start = Timestamp(milliseconds: 1_767_323_045_678)
        let later: Timestamp = start.adding(.milliseconds(1500))
        #expect(later - start == .milliseconds(1500))
        #expect(start - later == .milliseconds(-1500))
        #expect(start < later)
        #expect(later.seconds == 1_767_323_047)
        #expect(Duration.milliseconds(1500).secondsAsDouble == 1.5)
        #expect(Duration.milliseconds(-1500).millisecondsClamped == -1500)
    }

    @Test func theSystemClockRuns() async throws {
        let clock = SystemClock()
        let before: UInt64 = clock.monotonic()
        try await clock.sleep(for: .milliseconds(2))
        #expect(clock.monotonic() >= before + 2_000_000)
        #expect(clock.now() > Timestamp(rfc3339: "2024-01-01T00:00:00Z")!)
    }
}
