import Contracts
import Crypto
import EventLog
import HTTP
import JSON
import REST
import ServiceTestKit
import TestKit
import Testing

@testable import Identity

struct SignInTests {
    private static let sessions: String = "/v1/sessions"

    @Test func signsInWithNameAndPassword() async throws {
        let fixture: IdentityFixture = try await IdentityFixture(passwords: PasswordChecker())
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        let answer: TestAnswer = try await fixture.send(
            "POST", Self.sessions, token: nil, IdentityFixture.credentials("ADA"))
        #expect(answer.status == 201)
        #expect(answer.fields["Cache-Control"] == "no-store")
        #expect(answer.json["token_type"]?.text == "Bearer")
        #expect(answer.json["expires_in"]?.integer == 28_800)
        #expect(answer.json["user"] == .object(["id": .string(id), "name": "ada"]))
        let location: String = answer.fields["Location"] ?? ""
        #expect(location == "/v1/sessions/\(answer.json["session_id"]?.text ?? "")")
        let token: String = answer.json["access_token"]?.text ?? ""
        let me: TestAnswer = try await fixture.send("GET", "/v1/me", token: token)
        #expect(me.json["id"]?.text == id)
        #expect(IdentityFixture.roles(me.json) == ["devops@acme"])
        let session: TestAnswer = try await fixture.send("GET", location, token: token)
        #expect(session.json["user_id"]?.text == id)
        #expect(session.json["revoked"]?.boolean == false)
        #expect(session.json["expires_at"]?.text == "2026-01-01T08:00:00.000Z")
        #expect(try await fixture.send("GET", Self.sessions, token: token).items == [session.json])
        let entry: JSONValue = try #require(try await fixture.harness.auditEntries("session.created").first)
        #expect(entry["tenant"]?.text == "acme")
        #expect(entry["actor"]?["user_id"]?.text == id)
        #expect(!fixture.log.contains(token))
        #expect(!fixture.log.contains(IdentityFixture.password))
    }

    /// With the real cost, so that also the hash for unknown users is one that can be checked.
    @Test func unknownDisabledAndWrongLookTheSame() async throws {
        let fixture: IdentityFixture = try await IdentityFixture(passwords: PasswordChecker())
        let id: String = try await fixture.makeUser("ada")
        let off: String = try await fixture.makeUser("off")
        _ = try await fixture.send("PATCH", "/v1/users/\(off)", .object(["state": "disabled"]))
        let attempts: [JSONValue] = [
            IdentityFixture.credentials("nobody"), IdentityFixture.credentials("ada", "wrong password 1"),
            IdentityFixture.credentials("off"), IdentityFixture.credentials(id),
        ]
        var answers: [JSONObject] = []
        for attempt in attempts {
            let answer: TestAnswer = try await fixture.send("POST", Self.sessions, token: nil, attempt)
            #expect(answer.status == 401)
            #expect(answer.fields["WWW-Authenticate"] == "Bearer realm=\"passerelle\"")
            var body: JSONObject = try #require(answer.json.object)
            #expect(body["trace_id"]?.text?.utf8.count == 32)
            body["trace_id"] = nil
            answers.append(body)
        }
        for answer in answers { #expect(answer == answers[0]) }
        #expect(try await fixture.harness.auditEntries("session.created").isEmpty)
    }

    @Test func failuresAreSummedPerAccountAndMinute() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada")
        for _ in 0..<3 {
            _ = try await fixture.send("POST", Self.sessions, token: nil, IdentityFixture.credentials("ada", "x"))
        }
        _ = try await fixture.send("POST", Self.sessions, token: nil, IdentityFixture.credentials("nobody"))
        #expect(try await fixture.harness.auditEntries("access.refused-anonymous").isEmpty)
        await fixture.harness.stop()
        let entries: [JSONValue] = try await fixture.harness.auditEntries("access.refused-anonymous")
        var counts: [String: Int64] = [:]
        for entry in entries {
            counts[entry["changes"]?["account"]?.text ?? "?"] = entry["changes"]?["count"]?.integer
        }
        #expect(counts == [id: 3, "": 1])
    }

    @Test(arguments: [
        (JSONValue.object(["user": "a"]), 1), (.object(["user": "", "password": ""]), 2),
        (.object(["user": "a", "password": "b", "tenant": "acme"]), 1), (.object(["user": 7, "password": true]), 2),
        (.object(["user": .string(String(repeating: "a", count: 129)), "password": "b"]), 1),
    ])
    func namesInvalidFields(body: JSONValue, count: Int) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let answer: TestAnswer = try await fixture.send("POST", Self.sessions, token: nil, body)
        #expect(answer.status == 400)
        #expect(answer.pointers.count == count, "\(answer.json)")
    }

    // MARK: Sessions

    @Test func aRevokedSessionEndsAtOnce() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada")
        let first: String = try await fixture.signIn("ada")
        let second: String = try await fixture.signIn("ada")
        let sessions: [String] = try await fixture.send("GET", Self.sessions, token: first).items("id")
        #expect(sessions.count == 2)
        #expect(try await fixture.send("DELETE", "\(Self.sessions)/\(sessions[0])", token: second).status == 204)
        let refused: TestAnswer = try await fixture.send("GET", "/v1/me", token: first)
        #expect(refused.status == 401)
        #expect(refused.fields["WWW-Authenticate"]?.contains("invalid_token") == true)
        #expect(try await fixture.send("GET", "/v1/me", token: second).status == 200)
        #expect(try await fixture.send("DELETE", "\(Self.sessions)/\(sessions[0])", token: second).status == 204)
        let records: [Record] = try await fixture.harness.records(Topics.identityEvents)
        let revocations: [JSONValue] = try records.map { try JSONReader.parse($0.value) }.filter {
            $0["event"]?.text == "session-revoked"
        }
        #expect(
            revocations == [
                .object(["event": "session-revoked", "user_id": .string(id), "tenant": "", "by": .string(id)])
            ], "the second time there is nothing to revoke")
        #expect(try await fixture.harness.auditEntries("session.revoked").count == 1)
    }

    @Test func theSessionsOfOthersAreNotFound() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        try await fixture.makeUser("bob", ["platform-admin"])
        let ada: String = try await fixture.signIn("ada")
        let bob: String = try await fixture.signIn("bob")
        let session: String = try await fixture.send("GET", Self.sessions, token: ada).items("id")[0]
        for method in ["GET", "DELETE"] {
            #expect(try await fixture.send(method, "\(Self.sessions)/\(session)", token: bob).status == 404)
        }
        #expect(try await fixture.send("GET", "\(Self.sessions)/ses_none", token: bob).status == 404)
        #expect(try await fixture.send("GET", "/v1/me", token: ada).status == 200)
    }

    @Test func aSessionExpires() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let token: String = try await fixture.signIn("ada")
        fixture.harness.clock.advance(by: .seconds(28_799))
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 200)
        fixture.harness.clock.advance(by: .seconds(1))
        #expect(try await fixture.send("GET", "/v1/me", token: token).status == 401)
    }

    @Test func revocationsAndKeysOutliveARestart() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let good: String = try await fixture.signIn("ada")
        let bad: String = try await fixture.signIn("ada")
        let keys: [UInt8] = try await fixture.send("GET", "/.well-known/jwks.json", token: nil).bytes
        let sessions: [String] = try await fixture.send("GET", Self.sessions, token: good).items("id")
        #expect(try await fixture.send("DELETE", "\(Self.sessions)/\(sessions[1])", token: bad).status == 204)
        let next: IdentityFixture = try await fixture.restarted()
        #expect(try await next.send("GET", "/v1/me", token: good).status == 200)
        #expect(try await next.send("GET", "/v1/me", token: bad).status == 401)
        #expect(try await next.send("GET", "/.well-known/jwks.json", token: nil).bytes == keys)
        await next.harness.stop()
    }

    @Test func whatHasExpiredIsForgotten() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let first: String = try await fixture.signIn("ada")
        let id: String = try await fixture.send("GET", Self.sessions, token: first).items("id")[0]
        #expect(try await fixture.send("DELETE", "\(Self.sessions)/\(id)", token: first).status == 204)
        #expect(fixture.identity.tokens.revokedCount == 1)
        fixture.harness.clock.advance(by: .seconds(9 * 3_600))
        try await eventually("the revocation to be forgotten") {
            // Whenever the housekeeping has fallen asleep, a minute wakes it.
            fixture.harness.clock.advance(by: .seconds(60))
            return fixture.identity.tokens.revokedCount == 0
        }
        let second: String = try await fixture.signIn("ada")
        try await eventually("the session to be removed") {
            try await fixture.send("GET", Self.sessions, token: second).items.count == 1
        }
        #expect(try await fixture.send("GET", "/v1/me", token: first).status == 401)
        await fixture.harness.stop()
    }
}
