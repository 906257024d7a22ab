import Bytes
package import JSON

/// What a browser answers when a passkey was made (WebAuthn sections 5.2.1 and 7.1).
package struct Registration: Sendable {
    package static let responseBytesMax: Int = 64 << 10

    /// A passkey as it is kept.
    package struct Credential: Sendable, Equatable {
        package let id: [UInt8]
        package let key: COSEKey
        package let counter: UInt32
        package let aaguid: [UInt8]
        package let isBackedUp: Bool
        package let isVerified: Bool
    }

    let id: [UInt8]
    let clientData: [UInt8]
    let attestation: [UInt8]
    /// How the browser reached the authenticator: a hint for the next time.
    package let transports: [String]

    /// Reads `PublicKeyCredential.toJSON()`. Members that nobody asked for are passed over.
    package init(_ value: JSONValue) throws(WebAuthnError) {
        self.id = try CredentialJSON.id(value)
        self.clientData = try CredentialJSON.bytes(
            value, "clientDataJSON", bytesMax: CeremonyExpectation.clientDataBytesMax)
        self.attestation = try CredentialJSON.bytes(value, "attestationObject", bytesMax: CBORReader.bytesMax)
        var transports: [String] = []
        for element in value["response"]?["transports"]?.elements ?? [] {
            guard let text: String = element.text, Self.known.contains(text), !transports.contains(text) else {
                continue
            }
            transports.append(text)
        }
        self.transports = transports
    }

    private static let known: Set<String> = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"]

    /// Checks the answer (section 7.1).
    ///
    /// No attestation is asked for. A statement that comes all the same is not looked at and trusted for nothing: it says who made
    /// the authenticator, and nobody is let in or kept out for that here.
    package func verify(_ expected: CeremonyExpectation) throws(WebAuthnError) -> Credential {
        try expected.check(clientData: self.clientData, type: "webauthn.create")
        let object: CBORValue
        do throws(CBORError) {
            object = try CBORReader.parse(self.attestation)
        } catch {
            throw .malformed("attestation object: \(error)")
        }
        guard object.members?.count == 3, let format: String = object["fmt"]?.text,
            let statement: [CBORMember] = object["attStmt"]?.members, let bytes: [UInt8] = object["authData"]?.bytes
        else { throw .malformed("attestation object: expected fmt, attStmt and authData") }
        guard format != "none" || statement.isEmpty else {
            throw .malformed("attestation object: expected an empty statement of none")
        }
        let data: AuthenticatorData = try AuthenticatorData(parsing: bytes)
        try expected.check(data)
        guard let credential: AuthenticatorData.AttestedCredential = data.credential else {
            throw .malformed("authenticator data: expected an attested credential")
        }
        guard credential.id == self.id else { throw .credential }
        return Credential(
            id: credential.id, key: credential.key, counter: data.counter, aaguid: credential.aaguid,
            isBackedUp: data.flags.contains(.backedUp), isVerified: data.flags.contains(.userVerified))
    }
}

/// The members that both answers have.
enum CredentialJSON {
    static func id(_ value: JSONValue) throws(WebAuthnError) -> [UInt8] {
        guard value["type"]?.text == "public-key", let text: String = value["rawId"]?.text,
            value["id"]?.text == text, text.utf8.count <= 2 * AuthenticatorData.credentialIDBytesMax,
            let id: [UInt8] = Base64.decodeURL(text), (1...AuthenticatorData.credentialIDBytesMax).contains(id.count)
        else { throw .malformed("credential: expected type, and id and rawId alike") }
        return id
    }

    static func bytes(_ value: JSONValue, _ name: String, bytesMax: Int) throws(WebAuthnError) -> [UInt8] {
        guard let text: String = value["response"]?[name]?.text, text.utf8.count <= 2 * bytesMax,
            let bytes: [UInt8] = Base64.decodeURL(text), bytes.count <= bytesMax
        else { throw .malformed("credential: expected response.\(name) in URL-safe base64") }
        return bytes
    }
}
