import HTTP
import JSON
import ServiceTestKit
import Synchronization
import Testing

@testable import Catalog

struct PlanRoutesTests {
    private static let plans: String = "/v1/tenants/acme/plans"

    @Test func createsReplacesAndDeletesAPlan() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let version: Int64 = try await fixture.harness.gatewayVersion()
        let body: JSONValue = .object([
            "rate_limit": .object(["limit": 10, "window": "90s"]),
            "quota": .object(["limit": 1_000_000, "window": "month"]), "concurrency": 4, "approval": true,
        ])
        let made: TestAnswer = try await fixture.send("PUT", "\(Self.plans)/silver", body)
        #expect(made.status == 200)
        #expect(
            made.json
                == .object([
                    "name": "silver", "rate_limit": .object(["limit": 10, "window": "90s"]),
                    "quota": .object(["limit": 1_000_000, "window": "month"]), "concurrency": 4, "approval": true,
                ]))
        #expect(try await fixture.harness.touched(after: version) == ["plan acme silver"])
        let replaced: TestAnswer = try await fixture.send(
            "PUT", "\(Self.plans)/silver", .object(["rate_limit": .null]), fields: [("If-Match", "\"1\"")])
        #expect(
            replaced.json
                == .object([
                    "name": "silver", "rate_limit": .null, "quota": .null, "concurrency": .null, "approval": false,
                ]))
        #expect(replaced.fields["ETag"] == "\"2\"")
        #expect(try await fixture.send("GET", "\(Self.plans)/silver").json == replaced.json)
        #expect(
            try await fixture.send("DELETE", "\(Self.plans)/silver", fields: [("If-Match", "\"1\"")]).status == 412)
        let before: Int64 = try await fixture.harness.gatewayVersion()
        #expect(try await fixture.send("DELETE", "\(Self.plans)/silver").status == 204)
        #expect(try await fixture.send("GET", "\(Self.plans)/silver").status == 404)
        #expect(try await fixture.send("DELETE", "\(Self.plans)/silver").status == 404)
        #expect(try await fixture.harness.touched(after: before) == ["plan acme silver"])
        let types: [String] = try await fixture.harness.auditTypes().filter { $0.hasPrefix("plan.") }
        // After those that the tenant began with.
        #expect(types.suffix(3) == ["plan.created", "plan.updated", "plan.deleted"])
    }

    @Test func aPlanInUseStays() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        fixture.portal.plansInUse.withLock { _ = $0.insert("acme/gold") }
        let answer: TestAnswer = try await fixture.send("DELETE", "\(Self.plans)/gold")
        #expect(answer.status == 409)
        #expect(try await fixture.send("GET", "\(Self.plans)/gold").status == 200)
        #expect(try await fixture.harness.auditEntries("plan.deleted").isEmpty)
    }

    @Test func refusesInvalidLimits() async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        let windows: [String] = ["1x", "s1", "0s", "-1s", "+1m", "1.5s", "32d", "745h", "1 m", "m"]
        for window in windows {
            let answer: TestAnswer = try await fixture.send(
                "PUT", "\(Self.plans)/p", .object(["rate_limit": .object(["limit": 1, "window": .string(window)])]))
            #expect(answer.status == 400, "\(window)")
            #expect(answer.pointers.last == "/rate_limit/window", "\(window): \(answer.json)")
        }
        let bodies: [JSONValue] = [
            .object(["rate_limit": .object(["limit": 0, "window": "1s"])]),
            .object(["rate_limit": .object(["limit": 5])]), .object(["limit": 5]), .object(["approval": "yes"]),
            .object(["quota": .object(["limit": 5, "window": "1s"])]), .object(["concurrency": 0]),
        ]
        for body in bodies { #expect(try await fixture.send("PUT", "\(Self.plans)/p", body).status == 400, "\(body)") }
        #expect(try await fixture.send("PUT", "\(Self.plans)/P_1", .object([:])).pointers == ["path:plan"])
        #expect(try await fixture.send("GET", "\(Self.plans)/p").status == 404)
    }

    @Test(arguments: [
        ("1s", 1_000, "1s"), ("60s", 60_000, "1m"), ("90s", 90_000, "90s"), ("24h", 86_400_000, "1d"),
        ("31d", 2_678_400_000, "31d"),
    ])
    func readsAndWritesWindows(text: String, milliseconds: Int64, shortest: String) throws {
        #expect(PlanWindow.milliseconds(text) == milliseconds)
        #expect(PlanWindow.text(milliseconds: milliseconds) == shortest)
    }

    @Test func whatAPlanSaysAGatewayReads() async throws {
        for window in ["1s", "1m", "7h", "31d"] {
            let plan: Plan = Plan(
                name: "p", limit: 100_000_000, windowMilliseconds: PlanWindow.milliseconds(window), approval: false,
                version: 1)
            #expect(GatewayReader.problems(plan: plan.gatewayEntry(tenant: "acme")) == [], "\(window)")
        }
        for window in ["minute", "hour", "day", "week", "month", "year"] {
            let plan: Plan = Plan(
                name: "q", limit: nil, windowMilliseconds: nil, quota: 1_000_000_000_000, quotaWindow: window,
                concurrency: 1_000_000, approval: false, version: 1)
            #expect(GatewayReader.problems(plan: plan.gatewayEntry(tenant: "acme")) == [], "\(window)")
        }
        let unlimited: Plan = Plan(name: "u", limit: nil, windowMilliseconds: nil, approval: false, version: 1)
        #expect(GatewayReader.problems(plan: unlimited.gatewayEntry(tenant: "acme")) == [])
    }

    @Test(arguments: [("devops@acme", 200), ("cpi-tenant@acme", 200), ("developer@acme", 403), ("viewer@acme", 403)])
    func plansAreMadeByThoseWhoManageAPIs(token: String, status: Int) async throws {
        let fixture: CatalogFixture = try await CatalogFixture()
        #expect(try await fixture.send("PUT", "\(Self.plans)/p", token: token, .object([:])).status == status)
        #expect(try await fixture.send("GET", "\(Self.plans)/gold", token: token).status == 200)
    }
}
