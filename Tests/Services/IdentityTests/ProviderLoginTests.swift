import Bytes
import Contracts
import Crypto
import HTTP
import JSON
import REST
import ServiceTestKit
import TestKit
import Testing
import Time
import Tokens

@testable import Identity

/// Sign-in by an identity provider: what it makes of people, and everything that must not work.
struct ProviderLoginTests {
    struct Place {
        let fixture: IdentityFixture
        let provider: FakeProvider
        let browser: Browser
        let client: TestClient

        init(_ change: (inout IdentityProviderSettings) -> Void = { _ in }) async throws {
            let clock: ManualClock = ManualClock()
            let provider: FakeProvider = try FakeProvider(clock: clock)
            var settings: IdentityProviderSettings = provider.settings()
            change(&settings)
            self.provider = provider
            self.fixture = try await IdentityFixture(clock: clock, providers: [settings], calls: provider)
            self.browser = Browser(self.fixture)
            self.client = try await TestClient.register(self.fixture, ["trusted": true])
            provider.change {
                $0.accessClaims["groups"] = .array(["/apim/acme/devops"])
            }
        }

        /// To the provider. - Returns: the address there.
        func leave() async throws -> String {
            let page: TestAnswer = try await self.browser.get(self.client.address(["prompt": "login"]))
            let link: Substring = try #require(
                page.text.split(separator: "<a href=\"").last?.split(separator: "\"").first)
            let target: String = link.split(separator: "&amp;", omittingEmptySubsequences: false).joined(separator: "&")
            let answer: TestAnswer = try await self.browser.get(target)
            try #require(answer.status == 303, "\(answer.text)")
            return answer.location
        }

        func back(_ location: String, code: String? = nil, _ changes: [String: String?] = [:]) async throws
            -> TestAnswer
        {
            let sent: QueryParameters = try QueryParameters.parse(String(location.split(separator: "?")[1]))
            var values: [String: String?] = [
                "code": code ?? self.provider.authorize(location), "state": sent["state"], "iss": self.provider.issuer,
            ]
            for (name, value) in changes { values[name] = value }
            let query: String = Browser.form(
                values.compactMap { name, value in value.map { (name, $0) } }.sorted { $0.0 < $1.0 })
            return try await self.browser.get("/oauth2/providers/staff/callback?\(query)")
        }

        /// All of it. - Returns: the tokens of our own client.
        func signIn() async throws -> JSONValue {
            let entered: TestAnswer = try await self.back(try await self.leave())
            try #require(entered.status == 303, "\(entered.text)")
            let code: String = try #require(try await self.browser.get(entered.location).sent("code"))
            return try await self.client.exchange(code).json
        }

        func users() async throws -> [JSONValue] { try await self.fixture.send("GET", "/v1/users").items }
    }

    @Test func whoTheProviderVouchesForBecomesAUserWithTheRolesOfTheRules() async throws {
        let place: Place = try await Place()
        let location: String = try await place.leave()
        #expect(location.hasPrefix("https://idp.example/realms/staff/auth?response_type=code&"))
        let tokens: JSONValue = try await place.signIn()
        let claims: JSONValue = try tokens.claims("id_token")
        #expect(claims["preferred_username"]?.text == "ada-lovelace@staff")
        #expect(claims["amr"] == nil, "how, the provider knows")
        let users: [JSONValue] = try await place.users()
        #expect(users.count == 1)
        #expect(IdentityFixture.roles(users[0]) == ["devops@acme"])
        #expect(users[0]["grants"]?.elements?.first?["provider"]?.text == "staff")
        let types: [String] = try await place.fixture.harness.auditTypes()
        #expect(types.filter { $0 == "user.created" }.count == 1)
        #expect(
            try await place.fixture.harness.auditEntries("session.created").last?["changes"]?["provider"] == "staff")
        let again: JSONValue = try await place.signIn()
        #expect(try again.claims("id_token")["sub"] == claims["sub"])
        #expect(try await place.users().count == 1)
    }

    @Test func theSignInPageOffersEachProviderWithItsNameEscaped() async throws {
        let place: Place = try await Place()
        let page: TestAnswer = try await place.browser.get(place.client.address())
        #expect(page.text.contains("Sign in with Staff &lt;1&gt;"))
        #expect(try await place.browser.get(place.client.address(), language: "fr").text.contains("Se connecter avec"))
    }

    @Test func rolesFollowTheProviderWithEverySignIn() async throws {
        let place: Place = try await Place()
        _ = try await place.signIn()
        place.fixture.harness.clock.advance(by: .seconds(60))
        place.provider.change {
            $0.accessClaims = ["realm_access": .object(["roles": .array(["apim-admin"])])]
        }
        _ = try await place.signIn()
        #expect(IdentityFixture.roles(try await place.users()[0]) == ["platform-admin"])
        place.fixture.harness.clock.advance(by: .seconds(60))
        place.provider.change { $0.accessClaims = [:] }
        let entered: TestAnswer = try await place.back(try await place.leave())
        #expect(entered.status == 303, "a user stays one without roles")
        #expect(IdentityFixture.roles(try await place.users()[0]) == [])
        #expect(try await place.fixture.harness.auditEntries("user.roles-mapped").count == 3, "each tenant has its own")
    }
}

extension ProviderLoginTests {
    // MARK: What an answer must be

    @Test(
        arguments: [
            ("another state", ["state": "x"], 403), ("no state", ["state": nil], 403),
            ("another issuer", ["iss": "https://evil.example"], 403),
            ("no issuer though it is announced", ["iss": nil], 403),
            ("no code", ["code": nil], 403), ("an error", ["error": "access_denied"], 403),
            ("a code of nobody", ["code": "code-of-nobody"], 403),
        ] as [(String, [String: String?], Int)])
    func anAnswerThatDoesNotFitLetsNobodyIn(what: String, changes: [String: String?], status: Int) async throws {
        let place: Place = try await Place()
        let answer: TestAnswer = try await place.back(try await place.leave(), changes)
        #expect(answer.status == status, "\(what): \(answer.text)")
        #expect(place.browser.cookies["passerelle"] == nil)
        #expect(try await place.users().isEmpty)
        #expect(!answer.text.contains("evil"))
    }

    @Test func anAnswerWorksOnceAndInTheBrowserThatBegan() async throws {
        let place: Place = try await Place()
        let location: String = try await place.leave()
        let code: String = place.provider.authorize(location)
        let stolen: Browser = Browser(place.fixture)
        let mine: [String: String] = place.browser.cookies
        place.browser.cookies = stolen.cookies
        #expect(try await place.back(location, code: code).status == 403, "another browser")
        place.browser.cookies = mine
        #expect(try await place.back(location, code: code).status == 303)
        #expect(place.browser.cookies["passerelle-provider"] == nil)
        #expect(try await place.back(location, code: code).status == 403, "again")
    }

    @Test func anAnswerComesWithinTenMinutes() async throws {
        let place: Place = try await Place()
        let location: String = try await place.leave()
        place.fixture.harness.clock.advance(by: .seconds(600))
        #expect(try await place.back(location).status == 403)
    }

    @Test(arguments: [
        "https://evil.example/", "//evil.example", "/v1/users", "/oauth2/authorize", "javascript:alert(1)",
        "/oauth2/authorize?\r\nSet-Cookie: a=b", "/oauth2/providers/staff/login?target=/oauth2/authorize?",
        "/oauth2/authorize?state=" + String(repeating: "x", count: 3_000),
    ])
    func nobodyIsSentOnToSomewhereElse(target: String) async throws {
        let place: Place = try await Place()
        let answer: TestAnswer = try await place.browser.get(
            "/oauth2/providers/staff/login?\(Browser.form([("target", target)]))")
        #expect(answer.status == 400)
        #expect(answer.fields["Location"] == nil)
        #expect(place.provider.calls.isEmpty)
    }

    // MARK: What its tokens must be

    @Test(
        arguments: [
            ("another issuer", ["iss": "https://idp.example/realms/other"]), ("for another client", ["aud": "other"]),
            ("for several and none is said to be us", ["aud": .array(["passerelle-web", "other"])]),
            ("for several and another is meant", ["aud": .array(["passerelle-web", "other"]), "azp": "other"]),
            ("another nonce", ["nonce": "x"]), ("no nonce", ["nonce": .null]), ("expired", ["exp": 1_767_225_000]),
            ("no expiry", ["exp": .null]), ("no subject", ["sub": ""]), ("of somebody else", ["sub": "somebody-else"]),
            ("of the future", ["iat": 1_767_999_999]),
            ("of another access token", ["at_hash": "AAAAAAAAAAAAAAAAAAAAAA"]),
        ] as [(String, JSONObject)])
    func anIDTokenThatDoesNotFitLetsNobodyIn(what: String, claims: JSONObject) async throws {
        let place: Place = try await Place()
        place.provider.change { $0.idClaims = claims }
        let answer: TestAnswer = try await place.back(try await place.leave())
        #expect(answer.status == 403, "\(what)")
        #expect(try await place.users().isEmpty)
        #expect(place.browser.cookies["passerelle"] == nil)
    }

    @Test func aTokenThatSomebodyElseSignedLetsNobodyIn() async throws {
        let place: Place = try await Place()
        let location: String = try await place.leave()
        place.provider.setKeys([("k1", try TestSigningKey.other.get())])
        #expect(try await place.back(location).status == 403, "the keys that are known are another's")
    }

    @Test(arguments: ["none", "HS256"])
    func aTokenWithoutARealSignatureLetsNobodyIn(algorithm: String) async throws {
        let place: Place = try await Place()
        let location: String = try await place.leave()
        let sent: QueryParameters = try QueryParameters.parse(String(location.split(separator: "?")[1]))
        let header: JSONValue = .object(["alg": .string(algorithm), "typ": "JWT", "kid": "k1"])
        let claims: JSONValue = .object([
            "iss": .string(place.provider.issuer), "sub": "f3a1", "aud": "passerelle-web",
            "nonce": .string(sent["nonce"] ?? ""), "iat": 1_767_225_600, "exp": 1_767_225_900,
        ])
        let signed: String = TokenTests.encoded(header) + "." + TokenTests.encoded(claims)
        let key: PublicKey = try TestSigningKey.key.get().publicKey()
        let mac: [UInt8] = HMACSHA256.authenticate(Array(signed.utf8), key: Array(try key.pem().utf8))
        let token: String = signed + "." + (algorithm == "none" ? "" : Base64.encodeURL(mac))
        place.provider.change { $0.answer["id_token"] = .string(token) }
        #expect(try await place.back(location).status == 403)
        #expect(try await place.users().isEmpty)
    }

    @Test func rolesOfSomebodyElsesAccessTokenAreNotTaken() async throws {
        let place: Place = try await Place()
        place.provider.change { $0.accessClaims["sub"] = "the-administrator" }
        #expect(try await place.back(try await place.leave()).status == 403)
    }

    @Test func rolesMayComeFromTheIDTokenOrUserinfo() async throws {
        let place: Place = try await Place { $0.rolesFrom = .idToken }
        place.provider.change { $0.idClaims["groups"] = .array(["/apim/globex/devops"]) }
        _ = try await place.signIn()
        #expect(IdentityFixture.roles(try await place.users()[0]) == ["devops@globex"])
        let other: Place = try await Place { $0.rolesFrom = .userinfo }
        other.provider.change { $0.userinfo = ["sub": "f3a1", "groups": .array(["/apim/acme/devops"])] }
        _ = try await other.signIn()
        #expect(IdentityFixture.roles(try await other.users()[0]) == ["devops@acme"])
        other.provider.change { $0.userinfo["sub"] = "x" }
        #expect(try await other.back(try await other.leave()).status == 403)
    }

    @Test(
        arguments: [
            ("of another issuer", ["issuer": "https://evil.example"]),
            ("leads from https to http", ["token_endpoint": "http://idp.example/token"]),
            ("no sign-in", ["authorization_endpoint": .null]),
            ("keys are no address", ["jwks_uri": "file:///etc/passwd"]),
            ("no PKCE", ["code_challenge_methods_supported": .array(["plain"])]),
        ] as [(String, JSONObject)])
    func metadataThatCannotBeTrustedLeadNowhere(what: String, metadata: JSONObject) async throws {
        let place: Place = try await Place()
        place.provider.change { $0.metadata = metadata }
        let answer: TestAnswer = try await place.browser.get(
            "/oauth2/providers/staff/login?\(Browser.form([("target", place.client.address())]))")
        #expect(answer.status == 503, "\(what)")
        let shown: TestAnswer = try await place.fixture.send("GET", "/v1/identity-providers")
        #expect((shown.items[0]["problem"]?.text?.isEmpty == false) == (what != "no sign-in"))
        #expect(!String(decoding: shown.bytes, as: UTF8.self).contains("s3cret"))
    }

    @Test func aProviderThatIsAwayIsNotAskedByEveryBrowser() async throws {
        let place: Place = try await Place()
        place.provider.change { $0.status = 0 }
        for _ in 0..<5 {
            let answer: TestAnswer = try await place.browser.get(
                "/oauth2/providers/staff/login?\(Browser.form([("target", place.client.address())]))")
            #expect(answer.status == 503)
        }
        #expect(place.provider.calls.count == 1)
        place.fixture.harness.clock.advance(by: .seconds(10))
        place.provider.change { $0.status = 200 }
        _ = try await place.signIn()
    }

    /// As providers do that stumble over two sign-ins of one person in a moment.
    @Test(arguments: [500, 502, 503, 429])
    func aProviderThatStumblesLeavesAWayToTryAgain(status: Int) async throws {
        let place: Place = try await Place()
        let location: String = try await place.leave()
        place.provider.change { $0.tokenStatus = status }
        let answer: TestAnswer = try await place.back(location)
        #expect(answer.status == 503)
        #expect(answer.text.contains("does not work right now"))
        #expect(answer.text.contains("href=\"/oauth2/providers/staff/login?target="))
        #expect(try await place.fixture.harness.auditEntries("session.created").isEmpty)
        place.provider.change { $0.tokenStatus = 200 }
        _ = try await place.signIn()
    }

    // MARK: Who it is

    @Test func nobodyIsTakenForSomebodyWithTheSameName() async throws {
        let place: Place = try await Place()
        try await place.fixture.makeUser("ada-lovelace@staff", ["auditor@acme"])
        let claims: JSONValue = try await place.signIn().claims("id_token")
        #expect(claims["preferred_username"]?.text == "ada-lovelace@staff-2")
        place.provider.change { $0.subject = "another" }
        let other: JSONValue = try await place.signIn().claims("id_token")
        #expect(other["preferred_username"]?.text == "ada-lovelace@staff-3")
        #expect(other["sub"] != claims["sub"])
    }

    @Test func whoHasNoRoleByTheRulesDoesNotComeIn() async throws {
        let place: Place = try await Place()
        place.provider.change { $0.accessClaims = ["groups": .array(["/apim/NOT A SLUG/devops", "/other"])] }
        let answer: TestAnswer = try await place.back(try await place.leave())
        #expect(answer.status == 403)
        #expect(answer.text.contains("no access"))
        #expect(try await place.users().isEmpty)
    }

    @Test func aCustomRoleMustBeThere() async throws {
        let place: Place = try await Place()
        place.provider.change { $0.accessClaims = ["groups": .array(["/apim/acme/own"])] }
        #expect(try await place.back(try await place.leave()).status == 403)
        let role: TestAnswer = try await place.fixture.send(
            "PUT", "/v1/roles/own-role?tenant=acme", .object(["permissions": .array(["catalog:api:read"])]))
        try #require(role.status == 201)
        _ = try await place.signIn()
        #expect(IdentityFixture.roles(try await place.users()[0]) == ["own-role@acme"])
        #expect(try await place.fixture.send("DELETE", "/v1/roles/own-role?tenant=acme").status == 409, "it is held")
    }

    @Test func withoutJustInTimeUsersOnlyThoseKnownComeIn() async throws {
        let place: Place = try await Place { $0.makesUsers = false }
        #expect(try await place.back(try await place.leave()).status == 403)
        #expect(try await place.users().isEmpty)
    }

    @Test func aUserOfAProviderHasNoPassword() async throws {
        let place: Place = try await Place()
        _ = try await place.signIn()
        for password in ["", "plain:", User.noPassword, IdentityFixture.password, Password.dummy] {
            let answer: TestAnswer = try await place.fixture.send(
                "POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada-lovelace@staff", password))
            #expect(answer.status == 401 || answer.status == 400)
        }
    }

    @Test func aDisabledUserDoesNotComeBackByTheProvider() async throws {
        let place: Place = try await Place()
        _ = try await place.signIn()
        let id: String = try #require(try await place.users()[0]["id"]?.text)
        #expect(try await place.fixture.send("PATCH", "/v1/users/\(id)", .object(["state": "disabled"])).status == 200)
        #expect(try await place.back(try await place.leave()).status == 403)
        #expect(try await place.fixture.send("GET", "/v1/me", token: place.provider.accessToken()).status == 401)
    }

    @Test func aProviderThatIsTakenOutOfTheSettingsGivesNothingMore() async throws {
        let place: Place = try await Place()
        let platform: TestClient = try await TestClient.register(
            place.fixture, ["trusted": true, "scopes": .array(["openid", "platform"]), "confidential": false])
        _ = try await place.signIn()
        let code: String = try #require(
            try await place.browser.get(platform.address(["scope": "openid platform"])).sent("code"))
        let token: String = try #require(try await platform.exchange(code).json["access_token"]?.text)
        #expect(try await place.fixture.send("GET", "/v1/me", token: token).status == 200)
        let after: IdentityFixture = try await place.fixture.restarted()
        #expect(try await after.send("GET", "/v1/me", token: token).status == 401, "its sessions have ended")
        #expect(IdentityFixture.roles(try await after.send("GET", "/v1/users").items[0]) == [])
    }

    @Test func aSecondFactorThatTheProviderSawCounts() async throws {
        let place: Place = try await Place()
        _ = try await place.signIn()
        place.provider.change { $0.idClaims["amr"] = .array(["pwd", "otp"]) }
        _ = try await place.signIn()
        let id: String = try #require(try await place.users()[0]["id"]?.text)
        let sessions: [JSONValue] = try await place.fixture.send("GET", "/v1/users/\(id)/sessions").items
        #expect(sessions.map { $0["second_factor_at"] != .null } == [false, true])
        #expect(sessions.map { $0["provider"]?.text } == ["staff", "staff"])
    }

    // MARK: Access tokens at the control plane

    @Test func anAccessTokenOfTheProviderIsTakenAtTheControlPlane() async throws {
        let place: Place = try await Place()
        let token: String = place.provider.accessToken()
        let me: TestAnswer = try await place.fixture.send("GET", "/v1/me", token: token)
        #expect(me.status == 200)
        #expect(IdentityFixture.roles(me.json) == ["devops@acme"])
        #expect(try await place.fixture.send("GET", "/v1/users", token: token).status == 200)
        let made: TestAnswer = try await place.fixture.send(
            "POST", "/v1/tokens", token: token, .object(["name": "x", "scopes": .array(["*:*:*"])]))
        #expect(made.status == 403, "nothing that outlives it")
        place.fixture.harness.clock.advance(by: .seconds(331))
        #expect(try await place.fixture.send("GET", "/v1/me", token: token).status == 401, "expired")
    }

    @Test(
        arguments: [
            ("for another audience", ["aud": "account"], "JWT"), ("for none", ["aud": .null], "JWT"),
            ("an id token", ["nonce": "n"], "JWT"), ("an id token, too", ["at_hash": "x"], "JWT"),
            ("a logout token", [:], "logout+jwt"), ("of another issuer", ["iss": "https://evil.example"], "JWT"),
            ("as if it were ours", ["iss": .string(IdentityFixture.issuer), "aud": "passerelle"], "at+jwt"),
        ] as [(String, JSONObject, String)])
    func otherTokensOfTheProviderAreNot(what: String, changes: JSONObject, type: String) async throws {
        let place: Place = try await Place()
        // The provider's keys are not ours.
        place.provider.setKeys([("k1", try TestSigningKey.other.get())])
        let token: String = place.provider.accessToken(changes, type: type)
        #expect(try await place.fixture.send("GET", "/v1/me", token: token).status == 401, "\(what)")
        #expect(try await place.users().isEmpty)
    }

    @Test func withoutAnAudienceNoTokenIsTaken() async throws {
        let place: Place = try await Place { $0.audiences = [] }
        #expect(try await place.fixture.send("GET", "/v1/me", token: place.provider.accessToken()).status == 401)
    }

    @Test func anOlderTokenDoesNotBringRolesBack() async throws {
        let place: Place = try await Place()
        place.provider.change { $0.accessClaims["realm_access"] = .object(["roles": .array(["apim-admin"])]) }
        let old: String = place.provider.accessToken()
        place.fixture.harness.clock.advance(by: .seconds(2))
        place.provider.change { $0.accessClaims["realm_access"] = nil }
        let new: String = place.provider.accessToken()
        #expect(
            IdentityFixture.roles(try await place.fixture.send("GET", "/v1/me", token: new).json) == ["devops@acme"])
        #expect(
            IdentityFixture.roles(try await place.fixture.send("GET", "/v1/me", token: old).json) == ["devops@acme"])
    }

    @Test func endingAllSessionsEndsTheProvidersTokensToo() async throws {
        let place: Place = try await Place()
        let token: String = place.provider.accessToken()
        let id: String = try #require(try await place.fixture.send("GET", "/v1/me", token: token).json["id"]?.text)
        place.fixture.harness.clock.advance(by: .seconds(2))
        #expect(try await place.fixture.send("DELETE", "/v1/users/\(id)/sessions").status == 204)
        #expect(try await place.fixture.send("GET", "/v1/me", token: token).status == 401)
        let after: IdentityFixture = try await place.fixture.restarted(
            providers: [place.provider.settings()], calls: place.provider)
        #expect(try await after.send("GET", "/v1/me", token: token).status == 401, "after a restart, too")
        #expect(
            try await after.send("GET", "/v1/me", token: place.provider.accessToken()).status == 200,
            "a later one works")
    }

    @Test func aNewKeyIsFetchedOnceItIsNeededAndNotAtWill() async throws {
        let place: Place = try await Place()
        #expect(try await place.fixture.send("GET", "/v1/me", token: place.provider.accessToken()).status == 200)
        let next: PrivateKey = try TestSigningKey.other.get()
        place.provider.setKeys([("k1", try TestSigningKey.key.get()), ("k2", next)])
        place.provider.change { $0.keyID = "k2" }
        let before: Int = place.provider.calls.count
        #expect(try await place.fixture.send("GET", "/v1/me", token: place.provider.accessToken()).status == 401)
        #expect(place.provider.calls.count == before, "not so soon")
        place.fixture.harness.clock.advance(by: .seconds(10))
        #expect(try await place.fixture.send("GET", "/v1/me", token: place.provider.accessToken()).status == 200)
        place.provider.change { $0.keyID = "unknown" }
        for _ in 0..<5 {
            #expect(
                try await place.fixture.send("GET", "/v1/me", token: place.provider.accessToken(["jti": "x"])).status
                    == 401)
        }
        #expect(place.provider.calls.count == before + 2)
    }
}
