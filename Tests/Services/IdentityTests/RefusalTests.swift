import JSON
import REST
import ServiceTestKit
import Testing

@testable import Identity

/// Whoever is refused reads what to do next; nothing about who is there, and nothing of what they sent as a secret.
struct RefusalTests {
    private struct Refused {
        let what: String
        let answer: TestAnswer
        /// What to do next.
        let next: String
    }

    private static let secret: String = "pst_the-secret-that-was-sent"

    private static func refusals(_ fixture: IdentityFixture) async throws -> [Refused] {
        var found: [Refused] = []
        func add(_ what: String, _ next: String, _ answer: TestAnswer) {
            found.append(Refused(what: what, answer: answer, next: next))
        }
        add(
            "a sign-in", "ask an administrator for a new password",
            try await fixture.send(
                "POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada", Self.secret)))
        add("no token", "POST /v1/sessions", try await fixture.send("GET", "/v1/me", token: nil))
        add("a token", "Sign in again", try await fixture.send("GET", "/v1/me", token: Self.secret))
        add("userinfo", "Sign in again", try await fixture.send("GET", "/oauth2/userinfo", token: Self.secret))
        add(
            "a client", "have a new secret made",
            try await fixture.harness.submit(
                "POST", "/oauth2/token", form: "grant_type=refresh_token&client_id=x&client_secret=\(Self.secret)"))
        add(
            "a refresh token", "Sign in again",
            try await fixture.harness.submit(
                "POST", "/oauth2/token",
                form: "grant_type=refresh_token&client_id=passerelle-cli&refresh_token=\(Self.secret)"))
        add(
            "a role that nobody has", "/grants/0",
            try await fixture.send(
                "POST", "/v1/users",
                .object([
                    "name": "eve", "password": .string(IdentityFixture.password),
                    "grants": [["role": "king", "tenant": "acme"]],
                ])))
        add(
            "a role that the caller has not", "cpi-tenant",
            try await fixture.send(
                "PUT", "/v1/users/ada/grants", token: "devops@acme",
                .object(["grants": [["role": "cpi-tenant", "tenant": "acme"]]])))
        add(
            "a role of no permission", "service:resource:action",
            try await fixture.send(
                "PUT", "/v1/roles/odd?tenant=acme", .object(["permissions": ["everything"]])))
        return found
    }

    @Test func eachSaysWhatToDoNextAndNothingElse() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada", ["devops@acme"])
        for refused in try await Self.refusals(fixture) {
            let text: String = String(decoding: refused.answer.bytes, as: UTF8.self)
            #expect((400..<500).contains(refused.answer.status), "\(refused.what): \(refused.answer.status)")
            #expect(text.contains(refused.next), "\(refused.what): \(text)")
            #expect(!text.contains(Self.secret), "\(refused.what)")
        }
    }

    /// In both languages of the pages.
    @Test(arguments: [("en", "ask an administrator"), ("fr", "demandez un nouveau mot de passe")])
    func thePageSaysSoInBothLanguages(language: String, next: String) async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let browser: Browser = Browser(fixture)
        let page: TestAnswer = try await browser.get("/oauth2/device?user_code=BBBB-BBBB")
        let again: TestAnswer = try await browser.post(
            "/oauth2/login", Browser.hidden(page) + [("user", "ada"), ("password", Self.secret)],
            language: language)
        #expect(again.status == 401 && again.text.contains(next))
        #expect(!again.text.contains(Self.secret))
    }
}
