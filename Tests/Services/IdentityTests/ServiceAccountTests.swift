import Contracts
import JSON
import ServiceTestKit
import TestKit
import Testing

@testable import Identity

struct ServiceAccountTests {
    private static func body(_ name: String, _ roles: [String]) -> JSONValue {
        .object(["name": .string(name), "roles": .array(roles.map { JSONValue.string($0) })])
    }

    private static let tokenBody: JSONValue = .object(["name": "ci", "scopes": .array(["*:*:*"])])

    @Test func callsWithItsTokensAndItsRolesInItsTenant() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/service-accounts", token: "cpi-tenant@acme", Self.body("bot", ["cpi-tenant"]))
        #expect(made.status == 201)
        #expect(made.json["created_by"]?.text == "usr_cpi-tenant_acme")
        let shown: TestAnswer = try await fixture.send(
            "POST", "/v1/service-accounts/bot/tokens", token: "cpi-tenant@acme", Self.tokenBody)
        let token: String = try #require(shown.json["token"]?.text)
        #expect(try await fixture.send("GET", "/v1/me", token: token).json["name"]?.text == "bot")
        #expect(try await fixture.send("GET", "/v1/groups", token: token).status == 200)
        #expect(try await fixture.send("GET", "/v1/groups?tenant=globex", token: token).status == 404)
        #expect(try await fixture.send("GET", "/v1/users/x/sessions", token: token).status == 403)
        let path: String = "/v1/service-accounts/bot"
        #expect(
            try await fixture.send("PATCH", path, token: "cpi-tenant@acme", .object(["roles": .array(["viewer"])]))
                .status == 200)
        #expect(try await fixture.send("GET", "/v1/groups", token: token).status == 403, "at once")
        #expect(
            try await fixture.send("PATCH", path, token: "cpi-tenant@acme", .object(["state": "disabled"])).status
                == 200)
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401)
        #expect(
            try await fixture.send("PATCH", path, token: "cpi-tenant@acme", .object(["state": "active"])).status == 200)
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 200)
        #expect(try await fixture.send("DELETE", path, token: "cpi-tenant@acme").status == 204)
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401)
        let types: [String] = try await fixture.harness.auditTypes().filter { !$0.hasPrefix("access.") }
        #expect(
            types == [
                "service-account.created", "token.created", "service-account.updated", "service-account.updated",
                "service-account.updated", "token.revoked", "service-account.deleted",
            ])
    }

    @Test func itsTokenEndsByItself() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let base: String = "/v1/service-accounts"
        #expect(
            try await fixture.send("POST", "\(base)?tenant=acme", Self.body("bot", ["viewer"])).status == 201)
        let shown: TestAnswer = try await fixture.send("POST", "\(base)/bot/tokens?tenant=acme", Self.tokenBody)
        let token: String = try #require(shown.json["token"]?.text)
        let id: String = try #require(shown.json["id"]?.text)
        #expect(try await fixture.send("GET", "\(base)/bot/tokens?tenant=acme").items("id") == [id])
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 200)
        #expect(try await fixture.send("DELETE", "\(base)/bot/tokens/\(id)?tenant=acme").status == 204)
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401)
    }

    @Test func isNoWayToMoreThanOneHas() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        func status(_ method: String, _ path: String, _ token: String, _ body: JSONValue? = nil) async throws -> Int {
            try await fixture.send(method, path, token: token, body).status
        }
        let base: String = "/v1/service-accounts"
        #expect(try await status("POST", base, "devops@acme", Self.body("bot", ["viewer"])) == 403)
        #expect(try await status("POST", base, "cpi-tenant@acme", Self.body("bot", ["platform-admin"])) == 400)
        #expect(try await status("POST", base, "cpi-admin", Self.body("bot", ["cpi-admin"])) == 403)
        #expect(try await status("POST", base, "admin", Self.body("bot", ["platform-admin"])) == 201)
        #expect(try await status("POST", base, "admin", Self.body("bot", ["viewer"])) == 400, "a tenant is missing")
        // One of the platform: an administrator of all tenants reads it, and cannot act as it.
        #expect(try await status("GET", "\(base)/bot", "cpi-admin") == 200)
        #expect(try await status("POST", "\(base)/bot/tokens", "cpi-admin", Self.tokenBody) == 403)
        #expect(try await status("PATCH", "\(base)/bot", "cpi-admin", .object(["roles": .array([])])) == 403)
        #expect(try await status("DELETE", "\(base)/bot", "cpi-admin") == 403)
        #expect(try await status("GET", "\(base)/bot", "cpi-tenant@acme") == 404)
        #expect(try await status("POST", "\(base)/bot/tokens", "cpi-tenant@acme", Self.tokenBody) == 404)
        #expect(try await status("GET", "\(base)/bot?tenant=globex", "cpi-tenant@acme") == 404)
        #expect(
            try await status(
                "POST", base, "cpi-tenant@acme",
                .object(["name": "x", "roles": .array([]), "created_by": "usr_other", "tenant": "globex"])) == 400)
    }
}
