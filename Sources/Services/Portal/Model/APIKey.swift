import Bytes
import Crypto
import JSON
import Store
import Time

/// An API key as stored: its hash, never the key.
struct APIKey: Sendable {
    /// Random bytes of a key.
    static let randomBytes: Int = 32
    /// Keys of one application at most.
    static let countMax: Int = 16

    let id: String
    /// SHA-256 of the key's text, lower-case hex.
    let sha256: String
    /// The key's last four characters, so that people recognise it.
    let hint: String
    let createdAt: Timestamp
    let expiresAt: Timestamp?

    /// Makes a key. - Returns: what to store, and the text to show once.
    static func make(id: String, now: Timestamp) -> (key: APIKey, text: String) {
        let text: String = Random.token(prefix: "pk_", bytes: Self.randomBytes)
        let key: APIKey = APIKey(
            id: id, sha256: Hex.encode(SHA256.hash(Array(text.utf8))), hint: String(text.suffix(4)), createdAt: now,
            expiresAt: nil)
        return (key, text)
    }

    var json: JSONValue {
        .object([
            "id": .string(self.id), "hint": .string("…\(self.hint)"), "created_at": .string(self.createdAt.rfc3339),
            "expires_at": self.expiresAt.map { .string($0.rfc3339) } ?? .null,
        ])
    }

    /// As the audit log has it: with the hash, by which a gateway knows the key again.
    var audited: JSONValue {
        .object([
            "id": .string(self.id), "sha256": .string(self.sha256), "created_at": .string(self.createdAt.rfc3339),
            "expires_at": self.expiresAt.map { .string($0.rfc3339) } ?? .null,
        ])
    }

    static let columns: String = "key_id, sha256, hint, created_at, expires_at"

    private init(id: String, sha256: String, hint: String, createdAt: Timestamp, expiresAt: Timestamp?) {
        self.id = id
        self.sha256 = sha256
        self.hint = hint
        self.createdAt = createdAt
        self.expiresAt = expiresAt
    }

    init(_ row: Row) throws(StoreError) {
        self.id = try row.text(0)
        self.sha256 = try row.text(1)
        self.hint = try row.text(2)
        self.createdAt = Timestamp(milliseconds: try row.int(3))
        self.expiresAt = try row.optionalInt(4).map { Timestamp(milliseconds: $0) }
    }
}
