import Contracts
import EventLog
import Identifiers
import JSON
import REST
import ServiceTestKit
import Store
import Telemetry
import TestKit
import Testing

@testable import Audit

@Suite struct AccessRuleTests {
    private func refuse(_ times: Int, _ fixture: AuditFixture, actor: String = "usr_1", tenant: String = "acme")
        async throws
    {
        try await fixture.store.write { transaction in
            let author: Author = Author(
                caller: Caller(kind: .user, id: actor, grants: [], ip: "198.51.100.9"), trace: TraceContext.make())
            for _ in 0..<times {
                try author.audit(
                    "access.refused", tenant: tenant, resource: AuditEntry.Resource(type: "operation", id: "x"),
                    changes: ["rule": "default deny"], in: transaction)
            }
        }
    }

    private func told(_ fixture: AuditFixture) async throws -> [JSONValue] {
        try await fixture.settle()
        return try await fixture.harness.auditEntries("access.unusual")
    }

    @Test func whoIsRefusedTooOftenIsToldOnceAWindow() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        let threshold: Int = Int(AccessRule.refusals.thresholdDefault)
        try await self.refuse(threshold - 1, fixture)
        try await self.refuse(threshold - 1, fixture, actor: "usr_2")
        #expect(try await self.told(fixture).isEmpty)
        try await self.refuse(1, fixture)
        let entry: JSONValue = try #require(try await self.told(fixture).first)
        #expect(entry["tenant"]?.text == "acme" && entry["resource"]?["id"]?.text == "refusals")
        #expect(entry["changes"]?["who"]?.text == "usr_1" && entry["changes"]?["count"]?.integer == Int64(threshold))
        try await self.refuse(3 * threshold, fixture)
        #expect(try await self.told(fixture).count == 1)
        fixture.harness.clock.advance(by: AccessRule.window)
        try await self.refuse(threshold, fixture)
        #expect(try await self.told(fixture).count == 2)
        let notices: [JSONValue] = try await fixture.harness.events(Topics.notifications)
        #expect(notices.count == 2 && notices.allSatisfy { $0["type"]?.text == "access-unusual" })
        await fixture.harness.stop()
    }

    @Test func oneTenantsAuditorsAreNotToldOfAnother() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await self.refuse(Int(AccessRule.refusals.thresholdDefault), fixture, tenant: "globex")
        #expect(try await self.told(fixture).map { $0["tenant"]?.text ?? "" } == ["globex"])
        let seen: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/audit/entries?type=access.unusual", token: "auditor@acme")
        #expect(seen.items.isEmpty)
        await fixture.harness.stop()
    }

    @Test func thresholdsAreSetAndNoneTellsOfNothing() async throws {
        var unusual: AccessThresholds = AccessThresholds()
        unusual[.refusals] = 3
        unusual[.reading] = 0
        let fixture: AuditFixture = try await AuditFixture(unusual: unusual)
        try await self.refuse(3, fixture)
        for _ in 0..<Int(AccessRule.reading.thresholdDefault) {
            _ = try await fixture.harness.send("GET", "/v1/audit/entries?limit=1")
        }
        #expect(try await self.told(fixture).map { $0["changes"]?["rule"]?.text } == ["refusals"])
        let metrics: String = String(decoding: fixture.harness.services.metrics.prometheusText(), as: UTF8.self)
        #expect(metrics.contains(#"passerelle_audit_unusual_access_total{rule="refusals"} 1"#))
        #expect(metrics.contains(#"passerelle_audit_unusual_access_total{rule="reading"} 0"#))
        await fixture.harness.stop()
    }

    @Test func guessesAreSummedByAddressAndTheAddressStaysSealed() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        for count: Int64 in [60, 39, 1] {
            try await fixture.store.write { transaction in
                try Author(
                    caller: Caller(kind: .platform, id: Caller.anonymousID, grants: [], ip: "198.51.100.9"),
                    trace: TraceContext.make()
                ).audit(
                    "access.refused-anonymous", tenant: "",
                    resource: AuditEntry.Resource(type: "address", id: "198.51.100.9", isPersonal: true),
                    changes: ["account": "", "count": .int(count)], in: transaction)
            }
        }
        let told: [JSONValue] = try await self.told(fixture)
        #expect(told.count == 1 && told[0]["changes"]?["count"]?.integer == 100)
        #expect(told[0]["changes"]?["who"]?.text?.hasPrefix("sbk_") == true)
        await fixture.harness.stop()
    }

    @Test(
        arguments: [
            (#"{"event_type":"audit.read","resource":{"id":"export"}}"#, AccessRule.exporting),
            (#"{"event_type":"audit.read","resource":{"id":"entries"}}"#, .reading),
            (#"{"event_type":"personal-data.erased"}"#, .personalData),
            (#"{"event_type":"personal-data.exported"}"#, .personalData),
            (#"{"event_type":"access.unusual"}"#, nil), (#"{"event_type":"api.created"}"#, nil), ("[]", nil),
        ] as [(String, AccessRule?)])
    func entriesCountForOneRule(entry: String, rule: AccessRule?) throws {
        var value: JSONValue = try JSONReader.parse(entry)
        if var object: JSONObject = value.object {
            object["time"] = "2026-01-02T03:14:05.678Z"
            value = .object(object)
        }
        let count: AccessRule.Count? = AccessRule.count(of: value)
        #expect(count?.rule == rule && count.map { $0.since % 600_000 == 0 } ?? true)
    }
}
