import Store
import Time

/// The SQL of `audit_subject_keys`: the keys that seal what entries have of people. Destroying one erases what it seals.
enum SubjectKeyTable {
    struct Stored: Sendable {
        let id: String
        let subject: String
        /// Sealed by the platform's key ring under `SubjectKeys.sealName`.
        let sealed: [UInt8]
        let createdAt: Timestamp
    }

    private static let columns: String = "key_id, subject, sealed, created_at"

    /// The newest key of somebody.
    static func newest(of subject: String, in database: some Queryable) throws(StoreError) -> Stored? {
        try database.first(
            """
            SELECT \(Self.columns) FROM audit_subject_keys WHERE subject = $1 ORDER BY created_at DESC, key_id DESC LIMIT 1
            """, .text(subject), decode: Self.decode)
    }

    static func find(_ id: String, in database: some Queryable) throws(StoreError) -> Stored? {
        try database.first(
            "SELECT \(Self.columns) FROM audit_subject_keys WHERE key_id = $1", .text(id), decode: Self.decode)
    }

    static func insert(_ key: Stored, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            "INSERT INTO audit_subject_keys (key_id, subject, sealed, created_at) VALUES ($1, $2, $3, $4)",
            .text(key.id), .text(key.subject), .bytes(key.sealed), .int(key.createdAt.milliseconds))
    }

    /// The ids of all keys of somebody, oldest first.
    static func ids(of subject: String, in database: some Queryable) throws(StoreError) -> [String] {
        try database.rows(
            "SELECT key_id FROM audit_subject_keys WHERE subject = $1 ORDER BY created_at, key_id", .text(subject)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }

    /// Hands over the id of every key; of a database from before there were any, of none.
    static func visitIDs(in database: some Queryable, _ body: (String) -> Void) throws(StoreError) {
        let isThere: Int64? = try database.first(
            "SELECT number FROM schema_migrations WHERE service = 'audit' AND number = $1",
            .int(Int64(AuditMigrations.peopleNumber))
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
        if isThere == nil { return }
        try database.visit("SELECT key_id FROM audit_subject_keys", []) { (row: Row) throws(StoreError) -> Bool in
            body(try row.text(0))
            return true
        }
    }

    /// Destroys every key of somebody; returns their ids.
    static func destroy(_ subject: String, in transaction: Transaction) throws(StoreError) -> [String] {
        let ids: [String] = try Self.ids(of: subject, in: transaction)
        // What is deleted in SQLite's file is overwritten there (secure_delete); written over first, it is in the log, too.
        try transaction.execute(
            "UPDATE audit_subject_keys SET sealed = $2 WHERE subject = $1", .text(subject), .bytes([]))
        try transaction.execute("DELETE FROM audit_subject_keys WHERE subject = $1", .text(subject))
        return ids
    }

    /// Destroys the keys with these ids, and all of somebody; returns the ids of those that were there.
    static func destroy(
        keys ids: [String], of subject: String, in transaction: Transaction
    ) throws(StoreError) -> [String] {
        var destroyed: [String] = try Self.destroy(subject, in: transaction)
        for id in ids {
            guard let key: Stored = try Self.find(id, in: transaction) else { continue }
            destroyed += try Self.destroy(key.subject, in: transaction)
        }
        return destroyed
    }

    /// Destroys keys made before a time, oldest first, at most `limit`; returns how many.
    static func destroy(madeBefore time: Timestamp, limit: Int, in transaction: Transaction) throws(StoreError) -> Int {
        try transaction.execute(
            """
            DELETE FROM audit_subject_keys WHERE key_id IN
                (SELECT key_id FROM audit_subject_keys WHERE created_at < $1 ORDER BY created_at LIMIT $2)
            """, .int(time.milliseconds), .int(Int64(limit)))
    }

    private static func decode(_ row: Row) throws(StoreError) -> Stored {
        Stored(
            id: try row.text(0), subject: try row.text(1), sealed: try row.bytes(2),
            createdAt: Timestamp(milliseconds: try row.int(3)))
    }
}
