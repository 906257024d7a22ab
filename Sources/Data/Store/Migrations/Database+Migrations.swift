import Time

/// How the engines differ where the schema is made.
extension Database {
    /// Taken by whoever migrates, for as long as the transaction lasts. Any number nobody else uses: "passerel" in ASCII.
    private static let migrationLock: Int64 = 0x7061_7373_6572_656c

    /// What to look at: the file, or the address without secrets.
    var shown: String {
        switch self {
        case .sqlite(let connection): "'\(SQLiteResult.file(connection.handle))'"
        case .postgresql(let connection): connection.address.shown
        }
    }

    /// How many tables there are.
    var tableCount: String {
        switch self {
        case .sqlite: "SELECT count(*) FROM sqlite_schema"
        case .postgresql:
            "SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')"
        }
    }

    /// How many columns of our list of migrations there are.
    var listColumns: String {
        let names: String = "('service', 'number', 'name', 'checksum', 'applied_at')"
        switch self {
        case .sqlite: return "SELECT count(*) FROM pragma_table_info('schema_migrations') WHERE name IN \(names)"
        case .postgresql:
            return """
                SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass('schema_migrations')
                AND attnum > 0 AND NOT attisdropped AND attname IN \(names)
                """
        }
    }

    /// Begins a transaction and keeps other processes from migrating until its end.
    func beginMigrations() throws(StoreError) {
        switch self {
        case .sqlite(let connection): _ = try connection.execute("BEGIN IMMEDIATE")
        case .postgresql(let connection):
            try connection.command("BEGIN")
            let limit: Int = PostgresLimits.migrationMillisecondsMax
            try connection.command("SET LOCAL lock_timeout = \(limit); SET LOCAL statement_timeout = \(limit)")
            try connection.command("SELECT pg_advisory_xact_lock(\(Self.migrationLock))")
        }
    }

    func endMigrations(commits: Bool) throws(StoreError) {
        switch self {
        case .sqlite(let connection):
            if connection.isInTransaction { _ = try connection.execute(commits ? "COMMIT" : "ROLLBACK") }
        case .postgresql(let connection):
            if commits { try connection.commit() } else { connection.rollBack() }
        }
    }

    /// Runs a statement of a migration.
    func change(_ sql: String) throws(StoreError) {
        switch self {
        case .sqlite(let connection): _ = try connection.execute(sql)
        case .postgresql(let connection): try connection.command(sql)
        }
    }
}
