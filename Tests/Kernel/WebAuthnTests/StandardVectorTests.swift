import Bytes
import JSON
import Testing

@testable import WebAuthn

/// "ES256 Credential with No Attestation" of the standard's own test vectors (WebAuthn Level 3 section 16).
struct StandardVectorTests {
    private static let party: RelyingParty = RelyingParty(id: "example.org", origin: "https://example.org")
    private static let id: String = "f91f391db4c9b2fde0ea70189cba3fb63f579ba6122b33ad94ff3ec330084be4"
    private static let challenge: String = "00c30fb78531c464d2b6771dab8d7b603c01162f2fa486bea70f283ae556e130"
    private static let clientData: String =
        "7b2274797065223a22776562617574686e2e637265617465222c226368616c6c656e6765223a22414d4d507434557878475453746e63"
        + "647134313759447742466938767049612d7077386f4f755657345441222c226f726967696e223a2268747470733a2f2f6578616d70"
        + "6c652e6f7267222c2263726f73734f726967696e223a66616c73652c22657874726144617461223a22636c69656e74446174614a53"
        + "4f4e206d617920626520657874656e6465642077697468206164646974696f6e616c206669656c647320696e207468652066757475"
        + "72652c207375636820617320746869733a20426b5165446a646354427258426941774a544c453551227d"
    private static let attestation: String =
        "a363666d74646e6f6e656761747453746d74a068617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592"
        + "a5e0f01452b2e4b559000000008446ccb9ab1db374750b2367ff6f3a1f0020f91f391db4c9b2fde0ea70189cba3fb63f579ba6122b"
        + "33ad94ff3ec330084be4a5010203262001215820afefa16f97ca9b2d23eb86ccb64098d20db90856062eb249c33a9b672f26df6122"
        + "5820930a56b87a2fca66334b03458abf879717c12cc68ed73290af2e2664796b9220"
    private static let useChallenge: String = "39c0e7521417ba54d43e8dc95174f423dee9bf3cd804ff6d65c857c9abf4d408"
    private static let useClientData: String =
        "7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a224f63446e55685158756c5455506f334a5558"
        + "543049393770767a7a59425039745a63685879617630314167222c226f726967696e223a2268747470733a2f2f6578616d706c652e"
        + "6f7267222c2263726f73734f726967696e223a66616c73657d"
    private static let authenticatorData: String =
        "bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b51900000000"
    private static let signature: String =
        "3046022100f50a4e2e4409249c4a853ba361282f09841df4dd4547a13a87780218deffcd380221008480ac0f0b93538174f575bf11a1"
        + "dd5d78c6e486013f937295ea13653e331e87"

    private static func encoded(_ hex: String) -> JSONValue { .string(Base64.encodeURL(Hex.decode(hex) ?? [])) }

    private static func answer(_ response: JSONObject) -> JSONValue {
        .object([
            "id": Self.encoded(Self.id), "rawId": Self.encoded(Self.id), "type": "public-key",
            "response": .object(response),
        ])
    }

    private static func expectation(_ challenge: String) -> CeremonyExpectation {
        CeremonyExpectation(
            relyingParty: Self.party, challenge: Hex.decode(challenge) ?? [], needsVerification: false)
    }

    @Test func isTaken() throws {
        let made: Registration.Credential = try Registration(
            Self.answer([
                "clientDataJSON": Self.encoded(Self.clientData), "attestationObject": Self.encoded(Self.attestation),
            ])
        ).verify(Self.expectation(Self.challenge))
        #expect(Hex.encode(made.id) == Self.id)
        #expect(Hex.encode(made.aaguid) == "8446ccb9ab1db374750b2367ff6f3a1f")
        #expect(made.key.algorithm == .es256)
        #expect(made.isBackedUp && !made.isVerified)
        let used: Assertion = try Assertion(
            Self.answer([
                "clientDataJSON": Self.encoded(Self.useClientData),
                "authenticatorData": Self.encoded(Self.authenticatorData), "signature": Self.encoded(Self.signature),
            ]))
        #expect(try used.verify(Self.expectation(Self.useChallenge), key: made.key).counter == 0)
        #expect(throws: WebAuthnError.challenge) {
            try used.verify(Self.expectation(Self.challenge), key: made.key)
        }
    }
}
