import Bytes
import JSON
import ServiceTestKit
import TestKit
import Testing

@testable import Audit

@Suite struct AuditEntryRoutesTests {
    /// Three entries of each of two tenants, one of another type and actor.
    private func fixture() async throws -> AuditFixture {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(3)
        // An entry has the time its commit group began: nothing may be under way when the clock moves.
        try await fixture.settle()
        fixture.harness.clock.advance(by: .seconds(60))
        try await fixture.write(3, tenant: "globex")
        try await fixture.settle()
        fixture.harness.clock.advance(by: .seconds(60))
        try await fixture.write(1, actor: "usr_2", type: "api.deleted")
        try await fixture.settle()
        return fixture
    }

    private func leaves(_ answer: TestAnswer) -> [Int64] {
        (answer.json["items"]?.elements ?? []).compactMap { $0["leaf"]?.integer }
    }

    @Test func showsEntriesNewestFirst() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/entries")
        #expect(answer.status == 200)
        #expect(self.leaves(answer).filter { $0 < 7 } == [6, 5, 4, 3, 2, 1, 0])
        let newest: JSONValue? = answer.json["items"]?.elements?.first { $0["leaf"]?.integer == 6 }
        #expect(newest?["event_type"]?.text == "api.deleted" && newest?["tenant"]?.text == "acme")
        #expect(newest?["actor"]?["user_id"]?.text == "usr_2" && newest?["leaf_bytes"] == nil)
        await fixture.harness.stop()
    }

    @Test(
        arguments: [
            ("tenant=globex", [5, 4, 3]), ("tenant=acme&order=asc", [0, 1, 2, 6]), ("type=api.deleted", [6]),
            ("actor=usr_2", [6]),
            ("resource=api_acme_1", [1]), ("resource_type=api&actor=usr_1&tenant=acme", [2, 1, 0]),
            ("resource=nothing", []),
            ("from=2026-01-01T00:01:00Z&type=api.created", [5, 4, 3]), ("to=2026-01-01T00:00:30Z", [2, 1, 0]),
            ("from=2026-01-01T00:01:00Z&to=2026-01-01T00:02:00Z", [5, 4, 3]),
            ("from=2026-01-01T00:02:00Z&to=2026-01-01T00:01:00Z", []),
        ] as [(String, [Int64])])
    func findsByEveryFilter(query: String, expected: [Int64]) async throws {
        let fixture: AuditFixture = try await self.fixture()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/entries?\(query)")
        #expect(answer.status == 200)
        #expect(self.leaves(answer).filter { $0 < 7 } == expected)
        await fixture.harness.stop()
    }

    @Test(arguments: ["desc", "asc"]) func pagesMeetWithoutGapOrRepeat(order: String) async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(25)
        try await fixture.settle()
        var leaves: [Int64] = []
        var target: String = "/v1/audit/entries?tenant=acme&type=api.created&limit=4&order=\(order)"
        for _ in 0..<7 {
            let answer: TestAnswer = try await fixture.harness.send("GET", target)
            leaves.append(contentsOf: self.leaves(answer))
            guard let next: String = answer.json["next"]?.text else { break }
            target = "/v1/audit/entries?tenant=acme&type=api.created&limit=4&order=\(order)&cursor=\(next)"
        }
        #expect(leaves == (order == "asc" ? Array(0..<25) : (0..<25).reversed()))
        await fixture.harness.stop()
    }

    @Test func aReadingIsOneEntryWithItsFilter() async throws {
        let fixture: AuditFixture = try await self.fixture()
        _ = try await fixture.harness.send("GET", "/v1/audit/entries?type=api.created&limit=2", token: "auditor@acme")
        let reads: [JSONValue] = try await fixture.harness.auditEntries("audit.read")
        #expect(reads.count == 1)
        #expect(reads.first?["tenant"]?.text == "acme" && reads.first?["actor"]?["user_id"]?.text == "usr_auditor_acme")
        #expect(reads.first?["changes"]?["filter"] == ["type": "api.created", "limit": "2"])
        try await fixture.settle()
        #expect(try await fixture.harness.auditEntries("audit.read").count == 1, "a reading does not cause others")
        await fixture.harness.stop()
    }

    @Test func anAuditorSeesOnlyTheOwnTenant() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let own: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/entries", token: "auditor@globex")
        #expect(self.leaves(own).filter { $0 < 7 } == [5, 4, 3])
        for item in own.json["items"]?.elements ?? [] { #expect(item["tenant"]?.text == "globex") }
        let other: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/audit/entries?tenant=acme", token: "auditor@globex")
        #expect(other.status == 404)
        for token in ["viewer@acme", "devops@acme", "developer@acme", "operator@acme"] {
            #expect(try await fixture.harness.send("GET", "/v1/audit/entries", token: token).status == 403)
        }
        #expect(try await fixture.harness.send("GET", "/v1/audit/entries", token: nil).status == 401)
        await fixture.harness.stop()
    }

    @Test func givesTheBytesTheTreeHashes() async throws {
        let fixture: AuditFixture = try await self.fixture()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/entries?bytes=true&tenant=globex")
        let text: String = try #require(answer.json["items"]?.elements?.last?["leaf_bytes"]?.text)
        #expect(try await Base64.decode(text) == fixture.entries()[3])
        await fixture.harness.stop()
    }

    @Test(arguments: [
        "from=yesterday", "to=2026-13-01T00:00:00Z", "cursor=%21", "cursor=YWJj", "limit=0", "order=up", "colour=red",
    ])
    func refusesWhatItDoesNotUnderstand(query: String) async throws {
        let fixture: AuditFixture = try await AuditFixture()
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/audit/entries?\(query)")
        #expect(answer.status == 400)
        let name: String = String(query.split(separator: "=")[0])
        #expect(answer.json["errors"]?[0]?["pointer"]?.text == "query:\(name)")
        #expect(try await fixture.harness.auditEntries("audit.read").isEmpty)
        await fixture.harness.stop()
    }
}
