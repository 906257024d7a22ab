import Bytes
import Contracts
import Crypto
import JSON
import Time

/// A token in place of a sign-in, of a person or of a service account, as stored: its hash, never the token.
struct AccessToken: Sendable {
    /// What the text begins with, so that it is recognised where it should not be.
    static let prefix: String = "pst_"
    static let idPrefix: String = "tok_"
    static let randomBytes: Int = 32
    /// Tokens of one owner at most.
    static let countMax: Int = 50
    static let scopesMax: Int = 32
    static let daysDefault: Int64 = 30
    static let daysMax: Int64 = 366

    /// The tenant of the service account it belongs to; empty for those of people and of the platform's accounts.
    let tenant: String
    let ownerID: String
    let id: String
    let name: String
    /// SHA-256 of the token's text, lower-case hex.
    let sha256: String
    /// The token's last four characters, so that people recognise it.
    let hint: String
    let scopes: [Permission]
    let createdAt: Timestamp
    let expiresAt: Timestamp

    var json: JSONValue {
        .object([
            "id": .string(self.id), "name": .string(self.name), "hint": .string("…\(self.hint)"),
            "scopes": .array(self.scopes.map { JSONValue.string($0.description) }),
            "created_at": .string(self.createdAt.rfc3339), "expires_at": .string(self.expiresAt.rfc3339),
        ])
    }

    /// What the audit log keeps: no name, because people write into it what they like.
    var audited: JSONObject {
        [
            "owner": .string(self.ownerID), "scopes": .array(self.scopes.map { JSONValue.string($0.description) }),
            "expires_at": .string(self.expiresAt.rfc3339),
        ]
    }

    /// The hash by which a token is found.
    static func hash(_ text: String) -> String { Hex.encode(SHA256.hash(text)) }
}
