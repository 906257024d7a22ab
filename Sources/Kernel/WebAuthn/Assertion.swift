import Bytes
import Crypto
package import JSON

/// What a browser answers when a passkey was used (WebAuthn sections 5.2.2 and 7.2).
package struct Assertion: Sendable {
    static let signatureBytesMax: Int = 2_048
    static let userHandleBytesMax: Int = 64

    /// What was found of a passkey that was used.
    package struct Use: Sendable, Equatable {
        package let counter: UInt32
        package let isVerified: Bool
        package let isBackedUp: Bool
    }

    package let id: [UInt8]
    let clientData: [UInt8]
    let authenticatorData: [UInt8]
    let signature: [UInt8]
    /// Whose passkey the authenticator says it is; always there when the browser was not told which to use.
    package let userHandle: [UInt8]?

    /// Reads `PublicKeyCredential.toJSON()`. Members that nobody asked for are passed over.
    package init(_ value: JSONValue) throws(WebAuthnError) {
        self.id = try CredentialJSON.id(value)
        self.clientData = try CredentialJSON.bytes(
            value, "clientDataJSON", bytesMax: CeremonyExpectation.clientDataBytesMax)
        self.authenticatorData = try CredentialJSON.bytes(
            value, "authenticatorData", bytesMax: AuthenticatorData.bytesMax)
        self.signature = try CredentialJSON.bytes(value, "signature", bytesMax: Self.signatureBytesMax)
        switch value["response"]?["userHandle"] {
        case nil, .null: self.userHandle = nil
        case .some: self.userHandle = try CredentialJSON.bytes(value, "userHandle", bytesMax: Self.userHandleBytesMax)
        }
    }

    /// Checks the answer against the key that is kept (section 7.2). Whose key it is, the caller checks, and the counter by
    /// `isCounterFine`.
    package func verify(_ expected: CeremonyExpectation, key: COSEKey) throws(WebAuthnError) -> Use {
        try expected.check(clientData: self.clientData, type: "webauthn.get")
        let data: AuthenticatorData = try AuthenticatorData(parsing: self.authenticatorData)
        try expected.check(data)
        guard key.isValid(self.signature, for: self.authenticatorData + SHA256.hash(self.clientData)) else {
            throw .signature
        }
        return Use(
            counter: data.counter, isVerified: data.flags.contains(.userVerified),
            isBackedUp: data.flags.contains(.backedUp))
    }

    /// Whether a counter may follow the one before: it grows, or the authenticator has none and both are zero (section 6.1.1).
    package static func isCounterFine(_ counter: UInt32, after last: UInt32) -> Bool {
        (counter == 0 && last == 0) || counter > last
    }
}
