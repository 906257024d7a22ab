import Identifiers
import Testing
import Time

@Suite struct UUIDv7Tests {
    @Test func hasVersionVariantAndTime() {
        // Far ahead of every other test of this process, so that the shared sequence takes the time as it is.
        let now = Timestamp(rfc3339: "2240-01-02T03:04:05.678Z")!
        let id: UUIDv7 = UUIDv7.make(now: now)
        #expect(id.bytes.count == 16)
        #expect(id.bytes[6] >> 4 == 7)
        #expect(id.bytes[8] >> 6 == 2)
        #expect(id.timestamp >= now)
        #expect(id.timestamp - now < .seconds(1))
    }

    @Test func idsOfOneProcessOnlyGoUp() {
        var last: UUIDv7 = UUIDv7.make(now: Timestamp(milliseconds: 1_767_323_045_678))
        var lastText: String = last.text
        for step in 0..<20_000 {
            // The clock stands, goes on, and is set back.
            let id: UUIDv7 = UUIDv7.make(now: Timestamp(milliseconds: 1_767_323_045_678 + Int64(step % 3) - 1))
            let text: String = id.text
            #expect(last < id)
            #expect(lastText < text)
            last = id
            lastText = text
        }
    }

    @Test func textRoundTrips() {
        let id: UUIDv7 = UUIDv7.make(now: Timestamp(milliseconds: 5))
        #expect(id.text.utf8.count == 36)
        #expect(UUIDv7(text: id.text) == id)
    }

    @Test(arguments: [
        "", "0190a5c2-7d1e-7abc-9def-0123456789a", "0190a5c2-7d1e-7abc-9def-0123456789abc",
        "0190A5C2-7d1e-7abc-9def-0123456789ab",
        "0190a5c2-7d1e-4abc-9def-0123456789ab", "0190a5c2-7d1e-7abc-cdef-0123456789ab",
        "0190a5c2_7d1e-7abc-9def-0123456789ab",
        "0190a5c27d1e-7abc-9def-0123456789abab", "{190a5c2-7d1e-7abc-9def-0123456789ab",
    ])
    func refusesOtherTexts(text: String) {
        #expect(UUIDv7(text: text) == nil)
    }

    @Test func negativeTimesDoNotTrap() {
        #expect(UUIDv7.make(now: Timestamp(nanoseconds: .min)).text.utf8.count == 36)
    }

    @Test func identifiersCarryTheirPrefix() {
        let id: String = Identifier.make("api", now: Timestamp(milliseconds: 1))
        #expect(id.hasPrefix("api_"))
        #expect(Identifier.isValid(id, prefix: "api"))
        #expect(!Identifier.isValid(id, prefix: "app"))
        #expect(!Identifier.isValid(id + "0", prefix: "api"))
        #expect(!Identifier.isValid("api_é190a5c2-7d1e-7abc-9def-0123456789a", prefix: "api"))
    }
}
