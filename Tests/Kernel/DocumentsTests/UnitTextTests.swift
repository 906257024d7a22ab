import Documents
import Testing

struct UnitTextTests {
    @Test(
        arguments: [
            ("250ms", .milliseconds(250)), ("0s", .zero), ("90s", .seconds(90)), ("5m", .seconds(300)),
            ("2h", .seconds(7200)),
            ("7d", .seconds(604_800)),
        ] as [(String, Duration)])
    func readsDurations(_ text: String, _ duration: Duration) {
        #expect(DurationText.parse(text) == duration)
    }

    @Test(arguments: [
        "", "5", "s", "-1s", "1.5s", "1 s", "1S", "1s ", "99999999999999999999s", "999999999999999999d", "٣s",
    ])
    func refusesDuration(_ text: String) {
        #expect(DurationText.parse(text) == nil)
    }

    @Test(arguments: ["0s", "1ms", "1500ms", "2s", "90s", "2m", "25h", "2d"])
    func writesTheShortestDuration(_ text: String) throws {
        #expect(DurationText.text(try #require(DurationText.parse(text))) == text)
    }

    @Test(arguments: [("0", 0), ("512", 512), ("512B", 512), ("64KiB", 65_536), ("10MiB", 10 << 20), ("3GiB", 3 << 30)])
    func readsByteCounts(_ text: String, _ count: Int) {
        #expect(ByteCountText.parse(text) == count)
    }

    @Test(arguments: ["", "KiB", "1KB", "1k", "-1", "1.5MiB", "999999999999999999GiB"])
    func refusesByteCount(_ text: String) {
        #expect(ByteCountText.parse(text) == nil)
    }
}
