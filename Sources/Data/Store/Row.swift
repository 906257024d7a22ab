/// One row of a result, by column index from 0. Valid only inside the closure that receives it.
///
/// Reading checks the stored type: a NULL or another type where the code expects a value is `StoreError.decoding`.
package struct Row {
    /// Whose memory the row is in.
    enum Source {
        case sqlite(SQLiteRow)
        case postgresql(PostgresRow)
    }

    private let source: Source

    init(_ source: Source) { self.source = source }

    /// A 64-bit integer.
    package func int(_ column: Int) throws(StoreError) -> Int64 {
        switch self.source {
        case .sqlite(let row): return try row.int(column)
        case .postgresql(let row): return try row.int(column)
        }
    }

    /// A text. Bytes that are not UTF-8 are replaced, which only a damaged file can hold.
    package func text(_ column: Int) throws(StoreError) -> String {
        switch self.source {
        case .sqlite(let row): return try row.text(column)
        case .postgresql(let row): return try row.text(column)
        }
    }

    /// A copy of a byte string; `withBytes` spares the copy.
    package func bytes(_ column: Int) throws(StoreError) -> [UInt8] {
        switch self.source {
        case .sqlite(let row): return try row.bytes(column)
        case .postgresql(let row): return try row.bytes(column)
        }
    }

    /// A byte string, or a text's UTF-8, in the engine's own memory: valid only inside `body`.
    package func withBytes<T>(
        _ column: Int, _ body: (UnsafeRawBufferPointer) throws(StoreError) -> T
    ) throws(StoreError) -> T {
        switch self.source {
        case .sqlite(let row): return try row.withBytes(column, body)
        case .postgresql(let row): return try row.withBytes(column, body)
        }
    }

    /// A floating-point number; an integer converts.
    package func double(_ column: Int) throws(StoreError) -> Double {
        switch self.source {
        case .sqlite(let row): return try row.double(column)
        case .postgresql(let row): return try row.double(column)
        }
    }

    /// A column of the neutral type `bool`.
    package func bool(_ column: Int) throws(StoreError) -> Bool {
        try self.int(column) != 0
    }

    /// Whether the column is NULL.
    package func isNull(_ column: Int) throws(StoreError) -> Bool {
        switch self.source {
        case .sqlite(let row): return try row.isNull(column)
        case .postgresql(let row): return try row.isNull(column)
        }
    }

    /// Whatever the column holds.
    package func value(_ column: Int) throws(StoreError) -> SQLValue {
        switch self.source {
        case .sqlite(let row): return try row.value(column)
        case .postgresql(let row): return try row.value(column)
        }
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
}
