import AuthenticatorKit
import Bytes
import Crypto
import JSON
import Testing

@testable import WebAuthn

/// Both ceremonies, and everything about them that may be wrong.
struct CeremonyTests {
    private static let party: RelyingParty = RelyingParty(id: "apim.example", origin: "https://apim.example")

    private struct Ceremony {
        let challenge: [UInt8] = Random.bytes(32)
        let authenticator: SoftwareAuthenticator

        init(_ kind: KeyKind = .p256) throws {
            self.authenticator = try SoftwareAuthenticator(
                kind, origin: CeremonyTests.party.origin, relyingPartyID: CeremonyTests.party.id)
        }

        var options: JSONValue {
            .object([
                "challenge": .string(Base64.encodeURL(self.challenge)),
                "user": .object(["id": .string(Base64.encodeURL([1, 2, 3]))]),
            ])
        }

        func expectation(needsVerification: Bool = true) -> CeremonyExpectation {
            CeremonyExpectation(
                relyingParty: CeremonyTests.party, challenge: self.challenge, needsVerification: needsVerification)
        }

        func register(needsVerification: Bool = true) throws -> Registration.Credential {
            try Registration(try self.authenticator.register(self.options)).verify(
                self.expectation(needsVerification: needsVerification))
        }

        func use(_ key: COSEKey, needsVerification: Bool = true) throws -> Assertion.Use {
            try Assertion(try self.authenticator.sign(self.options)).verify(
                self.expectation(needsVerification: needsVerification), key: key)
        }
    }

    @Test(arguments: [KeyKind.p256, .ed25519, .rsa])
    func aPasskeyIsMadeAndUsed(kind: KeyKind) throws {
        let ceremony: Ceremony = try Ceremony(kind)
        ceremony.authenticator.behaviour.counter = 7
        let made: Registration.Credential = try ceremony.register()
        #expect(made.id == ceremony.authenticator.id)
        #expect(made.counter == 7)
        #expect(made.isVerified && made.isBackedUp)
        #expect(try made.key.encoded == ceremony.authenticator.publicKey())
        let kept: COSEKey = try COSEKey(parsing: made.key.encoded)
        ceremony.authenticator.behaviour.counter = 8
        #expect(try ceremony.use(kept) == Assertion.Use(counter: 8, isVerified: true, isBackedUp: true))
        #expect(throws: WebAuthnError.signature) { try ceremony.use(try Ceremony(kind).register().key) }
    }

    @Test func onlyKnownTransportsAreKept() throws {
        let ceremony: Ceremony = try Ceremony()
        #expect(
            try Registration(try ceremony.authenticator.register(ceremony.options)).transports == [
                "internal", "hybrid",
            ])
    }

    enum Lie: CaseIterable {
        case anotherOrigin, originInCapitals, anotherPort, withinAnother, withinAnotherNamed, anotherParty, nobodyThere
        case nobodyVerified, otherCeremony, anotherChallenge

        func tell(_ behaviour: inout SoftwareAuthenticator.Behaviour) -> WebAuthnError {
            switch self {
            case .anotherOrigin: behaviour.origin = "https://apim.example.evil"
            case .originInCapitals: behaviour.origin = "https://APIM.example"
            case .anotherPort: behaviour.origin = "https://apim.example:8443"
            case .withinAnother: behaviour.clientDataMore = ["crossOrigin": true]
            case .withinAnotherNamed: behaviour.clientDataMore = ["topOrigin": "https://evil"]
            case .anotherParty:
                behaviour.relyingPartyID = "example"
                return .relyingParty
            case .nobodyThere:
                behaviour.flags = 0b0000_0100
                return .userPresence
            case .nobodyVerified:
                behaviour.flags = 0b0000_0001
                return .userVerification
            case .otherCeremony:
                behaviour.type = "webauthn.other"
                return .otherCeremony
            case .anotherChallenge:
                behaviour.clientDataMore = ["challenge": "AAAA"]
                return .challenge
            }
            return .origin
        }
    }

    @Test(arguments: Lie.allCases)
    func bothCeremoniesRefuse(lie: Lie) throws {
        let ceremony: Ceremony = try Ceremony()
        let key: COSEKey = try ceremony.register().key
        let error: WebAuthnError = lie.tell(&ceremony.authenticator.behaviour)
        #expect(throws: error) { try ceremony.register() }
        #expect(throws: error) { try ceremony.use(key) }
    }

    @Test func anAnswerOfOneCeremonyIsNoneOfTheOther() throws {
        let ceremony: Ceremony = try Ceremony()
        let key: COSEKey = try ceremony.register().key
        ceremony.authenticator.behaviour.type = "webauthn.create"
        #expect(throws: WebAuthnError.otherCeremony) { try ceremony.use(key) }
        ceremony.authenticator.behaviour.type = "webauthn.get"
        #expect(throws: WebAuthnError.otherCeremony) { try ceremony.register() }
    }

    @Test func presenceIsEnoughWhereVerificationIsNotNeeded() throws {
        let ceremony: Ceremony = try Ceremony()
        ceremony.authenticator.behaviour.flags = 0b0000_0001
        let made: Registration.Credential = try ceremony.register(needsVerification: false)
        #expect(!made.isVerified && !made.isBackedUp)
        #expect(try !ceremony.use(made.key, needsVerification: false).isVerified)
    }

    /// Every bit of the signed data, one after the other.
    @Test func nothingSignedCanBeChanged() throws {
        let ceremony: Ceremony = try Ceremony()
        let key: COSEKey = try ceremony.register().key
        for bit in 0..<(37 * 8) {
            ceremony.authenticator.behaviour.tampering = { $0[bit / 8] ^= 1 << UInt8(bit % 8) }
            #expect(throws: WebAuthnError.self, "bit \(bit)") { try ceremony.use(key) }
        }
        ceremony.authenticator.behaviour.tampering = { $0.append(0) }
        #expect(throws: WebAuthnError.self) { try ceremony.use(key) }
    }

    @Test func attestationsAreNotTrustedAndNotInTheWay() throws {
        let ceremony: Ceremony = try Ceremony()
        ceremony.authenticator.behaviour.attestationFormat = "packed"
        ceremony.authenticator.behaviour.attestationStatement =
            [0xA2] + SoftwareAuthenticator.text("alg") + [0x26] + SoftwareAuthenticator.text("sig")
            + SoftwareAuthenticator.bytes([1, 2, 3])
        #expect(try ceremony.register().id == ceremony.authenticator.id)
        ceremony.authenticator.behaviour.attestationFormat = "none"
        #expect(throws: WebAuthnError.self, "none says nothing") { try ceremony.register() }
    }

    @Test func theAnswerIsAboutTheCredentialItNames() throws {
        let ceremony: Ceremony = try Ceremony()
        var answer: JSONObject = try #require(try ceremony.authenticator.register(ceremony.options).object)
        answer["rawId"] = .string(Base64.encodeURL(Random.bytes(32)))
        #expect(throws: WebAuthnError.self, "two ids") { try Registration(.object(answer)) }
        answer["id"] = answer["rawId"]
        #expect(throws: WebAuthnError.credential) {
            try Registration(.object(answer)).verify(ceremony.expectation())
        }
    }

    @Test(
        arguments: [(0, 0, true), (1, 0, true), (5, 4, true), (4, 4, false), (3, 4, false), (0, 4, false)]
            as [(UInt32, UInt32, Bool)])
    func countersGrowOrAreNone(counter: UInt32, last: UInt32, isFine: Bool) {
        #expect(Assertion.isCounterFine(counter, after: last) == isFine)
    }
}
