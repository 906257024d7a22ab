import Contracts
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Deployments

/// Who may do something for APIs with some labels alone: `pay` for those of the team payments, in the catalogue, the portal and deployments.
struct LabelConditionTests {
    private static let all: [Permission] = [
        Permission("catalog", "api", "*"), Permission("deployments", "deployment", "*"),
        Permission("portal", "subscription", "*"), Permission("observability", "traffic", "*"),
    ]

    private static func role(
        _ name: String, _ permissions: [Permission] = all, environments: [String] = [],
        _ labels: [String: [String]] = [:]
    ) -> Grant {
        let conditions: [LabelCondition] = labels.keys.sorted().map {
            LabelCondition(key: $0, values: labels[$0] ?? [])
        }
        return Grant(
            role: Role(
                custom: name, permissions: permissions,
                conditions: RoleConditions(environments: environments, labels: conditions)), tenant: "acme")
    }

    private static let payments: Grant = role("payments", all, ["team": ["payments"]])
    /// What about no API is needed besides.
    private static let basics: Grant = role(
        "basics", [Permission("portal", "application", "*"), Permission("catalog", "plan", "read")])

    /// With the APIs `payments` and `refunds` of the team payments, `billing` of another, and `orders` of none.
    private static func fixture() async throws -> DeploymentsFixture {
        let fixture: DeploymentsFixture = try await DeploymentsFixture()
        for (name, labels): (String, JSONObject) in [
            ("payments", ["team": "payments", "tier": "gold"]), ("billing", ["team": "billing", "tier": "gold"]),
            ("refunds", ["team": "payments"]),
        ] {
            var body: JSONObject = DeploymentsFixture.importOf(name).object ?? [:]
            body["labels"] = .object(labels)
            try await fixture.expect(201, "POST", "/v1/tenants/acme/apis", .object(body))
        }
        fixture.harness.add([Self.payments, Self.basics], token: "pay")
        return fixture
    }

    private static func relabel(_ fixture: DeploymentsFixture, _ api: String, _ labels: JSONObject) async throws {
        let body: JSONValue = .object(["labels": .object(labels)])
        try await fixture.expect(200, "PATCH", "/v1/tenants/acme/apis/\(api)", body)
    }

    // MARK: Every operation

    /// Bodies of the operations on an API that take one.
    private static let bodies: [String: JSONValue] = [
        "updateAPI": ["title": "Another"], "createRevision": DeploymentsFixture.importOf("x", asRevision: true),
        "createDeployment": ["environment": "dev"], "updateSubscription": ["plan": "gold"],
    ]

    private struct Asked {
        let answer: TestAnswer
        let statements: [String]
    }

    private static func ask(
        _ fixture: DeploymentsFixture, _ route: Route, _ values: [String: String], token: String = "pay"
    ) async throws -> Asked {
        var target: String = ""
        for segment in route.path.split(separator: "/") {
            let name: String = String(segment.dropFirst().dropLast())
            target += "/" + (segment.hasPrefix("{") ? values[name] ?? "1" : String(segment))
        }
        var body: JSONValue?
        if case .json = route.body { body = Self.bodies[route.operationID] ?? .object([:]) }
        let log: StatementLog = StatementLog()
        let (path, sent): (String, JSONValue?) = (target, body)
        let answer: TestAnswer = try await StatementLog.$current.withValue(log) {
            try await fixture.send(route.method, path, token: token, sent)
        }
        return Asked(answer: answer, statements: log.texts)
    }

    /// What is of an API in the paths of operations.
    private static func values(_ fixture: DeploymentsFixture, _ api: String) async throws -> [String: String] {
        let application: JSONValue = try await fixture.expect(
            201, "POST", "/v1/tenants/acme/applications", .object(["name": .string("of-\(api)")]))
        let subscription: JSONValue = try await fixture.expect(
            201, "POST", "/v1/tenants/acme/subscriptions",
            .object(["application": application["name"] ?? .null, "api": .string(api), "plan": "gold"]))
        return [
            "tenant": "acme", "api": api, "subscription": subscription["id"]?.text ?? "",
            "deployment": try await fixture.request(api: api),
        ]
    }

    @Test func everyOperationTakesAnUnseenAPIForNone() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        let unseen: [String: String] = try await Self.values(fixture, "billing")
        let nobodys: [String: String] = [
            "tenant": "acme", "api": "nothing", "subscription": "sub_0", "deployment": "dep_0",
        ]
        var count: Int = 0
        for route in fixture.harness.routes where route.labels == .api {
            guard route.path.contains("{api}") || route.path.contains("{subscription}") else { continue }
            count += 1
            let (theirs, none): (Asked, Asked) = (
                try await Self.ask(fixture, route, unseen), try await Self.ask(fixture, route, nobodys)
            )
            #expect(theirs.answer.status == 404, "\(route.operationID)")
            #expect(none.answer.status == 404, "\(route.operationID)")
            var detail: String = theirs.answer.detail
            for (name, value) in unseen {
                detail = detail.split(separator: "'\(value)'", omittingEmptySubsequences: false).joined(
                    separator: "'\(nobodys[name] ?? "")'")
            }
            #expect(detail == none.answer.detail)
            #expect(theirs.statements == none.statements, "\(route.operationID): the same work")
        }
        #expect(count > 15)
        await fixture.harness.stop()
    }

    @Test func everyOperationWorksOnAnAPIOfTheCondition() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        var count: Int = 0
        var values: [String: String] = try await Self.values(fixture, "payments")
        for route in fixture.harness.routes where route.labels == .api && route.method != "DELETE" {
            guard route.path.contains("{api}") || route.path.contains("{subscription}") else { continue }
            count += 1
            let asked: Asked = try await Self.ask(fixture, route, values)
            // 409: a move that the subscription's state does not allow.
            let isMove: Bool = route.tag == "portal" && route.method == "POST"
            #expect(asked.answer.status < 300 || (isMove && asked.answer.status == 409), "\(route.operationID)")
        }
        #expect(count > 12)
        values["api"] = "refunds"
        for route in fixture.harness.routes where route.labels == .api && route.method == "DELETE" {
            #expect(try await Self.ask(fixture, route, values).answer.status == 204, "\(route.operationID)")
        }
        await fixture.harness.stop()
    }

    @Test func whoHasNoSuchConditionCostsNoLookMore() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        let values: [String: String] = try await Self.values(fixture, "payments")
        func looks(_ operation: String) async throws -> Int {
            let route: Route = try #require(fixture.harness.routes.first { $0.operationID == operation })
            let asked: Asked = try await Self.ask(fixture, route, values, token: "devops@acme")
            #expect(asked.answer.status == 200)
            return asked.statements.filter { $0.contains("FROM apis") }.count
        }
        #expect(try await looks("getDeployment") == 0)
        #expect(try await looks("getAPI") == 1)
        #expect(try await looks("getSubscription") == 1, "its name")
        await fixture.harness.stop()
    }

    // MARK: Lists

    @Test func listsShowNothingOfTheRest() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        for api in ["payments", "billing", "orders"] { _ = try await Self.values(fixture, api) }
        func answer(_ path: String) async throws -> TestAnswer { try await fixture.send("GET", path, token: "pay") }
        let apis: String = "/v1/tenants/acme/apis"
        #expect(try await answer(apis).items("name") == ["payments", "refunds"])
        let first: TestAnswer = try await answer("\(apis)?limit=1")
        #expect(first.items("name") == ["payments"])
        let next: String = try #require(first.json["next"]?.text)
        let second: TestAnswer = try await answer("\(apis)?limit=1&cursor=\(next)")
        #expect(second.items("name") == ["refunds"])
        #expect(second.json["next"] == .null)
        #expect(try await answer("\(apis)?labels=tier=gold").items("name") == ["payments"])
        #expect(try await answer("\(apis)?labels=team=billing").json == ["items": [], "next": .null])
        #expect(try await answer("/v1/portal/apis").items("name") == ["payments", "refunds"])
        #expect(try await answer("/v1/portal/apis?limit=2").json["next"] == .null)
        let subscriptions: TestAnswer = try await answer("/v1/tenants/acme/subscriptions?limit=1")
        #expect(subscriptions.items("api") == ["payments"], "of everybody, as one who deploys the API sees them")
        #expect(subscriptions.json["next"] == .null)
        await fixture.harness.stop()
    }

    @Test func whoMayDoNothingToTheAPISeesOwnSubscriptionsOnly() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        let theirs: [String: String] = try await Self.values(fixture, "payments")
        let subscriptions: [Permission] = [Permission("portal", "subscription", "*")]
        fixture.harness.add(
            [Self.role("subscriber", subscriptions, ["team": ["payments"]]), Self.basics], token: "subscriber")
        func send(_ method: String, _ path: String, _ body: JSONValue? = nil) async throws -> TestAnswer {
            try await fixture.send(method, "/v1/tenants/acme/\(path)", token: "subscriber", body)
        }
        #expect(try await send("POST", "applications", .object(["name": "mine"])).status == 201)
        func subscribe(_ api: String) async throws -> TestAnswer {
            try await send(
                "POST", "subscriptions", .object(["application": "mine", "api": .string(api), "plan": "gold"]))
        }
        #expect(try await subscribe("payments").status == 201)
        let unseen: TestAnswer = try await subscribe("billing")
        let none: TestAnswer = try await subscribe("nothing")
        #expect(unseen.status == 400)
        #expect(unseen.pointers == ["/api"])
        #expect(unseen.pointers == none.pointers && unseen.detail == none.detail && none.status == 400)
        #expect(try await send("GET", "subscriptions").items("application") == ["mine"])
        #expect(try await send("GET", "subscriptions/\(theirs["subscription"] ?? "")").status == 404)
        func own() async throws -> [String] {
            try await fixture.send("GET", "/v1/portal/subscriptions", token: "subscriber").items("api")
        }
        #expect(try await own() == ["payments"])
        try await Self.relabel(fixture, "payments", ["team": "billing"])
        #expect(try await own().isEmpty, "as of a tenant without a role in it")
        await fixture.harness.stop()
    }

    // MARK: Making and relabelling

    @Test func makesAPIsOfTheConditionOnly() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        func make(_ labels: JSONObject?, _ name: String = "fresh") async throws -> TestAnswer {
            var body: JSONObject = DeploymentsFixture.importOf(name).object ?? [:]
            if let labels: JSONObject { body["labels"] = .object(labels) }
            return try await fixture.send("POST", "/v1/tenants/acme/apis", token: "pay", .object(body))
        }
        for labels: JSONObject? in [nil, [:], ["team": "billing"], ["tier": "gold"], ["Team": "payments"]] {
            let refused: TestAnswer = try await make(labels)
            #expect(refused.status == 403)
            #expect(refused.detail.contains("only for APIs with team=payments"))
        }
        #expect(try await make(["team": "billing"], "billing").status == 403, "before the name is looked at")
        #expect(try await make(["team": "payments", "stage": "beta"]).status == 201)
        #expect(try await fixture.send("GET", "/v1/tenants/acme/apis", token: "pay").items.count == 3)
        await fixture.harness.stop()
    }

    @Test func relabellingNeedsTheRightBeforeAndAfterAndWidensNothing() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        fixture.harness.add(
            [
                Self.role("writer", [Permission("catalog", "api", "*")], ["team": ["payments"]]),
                Self.role("deployer", [Permission("deployments", "deployment", "*")], ["tier": ["gold"]]),
                Self.role(
                    "stager", [Permission("deployments", "deployment", "*")], environments: ["staging"],
                    ["tier": ["silver"]]),
            ], token: "two")
        func change(_ api: String, _ labels: JSONObject, token: String = "pay") async throws -> TestAnswer {
            let body: JSONValue = .object(["labels": .object(labels)])
            return try await fixture.send("PATCH", "/v1/tenants/acme/apis/\(api)", token: token, body)
        }
        #expect(try await change("payments", ["team": "billing"]).status == 403, "not under the new ones")
        #expect(try await change("payments", ["team": .null]).status == 403)
        #expect(try await change("billing", ["team": "payments"]).status == 404, "not under the old ones")
        #expect(try await change("payments", ["tier": .null, "stage": "beta"]).status == 200)
        let gain: TestAnswer = try await change("payments", ["tier": "gold"], token: "two")
        #expect(gain.status == 403)
        #expect(gain.detail.contains("role deployer in tenant acme would allow deployments:deployment:*"))
        #expect(try await change("payments", ["tier": "silver"], token: "two").status == 403, "in one environment")
        #expect(try await change("payments", ["tier": "bronze"], token: "two").status == 200)
        try await Self.relabel(fixture, "payments", ["tier": "gold"])
        #expect(try await change("payments", ["stage": .null], token: "two").status == 200, "what was there stays")
        let labels: JSONValue? = try await fixture.send("GET", "/v1/tenants/acme/apis/payments").json["labels"]
        #expect(labels == ["team": "payments", "tier": "gold"])
        let title: JSONValue = .object(["title": "Other"])
        #expect(
            try await fixture.send("PATCH", "/v1/tenants/acme/apis/payments", token: "two", title).status == 200)
        await fixture.harness.stop()
    }

    @Test func aLabelCountsWithTheNextRequest() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        func status(_ api: String) async throws -> Int {
            try await fixture.send("GET", "/v1/tenants/acme/apis/\(api)", token: "pay").status
        }
        #expect(try await status("billing") == 404)
        try await Self.relabel(fixture, "billing", ["team": "payments"])
        #expect(try await status("billing") == 200)
        try await Self.relabel(fixture, "billing", ["team": "Payments"])
        #expect(try await status("billing") == 404)
        await fixture.harness.stop()
    }

    // MARK: What is about more than one API, and what is seen by another role

    @Test func whatIsAboutNoOneAPIIsNotAllowed() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        func purge(_ body: JSONObject) async throws -> TestAnswer {
            var sent: JSONObject = body
            sent["wait_seconds"] = 0
            return try await fixture.send("POST", "/v1/tenants/acme/cache/purges", token: "pay", .object(sent))
        }
        for body: JSONObject in [["all": true], ["tag": "x"]] {
            let refused: TestAnswer = try await purge(body)
            #expect(refused.status == 403)
            #expect(refused.detail.contains("the request is about no one API"))
        }
        #expect(try await purge(["api": "payments"]).status == 200)
        let (unseen, none): (TestAnswer, TestAnswer) = (
            try await purge(["api": "billing"]), try await purge(["api": "nothing"])
        )
        #expect(unseen.status == 400 && none.status == 400)
        #expect(unseen.pointers == none.pointers && unseen.detail == none.detail)
        #expect(try await fixture.send("GET", "/v1/tenants/acme/cache/purges/1", token: "pay").status == 403)
        for path in ["plans", "environments"] {
            let expected: Int = path == "plans" ? 200 : 403
            #expect(try await fixture.send("GET", "/v1/tenants/acme/\(path)", token: "pay").status == expected)
        }
        await fixture.harness.stop()
    }

    @Test func whoSeesAnAPIByAnotherRoleIsToldWhatIsMissing() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        fixture.harness.add([Self.payments, Grant(role: .viewer, tenant: "acme")], token: "both")
        let refused: TestAnswer = try await fixture.send(
            "DELETE", "/v1/tenants/acme/apis/billing", token: "both")
        #expect(refused.status == 403)
        let rule: String =
            "role payments in tenant acme allows catalog:api:* only for APIs with team=payments, and this one has another 'team'"
        #expect(refused.detail.contains(rule))
        #expect(try await fixture.send("DELETE", "/v1/tenants/acme/apis/nothing", token: "both").status == 404)
        #expect(try await fixture.send("GET", "/v1/tenants/acme/apis", token: "both").items.count == 4)
        let entries: [JSONValue] = try await fixture.harness.auditEntries("access.refused").filter {
            $0["resource"]?["id"]?.text == "deleteAPI"
        }
        #expect(entries.first?["changes"]?["rule"]?.text == rule)
        await fixture.harness.stop()
    }

    @Test func bothConditionsMustHold() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        fixture.harness.add([Self.role("dev", environments: ["dev"], ["team": ["payments", "x"]])], token: "dev")
        func deploy(_ api: String, _ environment: String) async throws -> Int {
            try await fixture.send(
                "POST", "/v1/tenants/acme/apis/\(api)/deployments", token: "dev",
                .object(["environment": .string(environment)])
            ).status
        }
        #expect(try await deploy("payments", "dev") == 202)
        #expect(try await deploy("payments", "staging") == 403)
        #expect(try await deploy("billing", "dev") == 404)
        #expect(try await deploy("billing", "staging") == 403, "refused before any API is looked at")
        await fixture.harness.stop()
    }

    @Test func aRepeatedRequestIsGivenWhatItWasGiven() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        let key: [(String, String)] = [("Idempotency-Key", "one")]
        func deploy() async throws -> TestAnswer {
            try await fixture.send(
                "POST", "/v1/tenants/acme/apis/payments/deployments", token: "pay", .object(["environment": "dev"]),
                fields: key)
        }
        let first: TestAnswer = try await deploy()
        #expect(first.status == 202)
        try await Self.relabel(fixture, "payments", ["team": "billing"])
        let again: TestAnswer = try await deploy()
        #expect(again.bytes == first.bytes)
        #expect(try await fixture.send("GET", "/v1/tenants/acme/apis/payments", token: "pay").status == 404)
        await fixture.harness.stop()
    }

    @Test func aDeploymentOfAnAPIThatHadTheNameBeforeIsNotShown() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        let old: String = try await fixture.request(api: "billing")
        try await fixture.expect(204, "DELETE", "/v1/tenants/acme/apis/billing?undeploy=true")
        var body: JSONObject = DeploymentsFixture.importOf("billing").object ?? [:]
        body["labels"] = ["team": "payments"]
        try await fixture.expect(201, "POST", "/v1/tenants/acme/apis", .object(body))
        let path: String = "/v1/tenants/acme/apis/billing/deployments/\(old)"
        #expect(try await fixture.send("GET", path, token: "pay").status == 404)
        #expect(try await fixture.send("GET", path).status == 200)
        await fixture.harness.stop()
    }

    @Test func whoFollowsADeploymentIsToldNothingMoreOnceTheyMayNotReadIt() async throws {
        let fixture: DeploymentsFixture = try await Self.fixture()
        let gateway: FakeGateway = fixture.gateway()
        try await gateway.pull()
        let id: String = try await fixture.request(api: "payments")
        let path: String = "/v1/tenants/acme/apis/payments/deployments/\(id)"
        let stream = await fixture.harness.open(path, token: "pay", fields: [("Accept", ServerSentEvent.mediaType)])
        try #require(stream.status == 200)
        try await eventually("a state is told") { !stream.recorder.received.isEmpty }
        // The gateway says nothing, so the deployment cannot end meanwhile.
        try await Self.relabel(fixture, "payments", ["team": "billing"])
        let time: Task<Void, Never> = Task {
            while !Task.isCancelled {
                fixture.harness.clock.advance(by: .seconds(1))
                await Task.yield()
            }
        }
        await #expect(throws: (any Error).self) { try await stream.producer.value }
        time.cancel()
        await time.value
        #expect(!String(decoding: stream.recorder.received, as: UTF8.self).contains("success"))
        await fixture.harness.stop()
    }
}
