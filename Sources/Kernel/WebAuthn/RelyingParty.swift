import Bytes
import Crypto
import JSON

/// Who passkeys are for: the host that they are bound to, and the one origin whose pages may use them.
package struct RelyingParty: Sendable, Equatable {
    /// A host name: browsers take no address for it.
    package let id: String
    /// Scheme, host and port, as browsers write them.
    package let origin: String

    package init(id: String, origin: String) {
        self.id = id
        self.origin = origin
    }
}

/// What the answer of a ceremony must fit.
package struct CeremonyExpectation: Sendable {
    package let relyingParty: RelyingParty
    package let challenge: [UInt8]
    /// Whether the authenticator must have asked who it is: for a PIN, a finger, a face.
    package let needsVerification: Bool

    package init(relyingParty: RelyingParty, challenge: [UInt8], needsVerification: Bool) {
        self.relyingParty = relyingParty
        self.challenge = challenge
        self.needsVerification = needsVerification
    }

    static let clientDataBytesMax: Int = 8 << 10

    /// What the browser says about where and for what it asked (WebAuthn section 5.8.1). Members that nobody knows yet are
    /// passed over, as the standard asks.
    func check(clientData bytes: [UInt8], type: String) throws(WebAuthnError) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONReader.parse(bytes, limits: JSONLimits(depth: 8, bytes: Self.clientDataBytesMax))
        } catch {
            throw .malformed("client data: \(error)")
        }
        guard let said: String = value["type"]?.text, let challenge: String = value["challenge"]?.text,
            let origin: String = value["origin"]?.text
        else { throw .malformed("client data: expected type, challenge and origin") }
        guard said == type else { throw .otherCeremony }
        guard let answered: [UInt8] = Base64.decodeURL(challenge), ConstantTime.equals(answered, self.challenge) else {
            throw .challenge
        }
        guard Array(origin.utf8) == Array(self.relyingParty.origin.utf8) else { throw .origin }
        // A page of ours inside a page of another origin: nobody knows what its user sees.
        if let isForeign: JSONValue = value["crossOrigin"], isForeign != .bool(false) { throw .origin }
        if value["topOrigin"] != nil { throw .origin }
    }

    func check(_ data: AuthenticatorData) throws(WebAuthnError) {
        guard ConstantTime.equals(data.relyingPartyHash, SHA256.hash(self.relyingParty.id)) else { throw .relyingParty }
        guard data.flags.contains(.userPresent) else { throw .userPresence }
        guard data.flags.contains(.userVerified) || !self.needsVerification else { throw .userVerification }
    }
}
