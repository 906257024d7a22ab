/// Why what an authenticator or a browser says is not taken. Nothing of it is secret; users are told less.
package enum WebAuthnError: Error, Equatable, CustomStringConvertible {
    /// Not in the form of the standard; where, and what was expected.
    case malformed(String)
    /// Of another ceremony: made for signing in where something is registered, or the other way about.
    case otherCeremony
    /// Not the challenge that was given out.
    case challenge
    /// Made on a page of another origin, or within one.
    case origin
    /// Made for another relying party.
    case relyingParty
    /// Nobody touched the authenticator.
    case userPresence
    /// The authenticator did not ask who it is.
    case userVerification
    /// The key is of a kind that was not offered.
    case algorithm
    case signature
    /// The answer is about another credential.
    case credential
    /// The signature counter does not grow: two authenticators may hold one key.
    case counter

    package var description: String {
        switch self {
        case .malformed(let reason): "malformed: \(reason)"
        case .otherCeremony: "of another ceremony"
        case .challenge: "of another challenge"
        case .origin: "of another origin"
        case .relyingParty: "for another relying party"
        case .userPresence: "nobody touched the authenticator"
        case .userVerification: "the authenticator did not verify its user"
        case .algorithm: "a kind of key that was not offered"
        case .signature: "the signature is wrong"
        case .credential: "of another credential"
        case .counter: "the signature counter did not grow"
        }
    }
}
