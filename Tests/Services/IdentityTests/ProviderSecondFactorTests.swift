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

@testable import Identity

/// Second factors of users of providers, and their signing out.
struct ProviderSecondFactorTests {
    private typealias Place = ProviderLoginTests.Place

    /// Sets up an app on the page. - Returns: what shows its code.
    private static func enrol(_ place: Place) async throws -> String {
        let page: TestAnswer = try await place.browser.get("/oauth2/factors")
        let app: TestAnswer = try await place.browser.post("/oauth2/factors", try PasskeyPlace.form(page, "begin-app"))
        let user: String = try #require(try await place.users().first?["id"]?.text)
        let code: String = try await Self.code(place, user)
        let done: TestAnswer = try await place.browser.post(
            "/oauth2/factors", try PasskeyPlace.form(app, "confirm-app") + [("code", code)])
        #expect(done.text.contains("recovery codes"), "\(done.text)")
        return user
    }

    private static func code(_ place: Place, _ user: String) async throws -> String {
        let app: SecondFactor = try #require(
            try await place.fixture.harness.services.store.read { try SecondFactorTable.find(user, in: $0) })
        let secret: [UInt8] = try FixedSealer().open(app.sealed, name: "second-factor/\(user)")
        return OneTimePassword.code(secret: secret, step: OneTimePassword.step(at: place.fixture.harness.clock.now()))
    }

    @Test func aUserOfAProviderSetsOneUpAndIsAskedForIt() async throws {
        let place: Place = try await Place()
        _ = try await place.signIn()
        let user: String = try await Self.enrol(place)
        place.browser.cookies = [:]
        place.fixture.harness.clock.advance(by: .seconds(60))
        let step: TestAnswer = try await place.back(try await place.leave())
        #expect(step.status == 200)
        #expect(place.browser.cookies["passerelle"] == nil)
        let done: TestAnswer = try await place.browser.post(
            "/oauth2/challenge", try PasskeyPlace.form(step, "sign-in") + [("code", try await Self.code(place, user))])
        let code: String = try #require(try await place.browser.get(done.location).sent("code"))
        let claims: JSONValue = try (try await place.client.exchange(code)).json.claims("id_token")
        #expect(claims["amr"] == .array(["otp", "mfa"]))
    }

    @Test(arguments: [true, false])
    func theWordOfTheProviderCountsWhereTheSettingsSaySo(counts: Bool) async throws {
        let place: Place = try await Place { if !counts { $0.secondFactors = [] } }
        _ = try await place.signIn()
        _ = try await Self.enrol(place)
        place.browser.cookies = [:]
        place.fixture.harness.clock.advance(by: .seconds(60))
        place.provider.change { $0.idClaims["amr"] = .array(["pwd", "mfa"]) }
        let entered: TestAnswer = try await place.back(try await place.leave())
        #expect(entered.status == (counts ? 303 : 200))
        #expect(entered.text.contains("name=\"code\"") == !counts)
    }

    @Test func aPolicyAsksUsersOfProvidersToo() async throws {
        let place: Place = try await Place()
        let policy: JSONValue = .object(["roles": .array(["devops"])])
        #expect(try await place.fixture.send("PUT", "/v1/second-factor-policy?tenant=acme", policy).status == 200)
        let entered: TestAnswer = try await place.back(try await place.leave())
        let led: TestAnswer = try await place.browser.get(entered.location)
        #expect(led.location.hasPrefix("/oauth2/factors?next="))
        // Their tokens of the provider, too: by what it says of them.
        let token: String = place.provider.accessToken()
        let mine: TestAnswer = try await place.fixture.send("GET", "/v1/me/permissions?tenant=acme", token: token)
        #expect(mine.items.isEmpty)
        place.fixture.harness.clock.advance(by: .seconds(1))
        let strong: TestAnswer = try await place.fixture.send(
            "GET", "/v1/me/permissions?tenant=acme", token: place.provider.accessToken(["acr": "mfa"]))
        #expect(!strong.items.isEmpty)
    }

    // MARK: Signing out

    @Test func signingOutGoesByTheProviderAndBackToTheClient() async throws {
        let place: Place = try await Place()
        place.provider.change {
            $0.metadata["end_session_endpoint"] = .string("https://idp.example/realms/staff/logout")
        }
        let tokens: JSONValue = try await place.signIn()
        let hint: String = tokens["id_token"]?.text ?? ""
        let kept: [[UInt8]] = try await place.fixture.harness.services.store.read { reader in
            try reader.rows("SELECT sealed FROM provider_hints") { (row: Row) throws(StoreError) -> [UInt8] in
                try row.bytes(0)
            }
        }
        #expect(kept.count == 1)
        #expect(!String(decoding: kept[0], as: UTF8.self).contains("eyJ"), "sealed")
        let back: String = "http://127.0.0.1:9999/out"
        let out: TestAnswer = try await place.browser.get(
            "/oauth2/logout?"
                + Browser.form([("id_token_hint", hint), ("post_logout_redirect_uri", back), ("state", "x")]))
        #expect(out.status == 303)
        #expect(out.location.hasPrefix("https://idp.example/realms/staff/logout?id_token_hint=eyJ"))
        #expect(out.sent("client_id") == "passerelle-web")
        #expect(out.sent("post_logout_redirect_uri") == "\(IdentityFixture.issuer)/oauth2/signed-out")
        #expect(place.browser.cookies["passerelle"] == nil, "signed out here in any case")
        let state: String = try #require(out.sent("state"))
        let done: TestAnswer = try await place.browser.get("/oauth2/signed-out?" + Browser.form([("state", state)]))
        #expect(done.location == "\(back)?state=x")
        for wrong in ["", "x", String(state.dropLast(2)), "https://evil.example"] {
            let page: TestAnswer = try await place.browser.get(
                "/oauth2/signed-out?" + Browser.form([("state", wrong)]))
            #expect(page.status == 200 && page.location.isEmpty, "\(wrong)")
        }
        place.fixture.harness.clock.advance(by: .seconds(601))
        let late: TestAnswer = try await place.browser.get("/oauth2/signed-out?" + Browser.form([("state", state)]))
        #expect(late.location.isEmpty)
    }

    /// What the provider said of the sign-in waits, sealed, until the second factor was shown.
    @Test func theProviderIsToldWhichSignInEndsAlsoAfterASecondStep() async throws {
        let place: Place = try await Place()
        place.provider.change {
            $0.metadata["end_session_endpoint"] = .string("https://idp.example/realms/staff/logout")
        }
        _ = try await place.signIn()
        let user: String = try await Self.enrol(place)
        place.browser.cookies = [:]
        place.fixture.harness.clock.advance(by: .seconds(60))
        let step: TestAnswer = try await place.back(try await place.leave())
        #expect(try await Self.hints(place).contains { $0.hasPrefix("pending/\(user)/") })
        let wrong: TestAnswer = try await place.browser.post(
            "/oauth2/challenge", try PasskeyPlace.form(step, "sign-in") + [("code", "000000")])
        #expect(wrong.status == 401)
        let done: TestAnswer = try await place.browser.post(
            "/oauth2/challenge", try PasskeyPlace.form(step, "sign-in") + [("code", try await Self.code(place, user))])
        #expect(done.status == 303)
        #expect(try await Self.hints(place).allSatisfy { $0.hasPrefix("ses_") }, "none is left behind")
        let asked: TestAnswer = try await place.browser.get("/oauth2/logout")
        let out: TestAnswer = try await place.browser.post("/oauth2/logout", Browser.hidden(asked))
        #expect(out.location.hasPrefix("https://idp.example/realms/staff/logout?id_token_hint=eyJ"))
    }

    /// Whoever leaves it at the first half leaves nothing behind for long, and nothing at all once they are erased.
    @Test func whatWaitsForASecondStepEndsWithItAndWithItsUser() async throws {
        for isErased in [false, true] {
            let place: Place = try await Place()
            _ = try await place.signIn()
            let user: String = try await Self.enrol(place)
            place.browser.cookies = [:]
            place.fixture.harness.clock.advance(by: .seconds(60))
            _ = try await place.back(try await place.leave())
            let before: [String] = try await Self.hints(place)
            place.fixture.harness.clock.advance(by: isErased ? .zero : PendingSignIn.lifetime + .seconds(1))
            let store: Store = place.fixture.harness.services.store
            if isErased {
                try await store.write { try ProviderHintTable.deletePending(of: user, in: $0) }
            } else {
                try await ExpiredRows.delete(from: store)
            }
            #expect(before.count == 2)
            #expect(try await Self.hints(place).map { String($0.prefix(4)) } == ["ses_"])
        }
    }

    private static func hints(_ place: Place) async throws -> [String] {
        try await place.fixture.harness.services.store.read { reader in
            try reader.rows("SELECT session_id FROM provider_hints") { (row: Row) throws(StoreError) -> String in
                try row.text(0)
            }
        }
    }

    @Test func theFormThatAsksMayLeadThere() async throws {
        let place: Place = try await Place()
        place.provider.change {
            $0.metadata["end_session_endpoint"] = .string("https://idp.example/realms/staff/logout")
        }
        _ = try await place.signIn()
        let asked: TestAnswer = try await place.browser.get("/oauth2/logout")
        #expect(asked.fields["Content-Security-Policy"]?.contains("form-action 'self' https://idp.example;") == true)
        let out: TestAnswer = try await place.browser.post("/oauth2/logout", Browser.hidden(asked))
        #expect(out.location.hasPrefix("https://idp.example/realms/staff/logout?"))
    }

    @Test func aProviderThatDoesNotOfferItOrIsAwayIsInNobodysWay() async throws {
        let place: Place = try await Place()
        _ = try await place.signIn()
        let asked: TestAnswer = try await place.browser.get("/oauth2/logout")
        let out: TestAnswer = try await place.browser.post("/oauth2/logout", Browser.hidden(asked))
        #expect(out.status == 200)
        #expect(place.browser.cookies["passerelle"] == nil)
    }
}
