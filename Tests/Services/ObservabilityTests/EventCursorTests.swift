import Bytes
import Crypto
import EventLog
import Testing

@testable import Observability

@Suite struct EventCursorTests {
    private let cursors: EventCursor = EventCursor(key: AESGCM.makeKey())
    private let position: LogPosition = LogPosition(offsets: [0, 12, 1 << 40])

    @Test func opensWhatItSealed() throws {
        for tenant in [nil, "acme"] as [String?] {
            let text: String = try self.cursors.seal(self.position, topic: "t", tenant: tenant)
            #expect(self.cursors.open(text, topic: "t", tenant: tenant) == self.position)
        }
    }

    @Test func saysNothingOfTheOffsets() throws {
        let small: String = try self.cursors.seal(LogPosition(offsets: [0, 0, 0]), topic: "t", tenant: "acme")
        let large: String = try self.cursors.seal(self.position, topic: "t", tenant: "acme")
        #expect(small.utf8.count == large.utf8.count)
        #expect(
            try self.cursors.seal(self.position, topic: "t", tenant: "acme") != large,
            "the same place never looks the same")
    }

    @Test func belongsToItsTopicAndTenant() throws {
        let text: String = try self.cursors.seal(self.position, topic: "t", tenant: "acme")
        #expect(self.cursors.open(text, topic: "u", tenant: "acme") == nil)
        #expect(self.cursors.open(text, topic: "t", tenant: "globex") == nil)
        #expect(self.cursors.open(text, topic: "t", tenant: nil) == nil)
        let all: String = try self.cursors.seal(self.position, topic: "t", tenant: nil)
        #expect(self.cursors.open(all, topic: "t", tenant: "all") == nil)
        #expect(self.cursors.open(all, topic: "t", tenant: "") == nil)
        #expect(EventCursor(key: AESGCM.makeKey()).open(text, topic: "t", tenant: "acme") == nil)
    }

    @Test(arguments: ["", "x", "!", "AAAA", "0:12,1:7"]) func anythingElseIsNone(text: String) {
        #expect(self.cursors.open(text, topic: "t", tenant: nil) == nil)
    }

    @Test func aChangedCursorIsNone() throws {
        let text: String = try self.cursors.seal(self.position, topic: "t", tenant: nil)
        let bytes: [UInt8] = try #require(Base64.decodeURL(text))
        for index in bytes.indices {
            var changed: [UInt8] = bytes
            changed[index] ^= 1
            #expect(self.cursors.open(Base64.encodeURL(changed), topic: "t", tenant: nil) == nil)
        }
    }
}
