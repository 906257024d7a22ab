import Contracts
import GatewayConfiguration
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Deployments

struct LinkRoutesTests {
    @Test func sendsTheWholeThenChangesThenNothing() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await eventually("the plans of the tenant") {
            try await gateway.pull()
            return await gateway.document.document.plans.count == 3
        }
        try await gateway.catchUp()
        let version: Int64 = await gateway.version
        try await fixture.expect(201, "POST", "/v1/tenants/acme/applications", .object(["name": "shop"]))
        try await eventually("the application") {
            try await gateway.pull()
            return await gateway.version > version
        }
        #expect(await gateway.cameAsDelta)
        #expect(await gateway.document.document.applications.first?.keys.count == 1)
        await fixture.harness.stop()
    }

    @Test func limitsOfATenantComeGoAndAreCounted() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        func tenants(_ wanted: [TenantDefinition]) async throws {
            try await eventually("\(wanted)") {
                try await gateway.pull()
                return await gateway.document.document.tenants == wanted
            }
        }
        try await fixture.expect(
            200, "PUT", "/v1/tenants/acme/quotas", .object(["requests_per_second": 9, "requests_per_month": 50]))
        try await tenants([
            TenantDefinition(
                name: "acme", rateLimit: PlanRateLimit(limit: 9, window: .seconds(1)),
                quota: PlanQuota(limit: 50, window: .month))
        ])
        let change: JSONValue = [
            "key": "acme/|tenant|quota month", "window": 7, "ends": "2030-01-01T00:00:00Z", "amount": 12,
        ]
        #expect(try await gateway.count([change]).totals == [12])
        try await fixture.expect(200, "PUT", "/v1/tenants/acme/quotas", .object(["apis": 9]))
        try await tenants([])
        await fixture.harness.stop()
    }

    @Test func aWaitingGatewayIsWokenByTheCommit() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.catchUp()
        let version: Int64 = await gateway.version
        // The clock stands still: only the commit can end this wait.
        async let waiting: Void = gateway.pull(wait: 10)
        try await fixture.expect(200, "PUT", "/v1/tenants/acme/plans/silver", .object([:]))
        try await waiting
        #expect(await gateway.version > version)
        #expect(await gateway.document.document.plans.contains { $0.id == "silver" })
        await fixture.harness.stop()
    }

    @Test func aWaitEndsWithNothingNewAfterItsTime() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.catchUp()
        let waiting: Task<Void, any Error> = Task { try await gateway.pull(wait: 10) }
        let done: EndFlag = EndFlag()
        Task {
            _ = await waiting.result
            done.raise()
        }
        try await eventually("the wait to end") {
            fixture.harness.clock.advance(by: .seconds(1))
            return done.isRaised
        }
        try await waiting.value
        #expect(await gateway.lastStatus == 204)
        await fixture.harness.stop()
    }

    @Test func aGatewayWithAnotherDocumentOfTheSameVersionGetsTheWhole() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.catchUp()
        let version: Int64 = await gateway.version
        for since in [version, version + 100] {
            let answer: TestAnswer = try await fixture.send(
                "GET", "/v1/gateways/gw-1/snapshot?since=\(since)&hash=\(String(repeating: "0", count: 64))",
                token: fixture.token)
            #expect(answer.status == 200)
            #expect(answer.json["base"] == nil)
            #expect(answer.json["version"]?.integer == version)
        }
        await fixture.harness.stop()
    }

    @Test func eachGroupGetsItsOwnAPIs() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        try await fixture.expect(
            200, "PUT", "/v1/tenants/acme/targets/edge", .object(["kind": "own", "gateway_group": "edge"]))
        try await fixture.expect(200, "PUT", "/v1/tenants/acme/environments/outside", .object(["target": "edge"]))
        let edgeToken: String = try await DeploymentsFixture.gatewayToken(group: "edge", fixture.harness)
        let edge: FakeGateway = FakeGateway(id: "gw-edge", token: edgeToken, harness: fixture.harness)
        let main: FakeGateway = fixture.gateway()
        for gateway in [edge, main] { try await gateway.pull() }
        try await fixture.deploy([main])
        try await fixture.deploy([edge], environment: "outside")
        let api: String = try await fixture.apiID()
        try await eventually("both to be at the latest") {
            try await main.pull()
            try await edge.pull()
            let statuses: [Int] = [await main.lastStatus, await edge.lastStatus]
            return statuses == [204, 204]
        }
        #expect(await Array(main.upstreams.keys) == ["\(api).dev"])
        #expect(await Array(edge.upstreams.keys) == ["\(api).outside"])
        #expect(await edge.document.document.plans.count == 3, "plans and applications are everywhere")
        await fixture.harness.stop()
    }

    @Test func nobodyTakesTheNameOfALiveGatewayOfAnotherGroup() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        try await fixture.gateway().pull()
        let token: String = try await DeploymentsFixture.gatewayToken(group: "edge", fixture.harness)
        let stranger: FakeGateway = FakeGateway(id: "gw-1", token: token, harness: fixture.harness)
        #expect(try await stranger.acknowledge() == 409)
        #expect(
            try await fixture.send("GET", "/v1/gateways/gw-1/snapshot", token: token).status == 409)
        let listed: TestAnswer = try await fixture.send("GET", "/v1/gateways", token: "admin")
        #expect(listed.items("group") == ["default"])
        await fixture.harness.stop()
    }

    // MARK: Access

    @Test func onlyGatewaysUseTheLink() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let acknowledgement: JSONValue = .object(["version": 0, "hash": "", "quarantined": []])
        let records: JSONValue = .object(["sequence": 1, "lines": []])
        let calls: [(String, String, JSONValue?)] = [
            ("GET", "snapshot", nil), ("POST", "acknowledgement", acknowledgement), ("POST", "records", records),
        ]
        for (method, verb, body) in calls {
            let path: String = "/v1/gateways/gw-1/\(verb)"
            for token in ["admin", "cpi-admin", "devops@acme", "cpi-tenant@acme"] {
                #expect(try await fixture.send(method, path, token: token, body).status == 403, "\(verb) \(token)")
            }
            for token in [nil, "pgw_wrong", fixture.token + "x", String(fixture.token.dropLast())] {
                #expect(try await fixture.send(method, path, token: token, body).status == 401, "\(verb)")
            }
            #expect(try await fixture.send(method, path, token: fixture.token, body).status < 300, "\(verb)")
        }
        await fixture.harness.stop()
    }

    @Test func aGatewaysTokenOpensNothingElse() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        for route in fixture.harness.routes {
            guard route.method == "GET", !route.path.contains("/gateways/{gateway}") else { continue }
            let path: String = route.path.replacing("{tenant}", with: "acme").replacing("{api}", with: "orders")
            let answer: TestAnswer = try await fixture.send("GET", path, token: fixture.token)
            let isEmptyList: Bool = answer.status == 200 && answer.items.isEmpty
            #expect([403, 404].contains(answer.status) || isEmptyList, "\(path): \(answer.status)")
        }
        let body: JSONValue = .object(["environment": "dev"])
        let deploy: TestAnswer = try await fixture.send(
            "POST", DeploymentsFixture.deployments, token: fixture.token, body)
        #expect(deploy.status == 404)
        await fixture.harness.stop()
    }

    @Test func theTokenIsShownOnceAndStoredAsAHash() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let fields: [(String, String)] = [("Idempotency-Key", "t")]
        let body: JSONValue = .object(["gateway_group": "edge"])
        let path: String = "/v1/gateways/tokens"
        let made: TestAnswer = try await fixture.send("POST", path, token: "admin", body, fields: fields)
        #expect(made.status == 201)
        let token: String = try #require(made.json["token"]?.text)
        #expect(token.hasPrefix("pgw_"))
        let again: TestAnswer = try await fixture.send("POST", path, token: "admin", body, fields: fields)
        #expect(again.status == 201)
        #expect(again.json == .object(["gateway_group": "edge"]))
        let entries: [JSONValue] = try await fixture.harness.auditEntries("gateway-token.created")
        #expect(entries.count == 2, "the fixture's and this one")
        for entry in entries { #expect(!entry.jsonText.contains(token)) }
        let stored: [String] = try await fixture.harness.services.store.read { reader in
            try reader.rows("SELECT sha256 FROM gateway_tokens") { try $0.text(0) }
        }
        #expect(stored.contains(GatewayTokenTable.hash(token)))
        for wrong in ["Edge Group", "", "a_b"] {
            let refused: TestAnswer = try await fixture.send(
                "POST", path, token: "admin", .object(["gateway_group": .string(wrong)]))
            #expect(refused.pointers == ["/gateway_group"])
        }
        for token in ["cpi-tenant@acme", "devops@acme"] {
            #expect(try await fixture.send("POST", path, token: token, body).status == 403)
        }
        await fixture.harness.stop()
    }

    // MARK: Bodies

    @Test(arguments: [
        (JSONValue.object(["version": 1, "hash": "x"]), 1),
        (.object(["version": -1, "hash": "x", "quarantined": []]), 1),
        (.object(["version": 1, "hash": "x", "quarantined": [["entry": "e"]]]), 1),
        (.object(["version": 1, "hash": "x", "quarantined": [], "group": "edge"]), 1),
    ])
    func refusesInvalidAcknowledgements(body: JSONValue, count: Int) async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let answer: TestAnswer = try await fixture.send(
            "POST", "/v1/gateways/gw-1/acknowledgement", token: fixture.token, body)
        #expect(answer.status == 400)
        #expect(answer.pointers.count == count, "\(answer.json)")
        await fixture.harness.stop()
    }

    @Test(arguments: [
        "wait=11", "wait=-1", "since=x", "since=-1", "hash=\(String(repeating: "a", count: 65))", "group=edge",
    ])
    func refusesInvalidQueries(query: String) async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let answer: TestAnswer = try await fixture.send(
            "GET", "/v1/gateways/gw-1/snapshot?\(query)", token: fixture.token)
        #expect(answer.status == 400)
        let long: String = String(repeating: "g", count: 129)
        #expect(
            try await fixture.send("GET", "/v1/gateways/\(long)/snapshot", token: fixture.token).pointers
                == ["path:gateway"])
        await fixture.harness.stop()
    }

    @Test func handsTrafficOver() async throws {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        let line: JSONObject = [
            "tenant": "acme", "api": "api_1", "environment": "dev", "route": "GET /a", "application": "app_1",
            "minute": 1_767_225_600_000, "status_class": 2, "requests": 7, "duration_us": 900, "duration_us_max": 300,
            "bytes_in": 11, "bytes_out": 22,
        ]
        let path: String = "/v1/gateways/gw-1/records"
        let sent: TestAnswer = try await fixture.send(
            "POST", path, token: fixture.token, .object(["sequence": 4, "lines": [.object(line)]]))
        #expect(sent.status == 204)
        let report: TrafficReport = try #require(fixture.traffic.reports.first)
        #expect(report.gatewayID == "gw-1")
        #expect(report.sequence == 4)
        let got: TrafficReport.Line = try #require(report.lines.first)
        #expect(got.tenant == "acme" && got.apiID == "api_1" && got.environment == "dev" && got.route == "GET /a")
        #expect(got.applicationID == "app_1" && got.minute == 1_767_225_600_000 && got.statusClass == 2)
        #expect(got.requests == 7 && got.durationMicroseconds == 900 && got.durationMicrosecondsMax == 300)
        #expect(got.bytesIn == 11 && got.bytesOut == 22)
        var wrong: JSONObject = line
        wrong["status_class"] = 6
        wrong["status"] = 200
        let refused: TestAnswer = try await fixture.send(
            "POST", path, token: fixture.token, .object(["sequence": 5, "lines": [.object(wrong)]]))
        #expect(Set(refused.pointers) == ["/lines/0/status_class", "/lines/0/status"])
        #expect(fixture.traffic.reports.count == 1)
        await fixture.harness.stop()
    }
}
