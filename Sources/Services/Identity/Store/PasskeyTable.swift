import Bytes
import Crypto
import Store
import Time
import WebAuthn

/// The tables `passkeys`, `passkey_handles` and `passkey_challenges`.
enum PasskeyTable {
    /// Bytes of the handle that authenticators know a user by.
    static let handleBytes: Int = 32

    private static let columns: String = """
        passkey_id, credential, user_id, name, public_key, counter, transports, backed_up, created_at, used_at, suspended_at
        """

    static func of(user: String, in store: any Queryable) throws -> [Passkey] {
        try store.rows(
            "SELECT \(Self.columns) FROM passkeys WHERE user_id = $1 ORDER BY passkey_id", .text(user),
            decode: Self.decode)
    }

    static func find(_ id: String, of user: String, in store: any Queryable) throws -> Passkey? {
        try store.first(
            "SELECT \(Self.columns) FROM passkeys WHERE passkey_id = $1 AND user_id = $2", .text(id), .text(user),
            decode: Self.decode)
    }

    static func find(credential: [UInt8], in store: any Queryable) throws -> Passkey? {
        try store.first(
            "SELECT \(Self.columns) FROM passkeys WHERE credential = $1", .text(Base64.encodeURL(credential)),
            decode: Self.decode)
    }

    static func insert(_ passkey: Passkey, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO passkeys (\(Self.columns)) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, NULL, NULL)
            """, .text(passkey.id), .text(Base64.encodeURL(passkey.credential)), .text(passkey.userID),
            .text(passkey.name), .bytes(passkey.key), .int(Int64(passkey.counter)),
            .text(passkey.transports.joined(separator: " ")), .bool(passkey.isBackedUp),
            .int(passkey.createdAt.milliseconds))
    }

    static func rename(_ id: String, to name: String, in transaction: Transaction) throws {
        try transaction.execute("UPDATE passkeys SET name = $2 WHERE passkey_id = $1", .text(id), .text(name))
    }

    static func used(_ id: String, _ use: Assertion.Use, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE passkeys SET counter = $2, backed_up = $3, used_at = $4 WHERE passkey_id = $1", .text(id),
            .int(Int64(use.counter)), .bool(use.isBackedUp), .int(transaction.now.milliseconds))
    }

    static func suspend(_ id: String, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE passkeys SET suspended_at = $2 WHERE passkey_id = $1", .text(id),
            .int(transaction.now.milliseconds))
    }

    static func delete(_ id: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM passkeys WHERE passkey_id = $1", .text(id))
    }

    /// Passkeys of a user, and what their authenticators know the user by.
    static func deleteAll(of user: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM passkeys WHERE user_id = $1", .text(user))
        try transaction.execute("DELETE FROM passkey_handles WHERE user_id = $1", .text(user))
    }

    // MARK: Handles

    /// What authenticators know a user by: random bytes that say nothing.
    static func handle(of user: String, in store: any Queryable) throws -> [UInt8]? {
        try store.first("SELECT handle FROM passkey_handles WHERE user_id = $1", .text(user)) {
            (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0)
        }
    }

    static func makeHandle(of user: String, in transaction: Transaction) throws -> [UInt8] {
        if let known: [UInt8] = try Self.handle(of: user, in: transaction) { return known }
        let handle: [UInt8] = Random.bytes(Self.handleBytes)
        try transaction.execute(
            "INSERT INTO passkey_handles (user_id, handle) VALUES ($1, $2)", .text(user), .bytes(handle))
        return handle
    }

    // MARK: Challenges

    /// Notes that a challenge was answered. - Returns: whether it was the first time.
    static func answered(_ challenge: PasskeyChallenge, in transaction: Transaction) throws -> Bool {
        try transaction.execute(
            "INSERT INTO passkey_challenges (sha256, expires_at) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING",
            .text(challenge.mark), .int(challenge.expiresAt.milliseconds)) > 0
    }

    private static func decode(_ row: Row) throws(StoreError) -> Passkey {
        Passkey(
            id: try row.text(0), credential: Base64.decodeURL(try row.text(1)) ?? [], userID: try row.text(2),
            name: try row.text(3), key: try row.bytes(4), counter: UInt32(clamping: try row.int(5)),
            transports: try row.text(6).split(separator: " ").map(String.init), isBackedUp: try row.bool(7),
            createdAt: Timestamp(milliseconds: try row.int(8)),
            usedAt: try row.optionalInt(9).map { Timestamp(milliseconds: $0) },
            suspendedAt: try row.optionalInt(10).map { Timestamp(milliseconds: $0) })
    }
}
