import Bytes
import Contracts
import Crypto
import HTTP
import JSON
import ServiceTestKit
import Store
import TestKit
import Testing
import Time

@testable import Identity

struct IssuerTests {
    /// A platform with a user who may do something, a browser, a registered client, and the user's id.
    static func make(_ changes: JSONObject = [:]) async throws -> (IdentityFixture, Browser, TestClient, String) {
        let fixture: IdentityFixture = try await IdentityFixture()
        let id: String = try await fixture.makeUser("ada", ["devops@acme"])
        return (fixture, Browser(fixture), try await TestClient.register(fixture, changes), id)
    }

    // MARK: The flow

    @Test func aUserSignsInAgreesAndTheClientLearnsWhoItIs() async throws {
        let (fixture, browser, client, id) = try await Self.make()
        let back: TestAnswer = try await client.authorize(browser, "ada", ["scope": "openid profile roles"])
        #expect(back.status == 303)
        #expect(back.location.hasPrefix("\(TestClient.redirectURI)?code="))
        #expect(back.sent("state") == "s-1")
        #expect(back.sent("iss") == IdentityFixture.issuer)
        let tokens: TestAnswer = try await client.exchange(try #require(back.sent("code")))
        #expect(tokens.status == 200)
        #expect(tokens.fields["Cache-Control"] == "no-store")
        #expect(tokens.json["token_type"]?.text == "Bearer")
        #expect(tokens.json["expires_in"]?.integer == 300)
        let claims: JSONValue = try tokens.json.claims("id_token")
        #expect(claims["sub"]?.text == id)
        #expect(claims["aud"]?.text == client.id)
        #expect(claims["nonce"]?.text == "n-1")
        #expect(claims["iss"]?.text == IdentityFixture.issuer)
        #expect(claims["preferred_username"]?.text == "ada")
        #expect(claims["roles"] == .array(["devops@acme"]))
        let access: String = try #require(tokens.json["access_token"]?.text)
        #expect(claims["at_hash"]?.text == Base64.encodeURL(Array(SHA256.hash(access).prefix(16))))
        let info: TestAnswer = try await client.userinfo(access)
        #expect(info.json["sub"]?.text == id)
        #expect(info.json["roles"] == .array(["devops@acme"]))
        let posted: TestAnswer = try await fixture.harness.submit(
            "POST", "/oauth2/userinfo", fields: [("Authorization", "Bearer \(access)")])
        #expect(posted.bytes == info.bytes)
        let said: JSONValue = try await client.introspect(access)
        #expect(said["active"]?.boolean == true)
        #expect(said["username"]?.text == "ada")
        // The platform itself is not who the token is for.
        #expect(try await fixture.send("GET", "/v1/me", token: access).status == 401)
        #expect(try await fixture.send("GET", "/v1/me", token: tokens.json["id_token"]?.text).status == 401)
        let types: [String] = try await fixture.harness.auditTypes()
        for type in ["oauth-client.created", "session.created", "consent.given", "oauth-grant.created"] {
            #expect(types.contains(type))
        }
    }

    @Test func whoIsSignedInAndHasAgreedIsNotAskedAgain() async throws {
        let (_, browser, client, _) = try await Self.make()
        _ = try await client.tokens(browser)
        #expect(try await browser.get(client.address()).sent("code") != nil)
        #expect(try await browser.get(client.address(["prompt": "none"])).sent("code") != nil)
        let more: TestAnswer = try await browser.get(client.address(["scope": "openid roles"]))
        #expect(more.text.contains("know your roles"), "more than was agreed to")
        #expect(
            try await browser.get(client.address(["scope": "openid roles", "prompt": "none"])).sent("error")
                == "consent_required")
        let login: TestAnswer = try await browser.get(client.address(["prompt": "login"]))
        #expect(login.text.contains("name=\"password\""))
        let after: TestAnswer = try await browser.signIn(on: login, "ada")
        #expect(!after.location.contains("prompt"), "it was done")
        #expect(try await browser.get(after.location).sent("code") != nil)
        #expect(
            try await Browser(client.fixture).get(client.address(["prompt": "none"])).sent("error") == "login_required")
    }

    @Test func maxAgeAsksForANewSignIn() async throws {
        let (fixture, browser, client, _) = try await Self.make()
        _ = try await client.tokens(browser)
        fixture.harness.clock.advance(by: .seconds(100))
        #expect(try await browser.get(client.address(["max_age": "101"])).sent("code") != nil)
        #expect(try await browser.get(client.address(["max_age": "100"])).text.contains("name=\"password\""))
        #expect(try await browser.get(client.address(["max_age": "-1"])).sent("error") == "invalid_request")
    }

    @Test func whoDoesNotAgreeSendsTheClientAway() async throws {
        let (_, browser, client, _) = try await Self.make()
        let login: TestAnswer = try await browser.get(client.address())
        let page: TestAnswer = try await browser.get(try await browser.signIn(on: login, "ada").location)
        let denied: TestAnswer = try await browser.post(
            "/oauth2/consent", Browser.hidden(page) + [("decision", "deny")])
        #expect(denied.sent("error") == "access_denied")
        #expect(denied.sent("state") == "s-1")
    }

    @Test func aTrustedClientWithTheScopeCallsThePlatformAsTheUser() async throws {
        let (fixture, browser, client, id) = try await Self.make([
            "trusted": true, "confidential": false, "scopes": .array(["openid", "platform"]),
        ])
        let tokens: TestAnswer = try await client.tokens(browser, "ada", ["scope": "openid platform"])
        let access: String = try #require(tokens.json["access_token"]?.text)
        #expect(try await fixture.send("GET", "/v1/me", token: access).json["id"]?.text == id)
        #expect(try await fixture.send("DELETE", "/v1/sessions", token: access).status == 204)
        #expect(try await fixture.send("GET", "/v1/me", token: access).status == 401, "ended everywhere at once")
        #expect(try await client.refresh(tokens.json["refresh_token"]?.text ?? "").status == 400)
        #expect(try await client.userinfo(access).status == 401)
        #expect(
            try await browser.get(client.address(["scope": "openid"])).text.contains("name=\"password\""),
            "the cookie, too")
    }

    // MARK: Attacks on the request

    @Test(arguments: [
        ("http://127.0.0.1:9999/cb/", "a longer path"), ("http://127.0.0.1:9999/CB", "another case"),
        ("http://127.0.0.1:9998/cb", "another port"), ("http://localhost:9999/cb", "another name"),
        ("https://127.0.0.1:9999/cb", "another scheme"), ("http://127.0.0.1:9999/cb?x=1", "a query"),
        ("http://127.0.0.1:9999/cb#x", "a fragment"), ("http://127.0.0.1:9999@evil.example/cb", "a user"),
        ("http://127.0.0.1:9999/cb/../evil", "dots"), ("//127.0.0.1:9999/cb", "no scheme"),
        ("http://127.0.0.1:9999/cb%2f", "an escape"), ("http://127.0.0.1:9999/c\u{0062}\u{0301}", "not ASCII"),
        ("javascript:alert(1)", "a script"), ("", "nothing"),
        ("http://127.0.0.1:9999/cb\r\nSet-Cookie: a=b", "a field"),
    ])
    func nobodyIsSentToAnAddressThatIsNotRegistered(address: String, what: String) async throws {
        let (_, browser, client, _) = try await Self.make()
        let page: TestAnswer = try await browser.get(client.address(["redirect_uri": address]))
        #expect(page.status == 400, "\(what)")
        #expect(page.fields["Location"] == nil)
        #expect(page.fields["Content-Type"] == "text/html; charset=utf-8")
        #expect(!page.text.contains("evil"))
        let none: TestAnswer = try await browser.get(client.address(["redirect_uri": nil]))
        #expect(none.status == 400)
        let twice: TestAnswer = try await browser.get(client.address() + "&redirect_uri=http://evil.example/")
        #expect(twice.status == 400)
        let another: TestAnswer = try await browser.get(client.address() + "&client_id=\(client.id)")
        #expect(another.status == 400)
    }

    @Test(
        arguments: [
            (["code_challenge": nil], "invalid_request"), (["code_challenge_method": nil], "invalid_request"),
            (["code_challenge_method": "plain"], "invalid_request"),
            (["code_challenge_method": "s256"], "invalid_request"),
            (["code_challenge": "short"], "invalid_request"), (["response_type": "token"], "unsupported_response_type"),
            (["response_type": "code id_token"], "unsupported_response_type"),
            (["response_type": nil], "unsupported_response_type"),
            (["response_mode": "fragment"], "invalid_request"), (["scope": "openid platform"], "invalid_scope"),
            (["scope": "openid platform email"], "invalid_scope"), (["request": "eyJ"], "request_not_supported"),
            (["request_uri": "http://evil.example/"], "request_uri_not_supported"),
            (["prompt": "none login"], "invalid_request"), (["prompt": "create"], "invalid_request"),
        ] as [([String: String?], String)])
    func refusesTheClientInItsOwnForm(changes: [String: String?], code: String) async throws {
        let (_, browser, client, _) = try await Self.make()
        let answer: TestAnswer = try await browser.get(client.address(changes))
        #expect(answer.status == 303)
        #expect(answer.location.hasPrefix("\(TestClient.redirectURI)?error=\(code)&"))
        #expect(answer.sent("state") == "s-1")
        #expect(answer.sent("iss") == IdentityFixture.issuer)
    }

    // MARK: What clients send besides

    @Test func scopesThatNobodyKnowsAreIgnored() async throws {
        let (_, browser, client, _) = try await Self.make()
        let tokens: TestAnswer = try await client.tokens(
            browser, "ada", ["scope": "openid email offline_access address"])
        #expect(tokens.json["scope"]?.text == "openid")
        let next: TestAnswer = try await client.ask(
            "/oauth2/token",
            [
                ("grant_type", "refresh_token"), ("refresh_token", tokens.json["refresh_token"]?.text ?? ""),
                ("scope", "openid email offline_access"),
            ])
        #expect(next.json["scope"]?.text == "openid", "\(next.json)")
    }

    /// A client that is told 400 throws its refresh token away.
    @Test func whatThePlatformCannotDoIsNoRefusalOfTheClient() async throws {
        await #expect(throws: StoreError.self) {
            _ = try await IdentityService.inOAuth { throw StoreError.unavailable(reason: "the disk is full") }
        }
        let refused: HTTPResponse = try await IdentityService.inOAuth { throw OAuthError("invalid_grant", "No.") }
        #expect(refused.status == 400)
    }

    @Test func aRequestByFormIsTheSameRequest() async throws {
        let (_, browser, client, _) = try await Self.make()
        let address: String = client.address()
        let query: Substring = address.split(separator: "?", maxSplits: 1)[1]
        let pairs: [(String, String)] = try QueryParameters.parse(String(query)).pairs.map { ($0.name, $0.value) }
        browser.origin = "https://shop.example"
        let answer: TestAnswer = try await browser.post("/oauth2/authorize", pairs)
        #expect((answer.status, answer.location) == (303, address))
        browser.origin = IdentityFixture.issuer
        let back: TestAnswer = try await client.authorize(browser)
        #expect(back.sent("code") != nil)
        let long: TestAnswer = try await browser.post(
            "/oauth2/authorize", pairs + [("claims", String(repeating: "x", count: 8_000))])
        #expect((long.status, long.fields["Location"]) == (400, nil))
    }

    @Test func theNameThatAClientKnowsStandsInTheForm() async throws {
        let (_, browser, client, _) = try await Self.make()
        let page: TestAnswer = try await browser.get(client.address(["login_hint": "ada\"><script>"]))
        #expect(page.text.contains("name=\"user\" value=\"ada&quot;&gt;&lt;script&gt;\""))
    }

    @Test(arguments: [("en", "fr-CA en", "Se connecter"), ("fr", "de en", "Sign in"), ("fr", "de", "Se connecter")])
    func aClientSaysWhichLanguageItsUsersRead(browserSays: String, client says: String, title: String) async throws {
        let (_, browser, client, _) = try await Self.make()
        let page: TestAnswer = try await browser.get(client.address(["ui_locales": says]), language: browserSays)
        #expect(page.text.contains("<h1>\(title)</h1>"), "\(page.text)")
        // The form leads on in the same language, also where it is filled wrongly.
        let again: TestAnswer = try await browser.post(
            "/oauth2/login", Browser.hidden(page) + [("user", "ada"), ("password", "wrong password")],
            language: browserSays)
        #expect(again.status == 401)
        #expect(again.text.contains("<h1>\(title)</h1>"))
    }

    @Test func aClientThatSpeaksOfSomebodyGetsNobodyElse() async throws {
        let (fixture, browser, client, _) = try await Self.make()
        try await fixture.makeUser("bob", ["viewer@acme"])
        let hint: String = try #require(try await client.tokens(browser).json["id_token"]?.text)
        #expect(try await browser.get(client.address(["id_token_hint": hint, "prompt": "none"])).sent("code") != nil)
        let other: Browser = Browser(fixture)
        _ = try await client.tokens(other, "bob")
        for changes: [String: String?] in [["id_token_hint": hint, "prompt": "none"], ["id_token_hint": hint]] {
            let answer: TestAnswer = try await other.get(client.address(changes))
            #expect(answer.sent("error") == "login_required")
            #expect(answer.sent("code") == nil)
        }
        let login: TestAnswer = try await other.get(client.address(["id_token_hint": hint, "prompt": "login"]))
        let after: TestAnswer = try await other.get(try await other.signIn(on: login, "ada").location)
        #expect(after.sent("code") != nil, "now it is ada")
        // One that says nothing is no hint; without asking nobody is let in by it.
        #expect(
            try await other.get(client.address(["id_token_hint": "e30.e30.e30", "prompt": "none"])).sent("error")
                == "login_required")
    }

    @Test(arguments: [
        ("http://127.0.0.1:49152/cb", true), ("http://127.0.0.1:1/cb", true), ("http://[::1]:49152/cb", true),
        ("http://127.0.0.1/cb", true), ("http://127.0.0.1:49152/cb2", false), ("http://127.0.0.1:49152/cb?x=y", false),
        ("http://127.0.0.1:0/cb", false), ("http://127.0.0.1:65536/cb", false), ("http://127.0.0.1:080/cb", false),
        ("http://127.0.0.1:/cb", false), ("http://127.0.0.1:4 9/cb", false),
        ("http://127.0.0.1:49@evil.example/cb", false),
        ("http://127.0.0.1:+1/cb", false), ("http://localhost:49152/cb", false), ("https://127.0.0.1:49152/cb", false),
        ("http://127.0.0.1.evil.example/cb", false), ("http://127.0.0.2:49152/cb", false),
    ])
    func aProgramOnTheMachineTakesThePortItGets(address: String, isTaken: Bool) async throws {
        let addresses: JSONValue = .array(["http://127.0.0.1/cb", "http://[::1]/cb", "http://localhost/cb"])
        let (fixture, browser, client, _) = try await Self.make([
            "confidential": false, "redirect_uris": addresses, "grant_types": .array(["authorization_code"]),
        ])
        let answer: TestAnswer = try await browser.get(client.address(["redirect_uri": address]))
        #expect(answer.status == (isTaken ? 200 : 400))
        #expect(answer.fields["Location"] == nil)
        guard isTaken, address.contains("49152") else { return }
        let back: TestAnswer = try await client.authorize(browser, "ada", ["redirect_uri": address])
        #expect(back.location.hasPrefix("\(address)?code="))
        let code: String = try #require(back.sent("code"))
        #expect(try await client.exchange(code, ["redirect_uri": address]).status == 200)
        // Who keeps a secret has an address of their own.
        let confidential: TestClient = try await TestClient.register(fixture, ["redirect_uris": addresses])
        #expect(try await browser.get(confidential.address(["redirect_uri": address])).status == 400)
    }

    @Test func theIssuerIsFoundByWhoKnowsOnlyOAuth() async throws {
        let (fixture, _, _, _) = try await Self.make()
        let known: TestAnswer = try await fixture.send("GET", "/.well-known/openid-configuration", token: nil)
        let found: TestAnswer = try await fixture.send("GET", "/.well-known/oauth-authorization-server", token: nil)
        #expect(found.status == 200)
        #expect(found.json == known.json)
    }

    @Test func whatAClientSendsCannotBreakOutOfPageOrField() async throws {
        let (_, browser, client, _) = try await Self.make(["name": "<script>alert(1)</script>\"'&"])
        let state: String = "\r\nSet-Cookie: a=b\"><script>"
        let login: TestAnswer = try await browser.get(client.address(["state": state]))
        #expect(!login.text.contains("<script"))
        let page: TestAnswer = try await browser.get(try await browser.signIn(on: login, "ada").location)
        #expect(page.text.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"))
        #expect(!page.text.contains("<script"))
        let agreed: TestAnswer = try await browser.post(
            "/oauth2/consent", Browser.hidden(page) + [("decision", "allow")])
        let back: TestAnswer = try await browser.get(agreed.location)
        #expect(back.sent("state") == state)
        #expect(back.location.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
    }

    @Test(arguments: ["en", "fr"])
    func pagesForbidEverythingTheyDoNotNeed(language: String) async throws {
        let (_, browser, client, _) = try await Self.make()
        let page: TestAnswer = try await browser.get(client.address(), language: language)
        let policy: String = try #require(page.fields["Content-Security-Policy"])
        #expect(policy.contains("default-src 'none'"))
        #expect(policy.contains("frame-ancestors 'none'"))
        #expect(policy.contains("base-uri 'none'"))
        #expect(policy.contains("form-action 'self' http://127.0.0.1:9999;"))
        #expect(!policy.contains("unsafe"))
        let style: Substring = try #require(
            page.text.split(separator: "<style>").last?.split(separator: "</style>").first)
        #expect(policy.contains("style-src 'sha256-\(Base64.encode(SHA256.hash(String(style))))'"))
        #expect(page.fields["X-Frame-Options"] == "DENY")
        #expect(page.fields["Cache-Control"] == "no-store")
        #expect(page.fields["Content-Language"] == language)
        #expect(page.text.contains("<html lang=\"\(language)\">"))
        #expect(page.text.contains(language == "fr" ? "Se connecter" : "Sign in"))
        #expect(page.text.contains("<label for=\"password\">"))
        for line in page.fields.all("Set-Cookie") {
            #expect(line.contains("HttpOnly; SameSite=Lax"))
        }
    }

    // MARK: Signing out

    @Test func aClientSignsItsUserOutAndNobodyElse() async throws {
        let (fixture, browser, client, _) = try await Self.make()
        let tokens: TestAnswer = try await client.tokens(browser)
        let hint: String = try #require(tokens.json["id_token"]?.text)
        let back: String = "http://127.0.0.1:9999/out"
        let asked: TestAnswer = try await browser.get(
            "/oauth2/logout?post_logout_redirect_uri=\(back)&client_id=\(client.id)")
        #expect(asked.text.contains("<form method=\"post\" action=\"/oauth2/logout\">"), "any page could send one here")
        #expect(try await client.userinfo(tokens.json["access_token"]?.text ?? "").status == 200)
        try await fixture.makeUser("bob")
        let other: Browser = Browser(fixture)
        _ = try await client.tokens(other, "bob")
        #expect(try await other.get("/oauth2/logout?id_token_hint=\(hint)").text.contains("<form"), "another's hint")
        fixture.harness.clock.advance(by: .seconds(400))
        let elsewhere: TestAnswer = try await Browser(fixture).get(
            "/oauth2/logout?id_token_hint=\(hint)&post_logout_redirect_uri=http://evil.example/")
        #expect(elsewhere.status == 200)
        let done: TestAnswer = try await browser.get(
            "/oauth2/logout?id_token_hint=\(hint)&post_logout_redirect_uri=\(back)&state=a%20b")
        #expect(done.status == 303)
        #expect(done.location == "\(back)?state=a%20b")
        #expect(browser.cookies["passerelle"] == nil)
        let confirm: TestAnswer = try await other.get(
            "/oauth2/logout?client_id=\(client.id)&post_logout_redirect_uri=\(back)")
        #expect(try await other.post("/oauth2/logout", [("client_id", client.id)]).text.contains("<form"), "no proof")
        #expect(try await other.get(client.address()).sent("code") != nil, "bob is still there")
        #expect(try await other.post("/oauth2/logout", Browser.hidden(confirm)).location == back)
        #expect(try await other.get(client.address()).sent("code") == nil)
        #expect(try await client.refresh(tokens.json["refresh_token"]?.text ?? "").status == 400)
    }

    // MARK: Devices and programs

    @Test func aDeviceIsConnectedByItsUser() async throws {
        let (fixture, browser, client, id) = try await Self.make(["confidential": false])
        let begun: TestAnswer = try await client.ask("/oauth2/device_authorization", [("scope", "openid")])
        let code: String = try #require(begun.json["device_code"]?.text)
        let userCode: String = try #require(begun.json["user_code"]?.text)
        #expect(userCode.utf8.count == 9)
        func poll() async throws -> TestAnswer {
            try await client.ask("/oauth2/token", [("grant_type", OAuthClient.deviceGrant), ("device_code", code)])
        }
        #expect(try await poll().json["error"]?.text == "authorization_pending")
        #expect(try await poll().json["error"]?.text == "slow_down")
        fixture.harness.clock.advance(by: .seconds(5))
        #expect(try await poll().json["error"]?.text == "authorization_pending")
        let login: TestAnswer = try await browser.get("/oauth2/device?user_code=\(userCode.lowercased())")
        let page: TestAnswer = try await browser.get(try await browser.signIn(on: login, "ada").location)
        #expect(page.text.contains(userCode))
        #expect(
            try await browser.post("/oauth2/device", [("user_code", userCode), ("decision", "allow")]).status == 403)
        let other: TestClient = try await TestClient.register(fixture, ["confidential": false])
        let stolen: TestAnswer = try await other.ask(
            "/oauth2/token", [("grant_type", OAuthClient.deviceGrant), ("device_code", code)])
        #expect(stolen.json["error"]?.text == "invalid_grant")
        let done: TestAnswer = try await browser.post(
            "/oauth2/device", Browser.hidden(page) + [("decision", "allow")])
        #expect(done.text.contains("The device is connected."))
        let tokens: TestAnswer = try await poll()
        #expect(try tokens.json.claims("id_token")["sub"]?.text == id)
        #expect(try await poll().json["error"]?.text == "invalid_grant", "once")
    }

    @Test func aDeviceThatIsRefusedOrWaitsTooLongGetsNothing() async throws {
        let (fixture, browser, client, _) = try await Self.make(["confidential": false])
        func begin() async throws -> (String, String) {
            let begun: TestAnswer = try await client.ask("/oauth2/device_authorization", [("scope", "openid")])
            return (begun.json["device_code"]?.text ?? "", begun.json["user_code"]?.text ?? "")
        }
        func poll(_ code: String) async throws -> String? {
            try await client.ask("/oauth2/token", [("grant_type", OAuthClient.deviceGrant), ("device_code", code)])
                .json["error"]?.text
        }
        _ = try await client.authorize(browser)
        let (denied, deniedCode) = try await begin()
        let page: TestAnswer = try await browser.get("/oauth2/device?user_code=\(deniedCode)")
        _ = try await browser.post("/oauth2/device", Browser.hidden(page) + [("decision", "deny")])
        #expect(try await poll(denied) == "access_denied")
        let (late, lateCode) = try await begin()
        fixture.harness.clock.advance(by: .seconds(600))
        #expect(try await poll(late) == "expired_token")
        #expect(try await browser.get("/oauth2/device?user_code=\(lateCode)").status == 404)
        for _ in 1...12 { _ = try await browser.get("/oauth2/device?user_code=BBBB-BBBB") }
        let (_, goodCode) = try await begin()
        #expect(try await browser.get("/oauth2/device?user_code=\(goodCode)").status == 404, "guessing is slowed down")
    }

    @Test func aProgramActsAsItsServiceAccount() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        let account: JSONValue = .object(["name": "bot", "roles": .array(["cpi-tenant"])])
        #expect(try await fixture.send("POST", "/v1/service-accounts?tenant=acme", account).status == 201)
        let body: JSONValue = .object([
            "name": "ci", "confidential": true, "grant_types": .array(["client_credentials"]),
            "scopes": .array(["platform"]), "service_account": "bot",
        ])
        #expect(
            try await fixture.send("POST", "/v1/oauth-clients", token: "cpi-tenant@acme", body).status == 403,
            "the scope platform")
        let made: TestAnswer = try await fixture.send("POST", "/v1/oauth-clients?tenant=acme", body)
        let client: TestClient = TestClient(
            fixture: fixture, id: made.json["id"]?.text ?? "", secret: made.json["secret"]?.text)
        let answer: TestAnswer = try await client.ask(
            "/oauth2/token", [("grant_type", "client_credentials"), ("scope", "platform")])
        let token: String = try #require(answer.json["access_token"]?.text)
        #expect(answer.json["refresh_token"] == nil)
        #expect(try await fixture.send("GET", "/v1/groups", token: token).status == 200)
        #expect(try await client.introspect(token)["active"]?.boolean == true)
        #expect(try await client.userinfo(token).status == 401)
        let disabled: JSONValue = .object(["state": "disabled"])
        #expect(try await fixture.send("PATCH", "/v1/service-accounts/bot?tenant=acme", disabled).status == 200)
        #expect(try await fixture.send("GET", "/v1/groups", token: token).status == 401)
        #expect(try await client.ask("/oauth2/token", [("grant_type", "client_credentials")]).status == 400)
    }

    // MARK: Keys and clients

    @Test func keysRotateWithOverlap() async throws {
        let (fixture, browser, client, _) = try await Self.make()
        func published() async throws -> [String] {
            try await fixture.harness.submit("GET", "/.well-known/jwks.json").json["keys"]?.elements?.compactMap {
                $0["kid"]?.text
            } ?? []
        }
        func signer(_ token: String) throws -> String {
            let head: Substring = token.split(separator: ".")[0]
            return try JSONReader.parse(try #require(Base64.decodeURL(String(head))))["kid"]?.text ?? ""
        }
        let old: String = try await published()[0]
        let before: String = try await fixture.signIn("ada")
        #expect(try await fixture.send("POST", "/v1/signing-keys", token: before).status == 403)
        let made: TestAnswer = try await fixture.send("POST", "/v1/signing-keys")
        let new: String = try #require(made.json["id"]?.text)
        #expect(try await published() == [old, new])
        #expect(try signer(try await fixture.signIn("ada")) == old, "nobody knows the new one yet")
        fixture.harness.clock.advance(by: .seconds(600))
        try await fixture.identity.keys.reload()
        let after: TestAnswer = try await client.tokens(browser)
        #expect(try signer(after.json["access_token"]?.text ?? "") == new)
        for token in [before, try await fixture.signIn("ada")] {
            #expect(try await fixture.send("GET", "/v1/me", token: token).status == 200)
        }
        fixture.harness.clock.advance(by: .seconds(8 * 3_600 + 61))
        try await fixture.identity.keys.reload()
        #expect(try await published() == [new], "no token of the old one is left")
        #expect(try await fixture.harness.auditEntries("signing-key.rotated").count == 1)
    }

    @Test(arguments: [
        ("http://shop.example/cb", false), ("https://shop.example/cb", true), ("https://*.example/cb", false),
        ("https://shop.example/cb#x", false), ("https://a@shop.example/cb", false), ("com.example.app:/cb", true),
        ("javascript:alert(1)", false), ("data:text/html,x", false), ("http://localhost:1/cb", true),
        ("http://127.0.0.1.evil.example/cb", false), ("https://shop.example\\@evil.example/", false), ("/cb", false),
        ("https://shop.example/cb a", false),
    ])
    func takesOnlyAddressesThatCanBeTrusted(address: String, isFine: Bool) {
        #expect((OAuthClient.problem(address: address) == nil) == isFine)
    }

    @Test func aTenantRegistersNoClientThatActsAsItsUsers() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        func register(_ changes: JSONObject, token: String = "cpi-tenant@acme") async throws -> Int {
            var body: JSONObject = [
                "name": "Shop", "confidential": true, "redirect_uris": .array([.string(TestClient.redirectURI)]),
                "grant_types": .array(["authorization_code"]), "scopes": .array(["openid"]),
            ]
            for member in changes.members { body[member.key] = member.value }
            return try await fixture.send("POST", "/v1/oauth-clients", token: token, .object(body)).status
        }
        #expect(try await register([:]) == 201)
        #expect(try await register(["trusted": true]) == 403)
        #expect(try await register(["scopes": .array(["openid", "platform"])]) == 403)
        #expect(try await register(["tenant": "globex"]) == 400)
        #expect(try await register(["redirect_uris": .array([])]) == 400)
        #expect(try await register([:], token: "devops@acme") == 403)
        let listed: TestAnswer = try await fixture.send("GET", "/v1/oauth-clients", token: "cpi-tenant@acme")
        let id: String = try #require(listed.items("id").first)
        #expect(listed.items.first?["secret"] == nil)
        #expect(try await fixture.send("GET", "/v1/oauth-clients/\(id)", token: "cpi-tenant@globex").status == 404)
        #expect(try await fixture.send("DELETE", "/v1/oauth-clients/\(id)", token: "cpi-tenant@globex").status == 404)
    }
}
