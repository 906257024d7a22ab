import JSON
package import Store
import Time

extension BackupsService {
    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "backups",
        steps: [
            // Backups are of the whole platform: no tenant.
            Migration(
                number: 1, name: "backups",
                sql: """
                    CREATE TABLE backups (
                        backup_id text NOT NULL PRIMARY KEY, state text NOT NULL, requested_by text NOT NULL,
                        is_full bool NOT NULL, started_at int64 NOT NULL, finished_at int64, result json, version int64 NOT NULL);
                    """)
        ])
}

/// A backup that was asked for over REST, and how it went.
struct BackupRun: Sendable {
    enum State: String, Sendable {
        case running
        /// `result` describes the backup.
        case done
        /// `result.reason` says why.
        case failed
    }

    let id: String
    var state: State
    let requestedBy: String
    let isFull: Bool
    let startedAt: Timestamp
    var finishedAt: Timestamp?
    var result: JSONValue
    var version: Int64

    var json: JSONValue {
        .object([
            "id": .string(self.id), "state": .string(self.state.rawValue), "full": .bool(self.isFull),
            "requested_by": .string(self.requestedBy), "started_at": .string(self.startedAt.rfc3339),
            "finished_at": self.finishedAt.map { JSONValue.string($0.rfc3339) } ?? .null, "result": self.result,
        ])
    }
}

/// The table `backups`.
enum BackupTable {
    private static let columns: String =
        "backup_id, state, requested_by, is_full, started_at, finished_at, result, version"

    static func insert(_ run: BackupRun, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO backups (backup_id, state, requested_by, is_full, started_at, version)
            VALUES ($1, $2, $3, $4, $5, $6)
            """, .text(run.id), .text(run.state.rawValue), .text(run.requestedBy), .int(run.isFull ? 1 : 0),
            .int(run.startedAt.milliseconds), .int(run.version))
    }

    static func finish(_ run: BackupRun, in transaction: Transaction) throws {
        try transaction.execute(
            "UPDATE backups SET state = $2, finished_at = $3, result = $4, version = $5 WHERE backup_id = $1",
            .text(run.id), .text(run.state.rawValue), .int(transaction.now.milliseconds), .text(run.result.jsonText),
            .int(run.version))
    }

    static func find(_ id: String, in store: any Queryable) throws -> BackupRun? {
        try store.first(
            "SELECT \(Self.columns) FROM backups WHERE backup_id = $1", .text(id), decode: Self.decode)
    }

    /// Newest first. - Parameter before: only those with smaller ids; empty for all.
    static func all(before: String, limit: Int, in store: any Queryable) throws -> [BackupRun] {
        try store.rows(
            """
            SELECT \(Self.columns) FROM backups WHERE $1 = '' OR backup_id < $1 ORDER BY backup_id DESC LIMIT $2
            """, .text(before), .int(Int64(limit)), decode: Self.decode)
    }

    static func running(in store: any Queryable) throws -> [BackupRun] {
        try store.rows(
            "SELECT \(Self.columns) FROM backups WHERE state = 'running' ORDER BY backup_id", decode: Self.decode)
    }

    /// When the last one that ended well ended, milliseconds since 1970.
    static func lastSuccess(in store: any Queryable) throws -> Int64? {
        try store.first(
            "SELECT finished_at FROM backups WHERE state = 'done' ORDER BY backup_id DESC LIMIT 1"
        ) { (row: Row) throws(StoreError) -> Int64 in try row.int(0) }
    }

    private static func decode(_ row: Row) throws(StoreError) -> BackupRun {
        let result: String? = try row.optionalText(6)
        return BackupRun(
            id: try row.text(0), state: BackupRun.State(rawValue: try row.text(1)) ?? .failed,
            requestedBy: try row.text(2), isFull: try row.bool(3),
            startedAt: Timestamp(milliseconds: try row.int(4)),
            finishedAt: try row.optionalInt(5).map { Timestamp(milliseconds: $0) },
            result: result.flatMap { try? JSONReader.parse($0) } ?? .null, version: try row.int(7))
    }
}
