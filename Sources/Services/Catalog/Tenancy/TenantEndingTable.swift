import Contracts
import Identifiers
import JSON
import Store
import Time

/// A tenant that is to end: asked for, waiting for its time, or on its way.
struct EndingRecord: Sendable {
    let tenant: String
    let taskID: String
    let erasesUsers: Bool
    let askedBy: String
    let traceparent: String
    let askedAt: Timestamp
    /// Until then it can be called off.
    let dueAt: Timestamp
    /// How far it is; nil: not begun.
    var stage: TenantStage?
    /// Before that nothing is taken for empty: requests that were let in before the end began may still write.
    var settledAt: Timestamp
    var rowsRemoved: Int64 = 0
    var usersErased: Int64 = 0

    /// What the services are told.
    var ending: TenantEnding {
        TenantEnding(
            tenant: self.tenant, erasesUsers: self.erasesUsers,
            author: Author(
                caller: .platform(CatalogService.name),
                trace: TraceContext(traceparent: self.traceparent) ?? TraceContext.make()))
    }

    var json: JSONValue {
        .object([
            "task": .string(self.taskID), "state": .string(self.stage == nil ? "waiting" : "running"),
            "asked_by": .string(self.askedBy), "asked_at": .string(self.askedAt.rfc3339),
            "due_at": .string(self.dueAt.rfc3339), "users": .string(self.erasesUsers ? "erase" : "keep"),
        ])
    }
}

/// The table `tenant_endings`.
enum TenantEndingTable {
    private static let columns: String = """
        tenant, task_id, erases_users, asked_by, traceparent, asked_at, due_at, stage, settled_at, rows_removed, users_erased
        """

    static func find(_ tenant: String, in store: any Queryable) throws -> EndingRecord? {
        try store.first(
            "SELECT \(Self.columns) FROM tenant_endings WHERE tenant = $1", .text(tenant), decode: Self.decode)
    }

    /// Those whose time has come and that no other process works on, oldest first.
    ///
    /// - Parameter lost: what nobody has touched since then has lost its process.
    static func due(_ now: Timestamp, worker: String, lost: Timestamp, in store: any Queryable) throws -> [String] {
        try store.rows(
            """
            SELECT tenant FROM tenant_endings WHERE due_at <= $1 AND (worker = $2 OR touched_at <= $3)
            ORDER BY asked_at, tenant
            """, .int(now.milliseconds), .text(worker), .int(lost.milliseconds)
        ) { (row: Row) throws(StoreError) -> String in try row.text(0) }
    }

    static func insert(_ record: EndingRecord, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO tenant_endings (\(Self.columns), worker, touched_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, 0, 0, 0, '', 0)
            """, .text(record.tenant), .text(record.taskID), .bool(record.erasesUsers), .text(record.askedBy),
            .text(record.traceparent), .int(record.askedAt.milliseconds), .int(record.dueAt.milliseconds))
    }

    /// Makes it this process's, unless another one works on it. - Returns: nil when that is so, or it has ended.
    static func claim(
        _ tenant: String, worker: String, lost: Timestamp, in transaction: Transaction
    ) throws -> EndingRecord? {
        let claimed: Int = try transaction.execute(
            """
            UPDATE tenant_endings SET worker = $2, touched_at = $4
            WHERE tenant = $1 AND (worker = $2 OR touched_at <= $3)
            """, .text(tenant), .text(worker), .int(lost.milliseconds), .int(transaction.now.milliseconds))
        return claimed == 0 ? nil : try Self.find(tenant, in: transaction)
    }

    static func update(_ record: EndingRecord, in transaction: Transaction) throws {
        try transaction.execute(
            """
            UPDATE tenant_endings SET stage = $2, settled_at = $3, rows_removed = $4, users_erased = $5 WHERE tenant = $1
            """, .text(record.tenant), record.stage.map { .text($0.rawValue) } ?? .null,
            .int(record.settledAt.milliseconds), .int(record.rowsRemoved), .int(record.usersErased))
    }

    static func delete(_ tenant: String, in transaction: Transaction) throws {
        try transaction.execute("DELETE FROM tenant_endings WHERE tenant = $1", .text(tenant))
    }

    private static func decode(_ row: Row) throws(StoreError) -> EndingRecord {
        EndingRecord(
            tenant: try row.text(0), taskID: try row.text(1), erasesUsers: try row.bool(2), askedBy: try row.text(3),
            traceparent: try row.text(4), askedAt: Timestamp(milliseconds: try row.int(5)),
            dueAt: Timestamp(milliseconds: try row.int(6)),
            stage: try row.optionalText(7).flatMap { TenantStage(rawValue: $0) },
            settledAt: Timestamp(milliseconds: try row.int(8)), rowsRemoved: try row.int(9),
            usersErased: try row.int(10))
    }
}
