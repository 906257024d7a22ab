import CSQLite

/// One SQLite connection with its prepared statements. Confined to one thread at a time: whoever owns it calls it.
final class Connection {
    /// Statements kept prepared; beyond it all idle ones are dropped, which only generated SQL text can reach.
    static let statementsMax: Int = 512
    /// Bytes of a savepoint's undo copy kept in memory before it goes to a temporary file.
    static let journalSpillBytes: Int32 = 4 << 20

    /// How long to wait for another program, such as the sqlite3 shell, that holds the database.
    static let busyMilliseconds: Int32 = 2000
    /// The WAL file is cut to this size when it starts over. Overwriting a kept file syncs faster than growing one.
    static let walBytesKept: Int = 32 << 20
    static let pageBytes: Int = 4096
    static let writerCacheKiB: Int = 8192
    static let readerCacheKiB: Int = 2048

    private(set) var handle: OpaquePointer?
    private var isRestricted: Bool = false
    private var statements: [String: Statement] = [:]

    enum Mode { case readWrite, readOnly }

    /// Process-wide settings, before the first connection. A second store in the process finds them done.
    private static let configured: Int32 = csqlite_configure(Connection.journalSpillBytes)

    init(path: String, mode: Mode) throws(StoreError) {
        _ = Self.configured
        let access: Int32 = mode == .readWrite ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY
        // NOMUTEX: one thread at a time uses it, so SQLite need not lock it. EXRESCODE: precise reasons.
        let flags: Int32 = access | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let result: Int32 = sqlite3_open_v2(path, &self.handle, flags, nil)
        guard result == SQLITE_OK else {
            let error: StoreError = SQLiteResult.error(result, self.handle)
            self.close()
            throw error
        }
    }

    deinit { self.close() }

    /// Settings of the one connection that writes. The page size counts only while the file is empty.
    func configureWriter() throws(StoreError) {
        sqlite3_busy_timeout(self.handle, Self.busyMilliseconds)
        try self.pragma("PRAGMA page_size = \(Self.pageBytes)")
        guard try self.pragma("PRAGMA journal_mode = WAL") == "wal" else {
            throw .unavailable(reason: "the file system of the data folder does not support SQLite's write-ahead log")
        }
        try self.syncsCommits(true)
        try self.pragma("PRAGMA foreign_keys = ON")
        try self.pragma("PRAGMA wal_autocheckpoint = 0")
        try self.pragma("PRAGMA journal_size_limit = \(Self.walBytesKept)")
        try self.pragma("PRAGMA secure_delete = FAST")
        try self.pragma("PRAGMA cache_size = -\(Self.writerCacheKiB)")
    }

    /// Whether COMMIT returns after the log is synced: that is what an acknowledgement stands for. Without, the next commit that
    /// is synced, or the next copy of the log, takes it along; the order of commits stays. Not within a transaction.
    func syncsCommits(_ isSynced: Bool) throws(StoreError) {
        try self.pragma("PRAGMA synchronous = \(isSynced ? "FULL" : "NORMAL")")
    }

    /// Settings of a connection that only reads.
    func configureReader() throws(StoreError) {
        sqlite3_busy_timeout(self.handle, Self.busyMilliseconds)
        try self.pragma("PRAGMA query_only = ON")
        try self.pragma("PRAGMA cache_size = -\(Self.readerCacheKiB)")
        self.restrict()
    }

    /// Settings of the connection that only copies the write-ahead log into the database. FULL as for the writer: a page must
    /// not reach the database before its commit has reached the log's disk.
    func configureCheckpointer() throws(StoreError) {
        sqlite3_busy_timeout(self.handle, Self.busyMilliseconds)
        try self.pragma("PRAGMA synchronous = FULL")
        try self.pragma("PRAGMA wal_autocheckpoint = 0")
        try self.pragma("PRAGMA journal_size_limit = \(Self.walBytesKept)")
        try self.pragma("PRAGMA cache_size = 0")
    }

    /// From now on statements given by text may only read and change rows: the store alone begins and ends transactions.
    /// Forgets the statements prepared so far.
    func restrict() {
        self.statements.removeAll()
        self.isRestricted = true
    }

    func close() {
        self.statements.removeAll()
        sqlite3_close_v2(self.handle)
        self.handle = nil
    }

    // MARK: - Running statements

    /// Runs a statement to its end and returns how many rows it changed.
    func execute(_ sql: String, _ parameters: [SQLValue] = []) throws(StoreError) -> Int {
        try self.run(try self.statement(sql), parameters) { (_: Row) throws(StoreError) -> Bool in true }
        return Int(sqlite3_changes64(self.handle))
    }

    /// Runs a statement and shows its rows, until `body` returns false.
    func visit(
        _ sql: String, _ parameters: [SQLValue], _ body: (Row) throws(StoreError) -> Bool
    ) throws(StoreError) {
        try self.run(try self.statement(sql), parameters, body)
    }

    /// Runs a statement that is kept by the caller: no look-up by text.
    @inline(__always)
    func run(
        _ statement: Statement, _ parameters: [SQLValue], _ body: (Row) throws(StoreError) -> Bool
    ) throws(StoreError) {
        guard let connection: OpaquePointer = self.handle else { throw .closed }
        let handle: OpaquePointer = try statement.begin(parameters, on: connection)
        defer { statement.end() }
        while true {
            let result: Int32 = sqlite3_step(handle)
            if result == SQLITE_DONE { return }
            guard result == SQLITE_ROW else { throw SQLiteResult.error(result, connection, sql: statement.sql) }
            guard try body(Row(.sqlite(SQLiteRow(statement: statement, run: statement.run)))) else { return }
        }
    }

    /// Runs a kept statement without parameters and rows: BEGIN, SAVEPOINT, COMMIT.
    func run(_ statement: Statement) throws(StoreError) {
        guard let connection: OpaquePointer = self.handle, let handle: OpaquePointer = statement.handle else {
            throw .closed
        }
        let result: Int32 = sqlite3_step(handle)
        // The error text must be taken before the reset clears it.
        guard result == SQLITE_DONE || result == SQLITE_ROW else {
            let error: StoreError = SQLiteResult.error(result, connection, sql: statement.sql)
            sqlite3_reset(handle)
            throw error
        }
        sqlite3_reset(handle)
    }

    /// Prepares a statement for the caller to keep.
    func prepare(_ sql: String) throws(StoreError) -> Statement {
        guard let handle: OpaquePointer = self.handle else { throw .closed }
        return try Statement(handle, sql: sql, persistent: true)
    }

    /// One integer from a statement without parameters, such as a PRAGMA; nil when it yields no row.
    func integer(_ sql: String) throws(StoreError) -> Int64? {
        var found: Int64?
        try self.visit(sql, []) { (row: Row) throws(StoreError) -> Bool in
            found = try row.int(0)
            return false
        }
        return found
    }

    /// Whether a transaction is open. SQLite ends one by itself on some errors (disk full, I/O).
    var isInTransaction: Bool { sqlite3_get_autocommit(self.handle) == 0 }

    /// Runs a PRAGMA and returns the first column of its answer as text, if it has one.
    @discardableResult
    func pragma(_ sql: String) throws(StoreError) -> String? {
        var found: String?
        try self.run(try self.prepare(sql), []) { (row: Row) throws(StoreError) -> Bool in
            found = try? row.text(0)
            return true
        }
        return found
    }

    private func statement(_ sql: String) throws(StoreError) -> Statement {
        guard let handle: OpaquePointer = self.handle else { throw .closed }
        if let known: Statement = self.statements[sql] {
            // The same text inside its own row closure gets a statement for this once.
            return known.isBusy ? try Statement(handle, sql: sql, persistent: false) : known
        }
        if self.isRestricted { try SQLText.checkIsData(sql) }
        if self.statements.count >= Self.statementsMax { self.dropIdleStatements() }
        let fresh: Statement = try Statement(handle, sql: sql, persistent: true)
        self.statements[sql] = fresh
        return fresh
    }

    private func dropIdleStatements() {
        self.statements = self.statements.filter { $0.value.isBusy }
    }
}
