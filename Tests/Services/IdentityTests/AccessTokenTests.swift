import Contracts
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing
import Time

@testable import Identity

struct AccessTokenTests {
    private static func body(_ scopes: [String], days: Int64? = nil, name: String = "ci") -> JSONValue {
        var body: JSONObject = ["name": .string(name), "scopes": .array(scopes.map { JSONValue.string($0) })]
        if let days: Int64 { body["expires_in_days"] = .int(days) }
        return .object(body)
    }

    /// Signs in, makes a token. - Returns: the session's token, and the personal one.
    private static func make(
        _ fixture: IdentityFixture, _ name: String, _ scopes: [String], days: Int64? = nil
    ) async throws -> (session: String, id: String, token: String) {
        let session: String = try await fixture.signIn(name)
        let made: TestAnswer = try await fixture.send("POST", "/v1/tokens", token: session, body(scopes, days: days))
        try #require(made.status == 201, "\(made.json)")
        #expect(made.fields["Cache-Control"] == "no-store")
        return (session, made.json["id"]?.text ?? "", made.json["token"]?.text ?? "")
    }

    @Test func isShownOnceAndStoredAsAHash() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada", ["devops@acme"])
        let made = try await Self.make(fixture, "ada", ["catalog:*:read"])
        #expect(made.token.hasPrefix("pst_"))
        let listed: TestAnswer = try await fixture.send("GET", "/v1/tokens", token: made.session)
        #expect(listed.items("id") == [made.id])
        #expect(listed.items.first?["token"] == nil)
        #expect(listed.items("hint") == ["…\(made.token.suffix(4))"])
        let stored: String = try #require(
            try await fixture.harness.services.store.read { reader in
                try reader.first("SELECT sha256 FROM access_tokens") { try $0.text(0) }
            })
        #expect(stored == AccessToken.hash(made.token))
        let log: String = try await fixture.harness.events(Topics.auditLog).map(\.jsonText).joined()
        #expect(log.contains("token.created"))
        #expect(!log.contains(made.token))
        #expect(!log.contains(stored))
    }

    @Test func mayDoWhatBothItsScopesAndTheRolesAllow() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada", ["cpi-tenant@acme"])
        let made = try await Self.make(fixture, "ada", ["identity:group:read", "identity:user:*", "audit:*:*"])
        func status(_ method: String, _ path: String, _ body: JSONValue? = nil) async throws -> Int {
            try await fixture.send(method, path, token: made.token, body).status
        }
        let group: JSONValue = .object(["name": "team", "roles": .array([])])
        #expect(try await status("GET", "/v1/groups") == 200)
        #expect(try await status("POST", "/v1/groups", group) == 403, "not in the scopes")
        #expect(try await status("GET", "/v1/service-accounts") == 403, "not in the scopes")
        #expect(try await status("GET", "/v1/groups?tenant=globex") == 404, "no role there")
        let user: JSONValue = .object([
            "name": "eve", "password": .string(IdentityFixture.password),
            "grants": IdentityFixture.grants(["viewer@acme"]),
        ])
        #expect(try await status("POST", "/v1/users", user) == 403, "to give roles is not in the scopes")
    }

    @Test func theRolesOfAPlatformAdministratorAreLimitedToo() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("root", ["platform-admin"])
        let made = try await Self.make(fixture, "root", ["identity:user:read"])
        let grants: JSONValue = .object(["grants": IdentityFixture.grants(["platform-admin"])])
        let other: String = try await fixture.makeUser("eve")
        #expect(try await fixture.send("GET", "/v1/users", token: made.token).status == 200)
        #expect(try await fixture.send("PUT", "/v1/users/\(other)/grants", token: made.token, grants).status == 403)
        #expect(
            try await fixture.send("PATCH", "/v1/users/\(other)", token: made.token, .object(["state": "disabled"]))
                .status == 403)
        #expect(try await fixture.send("DELETE", "/v1/users/\(id)/sessions", token: made.token).status == 403)
    }

    @Test func cannotMakeItselfLastLongerOrReachFurther() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("root", ["platform-admin"])
        let made = try await Self.make(fixture, "root", ["*:*:*"])
        let password: JSONValue = .object([
            "old_password": .string(IdentityFixture.password), "password": "another long password",
        ])
        let account: JSONValue = .object(["name": "bot", "roles": .array([])])
        #expect(try await fixture.send("POST", "/v1/service-accounts", account).status == 201)
        #expect(try await fixture.send("POST", "/v1/tokens", token: made.token, Self.body(["*:*:*"])).status == 403)
        #expect(try await fixture.send("PUT", "/v1/users/\(id)/password", token: made.token, password).status == 403)
        #expect(
            try await fixture.send(
                "POST", "/v1/service-accounts/bot/tokens", token: made.token, Self.body(["*:*:*"])
            ).status == 403)
    }

    @Test func endsWhenRevokedExpiredOrItsOwnerIsDisabled() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["viewer@acme"])
        func status(_ token: String) async throws -> Int {
            try await fixture.send("GET", "/v1/me", token: token).status
        }
        let first = try await Self.make(fixture, "ada", ["*:*:*"])
        let second = try await Self.make(fixture, "ada", ["*:*:*"], days: 1)
        let third = try await Self.make(fixture, "ada", ["*:*:*"])
        for token in [first.token, second.token, third.token] { #expect(try await status(token) == 200) }
        #expect(try await fixture.send("DELETE", "/v1/tokens/\(first.id)", token: first.session).status == 204)
        #expect(try await status(first.token) == 401)
        #expect(try await fixture.send("DELETE", "/v1/tokens/\(first.id)", token: first.session).status == 404)
        fixture.harness.clock.advance(by: .seconds(86_400))
        #expect(try await status(second.token) == 401)
        #expect(try await status(third.token) == 200)
        #expect(try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "disabled"])).status == 200)
        #expect(try await status(third.token) == 401)
        let events: [String] = try await fixture.harness.events(Topics.identityEvents).compactMap { $0["event"]?.text }
        #expect(events.filter { $0 == "token-revoked" }.count == 1)
    }

    @Test func aRevokedTokenStaysRevokedAfterARestart() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let good = try await Self.make(fixture, "ada", ["*:*:*"])
        let bad = try await Self.make(fixture, "ada", ["*:*:*"])
        #expect(try await fixture.send("DELETE", "/v1/tokens/\(bad.id)", token: bad.session).status == 204)
        let next: IdentityFixture = try await fixture.restarted()
        #expect(try await next.send("GET", "/v1/me", token: good.token).status == 200)
        #expect(try await next.send("GET", "/v1/me", token: bad.token).status == 401)
        await next.harness.stop()
    }

    @Test func theTokensOfOthersAreNotThere() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        try await fixture.makeUser("root", ["platform-admin"])
        let ada = try await Self.make(fixture, "ada", ["*:*:*"])
        let root: String = try await fixture.signIn("root")
        #expect(try await fixture.send("GET", "/v1/tokens", token: root).items.isEmpty)
        #expect(try await fixture.send("DELETE", "/v1/tokens/\(ada.id)", token: root).status == 404)
        #expect(try await fixture.send("GET", "/v1/me", token: ada.token).status == 200)
    }

    @Test func anAdministratorEndsEverythingThatLetsAUserIn() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["viewer@acme"])
        let made = try await Self.make(fixture, "ada", ["*:*:*"])
        let second: String = try await fixture.signIn("ada")
        #expect(try await fixture.send("GET", "/v1/users/\(id)/sessions").items.count == 2)
        #expect(try await fixture.send("GET", "/v1/users/\(id)/sessions", token: made.session).status == 403)
        #expect(try await fixture.send("DELETE", "/v1/users/\(id)/sessions").status == 204)
        for token in [made.session, second, made.token] {
            #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401)
        }
        #expect(try await fixture.harness.auditEntries("session.revoked").count == 2)
        #expect(try await fixture.harness.auditEntries("token.revoked").count == 1)
    }

    @Test func aUserEndsAllOwnSessions() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        try await fixture.makeUser("bob")
        let made = try await Self.make(fixture, "ada", ["*:*:*"])
        let second: String = try await fixture.signIn("ada")
        let bob: String = try await fixture.signIn("bob")
        #expect(try await fixture.send("DELETE", "/v1/sessions", token: second).status == 204)
        for token in [made.session, second] {
            #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401)
        }
        for token in [made.token, bob] { #expect(try await fixture.send("GET", "/v1/me", token: token).status == 200) }
    }

    @Test(arguments: [
        (["*"], "/scopes/0"), (["Catalog:api:read"], "/scopes/0"), (["catalog:api:read", "a:b:"], "/scopes/1"),
        ([], "/scopes"), (["catalog:api:read x:y:z"], "/scopes/0"),
    ])
    func refusesScopesThatAreNone(scopes: [String], pointer: String) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let session: String = try await fixture.signIn("ada")
        let answer: TestAnswer = try await fixture.send("POST", "/v1/tokens", token: session, Self.body(scopes))
        #expect(answer.status == 400)
        #expect(answer.pointers == [pointer])
    }

    @Test func aRepeatedRequestDoesNotShowTheTokenAgain() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let session: String = try await fixture.signIn("ada")
        let key: [(String, String)] = [("Idempotency-Key", "once")]
        let first: TestAnswer = try await fixture.send(
            "POST", "/v1/tokens", token: session, Self.body(["*:*:*"]), fields: key)
        let second: TestAnswer = try await fixture.send(
            "POST", "/v1/tokens", token: session, Self.body(["*:*:*"]), fields: key)
        #expect(first.json["token"] != nil)
        #expect(second.status == 201)
        #expect(second.json["token"] == nil)
        #expect(second.json["id"] == first.json["id"])
    }

    @Test func whatLooksLikeATokenAndIsNoneOpensNothing() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let made = try await Self.make(fixture, "ada", ["*:*:*"])
        let hash: String = AccessToken.hash(made.token)
        for attempt in ["pst_", "pst_\(hash)", hash, made.token + "x", String(made.token.dropLast()), made.id] {
            #expect(try await fixture.send("GET", "/v1/me", token: attempt).status == 401)
        }
    }
}
