import Store

/// A row of log_partitions.
struct PartitionRow: Sendable {
    let topic: String
    let partition: Int64
    let first: Int64
    let next: Int64
    let byteCount: Int64
    let seekTimestamp: Int64

    static let columns: String = "topic, partition, first_offset, next_offset, byte_count, seek_timestamp"

    init(_ row: Row) throws(StoreError) {
        self.topic = try row.text(0)
        self.partition = try row.int(1)
        self.first = try row.int(2)
        self.next = try row.int(3)
        self.byteCount = try row.int(4)
        self.seekTimestamp = try row.int(5)
    }
}

/// A row of log_batches without the batch.
struct BatchRow: Sendable {
    let baseOffset: Int64
    let recordCount: Int64
    let maxTimestamp: Int64
    let byteCount: Int64

    static let columns: String = "base_offset, record_count, max_timestamp, length(batch)"

    init(baseOffset: Int64, recordCount: Int64, maxTimestamp: Int64, byteCount: Int64) {
        self.baseOffset = baseOffset
        self.recordCount = recordCount
        self.maxTimestamp = maxTimestamp
        self.byteCount = byteCount
    }

    init(_ row: Row) throws(StoreError) {
        self.baseOffset = try row.int(0)
        self.recordCount = try row.int(1)
        self.maxTimestamp = try row.int(2)
        self.byteCount = try row.int(3)
    }
}

/// The SQL of log_partitions and log_batches.
enum LogTables {
    static func partition(
        _ topic: String, _ partition: Int, in database: some Queryable
    ) throws(StoreError) -> PartitionRow? {
        try database.first(
            "SELECT \(PartitionRow.columns) FROM log_partitions WHERE topic = $1 AND partition = $2",
            .text(topic), .int(Int64(partition)), decode: PartitionRow.init)
    }

    static func partitions(in database: some Queryable) throws(StoreError) -> [PartitionRow] {
        try database.rows(
            "SELECT \(PartitionRow.columns) FROM log_partitions ORDER BY topic, partition", decode: PartitionRow.init)
    }

    static func insert(
        _ batch: RecordBatch, topic: String, partition: Int, seekTimestamp: Int64, in transaction: Transaction
    ) throws(StoreError) {
        try transaction.execute(
            """
            INSERT INTO log_batches (topic, partition, base_offset, record_count, max_timestamp, seek_timestamp, batch)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """, .text(topic), .int(Int64(partition)), .int(batch.baseOffset), .int(Int64(batch.recordCount)),
            .int(batch.maxTimestamp), .int(seekTimestamp), .bytes(batch.bytes))
    }

    /// Moves the end of a partition; false when it did not stand where it was expected.
    static func moveNext(
        topic: String, partition: Int, from expected: Int64, to next: Int64, adding bytes: Int, seekTimestamp: Int64,
        isStored: Bool, in transaction: Transaction
    ) throws(StoreError) -> Bool {
        guard isStored else {
            return try transaction.execute(
                """
                INSERT INTO log_partitions (topic, partition, first_offset, next_offset, byte_count, seek_timestamp)
                VALUES ($1, $2, 0, $3, $4, $5) ON CONFLICT DO NOTHING
                """, .text(topic), .int(Int64(partition)), .int(next), .int(Int64(bytes)), .int(seekTimestamp)) == 1
        }
        return try transaction.execute(
            """
            UPDATE log_partitions SET next_offset = $1, byte_count = byte_count + $2, seek_timestamp = $3
            WHERE topic = $4 AND partition = $5 AND next_offset = $6
            """, .int(next), .int(Int64(bytes)), .int(seekTimestamp), .text(topic), .int(Int64(partition)),
            .int(expected)) == 1
    }

    /// Inserts a batch at a partition's end and moves the end behind it, in one round trip; false when the end did not stand where
    /// the batch begins. On PostgreSQL only.
    static func append(
        _ batch: RecordBatch, topic: String, partition: Int, seekTimestamp: Int64, in transaction: Transaction
    ) throws(StoreError) -> Bool {
        try transaction.execute(
            """
            WITH moved AS (
                UPDATE log_partitions SET next_offset = $1, byte_count = byte_count + $2, seek_timestamp = $3
                WHERE topic = $4 AND partition = $5 AND next_offset = $6 RETURNING topic)
            INSERT INTO log_batches (topic, partition, base_offset, record_count, max_timestamp, seek_timestamp, batch)
            SELECT $4, $5, $6, $7, $8, $3, $9 FROM moved
            """, .int(batch.nextOffset), .int(Int64(batch.bytes.count)), .int(seekTimestamp), .text(topic),
            .int(Int64(partition)), .int(batch.baseOffset), .int(Int64(batch.recordCount)), .int(batch.maxTimestamp),
            .bytes(batch.bytes)) == 1
    }

    /// The base offset of the batch that holds `offset`, or of the first after it; nil when there is none.
    static func batchHolding(
        _ offset: Int64, topic: String, partition: Int, in database: some Queryable
    ) throws(StoreError) -> Int64? {
        let before: Int64? = try database.first(
            """
            SELECT base_offset FROM log_batches WHERE topic = $1 AND partition = $2 AND base_offset <= $3
            ORDER BY base_offset DESC LIMIT 1
            """, .text(topic), .int(Int64(partition)), .int(offset)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
        if let before: Int64 { return before }
        return try database.first(
            """
            SELECT base_offset FROM log_batches WHERE topic = $1 AND partition = $2 AND base_offset > $3
            ORDER BY base_offset LIMIT 1
            """, .text(topic), .int(Int64(partition)), .int(offset)
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
    }

    /// Shows the batches from the one at `baseOffset` on, oldest first, until `body` returns false.
    static func visitBatches(
        from baseOffset: Int64, topic: String, partition: Int, in database: some Queryable,
        _ body: (Row) throws(StoreError) -> Bool
    ) throws(StoreError) {
        try database.visit(
            """
            SELECT base_offset, batch FROM log_batches WHERE topic = $1 AND partition = $2 AND base_offset >= $3
            ORDER BY base_offset
            """, [.text(topic), .int(Int64(partition)), .int(baseOffset)], body)
    }

    /// The oldest batches without their bytes.
    static func oldestBatches(
        topic: String, partition: Int, limit: Int, in database: some Queryable
    ) throws(StoreError) -> [BatchRow] {
        try database.rows(
            """
            SELECT \(BatchRow.columns) FROM log_batches WHERE topic = $1 AND partition = $2
            ORDER BY base_offset LIMIT $3
            """, .text(topic), .int(Int64(partition)), .int(Int64(limit)), decode: BatchRow.init)
    }

    /// Removes the batches before `first` and moves the partition's beginning there.
    static func remove(
        topic: String, partition: Int, before first: Int64, bytes: Int64, in transaction: Transaction
    ) throws(StoreError) {
        try transaction.execute(
            "DELETE FROM log_batches WHERE topic = $1 AND partition = $2 AND base_offset < $3", .text(topic),
            .int(Int64(partition)), .int(first))
        try transaction.execute(
            """
            UPDATE log_partitions SET first_offset = $1, byte_count = byte_count - $2
            WHERE topic = $3 AND partition = $4 AND first_offset < $1
            """, .int(first), .int(bytes), .text(topic), .int(Int64(partition)))
        // Of a dead-letter topic, what was noted about letters that are gone now.
        try transaction.execute(
            "DELETE FROM log_settled WHERE topic = $1 AND record_offset < $2", .text(topic), .int(first))
    }
}
