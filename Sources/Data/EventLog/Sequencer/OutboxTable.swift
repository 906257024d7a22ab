import Store

/// What a look at the outbox shows, all in one snapshot.
struct OutboxLook: Sendable {
    /// In the order of ids, from the lowest on.
    var rows: [OutboxRow]
    /// Every transaction below it has ended.
    var oldestRunning: Int64
}

/// The SQL of log_outbox: records that are committed and have no offsets yet. On PostgreSQL only.
enum OutboxTable {
    /// Rows that one statement inserts: a change that publishes has two or three, and each statement costs a round trip.
    private static let rowsPerStatement: Int = 8
    /// The statement for so many rows, from one on.
    private static let insertions: [String] = (1...OutboxTable.rowsPerStatement).map { count in
        let rows: [String] = (0..<count).map {
            "(pg_current_xact_id()::text::bigint, $\(3 * $0 + 1), $\(3 * $0 + 2), $\(3 * $0 + 3))"
        }
        return "INSERT INTO log_outbox (transaction_id, topic, partition, batch) VALUES " + rows.joined(separator: ", ")
    }

    /// Publishes batches whose offsets count from 0, in their order. Called when all else of the transaction is done: the rows' ids
    /// are taken with all locks held.
    static func insert(_ batches: [UnnumberedBatch], in transaction: Transaction) throws(StoreError) {
        var rest: ArraySlice<UnnumberedBatch> = batches[...]
        while !rest.isEmpty {
            let rows: ArraySlice<UnnumberedBatch> = rest.prefix(self.rowsPerStatement)
            var values: [SQLValue] = []
            for row: UnnumberedBatch in rows {
                values += [.text(row.topic), .int(Int64(row.partition)), .bytes(row.batch.bytes)]
            }
            try transaction.execute(self.insertions[rows.count - 1], values: values)
            rest = rest.dropFirst(rows.count)
        }
    }

    /// The oldest rows without their batches.
    static func look(limit: Int, in database: some Queryable) throws(StoreError) -> OutboxLook {
        var look: OutboxLook = OutboxLook(rows: [], oldestRunning: 0)
        look.rows = try database.rows(
            """
            SELECT id, transaction_id, octet_length(batch)::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint
            FROM log_outbox ORDER BY id LIMIT $1
            """, .int(Int64(limit))
        ) { (row: Row) throws(StoreError) -> OutboxRow in
            look.oldestRunning = try row.int(3)
            return OutboxRow(id: try row.int(0), transaction: try row.int(1), byteCount: try row.int(2))
        }
        return look
    }

    /// Takes the rows up to `last` whose transactions are below `oldestRunning` out of the table; in the order of ids.
    static func take(
        upTo last: Int64, below oldestRunning: Int64, in transaction: Transaction
    ) throws(StoreError) -> [OutboxBatch] {
        let rows: [OutboxBatch] = try transaction.rows(
            "DELETE FROM log_outbox WHERE id <= $1 AND transaction_id < $2 RETURNING id, topic, partition, batch",
            .int(last), .int(oldestRunning)
        ) { (row: Row) throws(StoreError) -> OutboxBatch in
            OutboxBatch(
                id: try row.int(0), topic: try row.text(1), partition: try row.int(2), bytes: try row.bytes(3))
        }
        return rows.sorted { $0.id < $1.id }
    }

    /// Who holds numbering up: sessions with old transactions, as far as this user may see them.
    static func oldTransactions(in database: some Queryable) throws(StoreError) -> [String] {
        try database.rows(
            """
            SELECT coalesce(pid::text, '') || ' ' || coalesce(application_name, '') || ' ' || coalesce(state, '')
                || ' since ' || coalesce(xact_start::text, '')
            FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
            ORDER BY age(backend_xid) DESC LIMIT 3
            """
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }
}

/// A batch that waits for its offsets.
struct UnnumberedBatch: Sendable {
    let topic: String
    let partition: Int
    let batch: RecordBatch
}

/// A row of log_outbox that was taken out.
struct OutboxBatch: Sendable {
    let id: Int64
    let topic: String
    let partition: Int64
    let bytes: [UInt8]
}
