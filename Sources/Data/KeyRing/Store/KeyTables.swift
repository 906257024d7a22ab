import Store
import Time

/// A key-encrypting key as stored: wrapped by the master key.
struct WrappedKey: Sendable {
    enum Purpose: String, Sendable {
        /// Wraps data keys.
        case encrypting
        /// What sealed values of format 1, before there were levels: the master key of that time.
        case legacy
    }

    let id: String
    let purpose: Purpose
    /// The id of the master key that wraps it.
    let master: String
    let wrapped: [UInt8]
    let createdAt: Timestamp
    /// Before that it wraps nothing new: other processes have to learn of it first.
    let activeAt: Timestamp

    static let columns: String = "key_id, purpose, master, wrapped, created_at, active_at"

    init(id: String, purpose: Purpose, master: String, wrapped: [UInt8], createdAt: Timestamp, activeAt: Timestamp) {
        self.id = id
        self.purpose = purpose
        self.master = master
        self.wrapped = wrapped
        self.createdAt = createdAt
        self.activeAt = activeAt
    }

    init(_ row: Row) throws(StoreError) {
        self.id = try row.text(0)
        self.purpose = Purpose(rawValue: try row.text(1)) ?? .encrypting
        self.master = try row.text(2)
        self.wrapped = try row.bytes(3)
        self.createdAt = Timestamp(milliseconds: try row.int(4))
        self.activeAt = Timestamp(milliseconds: try row.int(5))
    }

    /// What it is bound to in its wrapping.
    static func wrapName(_ id: String) -> String { "key-encrypting/\(id)" }
}

/// A data key as stored: wrapped by a key-encrypting key.
struct DataKeyRow: Sendable {
    let tenant: String
    let name: String
    let version: Int64
    let keyID: String
    let wrapped: [UInt8]
    let activeAt: Timestamp

    static let columns: String = "tenant, name, version, key_id, wrapped, active_at"

    init(_ row: Row) throws(StoreError) {
        self.tenant = try row.text(0)
        self.name = try row.text(1)
        self.version = try row.int(2)
        self.keyID = try row.text(3)
        self.wrapped = try row.bytes(4)
        self.activeAt = Timestamp(milliseconds: try row.int(5))
    }
}

/// The table `key_encrypting_keys`.
enum WrappedKeyTable {
    /// In the order they were made.
    static func all(in store: any Queryable) throws(StoreError) -> [WrappedKey] {
        try store.rows(
            "SELECT \(WrappedKey.columns) FROM key_encrypting_keys ORDER BY number, key_id",
            decode: { (row: Row) throws(StoreError) -> WrappedKey in try WrappedKey(row) })
    }

    static func insert(_ key: WrappedKey, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            """
            INSERT INTO key_encrypting_keys (key_id, number, purpose, master, wrapped, created_at, active_at)
            SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6 FROM key_encrypting_keys
            """, .text(key.id), .text(key.purpose.rawValue), .text(key.master), .bytes(key.wrapped),
            .int(key.createdAt.milliseconds), .int(key.activeAt.milliseconds))
    }

    /// Wraps a key anew, unless somebody did meanwhile.
    static func rewrap(
        _ key: WrappedKey, master: String, wrapped: [UInt8], in transaction: Transaction
    ) throws(StoreError) {
        try transaction.execute(
            "UPDATE key_encrypting_keys SET master = $3, wrapped = $4 WHERE key_id = $1 AND wrapped = $2",
            .text(key.id), .bytes(key.wrapped), .text(master), .bytes(wrapped))
    }

    /// Marks every data-wrapping key but the newest as retired, from now on.
    static func retireAllBut(_ id: String, in transaction: Transaction) throws(StoreError) {
        try transaction.execute(
            "UPDATE key_encrypting_keys SET retired_at = $2 WHERE key_id <> $1 AND purpose = 'encrypting' AND retired_at IS NULL",
            .text(id), .int(transaction.now.milliseconds))
    }
}

/// The table `data_keys`.
enum DataKeyTable {
    static func find(
        _ version: Int64, name: String, tenant: String, in store: any Queryable
    ) throws(StoreError) -> DataKeyRow? {
        try store.first(
            "SELECT \(DataKeyRow.columns) FROM data_keys WHERE tenant = $1 AND name = $2 AND version = $3",
            .text(tenant), .text(name), .int(version),
            decode: { (row: Row) throws(StoreError) -> DataKeyRow in try DataKeyRow(row) })
    }

    /// All versions, the newest first.
    static func versions(name: String, tenant: String, in store: any Queryable) throws(StoreError) -> [DataKeyRow] {
        try store.rows(
            "SELECT \(DataKeyRow.columns) FROM data_keys WHERE tenant = $1 AND name = $2 ORDER BY version DESC",
            .text(tenant), .text(name),
            decode: { (row: Row) throws(StoreError) -> DataKeyRow in try DataKeyRow(row) })
    }

    static func newest(name: String, tenant: String, in store: any Queryable) throws(StoreError) -> DataKeyRow? {
        try store.first(
            "SELECT \(DataKeyRow.columns) FROM data_keys WHERE tenant = $1 AND name = $2 ORDER BY version DESC LIMIT 1",
            .text(tenant), .text(name),
            decode: { (row: Row) throws(StoreError) -> DataKeyRow in try DataKeyRow(row) })
    }

    static func insert(
        tenant: String, name: String, version: Int64, keyID: String, wrapped: [UInt8], activeAt: Timestamp,
        in transaction: Transaction
    ) throws(StoreError) {
        try transaction.execute(
            """
            INSERT INTO data_keys (tenant, name, version, key_id, wrapped, created_at, active_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            """, .text(tenant), .text(name), .int(version), .text(keyID), .bytes(wrapped),
            .int(transaction.now.milliseconds), .int(activeAt.milliseconds))
        try transaction.execute(
            """
            UPDATE data_keys SET retired_at = $4 WHERE tenant = $1 AND name = $2 AND version < $3
                AND retired_at IS NULL
            """, .text(tenant), .text(name), .int(version), .int(transaction.now.milliseconds))
    }

    /// Keys that another key wraps than `keyID`, in order of tenant, name and version.
    static func notWrapped(by keyID: String, limit: Int, in store: any Queryable) throws(StoreError) -> [DataKeyRow] {
        try store.rows(
            "SELECT \(DataKeyRow.columns) FROM data_keys WHERE key_id <> $1 ORDER BY tenant, name, version LIMIT $2",
            .text(keyID), .int(Int64(limit)),
            decode: { (row: Row) throws(StoreError) -> DataKeyRow in try DataKeyRow(row) })
    }

    static func rewrap(
        _ row: DataKeyRow, keyID: String, wrapped: [UInt8], in transaction: Transaction
    ) throws(StoreError) {
        try transaction.execute(
            "UPDATE data_keys SET key_id = $4, wrapped = $5 WHERE tenant = $1 AND name = $2 AND version = $3",
            .text(row.tenant), .text(row.name), .int(row.version), .text(keyID), .bytes(wrapped))
    }

    static func delete(name: String, tenant: String, in transaction: Transaction) throws(StoreError) -> Int {
        try transaction.execute(
            "DELETE FROM data_keys WHERE tenant = $1 AND name = $2", .text(tenant), .text(name))
    }

    static func count(_ condition: String, _ value: SQLValue, in store: any Queryable) throws(StoreError) -> Int64 {
        try store.first(
            "SELECT count(*) FROM data_keys WHERE \(condition)", value,
            decode: { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }) ?? 0
    }
}
