import CSQLite

/// One row of an SQLite result.
struct SQLiteRow {
    let statement: Statement
    /// The statement's run this row belongs to; a later run makes the row invalid.
    let run: UInt64

    func int(_ column: Int) throws(StoreError) -> Int64 {
        let handle: OpaquePointer = try self.check(column, SQLITE_INTEGER, "an integer")
        return sqlite3_column_int64(handle, Int32(truncatingIfNeeded: column))
    }

    func text(_ column: Int) throws(StoreError) -> String {
        let handle: OpaquePointer = try self.check(column, SQLITE_TEXT, "a text")
        return String(decoding: Self.view(handle, column, sqlite3_column_text(handle, Int32(column))), as: UTF8.self)
    }

    func bytes(_ column: Int) throws(StoreError) -> [UInt8] {
        let handle: OpaquePointer = try self.check(column, SQLITE_BLOB, "bytes")
        return Array(Self.view(handle, column, sqlite3_column_blob(handle, Int32(column))))
    }

    func withBytes<T>(
        _ column: Int, _ body: (UnsafeRawBufferPointer) throws(StoreError) -> T
    ) throws(StoreError) -> T {
        let handle: OpaquePointer = try self.live()
        if self.kind(handle, column) != SQLITE_TEXT { _ = try self.check(column, SQLITE_BLOB, "bytes") }
        return try body(Self.view(handle, column, sqlite3_column_blob(handle, Int32(column))))
    }

    func double(_ column: Int) throws(StoreError) -> Double {
        let handle: OpaquePointer = try self.live()
        if self.kind(handle, column) != SQLITE_INTEGER { _ = try self.check(column, SQLITE_FLOAT, "a number") }
        return sqlite3_column_double(handle, Int32(truncatingIfNeeded: column))
    }

    func isNull(_ column: Int) throws(StoreError) -> Bool {
        self.kind(try self.live(), column) == SQLITE_NULL
    }

    func value(_ column: Int) throws(StoreError) -> SQLValue {
        switch self.kind(try self.live(), column) {
        case SQLITE_INTEGER: return .int(try self.int(column))
        case SQLITE_FLOAT: return .double(try self.double(column))
        case SQLITE_TEXT: return .text(try self.text(column))
        case SQLITE_BLOB: return .bytes(try self.bytes(column))
        default: return .null
        }
    }

    // MARK: - Checks

    private func live() throws(StoreError) -> OpaquePointer {
        guard self.statement.run == self.run, let handle: OpaquePointer = self.statement.handle else {
            throw .misuse("a row was read after its query had ended")
        }
        return handle
    }

    private func kind(_ handle: OpaquePointer, _ column: Int) -> Int32 {
        // Out of range reads as NULL in SQLite.
        sqlite3_column_type(handle, Int32(truncatingIfNeeded: column))
    }

    private func check(_ column: Int, _ expected: Int32, _ words: String) throws(StoreError) -> OpaquePointer {
        let handle: OpaquePointer = try self.live()
        let found: Int32 = self.kind(handle, column)
        guard found == expected else { throw self.mismatch(handle, column, expected: words, found: found) }
        return handle
    }

    private func mismatch(_ handle: OpaquePointer, _ column: Int, expected: String, found: Int32) -> StoreError {
        let name: UnsafePointer<CChar>? = sqlite3_column_name(handle, Int32(truncatingIfNeeded: column))
        guard let name else { return .misuse("column \(column) does not exist in: \(self.statement.sql)") }
        let words: String
        switch found {
        case SQLITE_INTEGER: words = "an integer"
        case SQLITE_FLOAT: words = "a number"
        case SQLITE_TEXT: words = "a text"
        case SQLITE_BLOB: words = "bytes"
        default: words = "NULL"
        }
        return .decoding(column: String(cString: name), expected: expected, found: words)
    }

    /// The value's bytes; SQLite gives a null pointer for an empty value.
    private static func view(_ handle: OpaquePointer, _ column: Int, _ start: UnsafeRawPointer?)
        -> UnsafeRawBufferPointer
    {
        UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(handle, Int32(column))))
    }
}
