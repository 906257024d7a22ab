import Contracts
import HTTP
import JSON
import ServiceTestKit
import TestKit
import Testing

@testable import Identity

struct CustomRoleTests {
    private static func body(_ permissions: [String], environments: [String]? = nil) -> JSONValue {
        var body: JSONObject = ["permissions": .array(permissions.map { JSONValue.string($0) })]
        if let environments: [String] {
            body["conditions"] = .object(["environments": .array(environments.map { JSONValue.string($0) })])
        }
        return .object(body)
    }

    private static func decision(
        _ fixture: IdentityFixture, _ user: String, _ permission: String, _ environment: String? = nil,
        token: String = "admin"
    ) async throws -> JSONValue {
        var body: JSONObject = [
            "user": .string(user), "permission": .string(permission), "tenant": "acme",
        ]
        if let environment: String { body["environment"] = .string(environment) }
        return try await fixture.send("POST", "/v1/permissions/check", token: token, .object(body)).json
    }

    @Test func explainsWhichRoleDecidesAndWhere() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let made: TestAnswer = try await fixture.send(
            "PUT", "/v1/roles/deployer?tenant=acme", Self.body(["deployments:deployment:*"], environments: ["dev"]))
        #expect(made.status == 201)
        let id: String = try await fixture.makeUser("ada", ["viewer@acme", "deployer@acme"])
        let write: String = "deployments:deployment:write"
        let allowed: JSONValue = try await Self.decision(fixture, "ada", write, "dev")
        #expect(allowed["allowed"]?.boolean == true)
        #expect(allowed["rule"]?.text == "role deployer in tenant acme allows deployments:deployment:*")
        let refused: JSONValue = try await Self.decision(fixture, "ada", write, "prod")
        #expect(refused["allowed"]?.boolean == false)
        #expect(
            refused["rule"]?.text
                == "role deployer in tenant acme allows deployments:deployment:* only in the environments dev")
        #expect(try await Self.decision(fixture, "ada", write)["allowed"]?.boolean == false)
        #expect(try await Self.decision(fixture, "ada", "catalog:api:write", "dev")["allowed"]?.boolean == false)
        let token: String = try await fixture.signIn("ada")
        let mine: TestAnswer = try await fixture.send(
            "GET", "/v1/me/permissions?tenant=acme&permission=\(write)&environment=dev", token: token)
        #expect(mine.json["decision"]?["rule"] == allowed["rule"])
        #expect(mine.items.contains { $0["conditions"]?["environments"] == .array(["dev"]) })
        #expect(try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "disabled"])).status == 200)
        #expect(try await Self.decision(fixture, "ada", write, "dev")["rule"]?.text == "ada is disabled")
    }

    @Test func explainsWhatComesFromAGroupAndForAServiceAccount() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada")
        let team: JSONValue = .object(["name": "team", "roles": .array(["auditor"])])
        #expect(try await fixture.send("POST", "/v1/groups?tenant=acme", team).status == 201)
        #expect(try await fixture.send("PUT", "/v1/groups/team/members/\(id)?tenant=acme").status == 204)
        let rule: JSONValue = try await Self.decision(fixture, "ada", "audit:entry:read")
        #expect(rule["rule"]?.text == "role auditor in tenant acme by group team allows audit:*:*")
        let account: TestAnswer = try await fixture.send("POST", "/v1/service-accounts?tenant=acme", team)
        let accountID: String = try #require(account.json["id"]?.text)
        #expect(try await Self.decision(fixture, accountID, "audit:entry:read")["allowed"]?.boolean == true)
        let other: JSONValue = try await Self.decision(
            fixture, accountID, "audit:entry:read", token: "cpi-tenant@globex")
        #expect(other["status"]?.integer == 404)
    }

    @Test func aChangeCountsAtOnceForAllWhoHoldIt() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let path: String = "/v1/roles/watcher?tenant=acme"
        #expect(try await fixture.send("PUT", path, Self.body(["identity:group:read"])).status == 201)
        let id: String = try await fixture.makeUser("ada", ["watcher@acme"])
        let token: String = try await fixture.signIn("ada")
        #expect(try await fixture.send("GET", "/v1/groups", token: token).status == 200)
        let changed: TestAnswer = try await fixture.send(
            "PUT", path, Self.body(["identity:role:read"]), fields: [("If-Match", "\"1\"")])
        #expect(changed.status == 200)
        #expect(changed.fields["ETag"] == "\"2\"")
        #expect(try await fixture.send("GET", "/v1/groups", token: token).status == 403)
        #expect(
            try await fixture.send("PUT", path, Self.body(["*:*:*"]), fields: [("If-Match", "\"1\"")]).status == 412)
        let told: [JSONValue] = try await fixture.harness.events(Topics.identityEvents).filter {
            $0["event"]?.text == "role-changed" && $0["user_id"]?.text == id
        }
        #expect(told.count == 1)
        #expect(try await fixture.send("DELETE", path).status == 409, "somebody holds it")
        let none: JSONValue = .object(["grants": .array([])])
        #expect(try await fixture.send("PUT", "/v1/users/\(id)/grants", none).status == 200)
        #expect(try await fixture.send("DELETE", path).status == 204)
        #expect(try await fixture.send("DELETE", path).status == 404)
        let types: [String] = try await fixture.harness.auditTypes().filter { $0.hasPrefix("role.") }
        #expect(types == ["role.created", "role.updated", "role.deleted"])
    }

    @Test func isKeptWhileAGroupOrAServiceAccountHoldsIt() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        #expect(try await fixture.send("PUT", "/v1/roles/a-b?tenant=acme", Self.body(["x:y:z"])).status == 201)
        #expect(try await fixture.send("PUT", "/v1/roles/b?tenant=acme", Self.body(["x:y:z"])).status == 201)
        let team: JSONValue = .object(["name": "team", "roles": .array(["a-b", "viewer"])])
        #expect(try await fixture.send("POST", "/v1/groups?tenant=acme", team).status == 201)
        #expect(try await fixture.send("DELETE", "/v1/roles/a-b?tenant=acme").status == 409)
        #expect(try await fixture.send("DELETE", "/v1/roles/b?tenant=acme").status == 204, "another name")
    }

    // MARK: Escalation

    /// Someone who may edit roles, and read groups, and nothing else.
    private static func editor() async throws -> (IdentityFixture, id: String, token: String) {
        let fixture: IdentityFixture = try await IdentityFixture()
        let made: TestAnswer = try await fixture.send(
            "PUT", "/v1/roles/editor?tenant=acme", Self.body(["identity:role:*", "identity:group:read"]))
        try #require(made.status == 201)
        let id: String = try await fixture.makeUser("eve", ["editor@acme"])
        return (fixture, id, try await fixture.signIn("eve"))
    }

    @Test(arguments: [
        ["*:*:*"], ["identity:*:*"], ["identity:group:*"], ["identity:group:write"], ["catalog:api:read"],
        ["identity:group:read", "identity:grant:write"], ["*:group:read"],
    ])
    func whoEditsRolesPutsNothingIntoThemThatTheyMayNotDo(permissions: [String]) async throws {
        let (fixture, _, token) = try await Self.editor()
        for name in ["editor", "another"] {
            let answer: TestAnswer = try await fixture.send(
                "PUT", "/v1/roles/\(name)?tenant=acme", token: token, Self.body(permissions))
            #expect(answer.status == 403, "\(name)")
        }
        #expect(try await fixture.send("GET", "/v1/groups", token: token).status == 200)
    }

    @Test func whoEditsRolesReachesNoOthers() async throws {
        let (fixture, id, token) = try await Self.editor()
        func status(_ method: String, _ path: String, _ body: JSONValue? = nil) async throws -> Int {
            try await fixture.send(method, path, token: token, body).status
        }
        let fine: JSONValue = Self.body(["identity:group:read"])
        #expect(try await status("PUT", "/v1/roles/mine?tenant=acme", fine) == 201)
        #expect(try await status("PUT", "/v1/roles/mine?tenant=globex", fine) == 404)
        #expect(try await fixture.send("PUT", "/v1/roles/strong?tenant=acme", Self.body(["catalog:*:*"])).status == 201)
        #expect(try await status("PUT", "/v1/roles/strong?tenant=acme", fine) == 403, "weaken what one does not have")
        #expect(try await status("DELETE", "/v1/roles/strong?tenant=acme") == 403)
        #expect(try await fixture.send("PUT", "/v1/roles/common", Self.body(["identity:group:read"])).status == 201)
        #expect(try await status("PUT", "/v1/roles/common?tenant=acme", fine) == 409, "a name for all tenants")
        for name in ["viewer", "platform-admin"] {
            #expect(try await status("PUT", "/v1/roles/\(name)?tenant=acme", fine) == 409)
        }
        // No road from editing roles to holding another one.
        let grants: JSONValue = .object(["grants": IdentityFixture.grants(["editor@acme", "strong@acme"])])
        #expect(try await status("PUT", "/v1/users/\(id)/grants", grants) == 403)
    }

    @Test func aRoleForAllTenantsIsThePlatformAdministratorsBusiness() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let body: JSONValue = Self.body(["identity:group:read"])
        #expect(try await fixture.send("PUT", "/v1/roles/common", token: "cpi-admin", body).status == 403)
        #expect(try await fixture.send("PUT", "/v1/roles/common", body).status == 201)
        let listed: TestAnswer = try await fixture.send("GET", "/v1/roles?tenant=acme", token: "viewer@acme")
        #expect(listed.items("name").contains("common"))
        #expect(try await fixture.send("GET", "/v1/roles?tenant=globex", token: "viewer@acme").status == 404)
        #expect(try await fixture.send("PUT", "/v1/roles/own?tenant=globex", body).status == 201)
        #expect(
            try await !fixture.send("GET", "/v1/roles?tenant=acme", token: "viewer@acme").items("name").contains("own"))
        // It holds in a tenant like any other, never everywhere.
        let everywhere: JSONValue = .object([
            "name": "x", "password": .string(IdentityFixture.password), "grants": IdentityFixture.grants(["common"]),
        ])
        #expect(try await fixture.send("POST", "/v1/users", everywhere).status == 400)
        try await fixture.makeUser("ada", ["common@globex"])
        let token: String = try await fixture.signIn("ada")
        #expect(try await fixture.send("GET", "/v1/groups?tenant=globex", token: token).status == 200)
        #expect(try await fixture.send("GET", "/v1/groups?tenant=acme", token: token).status == 404)
    }

    @Test func aConditionalHolderCannotMakeItUnconditional() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let role: JSONValue = Self.body(["deployments:deployment:write"], environments: ["dev"])
        #expect(try await fixture.send("PUT", "/v1/roles/dev-only?tenant=acme", role).status == 201)
        #expect(
            try await fixture.send("PUT", "/v1/roles/editor?tenant=acme", Self.body(["identity:role:*"])).status == 201)
        try await fixture.makeUser("eve", ["dev-only@acme", "editor@acme"])
        let token: String = try await fixture.signIn("eve")
        let free: JSONValue = Self.body(["deployments:deployment:write"])
        for name in ["dev-only", "free"] {
            #expect(
                try await fixture.send("PUT", "/v1/roles/\(name)?tenant=acme", token: token, free).status == 403)
        }
    }

    @Test(arguments: [
        (JSONValue.object(["permissions": .array(["a:b"])]), "/permissions/0"),
        (.object(["permissions": .array(["a:b:c d"])]), "/permissions/0"),
        (
            .object(["permissions": .array(["a:b:c"]), "conditions": .object(["environments": .array(["A"])])]),
            "/conditions/environments/0"
        ),
        (.object(["permissions": .array(["a:b:c"]), "tenant": "globex"]), "/tenant"),
    ])
    func refusesWhatIsNoRole(body: JSONValue, pointer: String) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let answer: TestAnswer = try await fixture.send("PUT", "/v1/roles/x?tenant=acme", body)
        #expect(answer.status == 400)
        #expect(answer.pointers == [pointer])
    }
}
