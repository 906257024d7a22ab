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

/// Passkeys over REST: their life, and what must not work.
struct PasskeyTests {
    @Test(arguments: [KeyKind.p256, .ed25519, .rsa])
    func aPasskeyIsMadeNamedShownAndRemoved(kind: KeyKind) async throws {
        let place: PasskeyPlace = try await PasskeyPlace(kind)
        let token: String = try await place.token()
        let made: TestAnswer = try await place.register(token)
        try #require(made.status == 201, "\(made.json)")
        #expect(made.json["recovery_codes"]?.elements?.count == 10)
        let id: String = try #require(made.json["id"]?.text)
        #expect(id.hasPrefix("psk_"))
        let renamed: TestAnswer = try await place.fixture.send(
            "PATCH", "/v1/me/passkeys/\(id)", token: token, .object(["name": "Téléphone"]))
        #expect(renamed.json["name"]?.text == "Téléphone")
        place.clock.advance(by: .seconds(600))
        #expect(try await place.fixture.send("DELETE", "/v1/me/passkeys/\(id)", token: token).status == 401)
        place.authenticator.behaviour.counter = 1
        #expect(try await place.stepUp(token).status == 204)
        let listed: [JSONValue] = try await place.fixture.send("GET", "/v1/me/passkeys", token: token).items
        #expect(listed.count == 1)
        #expect(listed[0]["used_at"]?.text != nil)
        #expect(try await place.fixture.send("DELETE", "/v1/me/passkeys/\(id)", token: token).status == 204)
        let left: JSONValue = try await place.fixture.send("GET", "/v1/me/second-factor", token: token).json
        #expect(left["recovery_codes_left"] == 0, "they go with the last factor")
        #expect(
            try await place.fixture.harness.auditTypes().filter { $0.hasPrefix("passkey.") }
                == ["passkey.created", "passkey.renamed", "passkey.removed"])
        let changes: [JSONValue] = try await place.fixture.harness.events(Topics.identityEvents).filter {
            $0["event"]?.text == "mfa-changed"
        }
        #expect(changes.count == 3)
    }

    @Test func anIssuerThatIsAnAddressHasNone() async throws {
        let fixture: IdentityFixture = try await IdentityFixture()
        try await fixture.makeUser("ada")
        let token: String = try await fixture.signIn("ada")
        #expect(try await fixture.send("POST", "/v1/me/passkeys/options", token: token).status == 409)
        let page: TestAnswer = try await Browser(fixture).get("/oauth2/device?x=1")
        #expect(!page.text.contains("passkey") && !page.text.contains("<script"))
    }

    @Test func onlyWhoSignedInLatelySetsUpTheFirst() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let token: String = try await place.token()
        place.clock.advance(by: .seconds(600))
        let late: TestAnswer = try await place.fixture.send("POST", "/v1/me/passkeys/options", token: token)
        #expect(late.status == 401)
        #expect(late.fields["WWW-Authenticate"]?.contains("acr_values=\"urn:passerelle:acr:two-factors\"") == true)
    }

    @Test func aPasskeyIsASecondFactorLikeAnApp() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let made: TestAnswer = try await place.register(try await place.token())
        let codes: [String] = (made.json["recovery_codes"]?.elements ?? []).compactMap(\.text)
        let wrong: TestAnswer = try await place.fixture.send(
            "POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada"))
        #expect(wrong.status == 401, "a password alone is not enough")
        let right: TestAnswer = try await place.fixture.send(
            "POST", "/v1/sessions", token: nil,
            .object(["user": "ada", "password": .string(IdentityFixture.password), "code": .string(codes[0])]))
        #expect(right.status == 201)
    }

    // MARK: Attacks

    @Test func aChallengeIsOfItsSessionAndItsPurposeAndItsTime() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let (token, other): (String, String) = (try await place.token(), try await place.token())
        let begun: TestAnswer = try await place.fixture.send("POST", "/v1/me/passkeys/options", token: token)
        let body: JSONValue = .object([
            "name": "Phone", "challenge": begun.json["challenge"] ?? .null,
            "credential": try place.authenticator.register(begun.json["public_key"] ?? .null),
        ])
        #expect(try await place.fixture.send("POST", "/v1/me/passkeys", token: other, body).status == 400)
        place.clock.advance(by: .seconds(301))
        #expect(try await place.fixture.send("POST", "/v1/me/passkeys", token: token, body).status == 400)
        #expect(try await place.register(token).status == 201)
        let stepUp: TestAnswer = try await place.fixture.send("POST", "/v1/me/second-factor/options", token: token)
        let another: SoftwareAuthenticator = try PasskeyPlace.authenticator()
        let swapped: JSONValue = .object([
            "name": "Phone", "challenge": stepUp.json["challenge"] ?? .null,
            "credential": try another.register(stepUp.json["public_key"] ?? .null),
        ])
        #expect(try await place.fixture.send("POST", "/v1/me/passkeys", token: token, swapped).status == 400)
    }

    @Test func anAnswerCountsOnce() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let token: String = try await place.token()
        let begun: TestAnswer = try await place.fixture.send("POST", "/v1/me/passkeys/options", token: token)
        let body: JSONValue = .object([
            "name": "Phone", "challenge": begun.json["challenge"] ?? .null,
            "credential": try place.authenticator.register(begun.json["public_key"] ?? .null),
        ])
        let made: TestAnswer = try await place.fixture.send("POST", "/v1/me/passkeys", token: token, body)
        #expect(made.status == 201)
        #expect(
            try await place.fixture.send("DELETE", "/v1/me/passkeys/\(made.json["id"]?.text ?? "")", token: token)
                .status == 204)
        #expect(try await place.fixture.send("POST", "/v1/me/passkeys", token: token, body).status == 400)
        #expect(try await place.register(token).status == 201)
        let options: TestAnswer = try await place.fixture.send("POST", "/v1/me/second-factor/options", token: token)
        let shown: JSONValue = .object([
            "challenge": options.json["challenge"] ?? .null,
            "credential": try place.authenticator.sign(options.json["public_key"] ?? .null),
        ])
        let path: String = "/v1/me/second-factor/passkey"
        #expect(try await place.fixture.send("POST", path, token: token, shown).status == 204)
        #expect(try await place.fixture.send("POST", path, token: token, shown).status == 400, "replayed")
    }

    enum Lie: CaseIterable {
        case origin, party, presence, tampered, challenge, handle, credential
    }

    @Test(arguments: Lie.allCases)
    func nothingOfALieIsTaken(lie: Lie) async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let token: String = try await place.token()
        #expect(try await place.register(token).status == 201)
        switch lie {
        case .origin: place.authenticator.behaviour.origin = "http://localhost:8002"
        case .party: place.authenticator.behaviour.relyingPartyID = "example"
        case .presence: place.authenticator.behaviour.flags = 0
        case .tampered: place.authenticator.behaviour.tampering = { $0[36] ^= 1 }
        case .challenge: place.authenticator.behaviour.clientDataMore = ["challenge": "AAAA"]
        case .handle: place.authenticator.behaviour.userHandle = [9, 9]
        case .credential: break
        }
        guard lie == .credential else {
            #expect(try await place.stepUp(token).status == 400)
            return
        }
        // The passkey of somebody else, with their own signature.
        try await place.fixture.makeUser("eve")
        let eve: String = try await place.fixture.signIn("eve")
        let hers: SoftwareAuthenticator = try PasskeyPlace.authenticator()
        #expect(try await place.register(eve, hers).status == 201)
        let options: TestAnswer = try await place.fixture.send("POST", "/v1/me/second-factor/options", token: token)
        let body: JSONValue = .object([
            "challenge": options.json["challenge"] ?? .null,
            "credential": try hers.sign(options.json["public_key"] ?? .null),
        ])
        #expect(try await place.fixture.send("POST", "/v1/me/second-factor/passkey", token: token, body).status == 400)
        #expect(try await place.fixture.send("GET", "/v1/me/passkeys", token: eve).items.count == 1)
        let id: String = try await place.fixture.send("GET", "/v1/me/passkeys", token: eve).items[0]["id"]?.text ?? ""
        #expect(try await place.fixture.send("DELETE", "/v1/me/passkeys/\(id)", token: token).status == 404)
        #expect(
            try await place.fixture.send("PATCH", "/v1/me/passkeys/\(id)", token: token, .object(["name": "mine"]))
                .status == 404)
    }

    @Test func aCounterThatGoesBackEndsThePasskey() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let token: String = try await place.token()
        place.authenticator.behaviour.counter = 5
        #expect(try await place.register(token).status == 201)
        place.authenticator.behaviour.counter = 6
        #expect(try await place.stepUp(token).status == 204)
        #expect(try await place.stepUp(token).status == 400, "a clone, or the original after one")
        place.authenticator.behaviour.counter = 7
        let options: TestAnswer = try await place.fixture.send("POST", "/v1/me/second-factor/options", token: token)
        #expect(options.status == 409, "not taken any more, whatever it counts")
        let listed: [JSONValue] = try await place.fixture.send("GET", "/v1/me/passkeys", token: token).items
        #expect(listed[0]["suspended_at"]?.text != nil)
        #expect(try await place.fixture.harness.auditTypes().last == "passkey.suspended")
        let alone: TestAnswer = try await place.fixture.send(
            "POST", "/v1/sessions", token: nil, IdentityFixture.credentials("ada"))
        #expect(alone.status == 401, "nor does the password alone open anything now")
    }

    @Test func aTokenMakesNoPasskeyAndNoSecretIsKept() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        let session: String = try await place.token()
        let made: TestAnswer = try await place.fixture.send(
            "POST", "/v1/tokens", token: session, .object(["name": "ci", "scopes": .array(["*:*:*"])]))
        let token: String = made.json["token"]?.text ?? ""
        #expect(try await place.fixture.send("POST", "/v1/me/passkeys/options", token: token).status == 401)
        #expect(try await place.register(session).status == 201)
        let user: String = place.user
        let handle: [UInt8]? = try await place.fixture.harness.services.store.read {
            try PasskeyTable.handle(of: user, in: $0)
        }
        #expect(handle?.count == 32)
        #expect(handle == place.authenticator.behaviour.userHandle)
        let log: String = try await place.fixture.harness.events(Topics.auditLog).map(\.jsonText).joined()
        #expect(!log.contains("Phone") && !log.contains(Base64.encodeURL(handle ?? [])))
    }

    @Test func anAdministratorRemovesAllOfThem() async throws {
        let place: PasskeyPlace = try await PasskeyPlace()
        #expect(try await place.register(try await place.token()).status == 201)
        #expect(try await place.fixture.send("DELETE", "/v1/users/\(place.user)/second-factor").status == 204)
        let token: String = try await place.token()
        #expect(try await place.fixture.send("GET", "/v1/me/passkeys", token: token).items.isEmpty)
    }
}
