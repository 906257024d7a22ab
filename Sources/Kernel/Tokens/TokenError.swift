/// Why a token is not accepted. Texts are ours alone: nothing of the token appears in them.
package enum TokenError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Longer than `JWT.bytesMax`.
    case tooLarge
    /// Not three parts of URL-safe base64, or a part is not the JSON it should be; says which and what was expected.
    case malformed(String)
    /// Its `alg` is not among those allowed here.
    case algorithmNotAllowed
    /// It has `crit`: extensions it demands that we do not know.
    case criticalExtension
    /// Its `typ` is not among those accepted here: perhaps an ID token where an access token belongs.
    case wrongType
    /// No key of the set fits its `kid` and `alg`. The issuer may have published a key since: fetch the set, at a bounded rate.
    case keyNotFound
    /// The signature is not the key's.
    case signatureInvalid
    /// A claim that must be there is not.
    case claimMissing(String)
    /// A claim has the wrong kind of value.
    case claimMalformed(String)
    /// A claim that must have a certain value has another.
    case claimNotAccepted(String)
    case wrongIssuer
    case wrongAudience
    case expired
    case notYetValid
    /// Issued in the future, beyond the leeway: a clock is wrong.
    case issuedInTheFuture

    package var description: String {
        switch self {
        case .tooLarge: return "the token has more than \(JWT.bytesMax) bytes"
        case .malformed(let what): return "the token is malformed: \(what)"
        case .algorithmNotAllowed: return "the token's signature algorithm is not allowed"
        case .criticalExtension: return "the token demands an extension that is not supported"
        case .wrongType: return "the token is of the wrong type"
        case .keyNotFound: return "no known key fits the token"
        case .signatureInvalid: return "the token's signature is not valid"
        case .claimMissing(let name): return "the token has no claim \(name)"
        case .claimMalformed(let name): return "the token's claim \(name) has the wrong type"
        case .claimNotAccepted(let name): return "the token's claim \(name) has no accepted value"
        case .wrongIssuer: return "the token is from another issuer"
        case .wrongAudience: return "the token is for another audience"
        case .expired: return "the token has expired"
        case .notYetValid: return "the token is not valid yet"
        case .issuedInTheFuture: return "the token was issued in the future"
        }
    }

    /// Whether fetching the issuer's keys again may help.
    package var mayBeCuredByFreshKeys: Bool { self == .keyNotFound }
}
