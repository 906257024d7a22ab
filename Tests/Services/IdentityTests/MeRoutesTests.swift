import Contracts
import JSON
import ServiceTestKit
import Testing

struct MeRoutesTests {
    private static func question(_ user: String, _ permission: String, tenant: String? = nil) -> JSONValue {
        var body: JSONObject = ["user": .string(user), "permission": .string(permission)]
        if let tenant: String { body["tenant"] = .string(tenant) }
        return .object(body)
    }

    @Test func listsTheRolesWithWhatTheyAllow() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let roles: TestAnswer = try await fixture.send("GET", "/v1/roles", token: "viewer@acme")
        #expect(roles.items("name") == Role.allCases.map(\.rawValue))
        #expect(roles.items.first?["permissions"] == ["*:*:*"])
        #expect(roles.items.first?["reaches_all_tenants"]?.boolean == true)
        #expect(try await fixture.send("GET", "/v1/roles", token: nil).status == 401)
    }

    @Test func saysWhatTheCallerMayDoWhere() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let acme: TestAnswer = try await fixture.send("GET", "/v1/me/permissions?tenant=acme", token: "devops@acme")
        #expect(acme.items("permission").contains("catalog:api:*"))
        #expect(Set(acme.items("tenant")) == ["acme"])
        #expect(try await fixture.send("GET", "/v1/me/permissions?tenant=globex", token: "devops@acme").items.isEmpty)
        #expect(try await fixture.send("GET", "/v1/me/permissions", token: "devops@acme").items.isEmpty)
        let all: TestAnswer = try await fixture.send("GET", "/v1/me/permissions?tenant=globex", token: "admin")
        #expect(
            all.items == [
                .object([
                    "permission": "*:*:*", "role": "platform-admin", "tenant": .null,
                    "rule": "role platform-admin in all tenants allows *:*:*",
                ])
            ])
    }

    @Test func explainsADecisionWithItsRule() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        let cases: [(String, String?, Bool, String)] = [
            (
                "deployments:deployment:write", "acme", true,
                "role devops in tenant acme allows deployments:deployment:*"
            ),
            (
                "deployments:gateway:write", "acme", false,
                "no role of the caller allows deployments:gateway:write (default deny)"
            ),
            (
                "deployments:deployment:write", "globex", false,
                "no role of the caller allows deployments:deployment:write (default deny)"
            ),
            (
                "deployments:deployment:write", nil, false,
                "no role of the caller allows deployments:deployment:write (default deny)"
            ),
        ]
        for (permission, tenant, allowed, rule) in cases {
            let answer: TestAnswer = try await fixture.send(
                "POST", "/v1/permissions/check", Self.question(id, permission, tenant: tenant))
            #expect(answer.status == 200)
            #expect(answer.json == .object(["allowed": .bool(allowed), "rule": .string(rule), "user": "ada"]))
        }
        _ = try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "disabled"]))
        let off: TestAnswer = try await fixture.send(
            "POST", "/v1/permissions/check", Self.question("ada", "catalog:api:read", tenant: "acme"))
        #expect(off.json["allowed"]?.boolean == false)
    }

    @Test func everyoneAsksAboutThemselvesAndAdministratorsAboutTheirs() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada", ["devops@acme"])
        let bob: String = try await fixture.makeUser("bob", ["devops@globex"])
        let ada: String = try await fixture.signIn("ada")
        func status(_ user: String, _ token: String, _ tenant: String? = "acme") async throws -> Int {
            try await fixture.send(
                "POST", "/v1/permissions/check", token: token, Self.question(user, "catalog:api:read", tenant: tenant)
            ).status
        }
        #expect(try await status("ada", ada) == 200)
        #expect(try await status("ada", ada, "globex") == 200, "about oneself anything may be asked")
        #expect(try await status("bob", ada) == 404)
        #expect(try await status("ada", "cpi-tenant@acme") == 200)
        #expect(try await status("ada", "cpi-tenant@acme", "globex") == 404)
        #expect(try await status("ada", "cpi-tenant@acme", nil) == 404)
        #expect(try await status("nobody", "cpi-tenant@acme") == 404)
        for reference in ["bob", bob] {
            let answer: TestAnswer = try await fixture.send(
                "POST", "/v1/permissions/check", token: "cpi-tenant@acme",
                Self.question(reference, "catalog:api:read", tenant: "acme"))
            #expect(answer.status == 404, "bob has no role in acme: acme does not learn that there is a bob")
        }
        #expect(try await status("bob", "cpi-admin") == 200)
    }

    @Test(arguments: ["catalog", "catalog:api", "a:b:c:d", "catalog::read", ":::::"])
    func refusesWhatIsNoPermission(text: String) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let answer: TestAnswer = try await fixture.send(
            "POST", "/v1/permissions/check", Self.question("ada", text, tenant: "acme"))
        #expect(answer.status == 400)
        #expect(answer.pointers == ["/permission"])
    }

    @Test func aCallerWithoutAUserIsNotFound() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        #expect(try await fixture.send("GET", "/v1/me", token: "devops@acme").status == 404)
        #expect(try await fixture.send("GET", "/v1/me", token: nil).status == 401)
    }
}
