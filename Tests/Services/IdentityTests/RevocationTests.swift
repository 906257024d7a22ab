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
}
