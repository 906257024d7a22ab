import Store
import Time

/// One partition as one group reads it: the key of its rows in log_offsets and log_retries.
struct GroupPartition: Sendable, Hashable {
    let group: String
    let topic: String
    let partition: Int

    var parameters: [SQLValue] { [.text(self.group), .text(self.topic), .int(Int64(self.partition))] }
}

/// A member's hold on a partition: whoever claims it next has a higher epoch, and this one can store nothing any more.
struct Claim: Sendable, Equatable {
    let epoch: Int64
    /// The stored offset, which the next step must still find there.
    var next: Int64
}

/// The group's offset or reader has changed behind the back of a member: it must look again before it goes on.
struct FencedError: Error {}

/// The SQL of log_offsets and log_retries.
enum ConsumerTables {
    // MARK: - Offsets

    /// Takes a partition over for `member`, wherever it stands; a new group begins at `start`.
    ///
    /// - Parameter expected: the epoch that the partition must still have, 0 where it has no row yet; nil takes it whatever
    ///   stands there. nil is returned when it has another one by now: somebody else was faster.
    static func claim(
        _ at: GroupPartition, member: String, start: Int64, expecting expected: Int64? = nil,
        in transaction: Transaction
    ) throws(StoreError) -> Claim? {
        try transaction.first(
            """
            INSERT INTO log_offsets (group_name, topic, partition, next_offset, epoch, member, updated_at)
            VALUES ($1, $2, $3, $4, 1, $5, $6)
            ON CONFLICT (group_name, topic, partition)
            DO UPDATE SET epoch = log_offsets.epoch + 1, member = $5, updated_at = $6
            WHERE $7 < 0 OR log_offsets.epoch = $7
            RETURNING epoch, next_offset
            """, .text(at.group), .text(at.topic), .int(Int64(at.partition)), .int(start), .text(member),
            .int(transaction.now.milliseconds), .int(expected ?? -1)
        ) { (row: Row) throws(StoreError) -> Claim in Claim(epoch: try row.int(0), next: try row.int(1)) }
    }

    /// The claim as it stands if `member` still has it; nil when another member has taken over.
    static func claim(
        _ at: GroupPartition, heldBy member: String, in database: some Queryable
    ) throws(StoreError) -> Claim? {
        try database.first(
            """
            SELECT epoch, next_offset FROM log_offsets
            WHERE group_name = $1 AND topic = $2 AND partition = $3 AND member = $4
            """, .text(at.group), .text(at.topic), .int(Int64(at.partition)), .text(member)
        ) { (row: Row) throws(StoreError) -> Claim in Claim(epoch: try row.int(0), next: try row.int(1)) }
    }

    /// Moves the group's offset, but only from where it is expected and by the member that holds the partition.
    static func advance(_ at: GroupPartition, _ claim: Claim, to next: Int64, in transaction: Transaction) throws {
        let moved: Int = try transaction.execute(
            """
            UPDATE log_offsets SET next_offset = $1, updated_at = $2
            WHERE group_name = $3 AND topic = $4 AND partition = $5 AND next_offset = $6 AND epoch = $7
            """, .int(next), .int(transaction.now.milliseconds), .text(at.group), .text(at.topic),
            .int(Int64(at.partition)), .int(claim.next), .int(claim.epoch))
        if moved != 1 { throw FencedError() }
    }

    /// Fails unless the member still holds the partition: for changes that leave the offset where it is.
    static func fence(_ at: GroupPartition, _ claim: Claim, in transaction: Transaction) throws {
        let held: Int = try transaction.execute(
            """
            UPDATE log_offsets SET updated_at = $1
            WHERE group_name = $2 AND topic = $3 AND partition = $4 AND epoch = $5
            """, .int(transaction.now.milliseconds), .text(at.group), .text(at.topic), .int(Int64(at.partition)),
            .int(claim.epoch))
        if held != 1 { throw FencedError() }
    }

    /// Gives a partition back, so that the next member need not wait for a lease to run out.
    static func release(_ at: GroupPartition, _ claim: Claim, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            """
            UPDATE log_offsets SET member = NULL, lease_until = NULL
            WHERE group_name = $1 AND topic = $2 AND partition = $3 AND epoch = $4
            """, .text(at.group), .text(at.topic), .int(Int64(at.partition)), .int(claim.epoch))
    }

    /// Sets the offset to another place; the member that reads is fenced and looks again. False when there is no such row.
    static func seek(_ at: GroupPartition, to next: Int64, in transaction: Transaction) throws(StoreError) -> Bool {
        try transaction.execute(
            """
            UPDATE log_offsets SET next_offset = $1, epoch = epoch + 1, updated_at = $2
            WHERE group_name = $3 AND topic = $4 AND partition = $5
            """, .int(next), .int(transaction.now.milliseconds), .text(at.group), .text(at.topic),
            .int(Int64(at.partition))) == 1
    }

    /// Makes whoever reads the partition look again, wherever it runs.
    static func raiseEpoch(_ at: GroupPartition, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            "UPDATE log_offsets SET epoch = epoch + 1 WHERE group_name = $1 AND topic = $2 AND partition = $3",
            .text(at.group), .text(at.topic), .int(Int64(at.partition)))
    }

    // MARK: - Changes

    /// Carries a change out; throws `FencedError`, with nothing to keep, when the claim does not hold any more.
    static func apply(_ change: PartitionChange, _ at: GroupPartition, in transaction: Transaction) throws {
        if let next: Int64 = change.next {
            try self.advance(at, change.claim, to: next, in: transaction)
        } else {
            try self.fence(at, change.claim, in: transaction)
        }
        for step: PartitionChange.Step in change.steps {
            switch step {
            case .park(let entry, let reason, let record):
                try self.insertRetry(at, entry, reason: reason, record: record.stored, in: transaction)
            case .postpone(let entry, let reason): try self.postponeRetry(at, entry, reason: reason, in: transaction)
            case .remove(let entry): try self.deleteRetry(at, offset: entry.offset, in: transaction)
            case .bury(let record, let tries, let reason):
                try DeadLetterNote(at: at, tries: tries, reason: reason).publish(record, in: transaction)
            }
        }
    }

    // MARK: - Retries

    static func insertRetry(
        _ at: GroupPartition, _ entry: RetryEntry, reason: String?, record: [UInt8], in transaction: Transaction
    ) throws(StoreError) {
        try transaction.execute(
            """
            INSERT INTO log_retries (group_name, topic, partition, record_offset, record_key, tries, due_at, reason, record)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING
            """, .text(at.group), .text(at.topic), .int(Int64(at.partition)), .int(entry.offset), .optional(entry.key),
            .int(Int64(entry.tries)), .int(entry.due.nanoseconds), .optional(reason), .bytes(record))
    }

    private static func postponeRetry(
        _ at: GroupPartition, _ entry: RetryEntry, reason: String, in transaction: Transaction
    ) throws(StoreError) {
        try transaction.execute(
            """
            UPDATE log_retries SET tries = $1, due_at = $2, reason = $3
            WHERE group_name = $4 AND topic = $5 AND partition = $6 AND record_offset = $7
            """, .int(Int64(entry.tries)), .int(entry.due.nanoseconds), .text(reason), .text(at.group),
            .text(at.topic), .int(Int64(at.partition)), .int(entry.offset))
    }

    /// Fails when the row is gone: then somebody else was faster.
    static func deleteRetry(_ at: GroupPartition, offset: Int64, in transaction: Transaction) throws {
        let deleted: Int = try transaction.execute(
            """
            DELETE FROM log_retries
            WHERE group_name = $1 AND topic = $2 AND partition = $3 AND record_offset = $4
            """, .text(at.group), .text(at.topic), .int(Int64(at.partition)), .int(offset))
        if deleted != 1 { throw FencedError() }
    }

    /// What waits, without the records, in the order of offsets.
    static func retries(_ at: GroupPartition, in database: some Queryable) throws(StoreError) -> [RetryEntry] {
        try database.rows(
            """
            SELECT record_offset, record_key, tries, due_at FROM log_retries
            WHERE group_name = $1 AND topic = $2 AND partition = $3 ORDER BY record_offset
            """, .text(at.group), .text(at.topic), .int(Int64(at.partition))
        ) { (row: Row) throws(StoreError) -> RetryEntry in
            RetryEntry(
                offset: try row.int(0), key: try row.optionalBytes(1), tries: Int(try row.int(2)),
                due: Timestamp(nanoseconds: try row.int(3)))
        }
    }

    /// The stored record of a retry, as a batch of one.
    static func retryRecord(
        _ at: GroupPartition, offset: Int64, in database: some Queryable
    ) throws(StoreError) -> [UInt8]? {
        try database.first(
            """
            SELECT record FROM log_retries
            WHERE group_name = $1 AND topic = $2 AND partition = $3 AND record_offset = $4
            """, .text(at.group), .text(at.topic), .int(Int64(at.partition)), .int(offset)
        ) { (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0) }
    }

    // MARK: - Groups

    static func exists(_ at: GroupPartition, in database: some Queryable) throws(StoreError) -> Bool {
        let found: Int64? = try database.first(
            "SELECT 1 FROM log_offsets WHERE group_name = $1 AND topic = $2 AND partition = $3", .text(at.group),
            .text(at.topic), .int(Int64(at.partition))
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
        return found != nil
    }

    /// Who holds what of a group, rows of no holder included.
    static func owners(of group: String, in database: some Queryable) throws(StoreError) -> [PartitionOwner] {
        try database.rows(
            "SELECT topic, partition, epoch, member FROM log_offsets WHERE group_name = $1", .text(group)
        ) { (row: Row) throws(StoreError) -> PartitionOwner in
            PartitionOwner(
                at: TopicPartition(topic: try row.text(0), partition: Int(try row.int(1))), epoch: try row.int(2),
                member: try row.optionalText(3))
        }
    }

    static func groups(in database: some Queryable) throws(StoreError) -> [GroupRow] {
        try database.rows(
            """
            SELECT o.group_name, o.topic, o.partition, o.next_offset, o.member,
                (SELECT count(*) FROM log_retries r
                 WHERE r.group_name = o.group_name AND r.topic = o.topic AND r.partition = o.partition)
            FROM log_offsets o ORDER BY o.group_name, o.topic, o.partition
            """, decode: GroupRow.init)
    }

    /// Whether a member of the group lives, in any process that shares the database.
    static func isRunning(_ group: String, in database: some Queryable) throws(StoreError) -> Bool {
        try database.first("SELECT 1 FROM log_members WHERE group_name = $1 LIMIT 1", .text(group)) {
            (row: Row) throws(StoreError) -> Int64 in try row.int(0)
        } != nil
    }

    /// False when there was no such group.
    static func delete(_ group: String, in transaction: Transaction) throws(StoreError) -> Bool {
        try transaction.execute("DELETE FROM log_retries WHERE group_name = $1", .text(group))
        return try transaction.execute("DELETE FROM log_offsets WHERE group_name = $1", .text(group)) > 0
    }

    // MARK: - Dead letters

    /// Notes what was done about a dead letter; `LogError.unknownDeadLetter` when something was done before.
    static func settle(
        _ topic: String, _ offset: Int64, _ outcome: DeadLetterOutcome, in transaction: Transaction
    ) throws {
        let inserted: Int = try transaction.execute(
            """
            INSERT INTO log_settled (topic, record_offset, outcome, settled_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING
            """, .text(topic), .int(offset), .text(outcome.rawValue), .int(transaction.now.milliseconds))
        if inserted != 1 { throw LogError.unknownDeadLetter(topic: topic, offset: offset) }
    }

    static func settled(
        _ topic: String, in offsets: Range<Int64>, _ database: some Queryable
    ) throws(StoreError) -> [(Int64, String)] {
        try database.rows(
            "SELECT record_offset, outcome FROM log_settled WHERE topic = $1 AND record_offset >= $2 AND record_offset < $3",
            .text(topic), .int(offsets.lowerBound), .int(offsets.upperBound)
        ) { (row: Row) throws(StoreError) -> (Int64, String) in (try row.int(0), try row.text(1)) }
    }
}

/// A row of log_offsets with the number of its retries.
struct GroupRow: Sendable {
    let group: String
    let topic: String
    let partition: Int64
    let next: Int64
    let isRead: Bool
    let waiting: Int64

    init(_ row: Row) throws(StoreError) {
        self.group = try row.text(0)
        self.topic = try row.text(1)
        self.partition = try row.int(2)
        self.next = try row.int(3)
        self.isRead = try !row.isNull(4)
        self.waiting = try row.int(5)
    }
}
