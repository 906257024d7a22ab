import Store
import Time

/// The time that leases and memberships are counted in: milliseconds that every process which shares the database agrees on.
enum LogTime {
    /// One process owns a database of SQLite, so its monotonic clock does; what an earlier process wrote in its own is removed
    /// when the log is opened. On PostgreSQL the server's clock counts.
    static func milliseconds(_ transaction: Transaction, _ clock: any WallClock) throws(StoreError) -> Int64 {
        guard transaction.engine == .postgresql else { return Int64(clamping: clock.monotonic() / 1_000_000) }
        return try transaction.first("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint") {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        } ?? 0
    }
}

/// The SQL of log_leases.
enum LeaseTable {
    static func row(_ name: String, in database: some Queryable) throws(StoreError) -> LeaseRow? {
        try database.first(
            "SELECT holder, epoch, until FROM log_leases WHERE name = $1", .text(name)
        ) { (row: Row) throws(StoreError) -> LeaseRow in
            LeaseRow(holder: try row.optionalText(0), epoch: try row.int(1), until: try row.int(2))
        }
    }

    /// Writes `row` where `former` stands; false when something else stands there by now.
    static func replace(
        _ name: String, _ former: LeaseRow?, with row: LeaseRow, in transaction: Transaction
    ) throws(StoreError) -> Bool {
        guard let former: LeaseRow else {
            return try transaction.execute(
                "INSERT INTO log_leases (name, holder, epoch, until) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
                .text(name), .optional(row.holder), .int(row.epoch), .int(row.until)) == 1
        }
        return try transaction.execute(
            "UPDATE log_leases SET holder = $1, epoch = $2, until = $3 WHERE name = $4 AND epoch = $5 AND until = $6",
            .optional(row.holder), .int(row.epoch), .int(row.until), .text(name), .int(former.epoch),
            .int(former.until)) == 1
    }

    /// Gives the lease back, if it is still held under `epoch`.
    static func release(_ name: String, epoch: Int64, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            "UPDATE log_leases SET holder = NULL WHERE name = $1 AND epoch = $2", .text(name), .int(epoch))
    }

    /// Fails unless the lease is held under `epoch`; holds off the next holder until the transaction has ended, and no renewal.
    static func fence(_ name: String, epoch: Int64, in transaction: Transaction) throws {
        let lock: String = transaction.engine == .postgresql ? " FOR KEY SHARE" : ""
        let held: Int64? = try transaction.first(
            "SELECT epoch FROM log_leases WHERE name = $1 AND epoch = $2 AND holder IS NOT NULL\(lock)", .text(name),
            .int(epoch)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
        if held == nil { throw FencedError() }
    }

    /// Waits until no transaction is under way that was fenced by the lease, and lets none begin.
    static func awaitFenced(_ name: String, in transaction: Transaction) throws(StoreError) {
        // On SQLite there is one transaction at a time.
        guard transaction.engine == .postgresql else { return }
        _ = try transaction.first("SELECT epoch FROM log_leases WHERE name = $1 FOR UPDATE", .text(name)) {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        }
    }
}
