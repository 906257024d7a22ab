import Contracts
import EventLog
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Identity

struct UserRoutesTests {
    private static func body(_ name: String, _ roles: [String], _ password: String = IdentityFixture.password)
        -> JSONValue
    {
        .object(["name": .string(name), "password": .string(password), "grants": IdentityFixture.grants(roles)])
    }

    private static func grants(_ roles: [String]) -> JSONValue { .object(["grants": IdentityFixture.grants(roles)]) }

    // MARK: First administrator

    @Test func makesTheFirstAdministratorOnce() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let first = try #require(try await fixture.identity.firstAdministrator())
        #expect(first.name == "admin")
        #expect(first.password.utf8.count == 24)
        #expect(try await fixture.identity.firstAdministrator() == nil)
        let token: String = try await fixture.signIn("admin", first.password)
        #expect(IdentityFixture.roles(try await fixture.send("GET", "/v1/me", token: token).json) == ["platform-admin"])
        #expect(!fixture.log.contains(first.password))
        #expect(try await fixture.harness.auditEntries("user.created").count == 1)
        let next: IdentityFixture = try await fixture.restarted()
        #expect(try await next.identity.firstAdministrator() == nil)
        await next.harness.stop()
    }

    private struct NobodyLooks: Error {}

    @Test func thereIsNoFirstAdministratorWhosePasswordNobodySaw() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        await #expect(throws: NobodyLooks.self) {
            try await fixture.identity.firstAdministrator { _, _ in throw NobodyLooks() }
        }
        #expect(try await fixture.harness.auditEntries("user.created").isEmpty)
        var shown: [String] = []
        let made = try #require(
            try await fixture.identity.firstAdministrator { name, password in shown = [name, password] })
        #expect(shown == [made.name, made.password])
    }

    @Test(arguments: ["admin", "ada", "nobody"])
    func anAdministratorIsGivenBackOnAStoppedPlatform(name: String) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.identity.firstAdministrator()
        try await fixture.makeUser("ada", ["viewer@acme"])
        let token: String = try await fixture.signIn("ada")
        let password: String = try await AdministratorReset.run(
            name: name, services: fixture.harness.services, passwords: IdentityFixture.plainPasswords())
        let next: IdentityFixture = try await fixture.restarted()
        let fresh: String = try await next.signIn(name, password)
        let roles: [String] = IdentityFixture.roles(try await next.send("GET", "/v1/me", token: fresh).json)
        #expect(roles == (name == "ada" ? ["platform-admin", "viewer@acme"] : ["platform-admin"]))
        #expect(try await next.send("GET", "/v1/me", token: token).status == (name == "ada" ? 401 : 200))
        let entries: [JSONValue] = try await next.harness.auditEntries("user.administrator-reset")
        #expect(entries.count == (name == "nobody" ? 0 : name == "ada" ? 2 : 1))
        await next.harness.stop()
    }

    // MARK: Creating

    @Test func createsAUserAndRecordsItPerTenant() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/users", Self.body("yolanda", ["devops@acme", "viewer@globex", "viewer@acme"]))
        #expect(made.status == 201)
        let id: String = made.json["id"]?.text ?? ""
        #expect(made.fields["Location"] == "/v1/users/\(id)")
        #expect(made.json["password_hash"] == nil)
        for reference in [id, "yolanda"] {
            #expect(try await fixture.send("GET", "/v1/users/\(reference)").json["id"]?.text == id)
        }
        let records: [Record] = try await fixture.harness.records(Topics.identityEvents)
        #expect(records.map(\.tenant) == ["acme", "globex"])
        #expect(records.allSatisfy { $0.keyText == id })
        #expect(
            try JSONReader.parse(records[0].value)
                == .object(["event": "user-created", "user_id": .string(id), "tenant": "acme", "by": "usr_admin"]))
        let entries: [JSONValue] = try await fixture.harness.auditEntries("user.created")
        #expect(entries.map { $0["tenant"]?.text } == ["acme", "globex"])
        #expect(
            entries.map { IdentityFixture.roles($0["changes"] ?? .null) } == [
                ["devops@acme", "viewer@acme"], ["viewer@globex"],
            ])
        // A name that no identifier holds by chance.
        for entry in entries { #expect(!entry.jsonText.contains("yolanda"), "no names in the log") }
    }

    @Test func refusesTakenNamesAndInvalidFields() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        #expect(try await fixture.send("POST", "/v1/users", Self.body("ada", [])).status == 409)
        let cases: [(JSONValue, [String])] = [
            (Self.body("Ada", []), ["/name"]), (Self.body("a b", []), ["/name"]), (Self.body("", []), ["/name"]),
            (Self.body("usr_x", []), ["/name"]), (Self.body("x", [], "short"), ["/password"]),
            (Self.body("x", [], String(repeating: "é", count: 600)), ["/password"]),
            (Self.body("x", ["devops"]), ["/grants/0/tenant"]),
            (Self.body("x", ["platform-admin@acme", "devops"]), ["/grants/0/tenant", "/grants/1/tenant"]),
            (Self.body("x", ["devops@Acme Inc"]), ["/grants/0/tenant"]),
            (Self.body("x", ["king@acme"]), ["/grants/0/role"]),
            (.object(["name": "x", "password": "long enough to be", "grants": [], "state": "active"]), ["/state"]),
            (.object(["name": "x", "password": "long enough to be", "grants": [], "id": "usr_1"]), ["/id"]),
        ]
        for (body, pointers) in cases {
            let answer: TestAnswer = try await fixture.send("POST", "/v1/users", body)
            #expect(answer.status == 400, "\(answer.json)")
            #expect(answer.pointers == pointers, "\(answer.json)")
        }
        #expect(try await fixture.send("GET", "/v1/users").items("name") == ["ada"])
    }

    @Test func aRepeatedCreationKeepsNoHashOfThePassword() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let key: [(String, String)] = [("Idempotency-Key", "k")]
        #expect(try await fixture.send("POST", "/v1/users", Self.body("ada", []), fields: key).status == 201)
        #expect(try await fixture.send("POST", "/v1/users", Self.body("ada", []), fields: key).status == 409)
        let kept: Int64? = try await fixture.harness.services.store.read { reader in
            try reader.first("SELECT COUNT(*) FROM rest_idempotency") { try $0.int(0) }
        }
        #expect(kept == 0)
    }

    // MARK: Escalation

    /// Who tries to give which roles to a new user.
    @Test(
        arguments: [
            ("cpi-tenant@acme", ["devops@acme"], 201), ("cpi-tenant@acme", ["cpi-tenant@acme", "viewer@acme"], 201),
            ("cpi-tenant@acme", ["devops@globex"], 403), ("cpi-tenant@acme", ["devops@acme", "viewer@globex"], 403),
            ("cpi-tenant@acme", ["cpi-admin"], 403), ("cpi-tenant@acme", ["platform-admin"], 403),
            ("cpi-tenant@acme", [], 400), ("cpi-admin", ["devops@globex"], 201),
            ("cpi-admin", ["cpi-tenant@globex"], 201),
            ("cpi-admin", ["cpi-admin"], 403), ("cpi-admin", ["platform-admin"], 403),
            ("admin", ["platform-admin"], 201),
            ("admin", [], 201), ("devops@acme", ["viewer@acme"], 403), ("developer@acme", ["developer@acme"], 403),
            ("operator@acme", ["viewer@acme"], 403), ("auditor@acme", ["viewer@acme"], 403),
            ("viewer@acme", ["viewer@acme"], 403),
        ] as [(String, [String], Int)])
    func nobodyGivesMoreThanTheOwnAuthority(token: String, roles: [String], status: Int) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let answer: TestAnswer = try await fixture.send("POST", "/v1/users", token: token, Self.body("eve", roles))
        #expect(answer.status == status, "\(answer.json)")
        #expect(try await fixture.send("GET", "/v1/users").items.count == (status == 201 ? 1 : 0))
    }

    @Test(arguments: ["devops", "developer", "operator", "auditor", "viewer"])
    func nobodyRaisesThemselves(role: String) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("eve", ["\(role)@acme"])
        let token: String = try await fixture.signIn("eve")
        for roles in [
            ["cpi-tenant@acme"], ["platform-admin"], ["devops@acme"], ["\(role)@acme", "\(role)@globex"], [],
        ] {
            let answer: TestAnswer = try await fixture.send(
                "PUT", "/v1/users/\(id)/grants", token: token, Self.grants(roles))
            #expect(answer.status == 403)
        }
        #expect(
            try await fixture.send("PATCH", "/v1/users/\(id)", token: token, .object(["state": "active"])).status == 403
        )
        #expect(IdentityFixture.roles(try await fixture.send("GET", "/v1/users/\(id)").json) == ["\(role)@acme"])
        #expect(try await fixture.harness.auditEntries("user.roles-changed").isEmpty)
    }

    @Test func aTenantsAdministratorRulesTheOwnTenantOnly() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let both: String = try await fixture.makeUser("both", ["devops@acme", "devops@globex", "cpi-admin"])
        let other: String = try await fixture.makeUser("other", ["devops@globex"])
        let token: String = "cpi-tenant@acme"
        let seen: TestAnswer = try await fixture.send("GET", "/v1/users/both", token: token)
        #expect(IdentityFixture.roles(seen.json) == ["devops@acme"], "what both is elsewhere is not shown")
        #expect(try await fixture.send("GET", "/v1/users", token: token).items("name") == ["both"])
        for reference in ["other", other] {
            #expect(try await fixture.send("GET", "/v1/users/\(reference)", token: token).status == 404)
            #expect(
                try await fixture.send(
                    "PUT", "/v1/users/\(reference)/grants", token: token, Self.grants(["viewer@acme"])
                ).status == 404)
        }
        let changed: TestAnswer = try await fixture.send(
            "PUT", "/v1/users/\(both)/grants", token: token, Self.grants(["viewer@acme"]))
        #expect(changed.status == 200)
        #expect(IdentityFixture.roles(changed.json) == ["viewer@acme"])
        let all: TestAnswer = try await fixture.send("GET", "/v1/users/both")
        #expect(IdentityFixture.roles(all.json) == ["cpi-admin", "viewer@acme", "devops@globex"])
        for roles in [
            ["viewer@acme", "devops@globex"], ["viewer@acme", "cpi-admin"], ["viewer@acme", "viewer@globex"],
        ] {
            let refused: TestAnswer = try await fixture.send(
                "PUT", "/v1/users/\(both)/grants", token: token, Self.grants(roles))
            #expect(refused.status == 403, "also when the user has the role already: nothing is told of it")
        }
        let entries: [JSONValue] = try await fixture.harness.auditEntries("user.roles-changed")
        #expect(entries.map { $0["tenant"]?.text } == ["acme"])
        #expect(IdentityFixture.roles(entries.first?["changes"] ?? .null) == ["viewer@acme"])
    }

    @Test func takingTheLastRoleInATenantHidesTheUserFromIt() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        let taken: TestAnswer = try await fixture.send(
            "PUT", "/v1/users/\(id)/grants", token: "cpi-tenant@acme", Self.grants([]))
        #expect(taken.status == 200)
        #expect(try await fixture.send("GET", "/v1/users/\(id)", token: "cpi-tenant@acme").status == 404)
        let events: [JSONValue] = try await fixture.harness.events(Topics.identityEvents).filter {
            $0["event"]?.text == "role-changed"
        }
        #expect(events.map { $0["tenant"]?.text } == ["acme"], "the tenant that lost the user is told")
    }

    // MARK: Grants

    @Test func setsRolesFromTheVersionThatWasRead() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        let path: String = "/v1/users/\(id)/grants"
        let stale: TestAnswer = try await fixture.send(
            "PUT", path, Self.grants(["viewer@acme"]), fields: [("If-Match", "\"5\"")])
        #expect(stale.status == 412)
        let same: TestAnswer = try await fixture.send("PUT", path, Self.grants(["devops@acme"]))
        #expect(same.fields["ETag"] == "\"1\"")
        #expect(try await fixture.harness.auditEntries("user.roles-changed").isEmpty)
        let set: TestAnswer = try await fixture.send(
            "PUT", path, Self.grants(["viewer@acme", "viewer@acme"]), fields: [("If-Match", "\"1\"")])
        #expect(IdentityFixture.roles(set.json) == ["viewer@acme"])
        #expect(set.fields["ETag"] == "\"2\"")
        #expect(try await fixture.send("PUT", "/v1/users/nobody/grants", Self.grants([])).status == 404)
        #expect(try await fixture.send("PUT", path, .object(["roles": []])).pointers.contains("/roles"))
    }

    @Test func aPlatformAdministratorAlwaysRemains() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let password: String = try #require(try await fixture.identity.firstAdministrator()).password
        let token: String = try await fixture.signIn("admin", password)
        let id: String = try await fixture.send("GET", "/v1/me", token: token).json["id"]?.text ?? ""
        let second: String = try await fixture.makeUser("second", ["platform-admin"])
        _ = try await fixture.send("PATCH", "/v1/users/\(second)", token: token, .object(["state": "disabled"]))
        let refused: TestAnswer = try await fixture.send(
            "PUT", "/v1/users/\(id)/grants", token: token, Self.grants(["viewer@acme"]))
        #expect(refused.status == 409)
        #expect(try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "disabled"])).status == 409)
        #expect(try await fixture.send("GET", "/v1/users/\(id)", token: token).json["state"]?.text == "active")
        _ = try await fixture.send("PATCH", "/v1/users/\(second)", token: token, .object(["state": "active"]))
        #expect(
            try await fixture.send("PUT", "/v1/users/\(id)/grants", token: token, Self.grants(["viewer@acme"])).status
                == 200)
    }

    // MARK: State

    @Test func disablingEndsAllSessionsAndSignIns() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        let tokens: [String] = [try await fixture.signIn("ada"), try await fixture.signIn("ada")]
        let disabled: TestAnswer = try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "disabled"]))
        #expect(disabled.json["state"]?.text == "disabled")
        for token in tokens { #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401) }
        let refused: TestAnswer = try await fixture.send(
            "POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada"))
        #expect(refused.status == 401)
        let again: TestAnswer = try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "disabled"]))
        #expect(again.fields["ETag"] == disabled.fields["ETag"], "nothing changed")
        #expect(try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "active"])).status == 200)
        for token in tokens {
            #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401, "ended is ended")
        }
        _ = try await fixture.signIn("ada")
        let events: [String] = try await fixture.harness.events(Topics.identityEvents).map { $0["event"]?.text ?? "" }
        #expect(events == ["user-created", "session-revoked", "session-revoked", "role-changed", "role-changed"])
        #expect(try await fixture.harness.auditEntries("user.disabled").count == 1)
        #expect(try await fixture.harness.auditEntries("user.active").count == 1)
    }

    @Test func nobodyDisablesThemselves() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["platform-admin"])
        try await fixture.makeUser("bob", ["platform-admin"])
        let token: String = try await fixture.signIn("ada")
        let answer: TestAnswer = try await fixture.send(
            "PATCH", "/v1/users/\(id)", token: token, .object(["state": "disabled"]))
        #expect(answer.status == 409)
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 200)
    }

    @Test func changesStateFromTheVersionThatWasRead() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada")
        let stale: TestAnswer = try await fixture.send(
            "PATCH", "/v1/users/\(id)", .object(["state": "disabled"]), fields: [("If-Match", "\"2\"")])
        #expect(stale.status == 412)
        #expect(try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "gone"])).pointers == ["/state"])
        #expect(
            try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "active", "name": "x"])).pointers
                == ["/name"])
        #expect(try await fixture.send("PATCH", "/v1/users/nobody", .object(["state": "active"])).status == 404)
        for token in ["cpi-admin", "cpi-tenant@acme", "devops@acme"] {
            let refused: TestAnswer = try await fixture.send(
                "PATCH", "/v1/users/\(id)", token: token, .object(["state": "disabled"]))
            #expect(refused.status == 403)
        }
    }

    // MARK: Passwords

    @Test func aNewPasswordEndsAllSessions() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada")
        let tokens: [String] = [try await fixture.signIn("ada"), try await fixture.signIn("ada")]
        let path: String = "/v1/users/\(id)/password"
        let wrong: TestAnswer = try await fixture.send(
            "PUT", path, token: tokens[0], .object(["old_password": "wrong", "password": "a new one, long"]))
        #expect(wrong.status == 400)
        #expect(wrong.pointers == ["/old_password"])
        let absent: TestAnswer = try await fixture.send(
            "PUT", path, token: tokens[0], .object(["password": "a new one, long"]))
        #expect(absent.pointers == ["/old_password"])
        #expect(try await fixture.harness.auditEntries("access.refused").count == 2)
        for token in tokens { #expect(try await fixture.send("GET", "/v1/me", token: token).status == 200) }
        let set: TestAnswer = try await fixture.send(
            "PUT", path, token: tokens[0],
            .object(["old_password": .string(IdentityFixture.password), "password": "a new one, long"]))
        #expect(set.status == 204)
        for token in tokens { #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401) }
        let old: TestAnswer = try await fixture.send(
            "POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada"))
        #expect(old.status == 401)
        _ = try await fixture.signIn("ada", "a new one, long")
        #expect(try await fixture.harness.auditEntries("user.password-changed").count == 1)
        #expect(try await fixture.harness.auditEntries("session.revoked").count == 2)
        for secret in ["a new one, long", IdentityFixture.password] { #expect(!fixture.log.contains(secret)) }
    }

    @Test func anotherOnesPasswordIsSetByPlatformAdministratorsOnly() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        let path: String = "/v1/users/\(id)/password"
        let body: JSONValue = .object(["password": "set by another"])
        for (token, status) in [
            ("cpi-tenant@acme", 403), ("cpi-admin", 403), ("cpi-tenant@globex", 404), ("devops@acme", 404),
        ] {
            #expect(try await fixture.send("PUT", path, token: token, body).status == status, "\(token)")
        }
        _ = try await fixture.signIn("ada")
        #expect(try await fixture.send("PUT", path, body).status == 204)
        _ = try await fixture.signIn("ada", "set by another")
        for password in ["short", String(repeating: "x", count: 1_025)] {
            #expect(
                try await fixture.send("PUT", path, .object(["password": .string(password)])).pointers == ["/password"])
        }
    }

    // MARK: Lists

    @Test func pagesThroughUsersWithinAuthority() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        for (name, roles) in [
            ("a", ["viewer@acme", "devops@acme"]), ("b", ["viewer@globex"]), ("c", ["viewer@acme"]),
            ("d", ["platform-admin"]), ("e", ["viewer@acme", "viewer@globex"]),
        ] { try await fixture.makeUser(name, roles) }
        let first: TestAnswer = try await fixture.send("GET", "/v1/users?limit=2", token: "cpi-tenant@acme")
        #expect(first.items("name") == ["a", "c"])
        let next: String = first.json["next"]?.text ?? ""
        let second: TestAnswer = try await fixture.send(
            "GET", "/v1/users?limit=2&cursor=\(next)", token: "cpi-tenant@acme")
        #expect(second.items("name") == ["e"])
        #expect(second.items.map { IdentityFixture.roles($0) } == [["viewer@acme"]])
        #expect(try await fixture.send("GET", "/v1/users", token: "cpi-admin").items.count == 5)
        #expect(try await fixture.send("GET", "/v1/users", token: "devops@acme").items.isEmpty)
    }
}
