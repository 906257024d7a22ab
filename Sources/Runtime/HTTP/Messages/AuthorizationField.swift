import Bytes

/// What the field `Authorization` says (RFC 9110 section 11.6.2), as far as we take it. Nothing in it is believed yet.
package enum AuthorizationField: Sendable, Equatable {
    /// A token (RFC 6750 section 2.1), as it stands there.
    case bearer(String)
    /// A name and a password (RFC 7617): strict Base64 of UTF-8, parted at the first colon.
    case basic(user: String, password: String)

    /// Nil for another scheme, for no credentials, and for those that cannot be read.
    package init?(_ text: String) {
        guard let space: String.Index = text.utf8.firstIndex(of: UInt8(ascii: " ")) else { return nil }
        let scheme: Substring = text[..<space]
        let credentials: String = String(Substring(text.utf8[text.utf8.index(after: space)...]))
        if credentials.isEmpty { return nil }
        if ASCIICase.equal(scheme, "bearer") {
            self = .bearer(credentials)
        } else if ASCIICase.equal(scheme, "basic"), let basic: AuthorizationField = Self.basic(credentials) {
            self = basic
        } else {
            return nil
        }
    }

    private static func basic(_ credentials: String) -> AuthorizationField? {
        guard let bytes: [UInt8] = Base64.decode(credentials), let colon: Int = bytes.firstIndex(of: UInt8(ascii: ":")),
            let user: String = String(validating: bytes[..<colon], as: UTF8.self),
            let password: String = String(validating: bytes[(colon + 1)...], as: UTF8.self)
        else { return nil }
        return .basic(user: user, password: password)
    }
}
