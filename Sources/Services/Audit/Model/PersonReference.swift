import Contracts
import Identifiers

/// Whom an operation on personal data is about.
enum PersonReference: Sendable {
    /// The id of a user or of a service account.
    case person(String)
    /// `address:IP`: somebody who is known by nothing else.
    case address(String)
    /// The id of one of the keys, which is what the log has of an address.
    case key(String)

    init(_ text: String) {
        if text.hasPrefix(Caller.subject(ofAddress: "")) {
            self = .address(text)
        } else if Identifier.isValid(text, prefix: SubjectKeys.idPrefix) {
            self = .key(text)
        } else {
            self = .person(text)
        }
    }
}
