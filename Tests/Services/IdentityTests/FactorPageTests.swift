import AuthenticatorKit
import Bytes
import Contracts
import Crypto
import HTTP
import JSON
import REST
import ServiceTestKit
import Store
import TestKit
import Testing
import Time

@testable import Identity

/// The pages of second factors: enrolment, the second step of a sign-in, passkeys alone, stepping up.
struct FactorPageTests {
    /// Signs in with the password. - Returns: what follows.
    private static func password(_ place: PasskeyPlace, _ changes: [String: String?] = [:]) async throws -> TestAnswer {
        try await place.browser.signIn(on: try await place.browser.get(place.client.address(changes)), "ada")
    }

    /// The page of factors of who has just signed in.
    private static func factors(_ place: PasskeyPlace) async throws -> TestAnswer {
        #expect(try await Self.password(place).status == 303)
        return try await place.browser.get("/oauth2/factors")
    }

    private static func code(_ place: PasskeyPlace) async throws -> String {
        let user: String = place.user
        let app: SecondFactor = try #require(
            try await place.fixture.harness.services.store.read { try SecondFactorTable.find(user, in: $0) })
        let secret: [UInt8] = try FixedSealer().open(app.sealed, name: "second-factor/\(user)")
        return OneTimePassword.code(secret: secret, step: OneTimePassword.step(at: place.clock.now()))
    }

    /// Sets up an app on the page. - Returns: the recovery codes.
    @discardableResult
    private static func enrolApp(_ place: PasskeyPlace) async throws -> [String] {
        let page: TestAnswer = try await Self.factors(place)
        let app: TestAnswer = try await place.browser.post(
            "/oauth2/factors", try PasskeyPlace.form(page, "begin-app"))
        #expect(app.text.contains("<svg class=\"qr\""))
        let key: String = try #require(app.text.pieces("id=\"key\">", "<").first)
        let wrong: TestAnswer = try await place.browser.post(
            "/oauth2/factors", try PasskeyPlace.form(app, "confirm-app") + [("code", "000000")])
        #expect(wrong.status == 401)
        #expect(wrong.text.contains(key) && wrong.text.contains("aria-invalid=\"true\""))
        let before: String? = place.browser.cookies["passerelle"]
        let done: TestAnswer = try await place.browser.post(
            "/oauth2/factors", try PasskeyPlace.form(app, "confirm-app") + [("code", try await Self.code(place))])
        #expect(done.status == 200, "\(done.text)")
        #expect(place.browser.cookies["passerelle"] != before, "another cookie for what is worth more")
        return done.text.pieces("<li>", "</li>")
    }

    @Test func anAppIsSetUpAndAskedForInASecondStep() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let codes: [String] = try await Self.enrolApp(place)
        #expect(codes.count == 10)
        place.browser.cookies = [:]
        let step: TestAnswer = try await Self.password(place)
        #expect(step.status == 200)
        #expect(step.text.contains("<label for=\"code\">"))
        #expect(place.browser.cookies["passerelle"] == nil, "nobody is signed in yet")
        let fields: [(String, String)] = try PasskeyPlace.form(step, "sign-in")
        let reused: TestAnswer = try await place.browser.post(
            "/oauth2/challenge", fields + [("code", try await Self.code(place))])
        #expect(reused.status == 401, "the code that confirmed the app, in the same half minute")
        place.clock.advance(by: .seconds(30))
        let done: TestAnswer = try await place.browser.post(
            "/oauth2/challenge", fields + [("code", try await Self.code(place))])
        #expect(done.status == 303)
        #expect(place.browser.cookies["passerelle-pending"] == nil)
        let tokens: TestAnswer = try await place.client.exchange(
            try #require(try await place.browser.get(done.location).sent("code")))
        let claims: JSONValue = try tokens.json.claims("id_token")
        #expect(claims["amr"] == .array(["pwd", "otp", "mfa"]))
        #expect(claims["acr"] == "urn:passerelle:acr:two-factors")
        #expect(try tokens.json.claims("access_token")["acr"] == claims["acr"])
    }

    @Test func aRecoveryCodeEndsTheSecondStepOnce() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let codes: [String] = try await Self.enrolApp(place)
        for (attempt, status) in [(1, 303), (2, 401)] {
            place.browser.cookies = [:]
            let fields: [(String, String)] = try PasskeyPlace.form(try await Self.password(place), "sign-in")
            let done: TestAnswer = try await place.browser.post("/oauth2/challenge", fields + [("code", codes[0])])
            #expect(done.status == status, "\(attempt)")
        }
    }

    @Test func codesOfTheSecondStepCannotBeGuessed() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let codes: [String] = try await Self.enrolApp(place)
        place.clock.advance(by: .seconds(120))
        place.browser.cookies = [:]
        let fields: [(String, String)] = try PasskeyPlace.form(try await Self.password(place), "sign-in")
        for _ in 1...10 {
            let wrong: TestAnswer = try await place.browser.post("/oauth2/challenge", fields + [("code", "000000")])
            #expect(wrong.status == 401)
        }
        let right: TestAnswer = try await place.browser.post("/oauth2/challenge", fields + [("code", codes[1])])
        #expect(right.status == 429, "also the right one")
        // Another browser, another address of the form: the account is what counts.
        let other: Browser = Browser(place.fixture)
        let step: TestAnswer = try await other.signIn(on: try await other.get(place.client.address()), "ada")
        let again: TestAnswer = try await other.post(
            "/oauth2/challenge", try PasskeyPlace.form(step, "sign-in") + [("code", codes[1])])
        #expect(again.status == 429)
    }

    @Test func theFirstHalfOfASignInOpensNothingByItself() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        try await Self.enrolApp(place)
        place.clock.advance(by: .seconds(30))
        place.browser.cookies = [:]
        let step: TestAnswer = try await Self.password(place)
        #expect(try await place.browser.get("/oauth2/factors").text.contains("name=\"password\""))
        let fields: [(String, String)] = try PasskeyPlace.form(step, "sign-in")
        // Of another browser, and without its cookie.
        let thief: Browser = Browser(place.fixture)
        let code: String = try await Self.code(place)
        #expect(try await thief.post("/oauth2/challenge", fields + [("code", code)]).status == 403)
        // The password was changed meanwhile.
        let changed: TestAnswer = try await place.fixture.send(
            "PUT", "/v1/users/\(place.user)/password", .object(["password": "another password 1"]))
        #expect(changed.status == 204, "\(changed.json)")
        #expect(try await place.browser.post("/oauth2/challenge", fields + [("code", code)]).status == 401)
        place.clock.advance(by: .seconds(301))
        #expect(try await place.browser.post("/oauth2/challenge", fields + [("code", code)]).status == 403, "too late")
    }

    @Test func aPasskeySignsInAlone() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let added: TestAnswer = try await place.press(
            try await Self.factors(place), at: "/oauth2/factors", [("name", "Phone <1>")])
        #expect(added.status == 200, "\(added.text)")
        #expect(added.text.pieces("<li>", "</li>").count == 10)
        #expect(try await place.browser.get("/oauth2/factors").text.contains("Phone &lt;1&gt;"))
        place.browser.cookies = [:]
        let page: TestAnswer = try await place.browser.get(place.client.address())
        let (_, options): ([(String, String)], JSONValue) = try PasskeyPlace.passkeyForm(page)
        #expect(options["allowCredentials"] == .array([]), "whose there are, nobody learns")
        #expect(options["userVerification"] == "required")
        let done: TestAnswer = try await place.press(page, at: "/oauth2/passkey")
        #expect(done.status == 303, "\(done.text)")
        let tokens: TestAnswer = try await place.client.exchange(
            try #require(try await place.browser.get(done.location).sent("code")))
        let claims: JSONValue = try tokens.json.claims("id_token")
        #expect(claims["amr"] == .array(["swk", "user", "mfa"]))
        #expect(claims["sub"]?.text == place.user)
    }

    enum Lie: CaseIterable {
        case unverified, otherOrigin, otherParty, otherHandle, noHandle, tampered
    }

    @Test(arguments: Lie.allCases)
    func aPasskeyAloneMustSayWhoseItIsAndVerify(lie: Lie) async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        _ = try await place.press(try await Self.factors(place), at: "/oauth2/factors", [("name", "Phone")])
        switch lie {
        case .unverified: place.authenticator.behaviour.flags = 1
        case .otherOrigin: place.authenticator.behaviour.origin = "http://localhost:8000"
        case .otherParty: place.authenticator.behaviour.relyingPartyID = "localhost.evil"
        case .otherHandle:
            try await place.fixture.makeUser("eve")
            let eve: String = try await place.fixture.signIn("eve")
            let hers: SoftwareAuthenticator = try PasskeyPlace.authenticator()
            #expect(try await place.register(eve, hers).status == 201)
            place.authenticator.behaviour.userHandle = hers.behaviour.userHandle
        case .noHandle: place.authenticator.behaviour.userHandle = nil
        case .tampered: place.authenticator.behaviour.tampering = { $0[32] |= 0x20 }
        }
        place.browser.cookies = [:]
        let page: TestAnswer = try await place.browser.get(place.client.address())
        let answer: TestAnswer = try await place.press(page, at: "/oauth2/passkey")
        #expect(answer.status == 401)
        #expect(place.browser.cookies["passerelle"] == nil)
    }

    @Test func anAnswerSignsInOnceAndInItsOwnBrowser() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        _ = try await place.press(try await Self.factors(place), at: "/oauth2/factors", [("name", "Phone")])
        place.browser.cookies = [:]
        let page: TestAnswer = try await place.browser.get(place.client.address())
        let (fields, options): ([(String, String)], JSONValue) = try PasskeyPlace.passkeyForm(page)
        let sent: [(String, String)] = fields + [("credential", try place.authenticator.sign(options).jsonText)]
        let thief: Browser = Browser(place.fixture)
        let own: [(String, String)] = Browser.hidden(try await thief.get(place.client.address()))
        let form: String = try #require(own.first { $0.0 == "form" }?.1)
        let stolen: [(String, String)] = sent.filter { $0.0 != "form" } + [("form", form)]
        #expect(try await thief.post("/oauth2/passkey", stolen).status == 403, "its challenge is another browser's")
        #expect(try await place.browser.post("/oauth2/passkey", sent).status == 303)
        #expect(try await place.browser.post("/oauth2/passkey", sent).status == 403, "a form from before the sign-in")
        place.browser.cookies["passerelle"] = nil
        #expect(try await place.browser.post("/oauth2/passkey", sent).status == 401, "replayed")
        place.clock.advance(by: .seconds(301))
        #expect(try await place.browser.post("/oauth2/passkey", sent).status == 403, "too late")
    }

    @Test func aPasskeyIsTheSecondStepToo() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        // A key without a PIN: enough beside a password, not alone.
        place.authenticator.behaviour.flags = 1
        _ = try await place.press(try await Self.factors(place), at: "/oauth2/factors", [("name", "Key")])
        place.browser.cookies = [:]
        let done: TestAnswer = try await place.press(try await Self.password(place), at: "/oauth2/challenge")
        #expect(done.status == 303, "\(done.text)")
        let tokens: TestAnswer = try await place.client.exchange(
            try #require(try await place.browser.get(done.location).sent("code")))
        #expect(try tokens.json.claims("id_token")["amr"] == .array(["pwd", "hwk", "user", "mfa"]))
    }

    // MARK: Stepping up

    @Test func aClientAsksForTwoFactorsAndForFreshOnes() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let acr: [String: String?] = ["acr_values": "urn:passerelle:acr:two-factors"]
        try await Self.enrolApp(place)
        let first: TestAnswer = try await place.client.authorize(place.browser, "ada", acr)
        #expect(first.sent("code") != nil, "the app was just confirmed")
        place.clock.advance(by: .seconds(900))
        let stale: [String: String?] = ["acr_values": "urn:passerelle:acr:two-factors", "max_age": "600"]
        #expect(
            try await place.browser.get(place.client.address(stale.merging(["prompt": "none"]) { $1 })).sent("error")
                == "login_required")
        let before: String? = place.browser.cookies["passerelle"]
        let page: TestAnswer = try await place.browser.get(place.client.address(stale))
        let done: TestAnswer = try await place.browser.post(
            "/oauth2/challenge", try PasskeyPlace.form(page, "step-up") + [("code", try await Self.code(place))])
        #expect(done.status == 303, "\(done.text)")
        #expect(place.browser.cookies["passerelle"] != before, "the cookie from before stepped up nothing")
        let code: String = try #require(try await place.browser.get(done.location).sent("code"))
        let claims: JSONValue = try (try await place.client.exchange(code)).json.claims("id_token")
        #expect(claims["auth_time"]?.integer == place.clock.now().milliseconds / 1_000)
        let old: Browser = Browser(place.fixture)
        old.cookies = place.browser.cookies
        old.cookies["passerelle"] = before
        #expect(try await old.get(place.client.address()).text.contains("name=\"password\""), "it stands for nothing")
    }

    @Test func whoHasNoneIsLedToSetOneUp() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let acr: [String: String?] = ["acr_values": "urn:passerelle:acr:two-factors"]
        let entered: TestAnswer = try await Self.password(place, acr)
        let led: TestAnswer = try await place.browser.get(entered.location)
        #expect(led.status == 303)
        #expect(led.location.hasPrefix("/oauth2/factors?next="))
        let none: TestAnswer = try await place.browser.get(
            place.client.address(acr.merging(["prompt": "none"]) { $1 }))
        #expect(none.sent("error") == "interaction_required")
        let added: TestAnswer = try await place.press(
            try await place.browser.get(led.location), at: "/oauth2/factors", [("name", "Phone")])
        let next: String = try #require(added.text.pieces("<a href=\"", "\"").last).unescaped
        #expect(try await place.browser.get(next).sent("code") != nil)
    }

    @Test func managingFactorsAsksForOneAgain() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        try await Self.enrolApp(place)
        let page: TestAnswer = try await place.browser.get("/oauth2/factors")
        place.clock.advance(by: .seconds(600))
        let remove: [(String, String)] = try PasskeyPlace.form(page, "remove-app")
        let asked: TestAnswer = try await place.browser.post("/oauth2/factors", remove)
        #expect(asked.status == 200)
        let fields: [(String, String)] = try PasskeyPlace.form(asked, "step-up")
        let done: TestAnswer = try await place.browser.post(
            "/oauth2/challenge", fields + [("code", try await Self.code(place))])
        #expect(done.location.hasPrefix("/oauth2/factors?"))
        let renewed: TestAnswer = try await place.browser.post(
            "/oauth2/factors", try PasskeyPlace.form(try await place.browser.get(done.location), "new-codes"))
        #expect(renewed.text.pieces("<li>", "</li>").count == 10)
        let removed: TestAnswer = try await place.browser.post(
            "/oauth2/factors",
            try PasskeyPlace.form(try await place.browser.get("/oauth2/factors"), "remove-app"))
        #expect(removed.status == 303)
        #expect(try await place.browser.get("/oauth2/factors").text.contains("No authenticator app is set up."))
        // The clock was moved far enough for a new signing key, which comes when it comes.
        let types: [String] = try await place.fixture.harness.auditTypes().filter { !$0.hasPrefix("signing-key.") }
        #expect(types.suffix(2) == ["recovery-codes.replaced", "second-factor.removed"])
    }

    @Test func aFormOfAnotherSiteChangesNothing() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let fields: [(String, String)] = try PasskeyPlace.form(try await Self.factors(place), "begin-app")
        place.browser.origin = "http://evil.example"
        #expect(try await place.browser.post("/oauth2/factors", fields).status == 403)
        place.browser.origin = IdentityFixture.namedIssuer
        #expect(try await place.browser.post("/oauth2/factors", fields.filter { $0.0 != "form" }).status == 403)
    }

    @Test func passkeysAreRenamedAndRemovedOnThePage() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        _ = try await place.press(try await Self.factors(place), at: "/oauth2/factors", [("name", "Phone")])
        let page: TestAnswer = try await place.browser.get("/oauth2/factors")
        let rename: [(String, String)] = try PasskeyPlace.form(page, "rename-passkey")
        #expect(try await place.browser.post("/oauth2/factors", rename + [("name", "")]).status == 400)
        #expect(try await place.browser.post("/oauth2/factors", rename + [("name", "Old phone")]).status == 303)
        let renamed: TestAnswer = try await place.browser.get("/oauth2/factors")
        #expect(renamed.text.contains("Remove Old phone"))
        let remove: [(String, String)] = try PasskeyPlace.form(renamed, "remove-passkey")
        #expect(try await place.browser.post("/oauth2/factors", remove).status == 303)
        #expect(try await place.browser.post("/oauth2/factors", remove).status == 409, "gone already")
        #expect(try await place.browser.get("/oauth2/factors").text.contains("You have no passkey."))
    }

    // MARK: Pages as such

    /// What every page has: a language, one heading of the first rank, a label for each field, no script or style of its own, and a
    /// policy that allows none.
    @Test(arguments: ["en", "fr"])
    func pagesAreAccessibleAndStrict(language: String) async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        var pages: [TestAnswer] = [try await place.browser.get(place.client.address(), language: language)]
        #expect(try await Self.password(place).status == 303)
        let factors: TestAnswer = try await place.browser.get("/oauth2/factors", language: language)
        pages.append(factors)
        pages.append(try await place.browser.post("/oauth2/factors", try PasskeyPlace.form(factors, "begin-app")))
        _ = try await place.press(factors, at: "/oauth2/factors", [("name", "Phone")])
        pages.append(try await place.browser.get("/oauth2/factors", language: language))
        place.browser.cookies = [:]
        pages.append(try await Self.password(place))
        for page in pages {
            #expect(page.text.contains("<html lang=\""))
            #expect(page.text.pieces("<h1", "</h1>").count == 1)
            let labelled: Set<String> = Set(page.text.pieces("<label for=\"", "\""))
            for input in page.text.pieces("<input ", ">") where !input.contains("type=\"hidden\"") {
                #expect(labelled.contains(try #require(input.pieces("id=\"", "\"").first)), "\(input)")
            }
            let ids: [String] = page.text.pieces(" id=\"", "\"")
            #expect(Set(ids).count == ids.count, "each id once")
            #expect(!page.text.contains(" style=") && !page.text.contains(" onclick="))
            let policy: String = page.fields["Content-Security-Policy"] ?? ""
            #expect(policy.hasPrefix("default-src 'none'; style-src 'sha256-"))
            #expect(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"))
            #expect(page.text.contains("<script") == policy.contains("script-src 'self'"))
            for script in page.text.pieces("<script", "</script>") {
                #expect(script == " src=\"/oauth2/passkeys.js\" defer>", "none in the page")
            }
        }
        let script: TestAnswer = try await place.browser.get("/oauth2/passkeys.js")
        #expect(script.fields["Content-Type"] == "text/javascript; charset=utf-8")
        #expect(!script.text.contains("eval") && !script.text.contains("innerHTML"))
    }
}
