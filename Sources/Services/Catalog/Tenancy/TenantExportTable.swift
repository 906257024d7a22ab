import Contracts
import JSON
import Store
import Time

/// What an export is found by.
struct ExportKey: Sendable, Hashable {
    let tenant: String
    let id: String

    /// The key that seals its parts: destroyed when it goes.
    var sealingKey: String { "export/\(self.id)" }

    func sealName(part: Int64) -> String { "tenant-export/\(self.id)/\(part)" }
}

/// An export of a tenant: being made, ready, or on its way out.
struct ExportRecord: Sendable {
    /// running → ready | failed; all of them → ended, when their parts go.
    enum State: String, Sendable {
        case running, ready, failed, ended
    }

    let key: ExportKey
    let taskID: String
    var state: State
    var progress: ExportProgress
    var parts: Int64
    /// Bytes of the archive so far.
    var size: Int64
    let createdBy: String
    let traceparent: String
    let createdAt: Timestamp
    /// When a ready one goes.
    var expiresAt: Timestamp?

    var location: String { "/v1/tenants/\(self.key.tenant)/exports/\(self.key.id)" }

    var json: JSONValue {
        .object([
            "id": .string(self.key.id), "task": .string(self.taskID), "state": .string(self.state.rawValue),
            "size": .int(self.size), "created_by": .string(self.createdBy),
            "created_at": .string(self.createdAt.rfc3339),
            "expires_at": self.expiresAt.map { .string($0.rfc3339) } ?? .null,
            "archive": self.state == .ready ? .string("\(self.location)/archive") : .null,
        ])
    }
}

/// How far an export is: what its next part begins with.
struct ExportProgress: Sendable {
    /// Number of the section.
    var section: Int = 0
    /// Where in it.
    var after: String?
    /// Files of lines that the section has so far.
    var file: Int = 0
    /// Lines and files by section.
    var counts: JSONObject = [:]

    var json: JSONValue {
        .object([
            "section": .int(Int64(self.section)), "after": self.after.map { .string($0) } ?? .null,
            "file": .int(Int64(self.file)), "counts": .object(self.counts),
        ])
    }

    init() {}

    init(_ json: JSONValue) {
        self.section = Int(json["section"]?.integer ?? 0)
        self.after = json["after"]?.text
        self.file = Int(json["file"]?.integer ?? 0)
        self.counts = json["counts"]?.object ?? [:]
    }
}

/// The tables `tenant_exports` and `tenant_export_parts`.
enum TenantExportTable {
    /// Parts removed in one transaction.
    private static let partsRemovedMax: Int64 = 16
    private static let columns: String =
        "tenant, export_id, task_id, state, progress, parts, size, created_by, traceparent, created_at, expires_at"

    static func find(_ key: ExportKey, in store: any Queryable) throws -> ExportRecord? {
        try store.first(
            "SELECT \(Self.columns) FROM tenant_exports WHERE tenant = $1 AND export_id = $2", .text(key.tenant),
            .text(key.id)
        ) { try Self.decode($0) }
    }

    /// Those of a tenant that are there for callers, newest first.
    static func all(tenant: String, in store: any Queryable) throws -> [ExportRecord] {
        try store.rows(
            """
            SELECT \(Self.columns) FROM tenant_exports WHERE tenant = $1 AND state <> 'ended' ORDER BY export_id DESC
            """, .text(tenant)
        ) { try Self.decode($0) }
    }

    /// Those that no other process works on.
    static func running(worker: String, lost: Timestamp, in store: any Queryable) throws -> [ExportKey] {
        try Self.keys(
            "state = 'running' AND (worker = $1 OR touched_at <= $2)", [.text(worker), .int(lost.milliseconds)],
            in: store)
    }

    /// Those whose time is over, or whose parts are to go.
    static func expired(_ now: Timestamp, in store: any Queryable) throws -> [ExportKey] {
        try Self.keys("state = 'ended' OR expires_at <= $1", [.int(now.milliseconds)], in: store)
    }

    private static func keys(
        _ condition: String, _ values: [SQLValue], in store: any Queryable
    ) throws -> [ExportKey] {
        var found: [ExportKey] = []
        try store.visit(
            "SELECT tenant, export_id FROM tenant_exports WHERE \(condition) ORDER BY export_id", values
        ) { (row: Row) throws(StoreError) -> Bool in
            found.append(ExportKey(tenant: try row.text(0), id: try row.text(1)))
            return true
        }
        return found
    }

    static func insert(_ record: ExportRecord, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO tenant_exports (\(Self.columns), worker, touched_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '', 0)
            """, .text(record.key.tenant), .text(record.key.id), .text(record.taskID), .text(record.state.rawValue),
            .text(record.progress.json.jsonText), .int(record.parts), .int(record.size), .text(record.createdBy),
            .text(record.traceparent), .int(record.createdAt.milliseconds), .optional(record.expiresAt?.milliseconds))
    }

    static func update(_ record: ExportRecord, in transaction: Transaction) throws {
        try transaction.execute(
            """
            UPDATE tenant_exports SET state = $3, progress = $4, parts = $5, size = $6, expires_at = $7
            WHERE tenant = $1 AND export_id = $2
            """, .text(record.key.tenant), .text(record.key.id), .text(record.state.rawValue),
            .text(record.progress.json.jsonText), .int(record.parts), .int(record.size),
            .optional(record.expiresAt?.milliseconds))
    }

    /// Makes it this process's, unless another one works on it. - Returns: nil when that is so, or it runs no more.
    static func claim(
        _ key: ExportKey, worker: String, lost: Timestamp, in transaction: Transaction
    ) throws -> ExportRecord? {
        let claimed: Int = try transaction.execute(
            """
            UPDATE tenant_exports SET worker = $3, touched_at = $5
            WHERE tenant = $1 AND export_id = $2 AND state = 'running' AND (worker = $3 OR touched_at <= $4)
            """, .text(key.tenant), .text(key.id), .text(worker), .int(lost.milliseconds),
            .int(transaction.now.milliseconds))
        return claimed == 0 ? nil : try Self.find(key, in: transaction)
    }

    static func insertPart(_ part: Int64, sealed: [UInt8], of key: ExportKey, in transaction: Transaction) throws {
        try transaction.execute(
            "INSERT INTO tenant_export_parts (tenant, export_id, part, sealed) VALUES ($1, $2, $3, $4)",
            .text(key.tenant), .text(key.id), .int(part), .bytes(sealed))
    }

    static func part(_ part: Int64, of key: ExportKey, in store: any Queryable) throws -> [UInt8]? {
        try store.first(
            "SELECT sealed FROM tenant_export_parts WHERE tenant = $1 AND export_id = $2 AND part = $3",
            .text(key.tenant), .text(key.id), .int(part)
        ) { (row: Row) throws(StoreError) -> [UInt8] in try row.bytes(0) }
    }

    /// Removes some parts of one whose parts go, and itself after the last of them. - Returns: whether it is gone.
    static func remove(_ key: ExportKey, in transaction: Transaction) throws -> Bool {
        let removed: Int = try transaction.execute(
            """
            DELETE FROM tenant_export_parts WHERE tenant = $1 AND export_id = $2 AND part IN
                (SELECT part FROM tenant_export_parts WHERE tenant = $1 AND export_id = $2 LIMIT $3)
            """, .text(key.tenant), .text(key.id), .int(Self.partsRemovedMax))
        if removed > 0 { return false }
        try transaction.execute(
            "DELETE FROM tenant_exports WHERE tenant = $1 AND export_id = $2", .text(key.tenant), .text(key.id))
        return true
    }

    private static func decode(_ row: Row) throws -> ExportRecord {
        ExportRecord(
            key: ExportKey(tenant: try row.text(0), id: try row.text(1)), taskID: try row.text(2),
            state: ExportRecord.State(rawValue: try row.text(3)) ?? .failed,
            progress: ExportProgress(try JSONReader.parse(try row.text(4))), parts: try row.int(5),
            size: try row.int(6), createdBy: try row.text(7), traceparent: try row.text(8),
            createdAt: Timestamp(milliseconds: try row.int(9)),
            expiresAt: try row.optionalInt(10).map { Timestamp(milliseconds: $0) })
    }
}
