import CSQLite

/// One row of a result, by column index from 0. Valid only inside the closure that receives it.
///
/// Reading checks the stored type: a NULL or another type where the code expects a value is `StoreError.decoding`.
package struct Row {
    let statement: Statement
    /// The statement's run this row belongs to; a later run makes the row invalid.
    let run: UInt64

    /// A 64-bit integer.
    package func int(_ column: Int) throws(StoreError) -> Int64 {
        let handle: OpaquePointer = try self.check(column, SQLITE_INTEGER, "an integer")
        return sqlite3_column_int64(handle, Int32(truncatingIfNeeded: column))
    }

    /// A text. Bytes that are not UTF-8 are replaced, which only a damaged file can hold.
    package func text(_ column: Int) throws(StoreError) -> String {
        let handle: OpaquePointer = try self.check(column, SQLITE_TEXT, "a text")
        return String(decoding: Self.view(handle, column, sqlite3_column_text(handle, Int32(column))), as: UTF8.self)
    }

    /// A copy of a byte string; `withBytes` spares the copy.
    package func bytes(_ column: Int) throws(StoreError) -> [UInt8] {
        let handle: OpaquePointer = try self.check(column, SQLITE_BLOB, "bytes")
        return Array(Self.view(handle, column, sqlite3_column_blob(handle, Int32(column))))
    }

    /// A byte string, or a text's UTF-8, in SQLite's own memory: valid only inside `body`.
    package func withBytes<T>(
        _ column: Int, _ body: (UnsafeRawBufferPointer) throws(StoreError) -> T
    ) throws(StoreError) -> T {
        let handle: OpaquePointer = try self.live()
        if self.kind(handle, column) != SQLITE_TEXT { _ = try self.check(column, SQLITE_BLOB, "bytes") }
        return try body(Self.view(handle, column, sqlite3_column_blob(handle, Int32(column))))
    }

    /// A floating-point number; an integer converts.
    package func double(_ column: Int) throws(StoreError) -> Double {
        let handle: OpaquePointer = try self.live()
        if self.kind(handle, column) != SQLITE_INTEGER { _ = try self.check(column, SQLITE_FLOAT, "a number") }
        return sqlite3_column_double(handle, Int32(truncatingIfNeeded: column))
    }

    /// A column of the neutral type `bool`.
    package func bool(_ column: Int) throws(StoreError) -> Bool {
        try self.int(column) != 0
    }

    /// Whether the column is NULL.
    package func isNull(_ column: Int) throws(StoreError) -> Bool {
        self.kind(try self.live(), column) == SQLITE_NULL
    }

    /// An integer, nil for NULL.
    package func optionalInt(_ column: Int) throws(StoreError) -> Int64? {
        try self.isNull(column) ? nil : try self.int(column)
    }

    /// A text, nil for NULL.
    package func optionalText(_ column: Int) throws(StoreError) -> String? {
        try self.isNull(column) ? nil : try self.text(column)
    }

    /// Bytes, nil for NULL.
    package func optionalBytes(_ column: Int) throws(StoreError) -> [UInt8]? {
        try self.isNull(column) ? nil : try self.bytes(column)
    }

    /// A number, nil for NULL.
    package func optionalDouble(_ column: Int) throws(StoreError) -> Double? {
        try self.isNull(column) ? nil : try self.double(column)
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
