import Contracts
import HTTP
import JSON
import ServiceTestKit
import TestKit
import Testing

@testable import Identity

/// What who wants in tries with the forms of the issuer and with its tokens.
struct IssuerAttackTests {
    // MARK: Attacks on the forms

    @Test func aFormOfAnotherSiteSignsNobodyIn() async throws {
        let (fixture, browser, client, _) = try await IssuerTests.make()
        let page: TestAnswer = try await browser.get(client.address())
        let credentials: [(String, String)] = [("user", "ada"), ("password", IdentityFixture.password)]
        let attacker: Browser = Browser(fixture)
        let stolen: [(String, String)] = Browser.hidden(try await attacker.get(client.address()))
        let target: [(String, String)] = Browser.hidden(page).filter { $0.0 == "target" }
        for fields in [
            target, stolen, target + [("form", "")], target + [("form", browser.cookies.values.first ?? "")],
        ] {
            let answer: TestAnswer = try await browser.post("/oauth2/login", fields + credentials)
            #expect(answer.status == 403)
            #expect(browser.cookies["passerelle"] == nil)
        }
        for origin in ["http://evil.example", "null", "http://127.0.0.1:8002", "https://127.0.0.1:8001"] {
            browser.origin = origin
            #expect(try await browser.signIn(on: page, "ada").status == 403, "\(origin)")
        }
        browser.origin = nil
        let cross: TestAnswer = try await fixture.harness.submit(
            "POST", "/oauth2/login", form: Browser.form(Browser.hidden(page) + credentials),
            fields: [
                ("Cookie", "passerelle-form=\(browser.cookies["passerelle-form"] ?? "")"),
                ("Sec-Fetch-Site", "cross-site"),
            ])
        #expect(cross.status == 403)
        #expect(try await browser.signIn(on: page, "ada").status == 303, "an old browser says neither")
    }

    @Test func aFormOfAnotherSiteAgreesToNothing() async throws {
        let (_, browser, client, _) = try await IssuerTests.make()
        let login: TestAnswer = try await browser.get(client.address())
        let page: TestAnswer = try await browser.get(try await browser.signIn(on: login, "ada").location)
        let target: [(String, String)] = Browser.hidden(page).filter { $0.0 == "target" }
        for forged in [target, target + [("form", "x")]] {
            let answer: TestAnswer = try await browser.post("/oauth2/consent", forged + [("decision", "allow")])
            #expect(answer.status == 403)
        }
        #expect(try await browser.get(client.address()).text.contains("value=\"allow\""))
    }

    @Test(arguments: [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "/oauth2/authorize@evil.example", "/v1/me",
        "/oauth2/authorize?x\r\nSet-Cookie: a=b", "", "/oauth2/logout?x",
    ])
    func theFormLeadsNowhereElse(target: String) async throws {
        let (_, browser, client, _) = try await IssuerTests.make()
        let page: TestAnswer = try await browser.get(client.address())
        let fields: [(String, String)] = Browser.hidden(page).filter { $0.0 != "target" } + [("target", target)]
        let answer: TestAnswer = try await browser.post(
            "/oauth2/login", fields + [("user", "ada"), ("password", IdentityFixture.password)])
        #expect(answer.status == 400)
        #expect(answer.fields["Location"] == nil)
    }

    @Test func aCookieThatWasPlantedStandsForNothingAfterwards() async throws {
        let (fixture, browser, client, _) = try await IssuerTests.make()
        try await fixture.makeUser("eve")
        let attacker: Browser = Browser(fixture)
        _ = try await client.authorize(attacker, "eve")
        let planted: String = try #require(attacker.cookies["passerelle"])
        browser.cookies["passerelle"] = planted
        let login: TestAnswer = try await browser.get(client.address(["prompt": "login"]))
        _ = try await browser.signIn(on: login, "ada")
        #expect(browser.cookies["passerelle"] != planted)
        let back: TestAnswer = try await client.authorize(attacker, "eve")
        let tokens: TestAnswer = try await client.exchange(try #require(back.sent("code")))
        #expect(try tokens.json.claims("id_token")["preferred_username"]?.text == "eve", "not ada")
    }

    @Test(arguments: [("ada", "not the one"), ("nobody", "not the one"), ("nobody", IdentityFixture.password)])
    func wrongPasswordsAndUnknownUsersGetTheSamePage(name: String, password: String) async throws {
        let (_, browser, client, _) = try await IssuerTests.make()
        let page: TestAnswer = try await browser.get(client.address())
        let answer: TestAnswer = try await browser.signIn(on: page, name, password)
        #expect(answer.status == 401)
        #expect(answer.text.contains("User name or password is wrong."))
        #expect(browser.cookies["passerelle"] == nil)
        #expect(!answer.text.contains(password))
        for _ in 2...10 { _ = try await browser.signIn(on: page, name, password) }
        #expect(try await browser.signIn(on: page, name).status == 429)
    }

    // MARK: Attacks on the tokens

    @Test func aCodeWorksOnceAndItsReplayEndsWhatCameOfIt() async throws {
        let (fixture, browser, client, _) = try await IssuerTests.make()
        let code: String = try #require(try await client.authorize(browser).sent("code"))
        let first: TestAnswer = try await client.exchange(code)
        let access: String = try #require(first.json["access_token"]?.text)
        #expect(try await client.userinfo(access).status == 200)
        let second: TestAnswer = try await client.exchange(code)
        #expect(second.status == 400)
        #expect(second.json["error"]?.text == "invalid_grant")
        #expect(try await client.userinfo(access).status == 401)
        #expect(try await client.introspect(access) == .object(["active": false]))
        #expect(try await client.refresh(first.json["refresh_token"]?.text ?? "").status == 400)
        #expect(try await fixture.harness.auditEntries("oauth-code.replayed").count == 1)
    }

    @Test(arguments: [
        ["code_verifier": "another-verifier-that-is-long-enough-to-be-one-1234"],
        ["code_verifier": TestClient.challenge],
        ["code_verifier": ""], ["redirect_uri": "http://127.0.0.1:9999/cb2"], ["redirect_uri": ""],
    ])
    func aCodeIsBoundToVerifierAndAddressAndFailsOnce(changes: [String: String]) async throws {
        let (_, browser, client, _) = try await IssuerTests.make()
        let code: String = try #require(try await client.authorize(browser).sent("code"))
        #expect(try await client.exchange(code, changes).json["error"]?.text == "invalid_grant")
        #expect(try await client.exchange(code).status == 400, "there is no second attempt")
    }

    @Test func aCodeIsBoundToItsClientAndToAMinute() async throws {
        let (fixture, browser, client, _) = try await IssuerTests.make()
        let other: TestClient = try await TestClient.register(fixture)
        let code: String = try #require(try await client.authorize(browser).sent("code"))
        #expect(try await other.exchange(code).json["error"]?.text == "invalid_grant")
        #expect(try await client.exchange(code).status == 200, "another client's attempt does not use it up")
        let late: String = try #require(try await client.authorize(browser).sent("code"))
        fixture.harness.clock.advance(by: .seconds(60))
        #expect(try await client.exchange(late).status == 400)
    }

    @Test func aRefreshTokenWorksOnceAndItsReplayEndsAll() async throws {
        let (fixture, browser, client, _) = try await IssuerTests.make()
        let first: TestAnswer = try await client.tokens(browser)
        let stolen: String = try #require(first.json["refresh_token"]?.text)
        let second: TestAnswer = try await client.refresh(stolen)
        #expect(second.status == 200)
        let next: String = try #require(second.json["refresh_token"]?.text)
        #expect(next != stolen)
        let access: String = try #require(second.json["access_token"]?.text)
        #expect(try second.json.claims("id_token")["nonce"] == nil)
        #expect(try await client.userinfo(access).status == 200)
        #expect(try await client.refresh(stolen).json["error"]?.text == "invalid_grant")
        #expect(try await client.refresh(next).json["error"]?.text == "invalid_grant", "the successor, too")
        #expect(try await client.userinfo(access).status == 401)
        #expect(try await fixture.harness.auditEntries("refresh-token.replayed").count == 1)
        let log: String = try await fixture.harness.events(Topics.auditLog).map(\.jsonText).joined()
        for secret in [stolen, next, access, client.secret ?? "-"] { #expect(!log.contains(secret)) }
    }

    @Test func aRefreshGivesNoMoreThanWasGiven() async throws {
        let (fixture, browser, client, _) = try await IssuerTests.make()
        let tokens: TestAnswer = try await client.tokens(browser)
        let refresh: String = try #require(tokens.json["refresh_token"]?.text)
        let other: TestClient = try await TestClient.register(fixture)
        #expect(try await other.refresh(refresh).json["error"]?.text == "invalid_grant")
        let more: TestAnswer = try await client.ask(
            "/oauth2/token",
            [("grant_type", "refresh_token"), ("refresh_token", refresh), ("scope", "openid profile roles")])
        #expect(more.json["error"]?.text == "invalid_scope")
        let less: TestAnswer = try await client.ask(
            "/oauth2/token", [("grant_type", "refresh_token"), ("refresh_token", refresh), ("scope", "openid")])
        #expect(less.json["scope"]?.text == "openid")
        #expect(try less.json.claims("id_token")["preferred_username"] == nil)
    }

    @Test func nothingOutlivesTheSignIn() async throws {
        let (fixture, browser, client, id) = try await IssuerTests.make()
        let tokens: TestAnswer = try await client.tokens(browser)
        let access: String = try #require(tokens.json["access_token"]?.text)
        #expect(try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "disabled"])).status == 200)
        #expect(try await client.userinfo(access).status == 401)
        #expect(try await client.introspect(access)["active"]?.boolean == false)
        #expect(try await client.refresh(tokens.json["refresh_token"]?.text ?? "").status == 400)
        #expect(try await fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "active"])).status == 200)
        #expect(try await client.refresh(tokens.json["refresh_token"]?.text ?? "").status == 400)
        let again: TestAnswer = try await client.tokens(Browser(fixture))
        fixture.harness.clock.advance(by: .seconds(8 * 3_600 - 100))
        let late: TestAnswer = try await client.refresh(again.json["refresh_token"]?.text ?? "")
        #expect(late.json["expires_in"]?.integer == 100)
        fixture.harness.clock.advance(by: .seconds(100))
        #expect(try await client.refresh(late.json["refresh_token"]?.text ?? "").status == 400)
    }

    @Test func tokensOfOthersAreNobodysBusiness() async throws {
        let (fixture, browser, client, _) = try await IssuerTests.make()
        let other: TestClient = try await TestClient.register(fixture)
        let tokens: TestAnswer = try await client.tokens(browser)
        let access: String = try #require(tokens.json["access_token"]?.text)
        let refresh: String = try #require(tokens.json["refresh_token"]?.text)
        for token in [access, refresh, "nothing", ""] {
            #expect(try await other.introspect(token) == .object(["active": false]))
            #expect(try await other.ask("/oauth2/revoke", [("token", token)]).status == 200)
        }
        #expect(try await client.userinfo(access).status == 200, "it was not theirs to revoke")
        #expect(try await client.introspect(refresh)["active"]?.boolean == true)
        #expect(try await client.ask("/oauth2/revoke", [("token", refresh)]).status == 200)
        #expect(try await client.userinfo(access).status == 401)
        #expect(try await client.refresh(refresh).status == 400)
    }

    @Test func anUnknownClientAndAWrongSecretLookTheSame() async throws {
        let (fixture, _, client, _) = try await IssuerTests.make()
        let unknown: TestClient = TestClient(fixture: fixture, id: "cli_nobody", secret: "x")
        let wrong: TestAnswer = try await client.ask("/oauth2/token", [("grant_type", "refresh_token")], secret: "x")
        let nobody: TestAnswer = try await unknown.ask("/oauth2/token", [("grant_type", "refresh_token")])
        #expect(wrong.status == 401)
        #expect(wrong.json["error"]?.text == "invalid_client")
        #expect(wrong.fields["WWW-Authenticate"] == "Basic realm=\"passerelle\"")
        #expect(wrong.bytes == nobody.bytes)
        let bare: TestClient = TestClient(fixture: fixture, id: client.id, secret: nil)
        #expect(try await bare.ask("/oauth2/token", [("grant_type", "refresh_token")]).bytes == wrong.bytes)
    }

    @Test func removingAClientEndsItsTokens() async throws {
        let (fixture, browser, client, _) = try await IssuerTests.make()
        let tokens: TestAnswer = try await client.tokens(browser)
        #expect(try await fixture.send("DELETE", "/v1/oauth-clients/\(client.id)").status == 204)
        #expect(try await client.userinfo(tokens.json["access_token"]?.text ?? "").status == 401)
        #expect(try await client.refresh(tokens.json["refresh_token"]?.text ?? "").status == 401)
        #expect(try await browser.get(client.address()).status == 400)
    }
}
