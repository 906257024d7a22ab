import GatewayConfiguration
import Testing
import Time

@testable import Gateway

struct AlignedWindowTests {
    private static func wall(_ text: String) throws -> UInt64 {
        UInt64(try #require(Timestamp(rfc3339: text)).nanoseconds)
    }

    @Test(arguments: [
        (CalendarUnit.minute, "2026-02-28T23:59:59.999Z", "2026-03-01T00:00:00Z"),
        (.hour, "2026-02-28T23:00:00Z", "2026-03-01T00:00:00Z"),
        (.day, "2024-02-28T12:00:00Z", "2024-02-29T00:00:00Z"),
        // A Sunday and a Monday.
        (.week, "2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z"),
        (.week, "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
        (.month, "2024-02-29T12:00:00Z", "2024-03-01T00:00:00Z"),
        (.month, "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"),
        (.month, "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
        (.month, "2100-02-28T00:00:00Z", "2100-03-01T00:00:00Z"),
        (.year, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
    ])
    func endsWhereTheCalendarSays(_ unit: CalendarUnit, _ now: String, _ end: String) throws {
        #expect(AlignedWindow(unit).end(at: try Self.wall(now)) == (try Self.wall(end)))
    }

    @Test(arguments: CalendarUnit.allCases)
    func windowsFollowOneAnotherWithoutGaps(_ unit: CalendarUnit) throws {
        let window: AlignedWindow = AlignedWindow(unit)
        var at: UInt64 = try Self.wall("1999-12-30T10:11:12Z")
        for _ in 0..<500 {
            let end: UInt64 = window.end(at: at)
            #expect(end > at)
            #expect(window.number(at: end - 1) == window.number(at: at))
            #expect(window.number(at: end) == window.number(at: at) + 1)
            at = end
        }
    }
}
