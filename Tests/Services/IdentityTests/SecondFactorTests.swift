import Bytes
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

struct SecondFactorTests {
    /// The secret of the examples of RFC 6238 appendix B: "12345678901234567890".
    @Test(
        arguments: [
            (59, "287082"), (1_111_111_109, "081804"), (1_111_111_111, "050471"), (1_234_567_890, "005924"),
            (2_000_000_000, "279037"), (20_000_000_000, "353130"),
        ] as [(Int64, String)])
    func showsTheDigitsOfTheStandard(seconds: Int64, code: String) {
        let secret: [UInt8] = Array("12345678901234567890".utf8)
        let now: Timestamp = Timestamp(nanoseconds: 0).adding(.seconds(min(seconds, 9_000_000_000)))
        guard seconds < 9_000_000_000 else {
            #expect(OneTimePassword.code(secret: secret, step: seconds / 30) == code)
            return
        }
        #expect(OneTimePassword.code(secret: secret, step: OneTimePassword.step(at: now)) == code)
        #expect(OneTimePassword.step(of: code, secret: secret, now: now, after: 0) == seconds / 30)
    }

    @Test func takesACodeOnceAndOneStepAround() {
        let secret: [UInt8] = Array("12345678901234567890".utf8)
        let now: Timestamp = Timestamp(milliseconds: 3_000_000)
        for (step, isTaken) in [(98, false), (99, true), (100, true), (101, true), (102, false)] as [(Int64, Bool)] {
            let code: String = OneTimePassword.code(secret: secret, step: step)
            #expect((OneTimePassword.step(of: code, secret: secret, now: now, after: 0) != nil) == isTaken, "\(step)")
            #expect(OneTimePassword.step(of: code, secret: secret, now: now, after: step) == nil)
        }
    }

    /// Someone with a second factor.
    private struct Someone {
        let fixture: IdentityFixture
        let id: String
        let token: String
        let recoveryCodes: [String]

        func code() async throws -> String {
            let clock: ManualClock = self.fixture.harness.clock
            clock.advance(by: .seconds(30))
            let id: String = self.id
            let sealed: [UInt8] = try #require(
                try await self.fixture.harness.services.store.read { try SecondFactorTable.find(id, in: $0) }?.sealed)
            let secret: [UInt8] = try FixedSealer().open(sealed, name: "second-factor/\(self.id)")
            return OneTimePassword.code(secret: secret, step: OneTimePassword.step(at: clock.now()))
        }

        func signIn(_ code: String?, _ password: String = IdentityFixture.password) async throws -> TestAnswer {
            var body: JSONObject = ["user": "ada", "password": .string(password)]
            if let code: String { body["code"] = .string(code) }
            return try await self.fixture.send("POST", "/v1/sessions", token: nil, .object(body))
        }
    }

    private static func someone(_ roles: [String] = ["platform-admin"]) async throws -> Someone {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", roles)
        let token: String = try await fixture.signIn("ada")
        let begun: TestAnswer = try await fixture.send(
            "POST", "/v1/me/second-factor", token: token, .object(["password": .string(IdentityFixture.password)]))
        try #require(begun.status == 201, "\(begun.json)")
        #expect(begun.json["uri"]?.text?.hasPrefix("otpauth://totp/Passerelle:ada?secret=") == true)
        #expect(begun.json["secret"]?.text?.utf8.count == 32)
        let unconfirmed: Someone = Someone(fixture: fixture, id: id, token: token, recoveryCodes: [])
        #expect(try await unconfirmed.signIn(nil).status == 201, "not asked for before it was shown to work")
        let confirmed: TestAnswer = try await fixture.send(
            "POST", "/v1/me/second-factor/confirm", token: token,
            .object(["code": .string(try await unconfirmed.code())]))
        try #require(confirmed.status == 200, "\(confirmed.json)")
        let codes: [String] = (confirmed.json["recovery_codes"]?.elements ?? []).compactMap(\.text)
        return Someone(fixture: fixture, id: id, token: token, recoveryCodes: codes)
    }

    @Test func nobodySignsInWithoutTheCodeAndNothingSaysWhatWasWrong() async throws {
        let ada: Someone = try await Self.someone()
        let code: String = try await ada.code()
        var answers: [JSONObject] = []
        for (attempt, password) in [
            (nil, IdentityFixture.password), ("000000", IdentityFixture.password), (code, "wrong password 1"),
            (nil, "wrong password 1"),
        ] as [(String?, String)] {
            let answer: TestAnswer = try await ada.signIn(attempt, password)
            #expect(answer.status == 401)
            var body: JSONObject = try #require(answer.json.object)
            body["trace_id"] = nil
            answers.append(body)
        }
        for answer in answers { #expect(answer == answers[0]) }
        #expect(try await ada.signIn(code).status == 201)
        #expect(try await ada.signIn(code).status == 401, "a code works once")
    }

    @Test func codesCannotBeGuessed() async throws {
        let ada: Someone = try await Self.someone()
        for _ in 1...10 { #expect(try await ada.signIn("000000").status == 401) }
        #expect(try await ada.signIn("000000").status == 429)
        let guess: JSONValue = .object(["code": "000000"])
        let verify: String = "/v1/me/second-factor/verify"
        for _ in 1...10 {
            #expect(try await ada.fixture.send("POST", verify, token: ada.token, guess).status == 400)
        }
        #expect(try await ada.fixture.send("POST", verify, token: ada.token, guess).status == 429)
    }

    @Test func aRecoveryCodeWorksOnce() async throws {
        let ada: Someone = try await Self.someone()
        #expect(Set(ada.recoveryCodes).count == 10)
        #expect(try await ada.signIn(ada.recoveryCodes[3]).status == 201)
        #expect(try await ada.signIn(ada.recoveryCodes[3]).status == 401)
        #expect(try await ada.signIn(ada.recoveryCodes[4]).status == 201)
        let log: String = try await ada.fixture.harness.events(Topics.auditLog).map(\.jsonText).joined()
        #expect(log.contains("second-factor.confirmed"))
        for code in ada.recoveryCodes { #expect(!log.contains(code)) }
    }

    @Test func criticalOperationsWaitForTheSecondFactor() async throws {
        let ada: Someone = try await Self.someone()
        let token: String = try #require(try await ada.signIn(try await ada.code()).json["access_token"]?.text)
        func makeRole(_ token: String) async throws -> TestAnswer {
            try await ada.fixture.send(
                "PUT", "/v1/roles/r?tenant=acme", token: token, .object(["permissions": .array(["a:b:c"])]))
        }
        #expect(try await makeRole(token).status == 201, "just shown")
        ada.fixture.harness.clock.advance(by: .seconds(600))
        let due: TestAnswer = try await makeRole(token)
        #expect(due.status == 401)
        #expect(due.json["type"]?.text == "urn:passerelle:problem:step-up-required")
        #expect(due.fields["WWW-Authenticate"]?.contains("insufficient_user_authentication") == true)
        #expect(try await ada.fixture.send("GET", "/v1/users", token: token).status == 200, "not critical")
        let code: JSONValue = .object(["code": .string(try await ada.code())])
        #expect(try await ada.fixture.send("POST", "/v1/me/second-factor/verify", token: token, code).status == 204)
        #expect(try await makeRole(token).status == 200)
        let other: String = try #require(try await ada.signIn(ada.recoveryCodes[0]).json["access_token"]?.text)
        ada.fixture.harness.clock.advance(by: .seconds(600))
        #expect(try await makeRole(other).status == 401, "each sign-in for itself")
        // A personal token cannot show one; who has none is not asked.
        let body: JSONValue = .object(["name": "ci", "scopes": .array(["*:*:*"])])
        let again: JSONValue = .object(["code": .string(try await ada.code())])
        #expect(try await ada.fixture.send("POST", "/v1/me/second-factor/verify", token: token, again).status == 204)
        let made: TestAnswer = try await ada.fixture.send("POST", "/v1/tokens", token: token, body)
        #expect(try await makeRole(made.json["token"]?.text ?? "").status == 401)
        #expect(try await makeRole("admin").status == 200)
    }

    @Test func whoHasLostItIsHelpedByAnAdministratorAndByNobodyElse() async throws {
        let ada: Someone = try await Self.someone(["viewer@acme"])
        let path: String = "/v1/users/\(ada.id)/second-factor"
        #expect(try await ada.fixture.send("DELETE", path, token: ada.token).status == 403)
        #expect(try await ada.fixture.send("DELETE", path, token: "cpi-tenant@acme").status == 403)
        let begin: JSONValue = .object(["password": .string(IdentityFixture.password)])
        #expect(try await ada.fixture.send("POST", "/v1/me/second-factor", token: ada.token, begin).status == 409)
        let wrong: JSONValue = .object(["code": "000000"])
        #expect(
            try await ada.fixture.send("POST", "/v1/me/second-factor/remove", token: ada.token, wrong).status == 400)
        #expect(try await ada.fixture.send("DELETE", path).status == 204)
        #expect(try await ada.fixture.send("GET", "/v1/me", token: ada.token).status == 401, "sessions end")
        #expect(try await ada.signIn(nil).status == 201)
        let changes: [JSONValue] = try await ada.fixture.harness.events(Topics.identityEvents).filter {
            $0["event"]?.text == "mfa-changed"
        }
        #expect(changes.count == 2)
    }

    @Test func aStolenSessionSetsUpNothing() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let token: String = try await fixture.signIn("ada")
        for _ in 1...10 {
            let answer: TestAnswer = try await fixture.send(
                "POST", "/v1/me/second-factor", token: token, .object(["password": "a guess"]))
            #expect(answer.status == 400)
        }
        #expect(
            try await fixture.send(
                "POST", "/v1/me/second-factor", token: token, .object(["password": .string(IdentityFixture.password)])
            ).status == 429)
    }

    @Test func thePageTakesTheCodeAndTheIdTokenSaysSo() async throws {
        let ada: Someone = try await Self.someone()
        let client: TestClient = try await TestClient.register(ada.fixture)
        let browser: Browser = Browser(ada.fixture)
        let page: TestAnswer = try await browser.get(client.address())
        let fields: [(String, String)] =
            Browser.hidden(page) + [("user", "ada"), ("password", IdentityFixture.password)]
        let wrong: TestAnswer = try await browser.post("/oauth2/login", fields + [("code", "000000")])
        #expect(wrong.status == 401)
        #expect(wrong.text.contains("User name or password is wrong."), "whoever sends all at once learns no more")
        #expect(
            try await browser.post("/oauth2/login", fields + [("code", String(repeating: "1", count: 65))]).status
                == 401)
        let done: TestAnswer = try await browser.post("/oauth2/login", fields + [("code", try await ada.code())])
        #expect(done.status == 303)
        let tokens: TestAnswer = try await client.tokens(browser)
        #expect(try tokens.json.claims("id_token")["amr"] == .array(["pwd", "otp", "mfa"]))
    }

    @Test func theSecretIsSealed() async throws {
        let ada: Someone = try await Self.someone()
        let (factor, codes): (SecondFactor?, [String]) = try await ada.fixture.harness.services.store.read { reader in
            (
                try SecondFactorTable.find(ada.id, in: reader),
                try reader.rows("SELECT sha256 FROM recovery_codes") { try $0.text(0) }
            )
        }
        #expect((factor?.sealed.count ?? 0) > 20)
        #expect(throws: (any Error).self) { try FixedSealer().open(factor?.sealed ?? [], name: "second-factor/usr_x") }
        for code in ada.recoveryCodes { #expect(!codes.contains(code)) }
    }
}
