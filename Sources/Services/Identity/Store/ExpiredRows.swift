import Store
import Time

/// What has ended by itself: rows that nobody looks at any more.
enum ExpiredRows {
    /// Rows of one table that go in one transaction, so that none holds the writer.
    static let rowsMax: Int = 500
    /// Transactions in one round: more than anybody can have written between two of them.
    static let transactionsMax: Int = 2_000

    private static let tables: [(name: String, key: String, end: String)] = [
        ("sessions", "session_id", "expires_at"), ("access_tokens", "token_id", "expires_at"),
        ("oauth_secrets", "sha256", "expires_at"), ("oauth_grants", "grant_id", "expires_at"),
        ("oauth_devices", "sha256", "expires_at"), ("browser_sessions", "sha256", "expires_at"),
        ("passkey_challenges", "sha256", "expires_at"), ("provider_hints", "session_id", "expires_at"),
        ("gateway_revocations", "number", "ends_at"),
    ]

    /// Removes all there is, a little at a time: whoever writes them, without an account even, must not be faster than this.
    static func delete(from store: Store) async throws {
        for _ in 0..<Self.transactionsMax {
            guard try await store.write({ try Self.deleteSome(in: $0) }) else { return }
        }
    }

    /// - Returns: whether there may be more.
    private static func deleteSome(in transaction: Transaction) throws -> Bool {
        var hasMore: Bool = false
        for table in Self.tables {
            let deleted: Int = try transaction.execute(
                """
                DELETE FROM \(table.name) WHERE \(table.key) IN
                    (SELECT \(table.key) FROM \(table.name) WHERE \(table.end) < $1 ORDER BY \(table.end) LIMIT \(Self.rowsMax))
                """, .int(transaction.now.milliseconds))
            hasMore = hasMore || deleted == Self.rowsMax
        }
        return hasMore
    }
}
