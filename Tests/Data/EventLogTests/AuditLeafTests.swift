import Bytes
import JSON
import Store
import Testing

@testable import EventLog

@Suite struct AuditLeafTests {
    static func entry(changes: JSONObject = ["state": "active"], version: Int64? = 3) -> AuditEntry {
        AuditEntry(
            eventType: "api.created", tenant: "acme",
            actor: AuditEntry.Actor(userID: "usr_1", ip: "192.0.2.7", tenant: "platform"),
            resource: AuditEntry.Resource(type: "api", id: "api_1", version: version), changes: changes,
            gitCommit: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    }

    private static func leaf(_ entry: AuditEntry) throws -> [UInt8] {
        var leaf: AuditLeaf = AuditLeaf()
        return try leaf.write(
            entry, id: "evt_1", time: "2026-01-01T00:00:00.000Z", sealed: AuditLeaf.Sealed(asIn: entry))
    }

    /// The format for ever: this text never changes. A new format is a new number and a new test.
    @Test func writesFormatOne() throws {
        let bytes: [UInt8] = try Self.leaf(
            Self.entry(changes: ["z": 1.50, "a": ["b\n": nil, "€": true], "list": [3, 2]]))
        #expect(
            String(decoding: bytes, as: UTF8.self) == #"""
                {"actor":{"ip":"192.0.2.7","tenant":"platform","user_id":"usr_1"},"changes":{"a":{"b\n":null,"€":true},"list":[3,2],"z":1.5},"event_type":"api.created","format":1,"git_commit":"4b825dc642cb6eb9a060e54bf8d69288fbee4904","id":"evt_1","resource":{"id":"api_1","type":"api","version":3},"tenant":"acme","time":"2026-01-01T00:00:00.000Z","trace_id":"0af7651916cd43dd8448eb211c80319c"}
                """#)
    }

    @Test func leavesOutWhatIsNotKnown() throws {
        let entry: AuditEntry = AuditEntry(
            eventType: "tenant.swept", actor: AuditEntry.Actor(userID: "lifecycle", ip: nil, tenant: "acme"),
            resource: AuditEntry.Resource(type: "tenant", id: "acme"), changes: [:], traceparent: "nonsense")
        #expect(
            String(decoding: try Self.leaf(entry), as: UTF8.self) == #"""
                {"actor":{"tenant":"acme","user_id":"lifecycle"},"changes":{},"event_type":"tenant.swept","format":1,"id":"evt_1","resource":{"id":"acme","type":"tenant"},"tenant":"acme","time":"2026-01-01T00:00:00.000Z"}
                """#)
    }

    @Test func isCanonical() throws {
        let leaf: [UInt8] = try Self.leaf(
            Self.entry(changes: ["b": "\u{1F600}\u{7}", "\u{E000}": 1, "\u{1F600}": 2, "a": 1e21]))
        #expect(try JSONReader.parse(leaf).canonical() == leaf)
    }

    @Test func refusesNumbersThatWouldBeRounded() throws {
        #expect(throws: LogError.inexactAuditNumber(pointer: "/changes/deep/1/n")) {
            try Self.leaf(Self.entry(changes: ["deep": [1, ["n": 9_007_199_254_740_993]]]))
        }
        #expect(throws: LogError.inexactAuditNumber(pointer: "/resource/version")) {
            try Self.leaf(Self.entry(version: Int64.min))
        }
        #expect(throws: Never.self) { try Self.leaf(Self.entry(changes: ["n": 9_007_199_254_740_992])) }
    }

    @Test func storesTheLeafAsTheValueOfRecordN() async throws {
        let test: TestLog = try await TestLog()
        for number: Int64 in 0..<3 {
            let id: String = try await test.write { tx in
                try tx.audit(Self.entry(changes: ["number": .int(number)]))
            }
            let page: FetchedRecords = try await test.log.fetch(topic: "audit-log", partition: 0, from: number)
            let record: Record = try #require(page.records.first)
            #expect(record.offset == number)
            #expect(record.keyText == "api_1")
            #expect(record.tenant == "acme")
            #expect(record.actor == "usr_1")
            #expect(record.eventID == id)
            let value: JSONValue = try JSONReader.parse(record.value)
            #expect(value["id"]?.text == id)
            #expect(value["changes"]?["number"]?.integer == number)
            #expect(value["time"]?.text == record.header("ce_time"))
        }
        await test.close()
    }
}
