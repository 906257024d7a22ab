import Contracts
import EventLog
import JSON
import ServiceTestKit
import Synchronization
import TestKit
import Testing

@testable import Observability

@Suite struct EventRoutesTests {
    private func numbers(_ answer: TestAnswer) -> [Int64] {
        (answer.json["items"]?.elements ?? []).compactMap { $0["value"]?["n"]?.integer }.sorted()
    }

    private func next(_ answer: TestAnswer) throws -> String { try #require(answer.json["next"]?.text) }

    @Test func platformRolesReadEverythingWithPlaces() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        try await fixture.publish(6, tenant: "acme")
        try await fixture.publish(6, tenant: "globex", from: 6)
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/events/deploy-results?from=earliest")
        #expect(answer.status == 200 && self.numbers(answer) == Array(0..<12) && answer.json["at_end"] == true)
        let item: JSONValue = try #require(answer.json["items"]?[0])
        #expect(item["offset"] != nil && item["partition"] != nil && item["topic"]?.text == "deploy-results")
        #expect(item["id"]?.text?.hasPrefix("evt_") == true && item["actor"]?.text == "usr_1")
        await fixture.stop()
    }

    @Test func tenantRolesSeeNeitherEventsNorOffsetsOfOthers() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        try await fixture.publish(40, tenant: "globex")
        try await fixture.publish(5, tenant: "acme", from: 100)
        try await fixture.publish(40, tenant: "globex", from: 200)
        let answer: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/events/deploy-results?from=earliest", token: "viewer@acme")
        #expect(self.numbers(answer) == Array(100..<105))
        for item in answer.json["items"]?.elements ?? [] {
            #expect(item["tenant"]?.text == "acme" && item["offset"] == nil && item["partition"] == nil)
        }
        let limited: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/events/deploy-results?from=earliest&tenant=acme")
        #expect(self.numbers(limited) == Array(100..<105) && limited.json["items"]?[0]?["offset"] == nil)
        let empty: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/events/api-created?from=earliest", token: "viewer@acme")
        #expect(
            try self.next(empty).utf8.count == self.next(answer).utf8.count,
            "cursors do not tell how far the log has grown")
        #expect(
            try await fixture.harness.send("GET", "/v1/events/deploy-results?tenant=globex", token: "viewer@acme")
                .status == 404)
        #expect(
            try await fixture.harness.send("GET", "/v1/events/deploy-results", token: "developer@acme").status == 403)
        await fixture.stop()
    }

    @Test func pagesMeetWithoutGapOrRepeat() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        for number in 0..<30 {
            try await fixture.publish(1, tenant: number.isMultiple(of: 3) ? "acme" : "globex", from: number)
        }
        var found: [Int64] = []
        var from: String = "earliest"
        for _ in 0..<10 {
            let answer: TestAnswer = try await fixture.harness.send(
                "GET", "/v1/events/deploy-results?limit=3&from=\(from)", token: "viewer@acme")
            found.append(contentsOf: self.numbers(answer))
            from = try self.next(answer)
        }
        #expect(found.sorted() == stride(from: 0, to: 30, by: 3).map { Int64($0) })
        await fixture.stop()
    }

    @Test func aLongPollAnswersWhenSomethingComes() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let start: TestAnswer = try await fixture.harness.send("GET", "/v1/events/deploy-results", token: "viewer@acme")
        let from: String = try self.next(start)
        async let polled: TestAnswer = fixture.harness.send(
            "GET", "/v1/events/deploy-results?wait=30&from=\(from)", token: "viewer@acme")
        try await fixture.publish(3, tenant: "globex")
        try await fixture.publish(1, tenant: "acme", from: 50)
        #expect(try await self.numbers(polled) == [50])
        await fixture.stop()
    }

    @Test func aLongPollEndsEmptyAfterItsWait() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        let hasEnded: Atomic<Bool> = Atomic(false)
        async let polled: TestAnswer = {
            defer { hasEnded.store(true, ordering: .releasing) }
            return try await fixture.harness.send(
                "GET", "/v1/events/deploy-results?wait=10", token: "viewer@acme")
        }()
        // At least two sleep on the clock then: the poll, and the service's housekeeping; on PostgreSQL the holders of leases, too.
        try await eventually("the poll to wait") { fixture.harness.clock.sleeperCount >= 2 }
        try await eventually("the poll to end") {
            fixture.harness.clock.advance(by: .seconds(10))
            return hasEnded.load(ordering: .acquiring)
        }
        let answer: TestAnswer = try await polled
        #expect(
            answer.status == 200 && answer.json["items"]?.elements?.isEmpty == true && answer.json["at_end"] == true)
        await fixture.stop()
    }

    @Test func startsWhereItIsTold() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        try await fixture.publish(3, tenant: "acme")
        fixture.harness.clock.advance(by: .seconds(60))
        try await fixture.publish(2, tenant: "acme", from: 10)
        func read(_ from: String) async throws -> [Int64] {
            try await self.numbers(fixture.harness.send("GET", "/v1/events/deploy-results?from=\(from)"))
        }
        #expect(try await read("2026-01-01T00:00:30Z") == [10, 11])
        #expect(try await read("latest") == [])
        #expect(try await self.numbers(fixture.harness.send("GET", "/v1/events/deploy-results")) == [])
        #expect(try await read("earliest").count == 5)
        await fixture.stop()
    }

    @Test func platformRolesReadPartitionsByOffset() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        for _ in 0..<4 { try await fixture.audit(tenant: "acme") }
        let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/events/audit-log?partition=0&from=2")
        // The last one is this reading; on PostgreSQL it may get its number a moment later.
        let offsets: [Int64] = answer.json["items"]?.elements?.compactMap { $0["offset"]?.integer } ?? []
        let isNumberedLater: Bool = fixture.harness.place.engine == .postgresql
        #expect(offsets == [2, 3, 4] || isNumberedLater && offsets == [2, 3])
        #expect(answer.json["next"]?.text == "\((offsets.last ?? 0) + 1)")
        #expect(try await fixture.harness.send("GET", "/v1/events/audit-log?partition=0&from=99").status == 400)
        #expect(try await fixture.harness.send("GET", "/v1/events/audit-log?partition=1&from=0").status == 400)
        let within: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/events/deploy-results?partition=0&from=0", token: "viewer@acme")
        #expect(within.status == 400 && within.json["errors"]?[0]?["pointer"]?.text == "query:partition")
        await fixture.stop()
    }

    @Test func followingTheAuditLogIsAuditedOnce() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        try await fixture.audit(tenant: "acme")
        var from: String = "earliest"
        for _ in 0..<5 {
            let answer: TestAnswer = try await fixture.harness.send("GET", "/v1/events/audit-log?from=\(from)")
            #expect(answer.status == 200)
            from = try self.next(answer)
        }
        #expect(try await fixture.harness.auditEntries("audit.read").count == 1)
        await fixture.stop()
    }

    @Test func theAuditLogIsForWhoMayReadIt() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        try await fixture.audit(tenant: "acme")
        try await fixture.audit(tenant: "globex")
        for token in ["viewer@acme", "devops@acme", "operator@acme", "cpi-tenant@acme"] {
            #expect(try await fixture.harness.send("GET", "/v1/events/audit-log", token: token).status == 403)
        }
        #expect(try await fixture.harness.auditEntries("access.refused").count == 4)
        let own: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/events/audit-log?from=earliest", token: "auditor@acme")
        #expect(own.json["items"]?.elements?.allSatisfy { $0["tenant"]?.text == "acme" } == true)
        #expect(own.json["items"]?.elements?.isEmpty == false)
        await fixture.stop()
    }

    @Test func cursorsOfOthersAndNonsenseAreRefused() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        try await fixture.publish(3, tenant: "acme")
        let others: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/events/deploy-results?from=earliest", token: "viewer@globex")
        for from in [try self.next(others), "0:1", "12", "yesterday", ""] {
            let answer: TestAnswer = try await fixture.harness.send(
                "GET", "/v1/events/deploy-results?from=\(from)", token: "viewer@acme")
            #expect(answer.status == 400 && answer.json["errors"]?[0]?["pointer"]?.text == "query:from", "from \(from)")
        }
        #expect(try await fixture.harness.send("GET", "/v1/events/nothing").status == 404)
        #expect(try await fixture.harness.send("GET", "/v1/events/deploy-results?wait=31").status == 400)
        await fixture.stop()
    }

    @Test func topicsAreListedWithOffsetsOnlyForPlatformRoles() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        try await fixture.publish(3, tenant: "acme")
        let all: [JSONValue] = try #require(try await fixture.harness.send("GET", "/v1/events").json["items"]?.elements)
        #expect(all.contains { $0["topic"]?.text == "deploy-results.dlq" })
        let results: JSONValue = try #require(all.first { $0["topic"]?.text == "deploy-results" })
        #expect(results["partitions"] == 6 && results["retention_ms"] == 604_800_000)
        #expect(results["offsets"]?.elements?.compactMap { $0["next"]?.integer }.reduce(0, +) == 3)
        let own: [JSONValue] = try #require(
            try await fixture.harness.send("GET", "/v1/events", token: "viewer@acme").json["items"]?.elements)
        #expect(own.count == Topics.all.count && own.allSatisfy { $0["offsets"] == nil })
        await fixture.stop()
    }

    @Test func deadLettersAreReadOnlyByPlatformRoles() async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        #expect(try await fixture.harness.send("GET", "/v1/events/deploy-results.dlq").status == 200)
        #expect(
            try await fixture.harness.send("GET", "/v1/events/deploy-results.dlq", token: "viewer@acme").status == 404)
        await fixture.stop()
    }
}
