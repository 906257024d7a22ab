import Contracts
import EventLog
import GatewayConfiguration
import Identifiers
import JSON
import REST
import ServiceTestKit
import Store
import Telemetry
import TestKit
import Testing
import Time

@testable import Deployments

/// From the request to the end, with gateways that speak the link's routes.
struct DeploymentLifeTests {
    @Test func succeedsWhenItsGatewayRunsIt() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.pull()
        let id: String = try await fixture.deploy([gateway])
        let entry: String = "\(try await fixture.apiID()).dev"
        #expect(await gateway.upstreams == [entry: "http://127.0.0.1:9700"])
        let done: JSONValue = try await fixture.deployment(id)
        #expect(done["gateway_response"]?["acknowledged"] == ["gw-1"])
        #expect(done["previous_revision"] == nil)
        let results: [JSONValue] = try await fixture.results(of: id)
        #expect(results.count == 1)
        let result: JSONObject = try #require(results.first?.object)
        let version: Int64 = try await fixture.version(of: id)
        #expect(result["status"]?.text == "success")
        #expect(
            result["gateway_response"] == [
                "version": .int(version), "acknowledged": ["gw-1"], "away": [], "quarantined": [],
            ])
        #expect(
            Set(result.keys) == [
                "trace_id", "deployment_id", "api_id", "tenant", "environment", "status", "duration_ms",
                "gateway_response",
            ])
        let request: JSONValue = try #require(try await fixture.harness.events(Topics.deployRequests).first)
        #expect(result["trace_id"] == request["trace_id"], "one trace from the request to the result")
        let types: [String] = try await fixture.harness.auditTypes().filter { $0.hasPrefix("deployment.") }
        #expect(types == ["deployment.requested", "deployment.started", "deployment.success"])
        for stage in ["taken_up", "confirmed"] {
            let line: String = "passerelle_deployment_seconds_count{stage=\"\(stage)\"} 1\n"
            try await eventually(line) {
                String(decoding: fixture.harness.services.metrics.prometheusText(), as: UTF8.self).contains(line)
            }
        }
        let live: [LiveTable.Place] = try await fixture.live()
        #expect(live.map(\.deploymentID) == [id])
        let api: JSONValue = try await fixture.send("GET", "/v1/tenants/acme/apis/orders").json
        #expect(api["live"] == [["environment": "dev", "revision": 1, "deployment": .string(id)]])
        await fixture.harness.stop()
    }

    /// Who asked for it need not wait for a second commit: the worker's part is in the one that records the request.
    @Test(.enabled(if: TestEngine.chosen == .sqlite)) func theRequestIsCarriedOutInTheCommitThatRecordsIt() async throws
    {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.pull()
        try await fixture.deploy([gateway])
        // As soon as the worker waits for the next request again, which a few may come too early for.
        try await eventually("a request is carried out at once") {
            let id: String = try await fixture.request()
            let isAtOnce: Bool = try await fixture.state(id) == "running"
            try await fixture.follow(id, [gateway])
            try await fixture.wait(for: id, toBe: "success")
            return isAtOnce
        }
        await fixture.harness.stop()
    }

    @Test func waitsForEveryLiveGatewayAndNamesOneThatIsAway() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateways: [FakeGateway] = [fixture.gateway("gw-1"), fixture.gateway("gw-2"), fixture.gateway("gw-3")]
        for gateway in gateways { try await gateway.pull() }
        let id: String = try await fixture.request()
        try await fixture.follow(id, [gateways[0]])
        #expect(try await fixture.state(id) == "running", "two are live and have not got it")
        try await fixture.follow(id, [gateways[1]])
        #expect(try await fixture.state(id) == "running")
        // gw-3 stays silent; the others are heard.
        fixture.harness.clock.advance(by: .seconds(14))
        for gateway in gateways.prefix(2) { try await gateway.pull() }
        fixture.harness.clock.advance(by: .seconds(1))
        try await gateways[0].acknowledge()
        let done: JSONValue = try await fixture.wait(for: id, toBe: "success")
        #expect(done["gateway_response"]?["acknowledged"] == ["gw-1", "gw-2"])
        #expect(done["gateway_response"]?["away"] == ["gw-3"])
        #expect(try await fixture.results(of: id).first?["gateway_response"]?["away"] == ["gw-3"])
        await fixture.harness.stop()
    }

    @Test func failsWhenALiveGatewayDoesNotConfirmInTime() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.pull()
        let id: String = try await fixture.request()
        try await fixture.version(of: id)
        let service: DeploymentsService = try #require(fixture.harness.running.last as? DeploymentsService)
        try await eventually("it is waited for") { await service.tracker.isWaiting(forGroup: "default") }
        for _ in 0..<3 {
            fixture.harness.clock.advance(by: .seconds(10))
            // Heard, but it never says that it runs the new version.
            try await gateway.pull()
        }
        fixture.harness.clock.advance(by: .seconds(1))
        let done: JSONValue = try await fixture.wait(for: id, toBe: "failed")
        #expect(done["detail"]?.text == "Not confirmed within 30 s by gw-1.")
        #expect(try await fixture.live().isEmpty, "nothing ran before")
        #expect(try await fixture.results(of: id).map { $0["status"]?.text } == ["failed"])
        await fixture.harness.stop()
    }

    @Test func failsWhenNoGatewayLives() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let id: String = try await fixture.request()
        try await fixture.version(of: id)
        #expect(try await fixture.state(id) == "running", "gateways have time to call in after the start")
        try await eventually("the deployment to fail") {
            fixture.harness.clock.advance(by: .seconds(1))
            return try await fixture.state(id) == "failed"
        }
        let done: JSONValue = try await fixture.deployment(id)
        #expect(done["detail"]?.text == "No gateway of the target is live (none ever called in).")
        #expect(try await fixture.live().isEmpty)
        await fixture.harness.stop()
    }

    // MARK: Failures

    @Test func aQuarantinedRevisionFailsAndThePreviousOneIsLiveAgain() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        let good: String = try await fixture.deploy([gateway])
        let entry: String = "\(try await fixture.apiID()).dev"
        _ = try await fixture.makeRevision(port: 9_701)
        let bad: String = try await fixture.request()
        let version: Int64 = try await fixture.version(of: bad)
        try await eventually("the bad revision") {
            try await gateway.pull()
            return await gateway.version >= version
        }
        #expect(await gateway.upstreams == [entry: "http://127.0.0.1:9701"])
        try await gateway.acknowledge(quarantining: ["acme/\(entry)": "its upstream is no good"])
        let done: JSONValue = try await fixture.wait(for: bad, toBe: "failed")
        #expect(done["detail"]?.text == "The gateway cannot run this revision: its upstream is no good")
        #expect(done["gateway_response"]?["quarantined"] == ["gw-1"])
        #expect(done["previous_revision"]?.integer == 1)
        let live: [LiveTable.Place] = try await fixture.live()
        #expect(live.map(\.revision) == [1])
        #expect(live.map(\.deploymentID) == [good], "the deployment that put it there, not the one that failed")
        try await eventually("the good revision") {
            try await gateway.pull()
            return await gateway.upstreams == [entry: "http://127.0.0.1:9700"]
        }
        try await gateway.acknowledge()
        let rollback: TestAnswer = try await fixture.send(
            "POST", DeploymentsFixture.deployments, .object(["environment": "dev", "action": "rollback", "to": 2]))
        #expect(rollback.pointers == ["/to"], "a revision that failed never ran")
        #expect(try await fixture.harness.auditEntries("deployment.failed").count == 1)
        await fixture.harness.stop()
    }

    /// Several failures in a row lead back to what really ran.
    @Test func failuresInARowLeadBackToTheLastGoodRevision() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        let good: String = try await fixture.deploy([gateway])
        let entry: String = "acme/\(try await fixture.apiID()).dev"
        var ids: [String] = []
        for port in [9_701, 9_702] {
            _ = try await fixture.makeRevision(port: port)
            ids.append(try await fixture.request())
        }
        // The second took the first one's place before anybody confirmed that.
        let superseded: JSONValue = try await fixture.wait(for: ids[0], toBe: "failed")
        #expect(superseded["detail"]?.text?.hasPrefix("Deployment \(ids[1]) took its place") == true)
        #expect(try await fixture.live().map(\.deploymentID) == [ids[1]])
        let version: Int64 = try await fixture.version(of: ids[1])
        try await eventually("the second revision") {
            try await gateway.pull()
            return await gateway.version >= version
        }
        try await gateway.acknowledge(quarantining: [entry: "bad"])
        try await fixture.wait(for: ids[1], toBe: "failed")
        let live: [LiveTable.Place] = try await fixture.live()
        #expect(live.map(\.revision) == [1])
        #expect(live.map(\.deploymentID) == [good])
        #expect(try await fixture.results(of: ids[0]).map { $0["status"]?.text } == ["failed"])
        await fixture.harness.stop()
    }

    @Test func twoDeploymentsOfOneRevisionAreConfirmedTogether() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.pull()
        let ids: [String] = [try await fixture.request(), try await fixture.request()]
        try await fixture.version(of: ids[0])
        try await fixture.follow(ids[1], [gateway])
        for id in ids { try await fixture.wait(for: id, toBe: "success") }
        await fixture.harness.stop()
    }

    @Test func aRevisionThatNoSnapshotCanHoldFailsAtOnce() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        let good: String = try await fixture.deploy([gateway])
        let revision: Int64 = try await fixture.makeRevision(port: 9_701)
        // As if an older version of the platform had stored what this one cannot read.
        try await fixture.harness.services.store.write { transaction in
            try transaction.execute(
                "UPDATE revisions SET gateway = $1 WHERE tenant = 'acme' AND revision = $2", .text(#"{"routes":[]}"#),
                .int(revision))
        }
        let bad: String = try await fixture.request()
        let done: JSONValue = try await fixture.wait(for: bad, toBe: "failed")
        #expect(done["detail"]?.text?.hasPrefix("The gateway cannot run this revision: ") == true)
        #expect(try await fixture.live().map(\.deploymentID) == [good])
        let undeploy: String = try await fixture.deploy([gateway], "undeploy")
        #expect(try await fixture.state(undeploy) == "success", "what failed before is in nobody's way")
        #expect(await gateway.upstreams.isEmpty)
        await fixture.harness.stop()
    }

    // MARK: Back and away

    @Test func rollsBackToThePreviousRevision() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        let entry: String = "\(try await fixture.apiID()).dev"
        try await fixture.deploy([gateway])
        _ = try await fixture.makeRevision(port: 9_701)
        try await fixture.deploy([gateway])
        #expect(await gateway.upstreams == [entry: "http://127.0.0.1:9701"])
        let back: String = try await fixture.deploy([gateway], "rollback")
        #expect(await gateway.upstreams == [entry: "http://127.0.0.1:9700"])
        let done: JSONValue = try await fixture.deployment(back)
        #expect(done["revision"]?.integer == 1)
        #expect(done["previous_revision"]?.integer == 2)
        #expect(try await fixture.results(of: back).map { $0["status"]?.text } == ["rolled_back"])
        let forward: String = try await fixture.deploy([gateway], "rollback", ["to": 2])
        #expect(try await fixture.deployment(forward)["revision"]?.integer == 2)
        _ = try await fixture.makeRevision(port: 9_702)
        let never: TestAnswer = try await fixture.send(
            "POST", DeploymentsFixture.deployments, .object(["environment": "dev", "action": "rollback", "to": 3]))
        #expect(never.status == 400)
        #expect(never.pointers == ["/to"])
        let elsewhere: TestAnswer = try await fixture.send(
            "POST", DeploymentsFixture.deployments, .object(["environment": "staging", "action": "rollback", "to": 1]))
        #expect(elsewhere.pointers == ["/to"], "it ran in dev only")
        await fixture.harness.stop()
    }

    @Test func undeploys() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await fixture.deploy([gateway])
        try await fixture.deploy([gateway], environment: "staging")
        let api: String = try await fixture.apiID()
        #expect(await Set(gateway.upstreams.keys) == ["\(api).dev", "\(api).staging"])
        let id: String = try await fixture.deploy([gateway], "undeploy")
        #expect(await Set(gateway.upstreams.keys) == ["\(api).staging"])
        #expect(await gateway.cameAsDelta)
        #expect(try await fixture.live().map(\.environment) == ["staging"])
        #expect(try await fixture.results(of: id).map { $0["status"]?.text } == ["success"])
        let again: TestAnswer = try await fixture.send(
            "POST", DeploymentsFixture.deployments, .object(["environment": "dev", "action": "undeploy"]))
        #expect(again.status == 409)
        let back: String = try await fixture.deploy([gateway], "rollback")
        #expect(try await fixture.deployment(back)["revision"]?.integer == 1, "what ran last comes back")
        await fixture.harness.stop()
    }

    @Test func aDeletedAPIRunsNowhereAndItsSubscriptionsEnd() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await fixture.deploy([gateway])
        try await fixture.deploy([gateway], environment: "staging")
        try await fixture.expect(201, "POST", "/v1/tenants/acme/applications", .object(["name": "shop"]))
        try await fixture.expect(
            201, "POST", "/v1/tenants/acme/subscriptions",
            .object(["application": "shop", "api": "orders", "plan": "gold"]))
        let api: String = try await fixture.apiID()
        let refused: TestAnswer = try await fixture.send("DELETE", "/v1/tenants/acme/apis/orders")
        #expect(refused.status == 409)
        let running: String = try await fixture.request(environment: "sandbox")
        try await fixture.version(of: running)
        #expect(try await fixture.send("DELETE", "/v1/tenants/acme/apis/orders?undeploy=true").status == 204)
        try await eventually("the gateway to be without it") {
            try await gateway.pull()
            let applications: [[String]] = await gateway.document.document.applications.map {
                $0.subscriptions.map(\.api)
            }
            return await gateway.upstreams.isEmpty && applications == [[]]
        }
        let places: [LiveTable.Place] = try await fixture.harness.services.store.read {
            try LiveTable.of(apiID: api, tenant: "acme", in: $0)
        }
        #expect(places.isEmpty)
        let entries: [JSONValue] = try await fixture.harness.auditEntries("api.undeployed")
        #expect(entries.map { $0["changes"]?["environment"]?.text } == ["dev", "sandbox", "staging"])
        #expect(try await fixture.results(of: running).map { $0["status"]?.text } == ["failed"])
        #expect(try await fixture.state(running) == "failed", "its history can still be read")
        try await gateway.acknowledge()
        #expect(try await fixture.results(of: running).count == 1)
        await fixture.harness.stop()
    }

    /// The two topics have no order between them: a request may come after the deletion was handled.
    @Test func aRequestForADeletedAPIPutsNothingInPlace() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.pull()
        let api: String = try await fixture.apiID()
        #expect(try await fixture.send("DELETE", "/v1/tenants/acme/apis/orders").status == 204)
        let author: Author = Author(caller: .platform("test"), trace: TraceContext.make())
        try await fixture.harness.services.store.write { transaction in
            let deployment: Deployment = Deployment(
                tenant: "acme", id: "dep_late", apiID: api, apiName: "orders", revision: 1, environment: "dev",
                action: .deploy, state: .pending, requestedBy: "usr_1", triggeredBy: "api",
                traceparent: author.trace.traceparent, gatewayGroup: "default", createdAt: transaction.now)
            try DeploymentTable.insert(deployment, in: transaction)
            try author.publish(
                Topics.deployRequests, key: api, tenant: "acme",
                ["tenant": "acme", "deployment_id": "dep_late", "api_id": .string(api)], in: transaction)
        }
        try await eventually("the late request to fail") { try await fixture.results(of: "dep_late").count == 1 }
        let result: JSONValue? = try await fixture.results(of: "dep_late").first
        #expect(result?["status"]?.text == "failed")
        let places: [LiveTable.Place] = try await fixture.harness.services.store.read { try LiveTable.all(in: $0) }
        #expect(places.isEmpty)
        await fixture.harness.stop()
    }

    @Test func aRequestIsCarriedOutOnce() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        let id: String = try await fixture.deploy([gateway])
        let record: Record = try #require(try await fixture.harness.records(Topics.deployRequests).first)
        let version: Int64 = try await fixture.harness.gatewayVersion()
        try await fixture.harness.services.store.write { transaction in
            try transaction.publish(topic: Topics.deployRequests, key: record.key, value: record.value)
            try transaction.publish(topic: Topics.deployRequests, key: record.key, value: Array("not json".utf8))
            try transaction.publish(topic: Topics.deployRequests, key: record.key, value: Array("{}".utf8))
        }
        let next: String = try await fixture.deploy([gateway], "undeploy")
        #expect(try await fixture.version(of: next) == version + 1, "the repeated request and the nonsense did nothing")
        #expect(try await fixture.results(of: id).count == 1)
        await fixture.harness.stop()
    }
}
