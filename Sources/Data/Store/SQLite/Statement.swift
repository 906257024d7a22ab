import CSQLite

/// A prepared statement and the mapping of its parameters. Belongs to one connection and its thread.
final class Statement {
    let sql: String
    /// Nil once finalised.
    private(set) var handle: OpaquePointer?
    /// Counts runs, so that a row kept beyond its run is found out.
    private(set) var run: UInt64 = 0
    /// Set while a run is open: the same text used inside its own row closure needs a second statement.
    private(set) var isBusy: Bool = false
    /// For SQLite's slot i + 1: the number n of the parameter `$n` it stands for.
    private let numbers: [Int]
    /// How many parameters the text asks for.
    private let parameterCount: Int

    init(_ connection: OpaquePointer, sql: String, persistent: Bool) throws(StoreError) {
        self.sql = sql
        self.handle = try Self.prepare(connection, sql, persistent: persistent)
        self.numbers = try Self.parameterNumbers(self.handle, sql)
        self.parameterCount = self.numbers.max() ?? 0
        // `$3` without `$2` would silently swallow a value the caller passes.
        for number: Int in stride(from: 1, through: self.parameterCount, by: 1) where !self.numbers.contains(number) {
            self.finalize()
            throw .misuse("parameter $\(number) is missing in: \(sql)")
        }
    }

    deinit { self.finalize() }

    func finalize() {
        sqlite3_finalize(self.handle)
        self.handle = nil
    }

    /// Binds the values and marks the statement in use; `end` must follow.
    func begin(_ parameters: [SQLValue], on connection: OpaquePointer) throws(StoreError) -> OpaquePointer {
        guard let handle: OpaquePointer = self.handle else { throw .closed }
        guard parameters.count == self.parameterCount else {
            throw .misuse("\(parameters.count) values for \(self.parameterCount) parameters in: \(self.sql)")
        }
        var slot: Int32 = 1
        for number: Int in self.numbers {
            let result: Int32 = Self.bind(handle, slot, parameters[number - 1])
            guard result == SQLITE_OK else { throw SQLiteResult.error(result, connection, sql: self.sql) }
            slot += 1
        }
        self.isBusy = true
        self.run &+= 1
        return handle
    }

    /// Ends the run: releases its locks and makes its rows invalid. The failure, if any, was already reported by the step.
    func end() {
        sqlite3_reset(self.handle)
        self.isBusy = false
        self.run &+= 1
    }

    private static func bind(_ handle: OpaquePointer, _ slot: Int32, _ value: SQLValue) -> Int32 {
        switch value {
        case .null:
            return sqlite3_bind_null(handle, slot)
        case .int(let number):
            return sqlite3_bind_int64(handle, slot, number)
        case .double(let number):
            return sqlite3_bind_double(handle, slot, number)
        case .text(var text):
            return text.withUTF8 { csqlite_bind_text(handle, slot, $0.baseAddress, UInt64($0.count)) }
        case .bytes(let bytes):
            return bytes.withUnsafeBytes { csqlite_bind_bytes(handle, slot, $0.baseAddress, UInt64($0.count)) }
        }
    }

    private static func prepare(
        _ connection: OpaquePointer, _ sql: String, persistent: Bool
    ) throws(StoreError) -> OpaquePointer {
        var text: String = sql
        var handle: OpaquePointer?
        var hasRest: Bool = false
        let flags: UInt32 = persistent ? UInt32(SQLITE_PREPARE_PERSISTENT) : 0
        let result: Int32 = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { text in
                var tail: UnsafePointer<CChar>?
                let result: Int32 = sqlite3_prepare_v3(
                    connection, text.baseAddress, Int32(clamping: text.count), flags, &handle, &tail)
                if let tail, let start = text.baseAddress {
                    hasRest = text[(tail - start)...].contains { $0 > 32 && $0 != 59 }
                }
                return result
            }
        }
        guard result == SQLITE_OK else { throw SQLiteResult.error(result, connection, sql: sql) }
        guard let handle, !hasRest else {
            sqlite3_finalize(handle)
            throw .misuse("expected exactly one statement in: \(sql)")
        }
        return handle
    }

    /// Reads the parameter names. SQLite numbers `$2 … $1` by first appearance, so the number must come from the name.
    private static func parameterNumbers(_ handle: OpaquePointer?, _ sql: String) throws(StoreError) -> [Int] {
        let count: Int32 = sqlite3_bind_parameter_count(handle)
        var numbers: [Int] = []
        for slot: Int32 in stride(from: 1, through: count, by: 1) {
            let name: String = sqlite3_bind_parameter_name(handle, slot).map { String(cString: $0) } ?? "?"
            guard name.utf8.first == 36, let number: Int = Int(name.dropFirst()), number >= 1 else {
                sqlite3_finalize(handle)
                throw .misuse("parameter '\(name)' is not of the form $1, $2 … in: \(sql)")
            }
            numbers.append(number)
        }
        return numbers
    }
}
