import Contracts
import JSON
import ServiceTestKit
import Store
import TestKit
import Testing
import Time

@testable import Observability

@Suite struct TrafficRoutesTests {
    private static let span: String = "from=2026-01-01T00:00:00Z&to=2026-01-01T01:00:00Z"

    private func fixture() async throws -> ObservabilityFixture {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        fixture.harness.clock.advance(by: .seconds(3_600))
        let minute: Int64 = 1_767_225_600_000
        try await fixture.service.accept(
            TrafficReport(
                gatewayID: "gw_1", sequence: 1,
                lines: [
                    trafficLine(), trafficLine(statusClass: 4, requests: 3, duration: 300, durationMax: 100),
                    trafficLine(api: "api_2", route: "/", application: "", minute: minute + 60_000),
                    trafficLine(tenant: "globex", api: "api_9"),
                ]))
        try await fixture.service.accept(
            TrafficReport(gatewayID: "gw_2", sequence: 1, lines: [trafficLine(minute: minute + 1_800_000, requests: 5)])
        )
        return fixture
    }

    private func items(_ answer: TestAnswer, _ member: String) -> [String: Int64] {
        var found: [String: Int64] = [:]
        for item in answer.json["items"]?.elements ?? [] {
            found[(item[member]?.text ?? "?") + (item["time"]?.text ?? ""), default: 0] +=
                item["requests"]?.integer ?? 0
        }
        return found
    }

    @Test(
        arguments: [
            ("api", "api_id", ["api_1": 18, "api_2": 10]), ("application", "application_id", ["app_1": 18, "": 10]),
            ("route", "route", ["/pets": 18, "/": 10]), ("environment", "environment", ["dev": 28]),
        ] as [(String, String, [String: Int64])])
    func sumsByEveryGrouping(by: String, member: String, expected: [String: Int64]) async throws {
        let fixture: ObservabilityFixture = try await self.fixture()
        let answer: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/tenants/acme/traffic?by=\(by)&\(Self.span)", token: "operator@acme")
        #expect(answer.status == 200)
        #expect(self.items(answer, member) == expected)
        await fixture.stop()
    }

    @Test func cutsIntoIntervals() async throws {
        let fixture: ObservabilityFixture = try await self.fixture()
        let minutes: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/tenants/acme/traffic?interval=minute&api=api_1&\(Self.span)")
        #expect(
            self.items(minutes, "api_id") == ["api_12026-01-01T00:00:00.000Z": 13, "api_12026-01-01T00:30:00.000Z": 5])
        #expect(minutes.json["items"]?[0]?["client_errors"] == 3)
        let hours: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/tenants/acme/traffic?interval=hour&api=api_1&\(Self.span)")
        #expect(self.items(hours, "api_id") == ["api_12026-01-01T00:00:00.000Z": 18])
        let some: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/tenants/acme/traffic?environment=prod&\(Self.span)")
        #expect(some.json["items"]?.elements?.isEmpty == true)
        await fixture.stop()
    }

    @Test func aRepeatedReportCountsOnce() async throws {
        let fixture: ObservabilityFixture = try await self.fixture()
        let report: TrafficReport = TrafficReport(gatewayID: "gw_1", sequence: 2, lines: [trafficLine(api: "api_3")])
        for _ in 0..<3 { try await fixture.service.accept(report) }
        let answer: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/tenants/acme/traffic?api=api_3&\(Self.span)")
        #expect(self.items(answer, "api_id") == ["api_3": 10])
        await fixture.stop()
    }

    /// Sums that no longer fit an integer could not be read any more, and a tenant's traffic with them.
    @Test func aGatewayThatReportsAnythingSpoilsNoSum() async throws {
        let fixture: ObservabilityFixture = try await self.fixture()
        let most: Int64 = TrafficSums.valueMax
        let line: TrafficReport.Line = trafficLine(
            api: "api_3", requests: most, duration: most, durationMax: most, bytesIn: most, bytesOut: most)
        for sequence: Int64 in 2...3 {
            try await fixture.service.accept(
                TrafficReport(gatewayID: "gw_1", sequence: sequence, lines: [line, line]))
        }
        let answer: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/tenants/acme/traffic?api=api_3&\(Self.span)")
        #expect(answer.status == 200)
        #expect(self.items(answer, "api_id") == ["api_3": most])
        await fixture.stop()
    }

    @Test func noTenantSeesAnothersTraffic() async throws {
        let fixture: ObservabilityFixture = try await self.fixture()
        let own: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/tenants/globex/traffic?\(Self.span)", token: "viewer@globex")
        #expect(self.items(own, "api_id") == ["api_9": 10])
        let foreign: TestAnswer = try await fixture.harness.send(
            "GET", "/v1/tenants/globex/traffic?api=api_1&\(Self.span)", token: "viewer@globex")
        #expect(foreign.json["items"]?.elements?.isEmpty == true)
        #expect(try await fixture.harness.send("GET", "/v1/tenants/acme/traffic", token: "viewer@globex").status == 404)
        await fixture.stop()
    }

    @Test func whatIsOlderThanThirtyDaysGoes() async throws {
        let fixture: ObservabilityFixture = try await self.fixture()
        fixture.harness.clock.advance(by: TrafficRollup.retention - .seconds(1_800))
        try await fixture.service.removeExpired()
        let rows: Int64? = try await fixture.telemetry.read {
            try $0.first("SELECT count(*) FROM traffic_minutes") { (row: Row) throws(StoreError) -> Int64 in
                try row.int(0)
            }
        }
        #expect(rows == 1, "only the minute that began half an hour after the others is left")
        await fixture.stop()
    }

    @Test(arguments: ["by=tenant", "interval=week", "from=x", "to=x", "api_id=api_1"])
    func refusesWhatItDoesNotUnderstand(query: String) async throws {
        let fixture: ObservabilityFixture = try await ObservabilityFixture()
        #expect(try await fixture.harness.send("GET", "/v1/tenants/acme/traffic?\(query)").status == 400)
        await fixture.stop()
    }
}
