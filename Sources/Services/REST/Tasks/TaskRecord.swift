import Identifiers
package import JSON
package import Store
package import Time

/// Long work with progress: what answered 202 and is followed at `/v1/tasks/{id}`.
package struct TaskRecord: Sendable {
    /// running → done, or running → failed. Nothing else.
    package enum State: String, Sendable {
        case running, done, failed
    }

    package let id: String
    /// The tenant it is about; empty for the platform's own.
    package let tenant: String
    /// What kind of work, for example `key-renewal`.
    package let kind: String
    package var state: State
    /// Steps done, of how many; both 0 while that is not known.
    package var done: Int64
    package var total: Int64
    /// What came of it; never a secret.
    package var result: JSONObject
    package let createdBy: String
    package let createdAt: Timestamp
    package var finishedAt: Timestamp?

    /// One that begins now.
    package init(kind: String, tenant: String, createdBy: String, now: Timestamp) {
        self.id = Identifier.make("tsk", now: now)
        self.tenant = tenant
        self.kind = kind
        self.state = .running
        self.done = 0
        self.total = 0
        self.result = [:]
        self.createdBy = createdBy
        self.createdAt = now
    }

    package var location: String { "/v1/tasks/\(self.id)" }

    package var json: JSONValue {
        .object([
            "id": .string(self.id), "tenant": self.tenant.isEmpty ? .null : .string(self.tenant),
            "kind": .string(self.kind), "state": .string(self.state.rawValue), "done": .int(self.done),
            "total": .int(self.total), "result": .object(self.result), "created_by": .string(self.createdBy),
            "created_at": .string(self.createdAt.rfc3339),
            "finished_at": self.finishedAt.map { .string($0.rfc3339) } ?? .null,
        ])
    }

    static let columns: String =
        "task_id, tenant, kind, state, done, total, result, created_by, created_at, finished_at"

    init(_ row: Row) throws {
        self.id = try row.text(0)
        self.tenant = try row.text(1)
        self.kind = try row.text(2)
        self.state = State(rawValue: try row.text(3)) ?? .failed
        self.done = try row.int(4)
        self.total = try row.int(5)
        self.result = (try? JSONReader.parse(Array(try row.text(6).utf8)))?.object ?? [:]
        self.createdBy = try row.text(7)
        self.createdAt = Timestamp(milliseconds: try row.int(8))
        self.finishedAt = try row.optionalInt(9).map { Timestamp(milliseconds: $0) }
    }
}

/// The table `tasks`: of all tenants, found by id; `tenant` says whose each is.
package enum TaskTable {
    /// Tasks that ended are kept this long.
    package static let keptFor: Duration = .seconds(30 * 86_400)

    package static let migrations: ServiceMigrations = ServiceMigrations(
        service: "tasks",
        steps: [
            Migration(
                number: 1, name: "tasks",
                sql: """
                    CREATE TABLE tasks (
                        task_id text NOT NULL PRIMARY KEY, tenant text NOT NULL, kind text NOT NULL,
                        state text NOT NULL, done int64 NOT NULL, total int64 NOT NULL, result text NOT NULL,
                        created_by text NOT NULL, created_at int64 NOT NULL, updated_at int64 NOT NULL,
                        finished_at int64);
                    CREATE INDEX tasks_running ON tasks (state, kind);
                    """)
        ])

    package static func insert(_ task: TaskRecord, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO tasks (task_id, tenant, kind, state, done, total, result, created_by, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
            """, .text(task.id), .text(task.tenant), .text(task.kind), .text(task.state.rawValue), .int(task.done),
            .int(task.total), .text(JSONValue.object(task.result).jsonText), .text(task.createdBy),
            .int(task.createdAt.milliseconds))
        try transaction.execute(
            "DELETE FROM tasks WHERE state <> 'running' AND finished_at < $1",
            .int(transaction.now.adding(.zero - Self.keptFor).milliseconds))
    }

    /// Notes how far it is, or that it ended.
    package static func update(_ task: TaskRecord, in transaction: Transaction) throws {
        let finished: Timestamp? = task.state == .running ? nil : task.finishedAt ?? transaction.now
        try transaction.execute(
            """
            UPDATE tasks SET state = $2, done = $3, total = $4, result = $5, updated_at = $6, finished_at = $7
            WHERE task_id = $1
            """, .text(task.id), .text(task.state.rawValue), .int(task.done), .int(task.total),
            .text(JSONValue.object(task.result).jsonText), .int(transaction.now.milliseconds),
            finished.map { .int($0.milliseconds) } ?? .null)
    }

    package static func find(_ id: String, in store: any Queryable) throws -> TaskRecord? {
        try store.first("SELECT \(TaskRecord.columns) FROM tasks WHERE task_id = $1", .text(id)) {
            try TaskRecord($0)
        }
    }

    /// Those of a kind that run, oldest first; those that nobody noted anything of since `before` only, where it is given.
    package static func running(
        kind: String, untouchedSince before: Timestamp? = nil, in store: any Queryable
    ) throws -> [TaskRecord] {
        try store.rows(
            """
            SELECT \(TaskRecord.columns) FROM tasks WHERE state = 'running' AND kind = $1 AND updated_at <= $2
            ORDER BY task_id
            """, .text(kind), .int(before?.milliseconds ?? Int64.max)
        ) { try TaskRecord($0) }
    }

    /// The newest first, before the id `before` where it is given.
    ///
    /// - Parameters:
    ///   - creator: whose own tasks are among them, whatever they are about.
    ///   - tenants: whose tasks are among them; nil: everybody's.
    static func all(
        creator: String, tenants: [String]?, before: String?, limit: Int, in store: any Queryable
    ) throws -> [TaskRecord] {
        var values: [SQLValue] = [.text(before ?? "tsl"), .int(Int64(limit)), .text(creator)]
        var condition: String = "created_by = $3"
        if let tenants: [String] {
            let places: [String] = tenants.map { (tenant: String) -> String in
                values.append(.text(tenant))
                return "$\(values.count)"
            }
            if !places.isEmpty { condition += " OR tenant IN (\(places.joined(separator: ", ")))" }
        } else {
            condition += " OR 1 = 1"
        }
        var found: [TaskRecord] = []
        var failure: (any Error)?
        try store.visit(
            """
            SELECT \(TaskRecord.columns) FROM tasks WHERE task_id < $1 AND (\(condition)) ORDER BY task_id DESC LIMIT $2
            """, values
        ) { (row: Row) throws(StoreError) -> Bool in
            do { found.append(try TaskRecord(row)) } catch { failure = error }
            return failure == nil
        }
        if let failure { throw failure }
        return found
    }
}
