import AuthenticatorKit
import Bytes
import Crypto
import Testing

@testable import WebAuthn

struct AuthenticatorDataTests {
    private static func made(_ kind: KeyKind = .ed25519) throws -> SoftwareAuthenticator {
        try SoftwareAuthenticator(kind, origin: "https://apim.example", relyingPartyID: "apim.example")
    }

    @Test func readsWhatTheStandardDescribes() throws {
        let authenticator: SoftwareAuthenticator = try Self.made()
        authenticator.behaviour.counter = 0x0102_0304
        let data: AuthenticatorData = try AuthenticatorData(
            parsing: try authenticator.authenticatorData(withCredential: true))
        #expect(data.relyingPartyHash == SHA256.hash("apim.example"))
        #expect(data.counter == 0x0102_0304)
        #expect(data.flags.contains([.userPresent, .userVerified, .backupEligible, .backedUp]))
        #expect(data.credential?.id == authenticator.id)
        #expect(data.credential?.key.algorithm == .edDSA)
    }

    @Test func isRefusedWhenCutAnywhereOrGoingOn() throws {
        let bytes: [UInt8] = try Self.made().authenticatorData(withCredential: true)
        for count in 0..<bytes.count {
            #expect(throws: WebAuthnError.self, "\(count)") { try AuthenticatorData(parsing: Array(bytes[..<count])) }
        }
        #expect(throws: WebAuthnError.self) { try AuthenticatorData(parsing: bytes + [0]) }
        #expect(throws: WebAuthnError.self) {
            try AuthenticatorData(parsing: [UInt8](repeating: 0, count: AuthenticatorData.bytesMax + 1))
        }
    }

    @Test func extensionsAreAMapAndAreAnnounced() throws {
        let authenticator: SoftwareAuthenticator = try Self.made()
        authenticator.behaviour.flags |= 0x80
        let bytes: [UInt8] = try authenticator.authenticatorData(withCredential: true)
        let extensions: [UInt8] = [0xA1] + SoftwareAuthenticator.text("credProtect") + [0x02]
        #expect(try AuthenticatorData(parsing: bytes + extensions).credential != nil)
        #expect(throws: WebAuthnError.self, "announced, not there") { try AuthenticatorData(parsing: bytes) }
        #expect(throws: WebAuthnError.self, "no map") { try AuthenticatorData(parsing: bytes + [0x01]) }
    }

    @Test func whatIsBackedUpMayBe() throws {
        let authenticator: SoftwareAuthenticator = try Self.made()
        authenticator.behaviour.flags = 0b0001_0101
        #expect(throws: WebAuthnError.self) {
            try AuthenticatorData(parsing: try authenticator.authenticatorData(withCredential: false))
        }
    }

    @Test(
        arguments: [
            // A point of P-256 is there with its curve, and nothing else is.
            ("a4010203262001215820" + String(repeating: "00", count: 32), "no y"),
            (
                "a5010203262001215820" + String(repeating: "11", count: 32) + "225820"
                    + String(repeating: "11", count: 32),
                "a point off the curve"
            ),
            (
                "a501020326200121581f" + String(repeating: "11", count: 31) + "225820"
                    + String(repeating: "11", count: 32),
                "a short x"
            ),
            (
                "a4010103262006215820d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "an Edwards key that says ES256"
            ),
            (
                "a501010327040020 06215820d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                "a member too many"
            ),
            ("a3010103272006", "no x"), ("a401030339010020410121 43010001", "an RSA key of eight bits"),
            ("a0", "nothing"), ("01", "no map"),
        ] as [(String, String)])
    func keysAreWhatTheySay(hex: String, what: String) throws {
        let bytes: [UInt8] = try #require(Hex.decode(hex.filter { $0 != " " }))
        #expect(throws: WebAuthnError.self, "\(what)") { try COSEKey(parsing: bytes) }
    }

    @Test(arguments: ["a50102032820012158200022582000", "a50102033822200221400022400"] as [String])
    func otherAlgorithmsWereNotOffered(hex: String) {
        #expect(throws: WebAuthnError.self) { try COSEKey(parsing: Hex.decode(hex) ?? []) }
    }

    @Test func theKeyOfTheStandardIsRead() throws {
        // RFC 8032 section 7.1, test 1.
        let bytes: [UInt8] = try #require(
            Hex.decode("a4010103272006215820d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))
        let key: COSEKey = try COSEKey(parsing: bytes)
        let signature: [UInt8] = try #require(
            Hex.decode(
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                    + "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"))
        #expect(key.isValid(signature, for: []))
        #expect(!key.isValid(signature, for: [0]))
    }
}
