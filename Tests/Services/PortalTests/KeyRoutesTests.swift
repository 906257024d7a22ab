import Contracts
import EventLog
import HTTP
import JSON
import REST
import ServiceTestKit
import TestKit
import Testing

@testable import Portal

struct KeyRoutesTests {
    private static let keys: String = "/v1/tenants/acme/applications/shop/keys"

    @Test func oldKeysEndAfterTheOverlap() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let made: JSONValue = try await fixture.makeApplication()
        let version: Int64 = try await fixture.harness.gatewayVersion()
        let rotated: TestAnswer = try await fixture.send(
            "POST", Self.keys, .object(["expires_old_after_seconds": 600]))
        #expect(rotated.status == 201)
        #expect(rotated.json["key"]?.text?.hasPrefix("pk_") == true)
        #expect(rotated.fields["Location"] == "\(Self.keys)/\(rotated.json["id"]?.text ?? "")")
        #expect(
            try await fixture.harness.touched(after: version) == ["application acme \(made["id"]?.text ?? "")"])
        let both: TestAnswer = try await fixture.send("GET", Self.keys)
        #expect(both.items.map { $0["expires_at"] } == [.string("2026-01-01T00:10:00.000Z"), .null])
        let entry: JSONValue? = try await fixture.gatewayEntry(made)
        #expect(entry?["keys"]?.elements?.map { $0["expires"]?.text } == ["2026-01-01T00:10:00.000Z", nil])
        let audited: JSONValue = try #require(try await fixture.harness.auditEntries("api-key.created").first)
        #expect(audited["changes"]?["old_keys_expire_at"]?.text == "2026-01-01T00:10:00.000Z")
        fixture.harness.clock.advance(by: .seconds(600))
        #expect(try await fixture.send("GET", Self.keys).items("id") == [rotated.json["id"]?.text])
        #expect(try await fixture.gatewayEntry(made)?["keys"]?.elements?.count == 1)
    }

    @Test func withoutAnOverlapOldKeysGoOn() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let made: JSONValue = try await fixture.makeApplication()
        #expect(try await fixture.send("POST", Self.keys, .object([:])).status == 201)
        fixture.harness.clock.advance(by: .seconds(90 * 86_400))
        #expect(try await fixture.send("GET", Self.keys).items.map { $0["expires_at"] } == [.null, .null])
        #expect(try await fixture.send("POST", Self.keys, .object(["expires_old_after_seconds": 0])).status == 201)
        #expect(try await fixture.send("GET", Self.keys).items.count == 1, "no overlap: they end at once")
        #expect(try await fixture.gatewayEntry(made)?["keys"]?.elements?.count == 1)
    }

    @Test func aLaterRotationDoesNotLengthenTheLifeOfOldKeys() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        for seconds in [60, 3_600] as [Int64] {
            let body: JSONValue = .object(["expires_old_after_seconds": .int(seconds)])
            #expect(try await fixture.send("POST", Self.keys, body).status == 201)
        }
        let ends: [String?] = try await fixture.send("GET", Self.keys).items.map { $0["expires_at"]?.text }
        #expect(ends == ["2026-01-01T00:01:00.000Z", "2026-01-01T01:00:00.000Z", nil])
    }

    @Test func publishesEachRotationAndRevocation() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let made: JSONValue = try await fixture.makeApplication()
        let rotated: TestAnswer = try await fixture.send("POST", Self.keys, .object([:]))
        let first: String = made["key_id"]?.text ?? ""
        #expect(try await fixture.send("DELETE", "\(Self.keys)/\(first)").status == 204)
        #expect(try await fixture.send("DELETE", "\(Self.keys)/\(first)").status == 404)
        let records: [Record] = try await fixture.harness.records(Topics.apiKeyRotated)
        #expect(records.map(\.keyText) == [made["id"]?.text, made["id"]?.text])
        let values: [JSONValue] = try records.map { try JSONReader.parse($0.value) }
        #expect(
            values.first
                == .object([
                    "application_id": made["id"] ?? .null, "tenant": "acme", "key_id": rotated.json["id"] ?? .null,
                    "rotated_by": "usr_developer_acme",
                ]))
        #expect(values.last?["key_id"]?.text == first)
        #expect(try await fixture.harness.auditEntries("api-key.created").count == 1)
        let revoked: [JSONValue] = try await fixture.harness.auditEntries("api-key.revoked")
        #expect(revoked.map { $0["changes"]?["key_id"]?.text } == [first])
        let hashes: [JSONValue] = try await fixture.gatewayEntry(made)?["keys"]?.elements ?? []
        #expect(hashes.map { $0["id"] } == [rotated.json["id"]])
    }

    @Test func thereIsALimitOfKeys() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        let made: JSONValue = try await fixture.makeApplication()
        for _ in 1..<APIKey.countMax { #expect(try await fixture.send("POST", Self.keys, .object([:])).status == 201) }
        let full: TestAnswer = try await fixture.send("POST", Self.keys, .object([:]))
        #expect(full.status == 409)
        #expect(full.detail.contains("Revoke one"))
        #expect(try await fixture.send("DELETE", "\(Self.keys)/\(made["key_id"]?.text ?? "")").status == 204)
        #expect(try await fixture.send("POST", Self.keys, .object([:])).status == 201)
        let page: TestAnswer = try await fixture.send("GET", "\(Self.keys)?limit=10")
        #expect(page.items.count == 10)
        let rest: TestAnswer = try await fixture.send("GET", "\(Self.keys)?cursor=\(page.json["next"]?.text ?? "")")
        #expect(rest.items.count == 6)
    }

    @Test(arguments: [
        (JSONValue.object(["expires_old_after_seconds": -1]), "/expires_old_after_seconds"),
        (.object(["expires_old_after_seconds": 7_776_001]), "/expires_old_after_seconds"),
        (.object(["expires_old_after_seconds": "1h"]), "/expires_old_after_seconds"),
        (.object(["expires_after": 1]), "/expires_after"),
    ])
    func refusesInvalidOverlaps(body: JSONValue, pointer: String) async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        let answer: TestAnswer = try await fixture.send("POST", Self.keys, body)
        #expect(answer.status == 400)
        #expect(answer.pointers == [pointer])
        #expect(try await fixture.harness.events(Topics.apiKeyRotated).isEmpty)
    }

    @Test func aKeyOfAnotherApplicationIsNotFound() async throws {
        let fixture: PortalFixture = try await PortalFixture()
        try await fixture.makeApplication()
        let other: JSONValue = try await fixture.makeApplication("other")
        let answer: TestAnswer = try await fixture.send("DELETE", "\(Self.keys)/\(other["key_id"]?.text ?? "")")
        #expect(answer.status == 404)
        #expect(try await fixture.gatewayEntry(other)?["keys"]?.elements?.count == 1)
    }
}
