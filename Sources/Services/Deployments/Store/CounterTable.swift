import Store
import Time

/// What a gateway counted of something that all gateways count together.
struct CountedAmount: Sendable {
    /// Begins with the tenant and a slash.
    let key: String
    /// Number of the window; a later one begins at zero.
    let window: Int64
    let ends: Timestamp
    /// 0 asks only.
    let amount: Int64

    static let keyLengthMax: Int = 1_024
    static let amountMax: Int64 = 1_000_000_000_000
    /// Largest total kept: it and one more amount still fit 64 bits.
    static let totalMax: Int64 = 1_000_000_000_000_000_000

    var tenant: String { String(self.key.prefix { $0 != "/" }) }
}

/// The table `gateway_counters`: counts of quotas, kept over restarts of gateways. They are no change anybody made, so there is
/// neither an event nor an audit entry.
enum CounterTable {
    /// - Returns: the total. A window that has passed counts nothing more.
    static func add(_ change: CountedAmount, in transaction: Transaction) throws -> Int64 {
        try transaction.first(
            """
            INSERT INTO gateway_counters (tenant, counter, counted_window, total, ends_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant, counter) DO UPDATE SET
                total = CASE WHEN gateway_counters.counted_window = excluded.counted_window
                    THEN CASE WHEN gateway_counters.total + excluded.total > $6 THEN $6
                        WHEN gateway_counters.total + excluded.total < 0 - $6 THEN 0 - $6
                        ELSE gateway_counters.total + excluded.total END
                    ELSE excluded.total END,
                counted_window = excluded.counted_window, ends_at = excluded.ends_at
            WHERE gateway_counters.counted_window <= excluded.counted_window
            RETURNING total
            """, .text(change.tenant), .text(change.key), .int(change.window), .int(change.amount),
            .int(change.ends.milliseconds), .int(CountedAmount.totalMax)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) } ?? 0
    }

    /// What gateways counted of the requests to all APIs of a tenant, in the latest window they told of.
    static let countedOfTenant: String =
        "SELECT coalesce(max(total), 0) FROM gateway_counters WHERE tenant = $1 AND counter = $1 || '/|tenant|quota month'"

    /// Removes what belongs to windows that have ended.
    static func removeEnded(before now: Timestamp, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM gateway_counters WHERE ends_at < $1", .int(now.milliseconds))
    }
}
