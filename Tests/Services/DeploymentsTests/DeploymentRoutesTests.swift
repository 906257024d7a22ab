import Contracts
import EventLog
import HTTP
import JSON
import REST
import ServiceTestKit
import TestKit
import Testing

@testable import Deployments

struct DeploymentRoutesTests {
    private static let path: String = DeploymentsFixture.deployments

    @Test func recordsARequestAndAnswersAtOnce() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let answer: TestAnswer = try await fixture.send(
            "POST", Self.path, .object(["environment": "dev", "action": "deploy", "triggered_by": "cli"]))
        #expect(answer.status == 202)
        let id: String = answer.json["id"]?.text ?? ""
        #expect(id.hasPrefix("dep_"))
        #expect(answer.fields["Location"] == "\(Self.path)/\(id)")
        #expect(answer.json["state"]?.text == "pending")
        #expect(answer.json["revision"]?.integer == 1)
        #expect(answer.json["requested_by"]?.text == "usr_devops_acme")
        let record: Record = try #require(try await fixture.harness.records(Topics.deployRequests).first)
        let api: String = try await fixture.apiID()
        #expect(record.keyText == api)
        #expect(record.tenant == "acme")
        let event: JSONValue = try JSONReader.parse(record.value)
        #expect(event["trace_id"]?.text?.utf8.count == 32)
        var members: JSONObject = event.object ?? [:]
        members["trace_id"] = nil
        #expect(
            members == [
                "deployment_id": .string(id), "api_id": .string(api), "tenant": "acme", "revision": 1,
                "environment": "dev", "action": "deploy", "triggered_by": "cli",
            ])
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("deployment.requested").first)
        #expect(entry["actor"]?["user_id"]?.text == "usr_devops_acme")
        #expect(entry["resource"]?["id"]?.text == id)
        #expect(entry["changes"]?["environment"]?.text == "dev")
        #expect(entry["trace_id"] == event["trace_id"])
        await fixture.harness.stop()
    }

    @Test func deploysTheLatestRevisionUnlessToldOtherwise() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        _ = try await fixture.makeRevision(port: 9_701)
        #expect(try await fixture.deployment(try await fixture.request())["revision"]?.integer == 2)
        let first: String = try await fixture.request("deploy", ["revision": 1])
        #expect(try await fixture.deployment(first)["revision"]?.integer == 1)
        await fixture.harness.stop()
    }

    @Test func aRepeatedRequestIsOneDeployment() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let key: [(String, String)] = [("Idempotency-Key", "d")]
        let body: JSONValue = .object(["environment": "dev"])
        let first: TestAnswer = try await fixture.send("POST", Self.path, body, fields: key)
        let again: TestAnswer = try await fixture.send("POST", Self.path, body, fields: key)
        #expect(again.status == 202)
        #expect(again.bytes == first.bytes)
        #expect(try await fixture.harness.events(Topics.deployRequests).count == 1)
        await fixture.harness.stop()
    }

    /// What a request must not say, and the field that is named.
    static let refusals: [(JSONObject, Int, [String])] = [
        ([:], 400, ["/environment"]),
        (["environment": "nowhere"], 400, ["/environment"]),
        (["environment": "dev", "action": "destroy"], 400, ["/action"]),
        (["environment": "dev", "revision": 2], 400, ["/revision"]),
        (["environment": "dev", "revision": 0], 400, ["/revision"]),
        (["environment": "dev", "revision": "1"], 400, ["/revision"]),
        (["environment": "dev", "to": 1], 400, ["/to"]),
        (["environment": "dev", "action": "rollback", "revision": 1], 400, ["/revision"]),
        (["environment": "dev", "action": "undeploy", "to": 1], 400, ["/to"]),
        (["environment": "dev", "state": "success"], 400, ["/state"]),
        (["environment": "dev", "triggered_by": "promotion"], 400, ["/triggered_by"]),
        (["environment": "dev", "action": "undeploy"], 409, []),
        (["environment": "dev", "action": "rollback"], 409, []),
        (["environment": "dev", "action": "rollback", "to": 1], 400, ["/to"]),
    ]

    @Test(arguments: refusals)
    func refusesWhatCannotBe(body: JSONObject, status: Int, pointers: [String]) async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let answer: TestAnswer = try await fixture.send("POST", Self.path, .object(body))
        #expect(answer.status == status, "\(answer.json)")
        #expect(answer.pointers == pointers, "\(answer.json)")
        #expect(try await fixture.harness.events(Topics.deployRequests).isEmpty)
        #expect(try await fixture.harness.auditEntries("deployment.requested").isEmpty)
        #expect(try await fixture.send("GET", Self.path).items.isEmpty)
        await fixture.harness.stop()
    }

    @Test func prodTakesPromotionsOnly() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        for token in ["devops@acme", "cpi-tenant@acme", "admin"] {
            let answer: TestAnswer = try await fixture.send(
                "POST", Self.path, token: token, .object(["environment": "prod"]))
            #expect(answer.status == 409)
            #expect(answer.json["promotions"]?.text == "/v1/tenants/acme/promotions")
        }
        #expect(try await fixture.harness.events(Topics.deployRequests).isEmpty)
        await fixture.harness.stop()
    }

    @Test(arguments: [
        ("devops@acme", 202), ("cpi-tenant@acme", 202), ("cpi-admin", 202), ("admin", 202), ("developer@acme", 403),
        ("operator@acme", 403), ("auditor@acme", 403), ("viewer@acme", 403), ("devops@globex", 404),
    ])
    func deploysByRole(token: String, status: Int) async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let answer: TestAnswer = try await fixture.send(
            "POST", Self.path, token: token, .object(["environment": "dev"]))
        #expect(answer.status == status)
        await fixture.harness.stop()
    }

    @Test func listsDeploymentsNewestFirst() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        var ids: [String] = []
        for _ in 0..<3 { ids.insert(try await fixture.request(), at: 0) }
        let first: TestAnswer = try await fixture.send("GET", "\(Self.path)?limit=2", token: "viewer@acme")
        #expect(first.items("id") == Array(ids.prefix(2)))
        let rest: TestAnswer = try await fixture.send(
            "GET", "\(Self.path)?limit=2&cursor=\(first.json["next"]?.text ?? "")")
        #expect(rest.items("id") == [ids[2]])
        await fixture.harness.stop()
    }

    @Test func aDeploymentIsFoundUnderItsOwnAPIOnly() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        try await fixture.expect(201, "POST", "/v1/tenants/acme/apis", DeploymentsFixture.importOf("billing"))
        let id: String = try await fixture.request()
        let api: String = try await fixture.apiID()
        #expect(try await fixture.send("GET", "/v1/tenants/acme/apis/\(api)/deployments/\(id)").status == 200)
        #expect(try await fixture.send("GET", "/v1/tenants/acme/apis/billing/deployments/\(id)").status == 404)
        #expect(try await fixture.send("GET", "\(Self.path)/dep_none").status == 404)
        for method in ["GET", "POST"] {
            let body: JSONValue? = method == "POST" ? .object(["environment": "dev"]) : nil
            #expect(try await fixture.send(method, "/v1/tenants/acme/apis/none/deployments", body).status == 404)
        }
        await fixture.harness.stop()
    }

    @Test func streamsEachStateUntilTheEnd() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.pull()
        let id: String = try await fixture.request()
        let stream = await fixture.harness.open(
            "\(Self.path)/\(id)", token: "viewer@acme", fields: [("Accept", "text/event-stream")])
        #expect(stream.status == 200)
        try await eventually("the stream to show the running deployment") {
            Self.states(stream.recorder.received).last == "running"
        }
        try await fixture.follow(id, [gateway])
        try await stream.producer.value
        let states: [String] = Self.states(stream.recorder.received)
        #expect(Array(states.suffix(2)) == ["running", "success"])
        #expect(states.count == Set(states).count, "each state once")
        let ended: TestAnswer = try await fixture.send(
            "GET", "\(Self.path)/\(id)", fields: [("Accept", "text/event-stream")])
        #expect(Self.states(ended.bytes) == ["success"], "of one that is over, the end")
        #expect(ended.fields["Content-Type"] == "text/event-stream")
        await fixture.harness.stop()
    }

    private static func states(_ bytes: [UInt8]) -> [String] {
        var states: [String] = []
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") where line.hasPrefix("data:") {
            if let json: JSONValue = try? JSONReader.parse(String(line.dropFirst(5))), let state = json["state"]?.text {
                states.append(state)
            }
        }
        return states
    }
}
