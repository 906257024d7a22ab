package import Time

/// Moves a store from SQLite in a folder to an empty PostgreSQL database, and compares the two row by row.
///
/// ```
/// schema of the source checked, of the target made ─► each table in the order of its key ─► every row compared ─► the copy is released
/// ```
/// The source is locked and only read, so its schema must be this binary's. Rows go in the order of the primary key, in
/// transactions of some hundreds, so a copy that was interrupted goes on behind the last row it finds. Until it is
/// released the target counts as unfinished and no platform starts on it: the marker is the service `store-copy` in its list of
/// migrations. A table whose rows differ is copied anew by the next run.
///
/// Blocks for as long as it takes: call it where that is welcome.
package final class StoreCopy {
    /// What the copy tells while it runs.
    package enum Progress: Sendable, Equatable {
        case copied(table: String, rows: Int64)
        case compared(table: String, rows: Int64)
    }

    /// What was copied, by table, in the order of the schema.
    package struct Summary: Sendable, Equatable {
        package let tables: [(name: String, rows: Int64)]

        package var rows: Int64 { self.tables.reduce(0) { $0 + $1.rows } }

        package static func == (left: Summary, right: Summary) -> Bool {
            left.tables.elementsEqual(right.tables) { $0 == $1 }
        }
    }

    /// The copy is not what the source holds.
    package struct Difference: Error, Equatable, CustomStringConvertible {
        package let table: String
        package let key: String
        package let problem: String

        package var description: String {
            "table \(self.table), row \(self.key): \(self.problem); run it again to copy this table anew"
        }
    }

    /// Tables that belong to each database itself.
    private static let ownTables: Set<String> = ["schema_migrations", "store_probe"]
    static let marker: ServiceMigrations = ServiceMigrations(
        service: "store-copy",
        steps: [
            Migration(
                number: 1, name: "unfinished",
                sql: """
                    CREATE TABLE store_copy (source text NOT NULL PRIMARY KEY);
                    CREATE TABLE store_copied (table_name text NOT NULL PRIMARY KEY);
                    """)
        ])

    private let lock: FolderLock
    private let source: Connection
    private let target: PostgresConnection
    private let progress: (Progress) -> Void

    /// Locks the folder, checks its schema, connects, and makes that of the target.
    ///
    /// Throws `.locked` while a process uses the folder, `.foreignDatabase` when the target belongs to something else or to
    /// another installation, and whatever `Store.open` throws.
    package init(
        folder path: String, to url: String, migrations: [ServiceMigrations], clock: any WallClock = SystemClock(),
        progress: @escaping (Progress) -> Void = { _ in }
    ) throws(StoreError) {
        let folder: DataFolder = DataFolder(path: path)
        self.lock = try FolderLock(folder)
        self.source = try Connection(path: folder.databasePath, mode: .readWrite)
        self.progress = progress
        try self.source.configureWriter()
        try MigrationRunner(.sqlite(self.source), migrations, now: clock.now()).prepare(.complete)
        let configuration: StoreConfiguration = StoreConfiguration(folder: path, url: url)
        self.target = try PostgresSessions(try PostgresAddress(url), configuration).connect(
            statementTime: .milliseconds(PostgresLimits.migrationMillisecondsMax), now: 0)
        try self.claimTarget(migrations, now: clock.now())
    }

    /// Copies what is missing, compares everything and releases the copy. Can be called again after a failure.
    package func run() throws -> Summary {
        let tables: [CopyTable] = try self.tables()
        // From the last, so that nothing is removed that another table refers to.
        for table: CopyTable in tables.reversed() { try self.begin(table) }
        for table: CopyTable in tables { try self.copy(table) }
        var counts: [(name: String, rows: Int64)] = []
        for table: CopyTable in tables { counts.append((table.name, try self.compare(table, of: tables))) }
        try self.release()
        return Summary(tables: counts)
    }

    // MARK: - The target

    /// Takes an empty database, or goes on with one that this source was being copied to.
    private func claimTarget(_ migrations: [ServiceMigrations], now: Timestamp) throws(StoreError) {
        let database: Database = .postgresql(self.target)
        let isOurs: Bool = try database.integer(database.listColumns) ?? 0 > 0
        let isUnfinished: Bool =
            try database.integer("SELECT count(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('store_copy')") == 1
        if isOurs, !isUnfinished {
            throw .foreignDatabase(
                reason: "\(self.target.address.shown) is a store already, and a copy needs an empty database")
        }
        _ = try MigrationRunner(database, migrations + [Self.marker], now: now).run()
        let source: String = try self.sourceName()
        try self.inTransaction {
            _ = try self.target.execute(
                "INSERT INTO store_copy (source) VALUES ($1) ON CONFLICT DO NOTHING", [.text(source)])
            guard try database.integer("SELECT count(*) FROM store_copy") == 1 else {
                throw StoreError.foreignDatabase(
                    reason: "\(self.target.address.shown) holds an unfinished copy of another installation")
            }
        }
    }

    /// What tells one installation from another: the moment its database was made, to the nanosecond.
    private func sourceName() throws(StoreError) -> String {
        let sql: String = "SELECT applied_at FROM schema_migrations WHERE service = 'store' AND number = 1"
        return "\(try Database.sqlite(self.source).integer(sql) ?? 0)"
    }

    /// From now on platforms may start on it.
    private func release() throws(StoreError) {
        try self.inTransaction {
            try self.target.command("DROP TABLE store_copy; DROP TABLE store_copied")
            _ = try self.target.execute(
                "DELETE FROM schema_migrations WHERE service = $1", [.text(Self.marker.service)])
        }
    }

    private func inTransaction(_ body: () throws -> Void) throws(StoreError) {
        try self.target.command("BEGIN")
        do {
            try body()
            try self.target.commit()
        } catch {
            self.target.rollBack()
            throw (error as? StoreError) ?? .misuse("\(error)")
        }
    }

    // MARK: - Tables

    /// In the order they were made, so that what a table refers to comes before it.
    private func tables() throws(StoreError) -> [CopyTable] {
        var names: [String] = []
        let sql: String =
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY rowid"
        try self.source.visit(sql, []) { (row: Row) throws(StoreError) -> Bool in
            let name: String = try row.text(0)
            if !Self.ownTables.contains(name) { names.append(name) }
            return true
        }
        var tables: [CopyTable] = []
        for name: String in names { tables.append(try CopyTable(name, in: self.source)) }
        return tables
    }

    /// Empties a table that no run has begun: what the migrations put into it is in the source, too.
    private func begin(_ table: CopyTable) throws(StoreError) {
        let database: Database = .postgresql(self.target)
        let begun: Int64? = try self.count(
            database, "SELECT count(*) FROM store_copied WHERE table_name = $1", [.text(table.name)])
        guard begun == 0 else { return }
        try self.inTransaction {
            _ = try self.target.execute("DELETE FROM \(table.quoted)")
            _ = try self.target.execute("INSERT INTO store_copied (table_name) VALUES ($1)", [.text(table.name)])
        }
    }

    private func copy(_ table: CopyTable) throws(StoreError) {
        let database: Database = .postgresql(self.target)
        var last: [SQLValue]? = try table.lastKey(in: database)
        var rows: Int64 = try self.count(database, "SELECT count(*) FROM \(table.quoted)", []) ?? 0
        while true {
            let chunk: [[SQLValue]] = try table.rows(after: last, in: .sqlite(self.source))
            guard let end: [SQLValue] = chunk.last else { break }
            try self.inTransaction { for part: [[SQLValue]] in table.parts(of: chunk) { try self.insert(part, table) } }
            last = table.key(of: end)
            rows += Int64(chunk.count)
            self.progress(.copied(table: table.name, rows: rows))
        }
    }

    private func insert(_ rows: [[SQLValue]], _ table: CopyTable) throws(StoreError) {
        var values: [SQLValue] = []
        for row: [SQLValue] in rows { values += row }
        _ = try self.target.execute(table.insertion(of: rows.count), values)
    }

    private func count(_ database: Database, _ sql: String, _ values: [SQLValue]) throws(StoreError) -> Int64? {
        var found: Int64?
        try database.visit(sql, values) { (row: Row) throws(StoreError) -> Bool in
            found = try row.int(0)
            return false
        }
        return found
    }

    // MARK: - Comparing

    /// Compares every row; returns how many there are.
    private func compare(_ table: CopyTable, of tables: [CopyTable]) throws -> Int64 {
        var last: [SQLValue]?
        var rows: Int64 = 0
        while true {
            let expected: [[SQLValue]] = try table.rows(after: last, in: .sqlite(self.source))
            // As many rows as the source gave, or one, to see that there is none.
            let found: [[SQLValue]] = try table.rows(
                after: last, limit: max(1, expected.count), in: .postgresql(self.target))
            if let difference: Difference = table.difference(expected, found) {
                try self.forget(table, of: tables)
                throw difference
            }
            guard let end: [SQLValue] = expected.last else { return rows }
            last = table.key(of: end)
            rows += Int64(expected.count)
            self.progress(.compared(table: table.name, rows: rows))
        }
    }

    /// The next run copies the table from its beginning, and those that may refer to it.
    private func forget(_ table: CopyTable, of tables: [CopyTable]) throws(StoreError) {
        try self.inTransaction {
            for later: CopyTable in tables.drop(while: { $0.name != table.name }) {
                _ = try self.target.execute("DELETE FROM store_copied WHERE table_name = $1", [.text(later.name)])
            }
        }
    }
}
