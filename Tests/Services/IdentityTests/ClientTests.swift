import Contracts
import HTTP
import JSON
import REST
import ServiceTestKit
import TestKit
import Testing

@testable import Identity

/// Clients as they change: secrets with overlap, less power at once, and nobody who gets more by it than they have.
struct ClientTests {
    private static let accountRoles: JSONValue = .object(["name": "robot", "roles": .array(["cpi-tenant"])])

    @Test func aNewSecretWorksBesideTheOneBeforeForAWhile() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let client: TestClient = try await TestClient.register(fixture)
        let path: String = "/v1/oauth-clients/\(client.id)/secret"
        let made: TestAnswer = try await fixture.send(
            "POST", path, .object(["expires_old_after_seconds": 3_600]), fields: [("Idempotency-Key", "rotate-1")])
        #expect(made.status == 200)
        #expect(made.fields["Cache-Control"] == "no-store")
        let second: String = try #require(made.json["secret"]?.text)
        let again: TestAnswer = try await fixture.send(
            "POST", path, .object(["expires_old_after_seconds": 3_600]), fields: [("Idempotency-Key", "rotate-1")])
        #expect(again.json["secret"] == nil, "shown once")
        func works(_ secret: String?) async throws -> Bool {
            let answer: TestAnswer = try await client.ask(
                "/oauth2/introspect", [("token", "x")], secret: secret)
            return answer.status == 200
        }
        #expect(try await works(client.secret))
        #expect(try await works(second))
        #expect(try await !works("\(second)x"))
        fixture.harness.clock.advance(by: .seconds(3_600))
        #expect(try await !works(client.secret))
        #expect(try await works(second))
        let third: TestAnswer = try await fixture.send("POST", path, .object(["expires_old_after_seconds": 0]))
        #expect(try await !works(second), "at once, when it has leaked")
        #expect(try await works(third.json["secret"]?.text))
        #expect(try await fixture.harness.auditEntries("oauth-client.secret-rotated").count == 2)
        let log: String = "\(try await fixture.harness.events(Topics.auditLog).map(\.jsonText))"
        #expect(!log.contains(second))
    }

    @Test func aClientWithoutASecretGetsNone() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let client: TestClient = try await TestClient.register(fixture, ["confidential": false])
        #expect(try await fixture.send("POST", "/v1/oauth-clients/\(client.id)/secret", .object([:])).status == 409)
    }

    @Test func aChangeKeepsWhatItLeavesOutAndEndsWhatIsGone() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada", ["devops@acme"])
        let client: TestClient = try await TestClient.register(fixture)
        let tokens: TestAnswer = try await client.tokens(Browser(fixture))
        let access: String = try #require(tokens.json["access_token"]?.text)
        let path: String = "/v1/oauth-clients/\(client.id)"
        let renamed: TestAnswer = try await fixture.send("PATCH", path, .object(["name": "Store"]))
        #expect(renamed.status == 200)
        #expect(renamed.json["name"] == "Store")
        #expect(renamed.json["redirect_uris"] == .array([.string(TestClient.redirectURI)]))
        #expect(renamed.fields["ETag"] == "\"2\"")
        #expect(try await client.userinfo(access).status == 200)
        #expect(
            try await fixture.send("PATCH", path, .object(["name": "x"]), fields: [("If-Match", "\"1\"")]).status == 412
        )
        let bad: TestAnswer = try await fixture.send(
            "PATCH", path, .object(["redirect_uris": .array(["http://evil.example/"])]))
        #expect(bad.pointers == ["/redirect_uris/0"])
        #expect(
            try await fixture.send("PATCH", path, .object(["scopes": .array(["openid"])])).status == 200)
        #expect(try await client.userinfo(access).status == 401, "what it had more of has ended")
        #expect(try await client.refresh(tokens.json["refresh_token"]?.text ?? "").status == 400)
    }

    @Test(arguments: [
        "tenant", "id", "secret", "secret_hash", "version", "confidential", "created_at", "old_secret_hash",
    ])
    func nothingElseCanBeAssigned(member: String) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let client: TestClient = try await TestClient.register(fixture)
        let answer: TestAnswer = try await fixture.send(
            "PATCH", "/v1/oauth-clients/\(client.id)", .object([member: "acme"]))
        #expect(answer.status == 400)
    }

    @Test func nobodyGetsMoreByAClientThanTheyHave() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let account: TestAnswer = try await fixture.send("POST", "/v1/service-accounts?tenant=acme", Self.accountRoles)
        try #require(account.status == 201)
        let body: JSONValue = .object([
            "name": "Shop", "confidential": true, "redirect_uris": .array([.string(TestClient.redirectURI)]),
            "grant_types": .array(["authorization_code"]), "scopes": .array(["openid"]),
        ])
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/oauth-clients?tenant=acme", token: "cpi-tenant@acme", body)
        try #require(made.status == 201)
        let path: String = "/v1/oauth-clients/\(made.json["id"]?.text ?? "")"
        for change: JSONObject in [["trusted": true], ["scopes": .array(["openid", "platform"])]] {
            #expect(
                try await fixture.send("PATCH", "\(path)?tenant=acme", token: "cpi-tenant@acme", .object(change)).status
                    == 403)
        }
        #expect(
            try await fixture.send("PATCH", "\(path)?tenant=globex", token: "cpi-tenant@globex", .object(["name": "x"]))
                .status == 404)
        #expect(
            try await fixture.send("POST", "\(path)/secret?tenant=acme", token: "viewer@acme", .object([:])).status
                == 403)
        #expect(try await fixture.send("PATCH", "\(path)?tenant=acme", .object(["trusted": true])).status == 200)
        #expect(
            try await fixture.send("PATCH", "\(path)?tenant=acme", token: "cpi-tenant@acme", .object(["name": "x"]))
                .status
                == 403, "a trusted one is no longer theirs")
        #expect(
            try await fixture.send("POST", "\(path)/secret?tenant=acme", token: "cpi-tenant@acme", .object([:])).status
                == 403)
    }

    @Test func theCommandLineIsAClientThatNobodyChanges() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let path: String = "/v1/oauth-clients/\(OAuthClient.commandLine.id)"
        for method in ["GET", "DELETE"] { #expect(try await fixture.send(method, path).status == 404) }
        #expect(try await fixture.send("PATCH", path, .object(["trusted": true])).status == 404)
        let begun: TestAnswer = try await fixture.harness.submit(
            "POST", "/oauth2/device_authorization",
            form: Browser.form([("client_id", OAuthClient.commandLine.id), ("scope", "openid platform")]))
        #expect(begun.status == 200)
        let code: TestAnswer = try await fixture.harness.submit(
            "GET", "/oauth2/authorize?client_id=\(OAuthClient.commandLine.id)&redirect_uri=http://127.0.0.1/")
        #expect(code.status == 400, "by device codes alone")
    }

    /// What only ends something of one's own, asks, or is itself the way to show a second factor.
    private static let uncritical: Set<String> = [
        "revokeSession", "revokeSessions", "revokeUserSessions", "revokeToken", "revokeServiceAccountToken",
        "checkPermission", "beginSecondFactor", "confirmSecondFactor", "stepUp", "removeSecondFactor",
        "beginStepUp", "stepUpByPasskey", "renamePasskey",
    ]

    @Test func everythingThatGivesOrTakesPowerAsksForTheSecondFactor() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        var open: [String] = []
        for route in fixture.harness.routes where route.tag == "identity" && route.method != "GET" && !route.isCritical
        {
            if case .anyone = route.access { continue }
            if !Self.uncritical.contains(route.operationID) { open.append(route.operationID) }
        }
        #expect(open == [], "critical, or a reason why not")
    }
}
