package import Store

/// The log's tables. They are not tenant-first: a batch holds the records of many tenants, each naming its own in a header.
///
/// | table | a row is |
/// | --- | --- |
/// | log_topics | a topic and its number of partitions, which never changes |
/// | log_partitions | where a partition begins and ends, and how many bytes it holds |
/// | log_batches | one batch: what one commit appended to one partition (several rows when it is large) |
/// | log_offsets | how far a consumer group has come in a partition, and which member reads it |
/// | log_retries | a record that a group will try again, or that waits behind one of the same key |
/// | log_settled | a dead letter that was redriven or dropped |
/// | log_members | a member of a consumer group, and how long it counts as alive |
/// | log_leases | something that one process at a time does, and who |
/// | log_outbox | on PostgreSQL, a batch that was published and has no offsets yet |
package enum LogMigrations {
    package static let service: ServiceMigrations = ServiceMigrations(
        service: "log",
        steps: [
            Migration(number: 1, name: "log", sql: Self.first),
            Migration(number: 2, name: "groups and leases", sql: Self.second),
            Migration(number: 3, name: "outbox", sql: "", postgresql: Self.third),
        ])

    // `max_timestamp` is the newest record of the batch; `seek_timestamp` the newest of it and all before it, so that it never
    // falls from batch to batch and a time can be found by bisection over the primary key, without another index.
    // `epoch` rises whenever a partition's reader changes: with the offset it is the fence that a former reader fails at.
    private static let first: String = """
        CREATE TABLE log_topics (
            topic text NOT NULL PRIMARY KEY,
            partitions int64 NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE log_partitions (
            topic text NOT NULL,
            partition int64 NOT NULL,
            first_offset int64 NOT NULL,
            next_offset int64 NOT NULL,
            byte_count int64 NOT NULL,
            seek_timestamp int64 NOT NULL,
            PRIMARY KEY (topic, partition)
        ) WITHOUT ROWID;
        CREATE TABLE log_batches (
            topic text NOT NULL,
            partition int64 NOT NULL,
            base_offset int64 NOT NULL,
            record_count int64 NOT NULL,
            max_timestamp int64 NOT NULL,
            seek_timestamp int64 NOT NULL,
            batch bytes NOT NULL,
            PRIMARY KEY (topic, partition, base_offset)
        );
        CREATE TABLE log_offsets (
            group_name text NOT NULL,
            topic text NOT NULL,
            partition int64 NOT NULL,
            next_offset int64 NOT NULL,
            epoch int64 NOT NULL,
            member text,
            lease_until int64,
            updated_at int64 NOT NULL,
            PRIMARY KEY (group_name, topic, partition)
        ) WITHOUT ROWID;
        CREATE TABLE log_retries (
            group_name text NOT NULL,
            topic text NOT NULL,
            partition int64 NOT NULL,
            record_offset int64 NOT NULL,
            record_key bytes,
            tries int64 NOT NULL,
            due_at int64 NOT NULL,
            reason text,
            record bytes NOT NULL,
            PRIMARY KEY (group_name, topic, partition, record_offset)
        );
        CREATE TABLE log_settled (
            topic text NOT NULL,
            record_offset int64 NOT NULL,
            outcome text NOT NULL,
            settled_at int64 NOT NULL,
            PRIMARY KEY (topic, record_offset)
        ) WITHOUT ROWID;
        """

    // `until` is in milliseconds of LogTime. Rows of members that are gone are removed by the others.
    private static let second: String = """
        CREATE TABLE log_members (
            group_name text NOT NULL,
            member text NOT NULL,
            topics text NOT NULL,
            until int64 NOT NULL,
            PRIMARY KEY (group_name, member)
        ) WITHOUT ROWID;
        CREATE TABLE log_leases (
            name text NOT NULL PRIMARY KEY,
            holder text,
            epoch int64 NOT NULL,
            until int64 NOT NULL
        ) WITHOUT ROWID;
        """

    // Batches are stored as they are, since they are written once, and compressing them costs more than it brings. The outbox is
    // emptied as fast as it fills: without frequent vacuuming its index would hold mostly what is gone.
    private static let third: String = """
        CREATE SEQUENCE log_outbox_ids;
        CREATE TABLE log_outbox (
            id int64 NOT NULL DEFAULT nextval('log_outbox_ids') PRIMARY KEY,
            transaction_id int64 NOT NULL,
            topic text NOT NULL,
            partition int64 NOT NULL,
            batch bytes NOT NULL
        );
        ALTER TABLE log_outbox ALTER COLUMN batch SET STORAGE EXTERNAL;
        ALTER TABLE log_outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
        ALTER TABLE log_batches ALTER COLUMN batch SET STORAGE EXTERNAL;
        """
}
