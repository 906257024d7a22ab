import Contracts
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Identity

struct GroupRoutesTests {
    private static func body(_ name: String, _ roles: [String]) -> JSONValue {
        .object(["name": .string(name), "roles": .array(roles.map { JSONValue.string($0) })])
    }

    private static func roles(_ roles: [String]) -> JSONValue {
        .object(["roles": .array(roles.map { JSONValue.string($0) })])
    }

    @Test func usersOfATenantAreCountedOnceHoweverTheyCameIn() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let ada: String = try await fixture.makeUser("ada", ["viewer@acme"])
        let bob: String = try await fixture.makeUser("bob", ["viewer@globex"])
        try await fixture.harness.services.store.write {
            try TenantQuota.set(["users": 2], tenant: "acme", in: $0)
        }
        func refused(_ answer: TestAnswer) {
            #expect(answer.status == 409 && answer.json["quota"] == "users" && answer.json["used"] == 2)
        }
        #expect(try await fixture.send("POST", "/v1/groups?tenant=acme", Self.body("team", ["auditor"])).status == 201)
        let members: String = "/v1/groups/team/members"
        #expect(try await fixture.send("PUT", "\(members)/\(ada)?tenant=acme").status == 204, "is one already")
        #expect(try await fixture.send("PUT", "\(members)/\(bob)?tenant=acme").status == 204)
        let cyd: String = try await fixture.makeUser("cyd", ["viewer@globex"])
        refused(try await fixture.send("PUT", "\(members)/\(cyd)?tenant=acme"))
        let roles: JSONValue = .object(["grants": IdentityFixture.grants(["viewer@acme"])])
        refused(try await fixture.send("PUT", "/v1/users/\(cyd)/grants", roles))
        #expect(try await fixture.send("PUT", "/v1/users/\(bob)/grants", roles).status == 200)
        refused(
            try await fixture.send(
                "POST", "/v1/users",
                .object([
                    "name": "dan", "password": "a long password", "grants": IdentityFixture.grants(["viewer@acme"]),
                ])))
        let use: JSONObject = try await fixture.harness.services.store.read {
            try TenantQuota.use(tenant: "acme", counts: ["users": "SELECT count(*) \(UserTable.members)"], in: $0)
        }
        #expect(use["users"] == .object(["used": 2, "limit": 2]))
    }

    @Test func membersHoldTheRolesOfTheirGroupAtOnce() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["viewer@acme"])
        let token: String = try await fixture.signIn("ada")
        #expect(try await fixture.send("POST", "/v1/groups?tenant=acme", Self.body("team", ["auditor"])).status == 201)
        func roles() async throws -> Set<String> {
            Set(try await fixture.send("GET", "/v1/me/permissions?tenant=acme", token: token).items("role"))
        }
        #expect(try await roles() == ["viewer"])
        let member: String = "/v1/groups/team/members/\(id)?tenant=acme"
        #expect(try await fixture.send("PUT", member).status == 204)
        #expect(try await roles() == ["viewer", "auditor"])
        let me: TestAnswer = try await fixture.send("GET", "/v1/me", token: token)
        #expect((me.json["grants"]?.elements ?? []).contains { $0["group"]?.text == "team" })
        #expect(
            try await fixture.send("PATCH", "/v1/groups/team?tenant=acme", Self.roles(["operator"])).status == 200)
        #expect(try await roles() == ["viewer", "operator"])
        #expect(try await fixture.send("DELETE", member).status == 204)
        #expect(try await roles() == ["viewer"])
        #expect(try await fixture.send("PUT", member).status == 204)
        #expect(try await fixture.send("DELETE", "/v1/groups/team?tenant=acme").status == 204)
        #expect(try await roles() == ["viewer"])
        let types: [String] = try await fixture.harness.auditTypes().filter { $0.hasPrefix("group.") }
        #expect(
            types == [
                "group.created", "group.member-added", "group.updated", "group.member-removed", "group.member-added",
                "group.deleted",
            ])
        let changed: [JSONValue] = try await fixture.harness.events(Topics.identityEvents).filter {
            $0["event"]?.text == "role-changed" && $0["user_id"]?.text == id && $0["tenant"]?.text == "acme"
        }
        #expect(changed.count == 5)
    }

    @Test func groupsAndServiceAccountsAreCountedAgainstTheTenantsQuota() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.harness.services.store.write {
            try TenantQuota.set(["groups": 1, "service_accounts": 0], tenant: "acme", in: $0)
        }
        func make(_ path: String, _ name: String, _ tenant: String = "acme") async throws -> TestAnswer {
            try await fixture.send("POST", "\(path)?tenant=\(tenant)", Self.body(name, ["viewer"]))
        }
        #expect(try await make("/v1/groups", "one").status == 201)
        #expect(try await make("/v1/groups", "two").json["quota"]?.text == "groups")
        #expect(try await make("/v1/groups", "two", "globex").status == 201)
        #expect(try await make("/v1/service-accounts", "ci").json["quota"]?.text == "service_accounts")
        #expect(try await make("/v1/service-accounts", "ci", "globex").status == 201)
        await fixture.harness.stop()
    }

    @Test func nobodyGetsMoreThanTheyGiveByAGroup() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("chief", ["cpi-tenant@acme"])
        let eve: String = try await fixture.makeUser("eve", ["viewer@acme"])
        let away: String = try await fixture.makeUser("away", ["viewer@globex"])
        let chief: String = try await fixture.signIn("chief")
        let viewer: String = try await fixture.signIn("eve")
        func status(_ method: String, _ path: String, _ token: String, _ body: JSONValue? = nil) async throws -> Int {
            try await fixture.send(method, path, token: token, body).status
        }
        let devops: JSONValue = Self.body("team", ["devops"])
        #expect(try await status("POST", "/v1/groups", viewer, devops) == 403)
        #expect(try await status("POST", "/v1/groups", chief, devops) == 201)
        #expect(try await status("POST", "/v1/groups", chief, devops) == 409)
        #expect(try await status("POST", "/v1/groups", chief, Self.body("all", ["platform-admin"])) == 400)
        #expect(try await status("POST", "/v1/groups?tenant=globex", chief, devops) == 404)
        #expect(try await status("POST", "/v1/groups?tenant=acme", "admin", Self.body("roots", ["cpi-admin"])) == 400)
        #expect(try await status("POST", "/v1/groups", "admin", Self.body("roots", ["platform-admin"])) == 201)
        #expect(try await status("POST", "/v1/groups", "cpi-admin", Self.body("more", ["cpi-admin"])) == 403)
        #expect(try await status("PUT", "/v1/groups/roots/members/\(eve)", "cpi-admin") == 403)
        #expect(try await status("PUT", "/v1/groups/roots/members/\(eve)", chief) == 404, "not of this tenant")
        #expect(try await status("PUT", "/v1/groups/team/members/\(eve)", viewer) == 403)
        #expect(try await status("PUT", "/v1/groups/team/members/\(away)", chief) == 404, "a user of another tenant")
        #expect(try await status("PUT", "/v1/groups/team/members/\(eve)", chief) == 204)
        #expect(try await status("GET", "/v1/groups/team/members", chief) == 200)
        #expect(try await status("GET", "/v1/groups/team/members?tenant=globex", chief) == 404)
        #expect(try await status("GET", "/v1/groups/team?tenant=globex", "cpi-tenant@globex") == 404)
        #expect(try await status("DELETE", "/v1/groups/team", "cpi-tenant@globex") == 404)
    }

    @Test func aMemberOfAGroupIsSeenByThatTenantOnlyWithWhatTheyHoldThere() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["viewer@globex"])
        #expect(try await fixture.send("POST", "/v1/groups?tenant=acme", Self.body("team", ["devops"])).status == 201)
        #expect(try await fixture.send("GET", "/v1/users/\(id)", token: "cpi-tenant@acme").status == 404)
        #expect(try await fixture.send("PUT", "/v1/groups/team/members/\(id)?tenant=acme").status == 204)
        let seen: TestAnswer = try await fixture.send("GET", "/v1/users/\(id)", token: "cpi-tenant@acme")
        #expect(seen.json["grants"]?.elements?.compactMap { $0["role"]?.text } == ["devops"])
        #expect(try await fixture.send("GET", "/v1/users", token: "cpi-tenant@acme").items("id") == [id])
        let other: TestAnswer = try await fixture.send("GET", "/v1/users/\(id)", token: "cpi-tenant@globex")
        #expect(other.json["grants"]?.elements?.compactMap { $0["role"]?.text } == ["viewer"])
    }
}
