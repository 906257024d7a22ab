import Contracts
import Identifiers
import JSON
import REST
import ServiceTestKit
import Store
import Testing

@testable import Identity

/// What the end of a tenant does to people and programs.
struct TenantEndTests {
    /// Ends the access of a tenant, step by step. - Returns: who was erased.
    private func end(_ tenant: String, erasesUsers: Bool, _ fixture: IdentityFixture) async throws -> [String] {
        let service: IdentityService = fixture.identity
        let ending: TenantEnding = TenantEnding(
            tenant: tenant, erasesUsers: erasesUsers,
            author: Author(caller: .platform("catalog"), trace: TraceContext.make()))
        var persons: [String] = []
        for _ in 0..<100 {
            let step: TenantStep = try await fixture.harness.services.store.write {
                try service.end(.access, of: ending, in: $0)
            }
            await service.ended(step)
            persons += step.persons
            if step.isDone { return persons }
        }
        Issue.record("the end does not end")
        return persons
    }

    private func group(_ name: String, tenant: String, member: String, _ fixture: IdentityFixture) async throws {
        let body: JSONValue = .object(["name": .string(name), "roles": .array(["viewer"])])
        #expect(try await fixture.send("POST", "/v1/groups?tenant=\(tenant)", body).status == 201)
        #expect(try await fixture.send("PUT", "/v1/groups/\(name)/members/\(member)?tenant=\(tenant)").status == 204)
    }

    @Test(arguments: [true, false])
    func accountsAreErasedWhereTheyWereNobodyElses(erasesUsers: Bool) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let only: String = try await fixture.makeUser("only", ["viewer@acme"])
        let grouped: String = try await fixture.makeUser("grouped")
        try await self.group("team", tenant: "acme", member: grouped, fixture)
        let both: String = try await fixture.makeUser("both", ["devops@acme", "viewer@globex"])
        let member: String = try await fixture.makeUser("member", ["viewer@acme"])
        try await self.group("others", tenant: "globex", member: member, fixture)
        let admin: String = try await fixture.makeUser("second", ["platform-admin", "viewer@acme"])
        let token: String = try await fixture.signIn("only")
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 200)
        let erased: [String] = try await self.end("acme", erasesUsers: erasesUsers, fixture)
        #expect(Set(erased) == (erasesUsers ? [only, grouped] : []))
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401, "the session ended at once")
        for (id, roles) in [
            (only, []), (grouped, []), (both, ["viewer@globex"]), (member, ["viewer@globex"]),
            (admin, ["platform-admin"]),
        ] {
            let user: TestAnswer = try await fixture.send("GET", "/v1/users/\(id)")
            #expect(IdentityFixture.roles(user.json) == roles, "\(user.json)")
            let isErased: Bool = user.json["name"]?.text?.hasPrefix("erased-") == true
            #expect(isErased == erased.contains(id))
        }
        #expect(try await fixture.send("GET", "/v1/users/both").status == 200)
        #expect(try await fixture.signIn("both") != "")
        let left: Int64? = try await fixture.harness.services.store.read { reader in
            try reader.first("SELECT count(*) \(UserTable.members)", .text("acme")) { try $0.int(0) }
        }
        #expect(left == 0)
    }

    @Test func programsEndWithTheirTokens() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        var tokens: [String: String] = [:]
        for tenant in ["acme", "globex"] {
            let account: TestAnswer = try await fixture.send(
                "POST", "/v1/service-accounts?tenant=\(tenant)",
                .object(["name": "ci", "roles": .array(["viewer"])]))
            let made: TestAnswer = try await fixture.send(
                "POST", "/v1/service-accounts/\(account.json["id"]?.text ?? "")/tokens?tenant=\(tenant)",
                .object(["name": "one", "scopes": .array(["*:*:*"])]))
            tokens[tenant] = made.json["token"]?.text
            #expect(try await fixture.send("GET", "/v1/me", token: tokens[tenant]).status == 200, "\(made.json)")
        }
        _ = try await self.end("acme", erasesUsers: true, fixture)
        #expect(try await fixture.send("GET", "/v1/me", token: tokens["acme"]).status == 401)
        #expect(try await fixture.send("GET", "/v1/me", token: tokens["globex"]).status == 200)
    }
}
