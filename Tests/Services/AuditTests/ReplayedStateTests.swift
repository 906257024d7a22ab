import EventLog
import JSON
import ServiceTestKit
import Store
import TestKit
import Testing
import Time

@testable import Audit

struct ReplayedStateTests {
    private static func leaf(
        _ event: String, _ type: String, _ id: String, _ changes: JSONObject, tenant: String = "acme",
        version: Int64 = 1
    ) -> JSONValue {
        .object([
            "event_type": .string(event), "tenant": .string(tenant), "changes": .object(changes),
            "time": "2026-01-01T00:00:00.000Z", "actor": .object(["user_id": "usr_1"]),
            "resource": .object(["type": .string(type), "id": .string(id), "version": .int(version)]),
        ])
    }

    private static func state(_ leaves: [JSONValue]) -> ReplayedState {
        var state: ReplayedState = ReplayedState()
        for leaf in leaves { state.apply(leaf) }
        return state
    }

    @Test func theLastImageOfEachThingStands() {
        let state: ReplayedState = Self.state([
            Self.leaf("plan.created", "plan", "gold", ["limit": 1]),
            Self.leaf("plan.updated", "plan", "gold", ["limit": 2], version: 2),
            Self.leaf("plan.created", "plan", "free", [:]), Self.leaf("plan.deleted", "plan", "free", [:]),
            Self.leaf("plan.created", "plan", "gold", ["limit": 9], tenant: "globex"),
        ])
        #expect(state.all(.plan).map(\.key.tenant) == ["acme", "globex"])
        #expect(state.all(.plan).map(\.value) == [["limit": 2, "version": 2], ["limit": 9, "version": 1]])
    }

    @Test func aTenantThatGoesTakesWhatItBeganWith() {
        let state: ReplayedState = Self.state([
            Self.leaf("tenant.created", "tenant", "acme", [:]), Self.leaf("plan.created", "plan", "gold", [:]),
            Self.leaf("plan.created", "plan", "gold", [:], tenant: "globex"),
            Self.leaf("tenant.deleted", "tenant", "acme", [:]),
        ])
        #expect(state.all(.tenant).isEmpty)
        #expect(state.all(.plan).map(\.key.tenant) == ["globex"])
    }

    @Test func rolesOfOtherTenantsStay() {
        func user(_ event: String, _ tenant: String, _ roles: [String], state: String = "active") -> JSONValue {
            let grants: [JSONValue] = roles.map { .object(["role": .string($0), "tenant": .string(tenant)]) }
            return Self.leaf(
                event, "user", "usr_2", ["id": "usr_2", "state": .string(state), "grants": .array(grants)],
                tenant: tenant)
        }
        let state: ReplayedState = Self.state([
            user("user.created", "acme", ["devops", "viewer"]), user("user.created", "globex", ["auditor"]),
            user("user.roles-changed", "acme", []), user("user.disabled", "globex", ["auditor"], state: "disabled"),
        ])
        #expect(state.users.map(\.id) == ["usr_2"])
        #expect(
            state.users[0].user
                == [
                    "id": "usr_2", "state": "disabled",
                    "grants": .array([.object(["role": "auditor", "tenant": "globex"])]),
                ])
    }

    @Test func whatIsLiveFollowsDeployments() {
        func deployment(_ event: String, _ id: String, _ live: JSONValue) -> JSONValue {
            Self.leaf(
                event, "deployment", id, ["api_id": "api_1", "environment": "dev", "state": "running", "live": live])
        }
        let place: JSONValue = .object(["revision": 1])
        var state: ReplayedState = Self.state([deployment("deployment.started", "dep_1", place)])
        #expect(state.live == [ReplayedState.Key(tenant: "acme", id: "api_1"): ["dev": place]])
        #expect(state.all(.deployment).first?.value["live"] == nil)
        state.apply(deployment("deployment.failed", "dep_1", .null))
        #expect(state.live.isEmpty)
        state.apply(deployment("deployment.started", "dep_2", place))
        state.apply(Self.leaf("api.undeployed", "api", "api_1", ["environment": "dev"]))
        #expect(state.live.isEmpty)
        #expect(state.all(.api).isEmpty)
    }

    @Test func whatWasSealedStaysClosed() {
        let sealed: JSONValue = .object(["$key": "sub_1", "$sealed": "AAAA"])
        let state: ReplayedState = Self.state([
            Self.leaf(
                "application.created", "application", "app_1",
                ["owner": sealed, "list": .array([sealed]), "other": .object(["$key": "k", "$sealed": "s", "x": 1])])
        ])
        let erased: JSONValue = .object(["erased": true])
        #expect(state.all(.application)[0].value["owner"] == erased)
        #expect(state.all(.application)[0].value["list"] == .array([erased]))
        #expect(state.all(.application)[0].value["other"]?["x"] == 1)
    }

    @Test func entriesOfALogAreTakenInOrderUpToTheOneThatIsGiven() async throws {
        let fixture: AuditFixture = try await AuditFixture()
        try await fixture.write(30)
        let counts: [Int] = try await fixture.store.read { reader in
            var counts: [Int] = []
            for end: StateReplay.End in [.entry(9), .newest, .time(.init(milliseconds: 0))] {
                var replay: StateReplay = StateReplay(until: end)
                try replay.run(newest: reader, base: nil)
                #expect(replay.isComplete)
                counts.append(replay.state.all(.api).count)
            }
            return counts
        }
        #expect(counts == [10, 30, 0])
        await fixture.harness.stop()
    }
}
