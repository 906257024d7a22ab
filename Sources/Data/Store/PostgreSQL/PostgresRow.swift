import CPostgres

/// A statement's answer, in libpq's memory until its run ends. Belongs to one connection and its thread.
final class PostgresResult {
    /// Nil once the run has ended.
    private(set) var handle: OpaquePointer?
    let sql: String
    /// The row that is shown at the moment; others are out of reach.
    var current: Int32 = 0

    init(_ handle: OpaquePointer, sql: String) {
        self.handle = handle
        self.sql = sql
    }

    deinit { self.end() }

    func end() {
        PQclear(self.handle)
        self.handle = nil
    }
}

/// The types PostgreSQL sends, by their numbers in its catalogue, which never change.
enum PostgresType {
    static let bool: UInt32 = 16
    static let bytes: UInt32 = 17
    static let name: UInt32 = 19
    static let int64: UInt32 = 20
    static let int16: UInt32 = 21
    static let int32: UInt32 = 23
    static let text: UInt32 = 25
    static let oid: UInt32 = 26
    static let float32: UInt32 = 700
    static let float64: UInt32 = 701
    static let unknown: UInt32 = 705
    static let varchar: UInt32 = 1043
    static let numeric: UInt32 = 1700
    /// What functions return that return nothing, such as `pg_notify`.
    static let void: UInt32 = 2278
}

/// One row of a PostgreSQL result in binary form: numbers with the highest byte first, texts as UTF-8, bytes as they are.
///
/// Sums of 64-bit integers come as `numeric` and are read as the integers they are.
struct PostgresRow {
    let result: PostgresResult
    let row: Int32

    func int(_ column: Int) throws(StoreError) -> Int64 {
        let (type, bytes): (UInt32, UnsafeRawBufferPointer) = try self.value(column, "an integer")
        switch type {
        case PostgresType.int64: return Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
        case PostgresType.int32: return Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
        case PostgresType.int16: return Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
        case PostgresType.oid: return Int64(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
        case PostgresType.bool: return bytes[0] == 0 ? 0 : 1
        case PostgresType.numeric:
            if let number: Int64 = Self.integer(bytes) { return number }
        default: break
        }
        throw self.mismatch(column, expected: "an integer", found: type)
    }

    func text(_ column: Int) throws(StoreError) -> String {
        let (type, bytes): (UInt32, UnsafeRawBufferPointer) = try self.value(column, "a text")
        guard Self.isText(type) else { throw self.mismatch(column, expected: "a text", found: type) }
        return String(decoding: bytes, as: UTF8.self)
    }

    func bytes(_ column: Int) throws(StoreError) -> [UInt8] {
        let (type, bytes): (UInt32, UnsafeRawBufferPointer) = try self.value(column, "bytes")
        guard type == PostgresType.bytes else { throw self.mismatch(column, expected: "bytes", found: type) }
        return Array(bytes)
    }

    func withBytes<T>(
        _ column: Int, _ body: (UnsafeRawBufferPointer) throws(StoreError) -> T
    ) throws(StoreError) -> T {
        let (type, bytes): (UInt32, UnsafeRawBufferPointer) = try self.value(column, "bytes")
        guard type == PostgresType.bytes || Self.isText(type) else {
            throw self.mismatch(column, expected: "bytes", found: type)
        }
        return try body(bytes)
    }

    func double(_ column: Int) throws(StoreError) -> Double {
        let (type, bytes): (UInt32, UnsafeRawBufferPointer) = try self.value(column, "a number")
        switch type {
        case PostgresType.float64: return Double(bitPattern: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)))
        case PostgresType.float32:
            return Double(Float(bitPattern: UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))))
        case PostgresType.int64, PostgresType.int32, PostgresType.int16, PostgresType.numeric:
            return Double(try self.int(column))
        default: throw self.mismatch(column, expected: "a number", found: type)
        }
    }

    func isNull(_ column: Int) throws(StoreError) -> Bool {
        let handle: OpaquePointer = try self.live()
        // As SQLite has it, a column beyond the last is NULL.
        guard column >= 0, column < Int(PQnfields(handle)) else { return true }
        return PQgetisnull(handle, self.row, Int32(column)) == 1
    }

    func value(_ column: Int) throws(StoreError) -> SQLValue {
        if try self.isNull(column) { return .null }
        switch PQftype(self.result.handle, Int32(column)) {
        case PostgresType.bytes: return .bytes(try self.bytes(column))
        case PostgresType.float64, PostgresType.float32: return .double(try self.double(column))
        case let type where Self.isText(type): return .text(try self.text(column))
        default: return .int(try self.int(column))
        }
    }

    // MARK: - Checks

    private func live() throws(StoreError) -> OpaquePointer {
        guard let handle: OpaquePointer = self.result.handle, self.result.current == self.row else {
            throw .misuse("a row was read after its query had ended")
        }
        return handle
    }

    /// A value that is not NULL, with its type. The bytes live as long as the run.
    private func value(_ column: Int, _ expected: String) throws(StoreError) -> (UInt32, UnsafeRawBufferPointer) {
        let handle: OpaquePointer = try self.live()
        guard column >= 0, column < Int(PQnfields(handle)) else {
            throw .misuse("column \(column) does not exist in: \(self.result.sql)")
        }
        let index: Int32 = Int32(column)
        guard PQgetisnull(handle, self.row, index) == 0 else {
            throw .decoding(column: Self.name(handle, index), expected: expected, found: "NULL")
        }
        let count: Int = Int(PQgetlength(handle, self.row, index))
        return (
            PQftype(handle, index), UnsafeRawBufferPointer(start: PQgetvalue(handle, self.row, index), count: count)
        )
    }

    private func mismatch(_ column: Int, expected: String, found type: UInt32) -> StoreError {
        let words: String
        switch type {
        case PostgresType.int64, PostgresType.int32, PostgresType.int16, PostgresType.oid, PostgresType.bool:
            words = "an integer"
        case PostgresType.float64, PostgresType.float32, PostgresType.numeric: words = "a number"
        case PostgresType.bytes: words = "bytes"
        case _ where Self.isText(type): words = "a text"
        case PostgresType.void: words = "nothing"
        default: words = "a value of the type \(type), which has to be cast"
        }
        let name: String = self.result.handle.map { Self.name($0, Int32(column)) } ?? "\(column)"
        return .decoding(column: name, expected: expected, found: words)
    }

    private static func name(_ handle: OpaquePointer, _ column: Int32) -> String {
        PQfname(handle, column).map { String(cString: $0) } ?? "\(column)"
    }

    private static func isText(_ type: UInt32) -> Bool {
        type == PostgresType.text || type == PostgresType.varchar || type == PostgresType.name
            || type == PostgresType.unknown
    }

    /// A `numeric` as an integer: four 16-bit words (how many digits, the first digit's power of 10,000, sign, digits shown
    /// after the point), then the digits to base 10,000. Nil when it has a fraction or does not fit.
    static func integer(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        func word(_ index: Int) -> Int {
            Int(Int16(bigEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: Int16.self)))
        }
        guard bytes.count >= 8, bytes.count >= 8 + word(0) * 2, word(0) >= 0 else { return nil }
        let count: Int = word(0)
        let weight: Int = word(1)
        let isNegative: Bool = word(2) == 0x4000
        guard word(2) == 0 || isNegative else { return nil }
        if count == 0 { return 0 }
        guard weight >= 0, weight <= 4, count <= weight + 1 else { return nil }
        // Built below zero, where there is room for one number more.
        var number: Int64 = 0
        for at: Int in 0...weight {
            let digit: Int64 = at < count ? Int64(word(4 + at)) : 0
            let (shifted, isTooLarge): (Int64, Bool) = number.multipliedReportingOverflow(by: 10_000)
            let (next, isTooLargeNow): (Int64, Bool) = shifted.subtractingReportingOverflow(digit)
            if isTooLarge || isTooLargeNow { return nil }
            number = next
        }
        if isNegative { return number }
        return number == Int64.min ? nil : -number
    }
}
