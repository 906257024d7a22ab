import Contracts
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing

@testable import Identity

/// What gateways learn of what was ended.
struct RevocationTests {
    private static func ended(_ fixture: IdentityFixture, after number: Int64 = 0) async throws -> [Revocation] {
        let queries: RevocationQueries = RevocationQueries()
        let now = fixture.harness.clock.now()
        return try await fixture.harness.services.store.read {
            try queries.revocations(after: number, now: now, limit: 100, in: $0)
        }
    }

    @Test func everythingThatEndsASessionIsToldToGateways() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        var sessions: [String] = []
        func signIn() async throws -> String {
            let answer: TestAnswer = try await fixture.send(
                "POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada"))
            sessions.append(answer.json["session_id"]?.text ?? "")
            return answer.json["access_token"]?.text ?? ""
        }
        var token: String = try await signIn()
        #expect(try await fixture.send("DELETE", "/v1/sessions/\(sessions[0])", token: token).status == 204)
        token = try await signIn()
        #expect(try await fixture.send("DELETE", "/v1/sessions", token: token).status == 204)
        _ = try await signIn()
        #expect(try await fixture.send("DELETE", "/v1/users/\(id)/sessions").status == 204)
        _ = try await signIn()
        #expect(
            try await fixture.send(
                "PUT", "/v1/users/\(id)/password", .object(["password": .string(IdentityFixture.password)])
            ).status == 204)
        _ = try await signIn()
        #expect(try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "disabled"])).status == 200)
        let ended: [Revocation] = try await Self.ended(fixture)
        #expect(ended.map(\.id) == sessions)
        #expect(ended.map(\.number) == [1, 2, 3, 4, 5])
        #expect(try await Self.ended(fixture, after: 4).count == 1)
        fixture.harness.clock.advance(by: .seconds(8 * 3_600 + 301))
        #expect(try await Self.ended(fixture).isEmpty, "no token of theirs works any more")
    }

    @Test func grantsClientsAndServiceAccountsAreToldToo() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada", ["devops@acme"])
        let client: TestClient = try await TestClient.register(fixture)
        let tokens: TestAnswer = try await client.tokens(Browser(fixture))
        let grant: String = try #require(try tokens.json.claims("access_token")["grant"]?.text)
        let first: String = try #require(tokens.json["refresh_token"]?.text)
        _ = try await client.refresh(first)
        #expect(try await client.refresh(first).status == 400, "a replay")
        #expect(try await Self.ended(fixture).map(\.id) == [grant])
        #expect(try await fixture.send("DELETE", "/v1/oauth-clients/\(client.id)").status == 204)
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/service-accounts?tenant=acme", .object(["name": "robot", "roles": .array(["viewer"])]))
        let account: String = try #require(made.json["id"]?.text)
        let path: String = "/v1/service-accounts/robot?tenant=acme"
        #expect(try await fixture.send("PATCH", path, .object(["state": "disabled"])).status == 200)
        #expect(try await fixture.send("DELETE", path).status == 204)
        #expect(try await Self.ended(fixture).map(\.id) == [grant, client.id, account, account])
    }

    // MARK: Programs that act for themselves

    /// A client that acts as a service account, and how it gets tokens.
    private static func program(_ fixture: IdentityFixture) async throws -> TestClient {
        let account: JSONValue = .object(["name": "bot", "roles": .array(["cpi-tenant"])])
        #expect(try await fixture.send("POST", "/v1/service-accounts?tenant=acme", account).status == 201)
        let made: TestAnswer = try await fixture.send(
            "POST", "/v1/oauth-clients?tenant=acme",
            .object([
                "name": "ci", "confidential": true, "grant_types": .array(["client_credentials"]),
                "scopes": .array(["platform"]), "service_account": "bot",
            ]))
        return TestClient(
            fixture: fixture, id: try #require(made.json["id"]?.text), secret: try #require(made.json["secret"]?.text))
    }

    private static func token(_ client: TestClient) async throws -> String {
        let answer: TestAnswer = try await client.ask(
            "/oauth2/token", [("grant_type", "client_credentials"), ("scope", "platform")])
        return try #require(answer.json["access_token"]?.text, "\(answer.json)")
    }

    private static func works(_ token: String, _ fixture: IdentityFixture) async throws -> Bool {
        try await fixture.send("GET", "/v1/groups", token: token).status == 200
    }

    @Test func tokensOfADeletedClientNeverComeBack() async throws {
        var fixture: IdentityFixture = try await IdentityFixture()
        let client: TestClient = try await Self.program(fixture)
        let token: String = try await Self.token(client)
        #expect(try await Self.works(token, fixture))
        #expect(try await fixture.send("DELETE", "/v1/oauth-clients/\(client.id)?tenant=acme").status == 204)
        #expect(try await !Self.works(token, fixture))
        try await fixture.identity.tokens.loadRevocations()
        #expect(try await !Self.works(token, fixture), "after the round that forgets what has expired")
        fixture = try await fixture.restarted()
        #expect(try await !Self.works(token, fixture), "after a restart")
    }

    @Test func aServiceAccountThatIsEnabledAgainBringsNoTokenBack() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let client: TestClient = try await Self.program(fixture)
        let token: String = try await Self.token(client)
        for state in ["disabled", "active"] {
            let changed: TestAnswer = try await fixture.send(
                "PATCH", "/v1/service-accounts/bot?tenant=acme", .object(["state": .string(state)]))
            #expect(changed.status == 200)
            #expect(try await !Self.works(token, fixture))
        }
        fixture.harness.clock.advance(by: .seconds(1))
        #expect(try await Self.works(try await Self.token(client), fixture))
        try await fixture.identity.tokens.loadRevocations()
        #expect(try await !Self.works(token, fixture))
    }

    @Test func aSecretThatHasLeakedTakesItsTokensWithIt() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let client: TestClient = try await Self.program(fixture)
        let token: String = try await Self.token(client)
        let path: String = "/v1/oauth-clients/\(client.id)/secret?tenant=acme"
        #expect(try await fixture.send("POST", path, .object(["expires_old_after_seconds": 60])).status == 200)
        #expect(try await Self.works(token, fixture), "the secret before works on, and so does what it got")
        let key: [(String, String)] = [("Idempotency-Key", "leaked")]
        let ended: JSONValue = .object(["expires_old_after_seconds": 0])
        let made: TestAnswer = try await fixture.send("POST", path, ended, fields: key)
        #expect(try await !Self.works(token, fixture))
        fixture.harness.clock.advance(by: .seconds(1))
        let next: TestClient = TestClient(fixture: fixture, id: client.id, secret: made.json["secret"]?.text)
        let later: String = try await Self.token(next)
        #expect(try await Self.works(later, fixture))
        #expect(try await fixture.send("POST", path, ended, fields: key).status == 200)
        #expect(try await Self.works(later, fixture), "a repeated request ends nothing more")
    }
}
