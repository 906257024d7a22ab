import Contracts
import JSON
import ServiceTestKit
import TestKit
import Testing

@testable import Identity

/// Custom roles with conditions by label: what they may be, who makes them, and how decisions are explained.
struct LabelledRoleTests {
    private static let catalog: LabelledCatalog = LabelledCatalog(apis: [
        "payments": APILabels(["team": "payments", "tier": "gold"]), "billing": APILabels(["team": "billing"]),
    ])

    private static func role(_ permissions: [String], _ labels: JSONValue, environments: [String] = []) -> JSONValue {
        var conditions: JSONObject = ["labels": labels]
        if !environments.isEmpty { conditions["environments"] = .array(environments.map { JSONValue.string($0) }) }
        return .object([
            "permissions": .array(permissions.map { JSONValue.string($0) }), "conditions": .object(conditions),
        ])
    }

    private static let path: String = "/v1/roles/payer?tenant=acme"

    private static func fixture() async throws -> IdentityFixture {
        let fixture: IdentityFixture = try await IdentityFixture(catalog: Self.catalog)
        let made: TestAnswer = try await fixture.send(
            "PUT", Self.path, Self.role(["catalog:api:*"], ["team": "payments", "tier": ["gold", "silver"]]))
        try #require(made.status == 201, "\(made.json)")
        return fixture
    }

    @Test func areStoredShownAndReplaced() async throws {
        let fixture: IdentityFixture = try await Self.fixture()
        func shown() async throws -> JSONValue? {
            try await fixture.send("GET", "/v1/roles?tenant=acme").items.first { $0["name"]?.text == "payer" }?[
                "conditions"]
        }
        #expect(try await shown() == ["labels": ["team": ["payments"], "tier": ["gold", "silver"]]])
        let entry: JSONValue? = try await fixture.harness.auditEntries("role.created").first
        #expect(entry?["changes"]?["conditions"]?["labels"]?["team"] == ["payments"])
        let next: JSONValue = Self.role(["catalog:api:read"], ["team": ["a", "a", ""]], environments: ["dev"])
        #expect(try await fixture.send("PUT", Self.path, next).status == 200)
        #expect(try await shown() == ["environments": ["dev"], "labels": ["team": ["a", ""]]])
        let free: JSONValue = .object(["permissions": ["catalog:api:read"]])
        #expect(try await fixture.send("PUT", Self.path, free).status == 200)
        #expect(try await shown() == nil)
    }

    @Test func aDecisionAboutAnAPIIsExplained() async throws {
        let fixture: IdentityFixture = try await Self.fixture()
        try await fixture.makeUser("ada", ["payer@acme"])
        let token: String = try await fixture.signIn("ada")
        func check(_ api: String?, token: String = "admin") async throws -> TestAnswer {
            var body: JSONObject = ["user": "ada", "tenant": "acme", "permission": "catalog:api:write"]
            if let api: String { body["api"] = .string(api) }
            return try await fixture.send("POST", "/v1/permissions/check", token: token, .object(body))
        }
        let rule: String = "role payer in tenant acme allows catalog:api:*"
        let those: String = "for APIs with team=payments and tier in (gold, silver)"
        #expect(try await check("payments").json["rule"]?.text == "\(rule) \(those)")
        #expect(try await check("payments").json["allowed"]?.boolean == true)
        #expect(
            try await check("billing").json["rule"]?.text == "\(rule) only \(those), and this one has another 'team'")
        #expect(try await check(nil).json["rule"]?.text == "\(rule) only \(those), and the request is about no one API")
        #expect(try await check("nothing").status == 404)
        // Who asks about themselves learns of no API that is not there for them.
        let (unseen, none): (TestAnswer, TestAnswer) = (
            try await check("billing", token: token), try await check("nothing", token: token)
        )
        #expect(unseen.status == 404 && none.status == 404)
        #expect(unseen.detail.replacing("billing", with: "nothing") == none.detail)
        func mine(_ query: String) async throws -> TestAnswer {
            try await fixture.send("GET", "/v1/me/permissions?\(query)", token: token)
        }
        let asked: String = "tenant=acme&permission=catalog:api:write"
        #expect(try await mine("\(asked)&api=payments").json["decision"]?["rule"]?.text == "\(rule) \(those)")
        #expect(try await mine("\(asked)&api=billing").status == 404)
        #expect(try await mine("permission=catalog:api:write&api=payments").pointers == ["query:api"])
        #expect(try await mine("tenant=globex&permission=catalog:api:write&api=payments").status == 404)
        let listed: JSONValue? = try await mine("tenant=acme").items.first?["conditions"]?["labels"]?["tier"]
        #expect(listed == ["gold", "silver"])
    }

    // MARK: Escalation

    @Test(arguments: [
        JSONValue.object(["permissions": ["catalog:api:read"]]),
        role(["catalog:api:read"], ["team": "billing"]), role(["catalog:api:read"], ["tier": "gold"]),
        role(["catalog:api:read"], ["team": "payments", "tier": "gold"]),
        role(["deployments:deployment:read"], ["team": "payments"]),
    ])
    func whoHoldsItForSomeAPIsMakesNoRoleOfIt(body: JSONValue) async throws {
        let fixture: IdentityFixture = try await Self.fixture()
        let editor: JSONValue = .object(["permissions": ["identity:role:*", "identity:grant:*"]])
        #expect(try await fixture.send("PUT", "/v1/roles/editor?tenant=acme", editor).status == 201)
        let id: String = try await fixture.makeUser("eve", ["payer@acme", "editor@acme"])
        let token: String = try await fixture.signIn("eve")
        for name in ["payer", "other"] {
            let answer: TestAnswer = try await fixture.send(
                "PUT", "/v1/roles/\(name)?tenant=acme", token: token, body)
            #expect(answer.status == 403, "\(name)")
        }
        #expect(try await fixture.send("DELETE", Self.path, token: token).status == 403)
        // Nor gives away, or to themselves, what holds for some APIs.
        let wide: JSONValue = Self.role(["catalog:api:*"], ["team": "billing"])
        #expect(try await fixture.send("PUT", "/v1/roles/wide?tenant=acme", wide).status == 201)
        let grants: JSONValue = .object([
            "grants": IdentityFixture.grants(["payer@acme", "editor@acme", "wide@acme"])
        ])
        #expect(try await fixture.send("PUT", "/v1/users/\(id)/grants", token: token, grants).status == 403)
    }

    @Test func aChangedConditionCountsAtOnce() async throws {
        let fixture: IdentityFixture = try await Self.fixture()
        try await fixture.makeUser("ada", ["payer@acme"])
        let token: String = try await fixture.signIn("ada")
        func status(_ api: String) async throws -> Int {
            try await fixture.send(
                "GET", "/v1/me/permissions?tenant=acme&permission=catalog:api:read&api=\(api)", token: token
            ).status
        }
        #expect(try await status("payments") == 200)
        #expect(try await status("billing") == 404)
        #expect(
            try await fixture.send("PUT", Self.path, Self.role(["catalog:api:*"], ["team": "billing"])).status == 200)
        #expect(try await status("payments") == 404)
        #expect(try await status("billing") == 200)
    }

    @Test(
        arguments: [
            (role(["catalog:*:read"], ["team": "a"]), ["/permissions/0"]),
            (role(["catalog:api:read", "catalog:plan:read"], ["team": "a"]), ["/permissions/1"]),
            (role(["*:*:*"], ["team": "a"]), ["/permissions/0"]),
            (role(["events:topic:read"], ["team": "a"]), ["/permissions/0"]),
            (role(["audit:entry:read"], ["team": "a"]), ["/permissions/0"]),
            (role(["catalog:api:read"], ["-": "a"]), ["/conditions/labels/-"]),
            (role(["catalog:api:read"], ["team": "a b"]), ["/conditions/labels/team"]),
            (role(["catalog:api:read"], ["team": ["a", "b/"]]), ["/conditions/labels/team/1"]),
            (role(["catalog:api:read"], ["team": []]), ["/conditions/labels/team"]),
            (role(["catalog:api:read"], ["team": 1]), ["/conditions/labels/team"]),
            (role(["catalog:api:read"], []), ["/conditions/labels"]),
        ] as [(JSONValue, [String])])
    func refusesWhatIsNoCondition(body: JSONValue, pointers: [String]) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let answer: TestAnswer = try await fixture.send("PUT", "/v1/roles/x?tenant=acme", body)
        #expect(answer.status == 400)
        #expect(answer.pointers == pointers)
    }

    @Test func aConditionHasSoManyLabelsAndValuesAtMost() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        func status(labels: Int, values: Int) async throws -> Int {
            var conditions: JSONObject = [:]
            for label in 0..<labels {
                conditions["k\(label)"] = .array((0..<values).map { JSONValue.string("v\($0)") })
            }
            return try await fixture.send(
                "PUT", "/v1/roles/x?tenant=acme", Self.role(["catalog:api:read"], .object(conditions))
            ).status
        }
        #expect(try await status(labels: 8, values: 16) == 201)
        #expect(try await status(labels: 9, values: 1) == 400)
        #expect(try await status(labels: 1, values: 17) == 400)
    }
}
