import Contracts
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Deployments

/// Other service objects on the same store: what was going on goes on.
struct RestartTests {
    @Test func aRunningDeploymentIsFollowedOn() async throws {
        let before: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = before.gateway()
        try await gateway.pull()
        let id: String = try await before.request()
        try await before.version(of: id)
        let fixture: DeploymentsFixture = try await before.restarted()
        #expect(try await fixture.state(id) == "running")
        try await fixture.follow(id, [await gateway.calling(fixture.harness)])
        try await fixture.wait(for: id, toBe: "success")
        #expect(try await fixture.results(of: id).count == 1)
        await fixture.harness.stop()
    }

    @Test func aRequestThatNobodyTookUpIsTakenUp() async throws {
        let before: DeploymentsFixture = try await DeploymentsFixture()
        await before.harness.stop()
        // Its routes still answer, but no consumer runs.
        let id: String = try await before.request()
        #expect(try await before.state(id) == "pending")
        let fixture: DeploymentsFixture = try await before.restarted()
        try await fixture.deploy([fixture.gateway()], environment: "staging")
        try await fixture.wait(for: id, toBe: "success")
        await fixture.harness.stop()
    }

    /// A gateway says once what it runs; it must not be forgotten between the first and the second gateway's word.
    @Test func whatAGatewayHasAcknowledgedIsRemembered() async throws {
        let before: DeploymentsFixture = try await DeploymentsFixture()
        let first: FakeGateway = before.gateway("gw-1")
        let second: FakeGateway = before.gateway("gw-2")
        for gateway in [first, second] { try await gateway.pull() }
        let id: String = try await before.request()
        try await before.follow(id, [first])
        let fixture: DeploymentsFixture = try await before.restarted()
        try await fixture.follow(id, [await second.calling(fixture.harness)])
        let done: JSONValue = try await fixture.wait(for: id, toBe: "success")
        #expect(done["gateway_response"]?["acknowledged"] == ["gw-1", "gw-2"])
        await fixture.harness.stop()
    }

    /// After a crash nothing has been stored in an orderly way at the end: what was stored on the way must do.
    @Test func acknowledgementsSurviveWithoutAnOrderlyStop() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let first: FakeGateway = fixture.gateway("gw-1")
        let second: FakeGateway = fixture.gateway("gw-2")
        for gateway in [first, second] { try await gateway.pull() }
        let id: String = try await fixture.request()
        try await fixture.follow(id, [first])
        let stored: [GatewayStatus] = try await fixture.harness.services.store.read { try GatewayTable.all(in: $0) }
        #expect(stored.map(\.id) == ["gw-1", "gw-2"])
        #expect(stored.first?.version == (await first.version))
        let entry: String = "acme/other.dev"
        try await first.acknowledge(quarantining: [entry: "why"])
        let again: [GatewayStatus] = try await fixture.harness.services.store.read { try GatewayTable.all(in: $0) }
        #expect(again.first?.quarantined == [QuarantinedEntry(entry: entry, reason: "why")])
        await fixture.harness.stop()
    }

    @Test func aGatewayThatWasLiveIsWaitedForAndOneThatWasAwayIsNot() async throws {
        let before: DeploymentsFixture = try await DeploymentsFixture()
        let gone: FakeGateway = before.gateway("gw-gone")
        try await gone.pull()
        before.harness.clock.advance(by: .seconds(60))
        let first: FakeGateway = before.gateway("gw-1")
        let second: FakeGateway = before.gateway("gw-2")
        for gateway in [first, second] { try await gateway.pull() }
        let id: String = try await before.request()
        try await before.version(of: id)
        let clock: ManualClock = before.harness.clock
        let fixture: DeploymentsFixture = try await before.restarted { clock.advance(by: .seconds(300)) }
        try await fixture.follow(id, [await first.calling(fixture.harness)])
        #expect(try await fixture.state(id) == "running", "gw-2 was live: it may only not have called yet")
        try await fixture.follow(id, [await second.calling(fixture.harness)])
        let done: JSONValue = try await fixture.wait(for: id, toBe: "success")
        #expect(done["gateway_response"]?["away"] == ["gw-gone"])
        await fixture.harness.stop()
    }

    /// What ended while nobody kept the history is not in any change that is made later.
    @Test func whatWasTakenAwayMeanwhileLeavesTheGateway() async throws {
        let before: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = before.gateway()
        try await before.deploy([gateway])
        try await before.deploy([gateway], environment: "staging")
        let api: String = try await before.apiID()
        let fixture: DeploymentsFixture = try await before.restarted {
            try await before.harness.services.store.write { transaction in
                try LiveTable.delete(apiID: api, tenant: "acme", environment: "dev", in: transaction)
                _ = try GatewayChanges.touch(.api, tenant: "acme", id: api, in: transaction)
            }
        }
        let next: FakeGateway = await gateway.calling(fixture.harness)
        try await next.pull()
        #expect(await Set(next.upstreams.keys) == ["\(api).staging"])
        #expect(await !next.cameAsDelta)
        try await fixture.deploy([next], environment: "sandbox")
        #expect(await next.cameAsDelta, "from now on the past is known")
        #expect(await Set(next.upstreams.keys) == ["\(api).staging", "\(api).sandbox"])
        await fixture.harness.stop()
    }

    @Test func aGatewayThatMissedNothingIsLeftAlone() async throws {
        let before: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = before.gateway()
        try await before.deploy([gateway])
        try await gateway.pull()
        let fixture: DeploymentsFixture = try await before.restarted()
        let next: FakeGateway = await gateway.calling(fixture.harness)
        try await next.pull()
        #expect(await next.lastStatus == 204)
        await fixture.harness.stop()
    }

    /// A gateway may have served another history: a backup was restored, or the folder is another one.
    @Test func aVersionFromAnotherHistoryConfirmsNothing() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.pull()
        let body: JSONValue = .object(["version": 900, "hash": "other", "quarantined": []])
        let path: String = "/v1/gateways/gw-1/acknowledgement"
        #expect(try await fixture.send("POST", path, token: fixture.token, body).status == 204)
        let id: String = try await fixture.request()
        let version: Int64 = try await fixture.version(of: id)
        let same: JSONValue = .object(["version": .int(version), "hash": "other", "quarantined": []])
        try await eventually("the version to be published") {
            let answer: TestAnswer = try await fixture.send(
                "GET", "/v1/gateways/gw-1/snapshot?since=900&hash=other", token: fixture.token)
            return (answer.json["version"]?.integer ?? 0) >= version
        }
        #expect(try await fixture.send("POST", path, token: fixture.token, same).status == 204)
        #expect(try await fixture.state(id) == "running")
        try await fixture.follow(id, [gateway])
        try await fixture.wait(for: id, toBe: "success")
        await fixture.harness.stop()
    }
}
