/// A table as the copy between engines sees it: its columns and its key, whatever they mean.
struct CopyTable {
    /// Rows read at once.
    private static let rowsMax: Int = 500
    /// Bytes read at once, some; a row may be larger.
    private static let bytesMax: Int = 8 << 20
    /// Values of one statement; PostgreSQL takes 65,535.
    private static let valuesMax: Int = 2_000

    let name: String
    private let columns: [String]
    /// The columns of the primary key in its order, as indices.
    private let keyColumns: [Int]

    init(_ name: String, in source: Connection) throws(StoreError) {
        var columns: [String] = []
        var key: [(order: Int64, column: Int)] = []
        try source.visit("SELECT name, pk FROM pragma_table_info($1) ORDER BY cid", [.text(name)]) {
            (row: Row) throws(StoreError) -> Bool in
            let order: Int64 = try row.int(1)
            if order > 0 { key.append((order, columns.count)) }
            columns.append(try row.text(0))
            return true
        }
        guard !key.isEmpty else { throw .misuse("table \(name) has no primary key, so it cannot be copied in order") }
        key.sort { $0.order < $1.order }
        self.name = name
        self.columns = columns
        self.keyColumns = key.map { $0.column }
    }

    var quoted: String { "\"\(self.name)\"" }

    private var columnList: String { self.columns.map { "\"\($0)\"" }.joined(separator: ", ") }
    private var keyList: String { self.keyColumns.map { "\"\(self.columns[$0])\"" }.joined(separator: ", ") }

    func key(of row: [SQLValue]) -> [SQLValue] { self.keyColumns.map { row[$0] } }

    /// The largest key there is; nil when the table is empty.
    func lastKey(in database: Database) throws(StoreError) -> [SQLValue]? {
        let order: String = self.keyColumns.map { "\"\(self.columns[$0])\" DESC" }.joined(separator: ", ")
        var key: [SQLValue]?
        try database.visit("SELECT \(self.keyList) FROM \(self.quoted) ORDER BY \(order) LIMIT 1", []) {
            (row: Row) throws(StoreError) -> Bool in
            var values: [SQLValue] = []
            for column: Int in self.keyColumns.indices { values.append(try row.value(column)) }
            key = values
            return false
        }
        return key
    }

    /// The next rows in the order of the key. Texts compare byte by byte on both engines, so the order is the same.
    func rows(
        after key: [SQLValue]?, limit: Int = CopyTable.rowsMax, in database: Database
    ) throws(StoreError) -> [[SQLValue]] {
        var condition: String = ""
        if let key: [SQLValue] {
            let numbers: String = key.indices.map { "$\($0 + 1)" }.joined(separator: ", ")
            condition = "WHERE (\(self.keyList)) > (\(numbers))"
        }
        let sql: String =
            "SELECT \(self.columnList) FROM \(self.quoted) \(condition) ORDER BY \(self.keyList) LIMIT \(limit)"
        var rows: [[SQLValue]] = []
        var bytes: Int = 0
        try database.visit(sql, key ?? []) { (row: Row) throws(StoreError) -> Bool in
            var values: [SQLValue] = []
            values.reserveCapacity(self.columns.count)
            for column: Int in self.columns.indices {
                let value: SQLValue = try row.value(column)
                bytes += value.byteCount
                values.append(value)
            }
            rows.append(values)
            return bytes < Self.bytesMax || limit != Self.rowsMax
        }
        return rows
    }

    /// Rows in pieces that one statement can hold.
    func parts(of rows: [[SQLValue]]) -> [[[SQLValue]]] {
        let size: Int = max(1, Self.valuesMax / self.columns.count)
        return stride(from: 0, to: rows.count, by: size).map { Array(rows[$0..<min($0 + size, rows.count)]) }
    }

    func insertion(of count: Int) -> String {
        var tuples: [String] = []
        var number: Int = 0
        for _ in 0..<count {
            var parameters: [String] = []
            for _ in self.columns {
                number += 1
                parameters.append("$\(number)")
            }
            tuples.append("(\(parameters.joined(separator: ", ")))")
        }
        return "INSERT INTO \(self.quoted) (\(self.columnList)) VALUES \(tuples.joined(separator: ", "))"
    }

    /// The first row in which the two differ.
    func difference(_ expected: [[SQLValue]], _ found: [[SQLValue]]) -> StoreCopy.Difference? {
        for (index, row): (Int, [SQLValue]) in expected.enumerated() {
            guard index < found.count else { return self.difference(row, "it is missing in the copy") }
            if self.key(of: row) != self.key(of: found[index]) {
                return self.difference(row, "the copy has \(Self.words(self.key(of: found[index]))) in its place")
            }
            for column: Int in self.columns.indices where row[column] != found[index][column] {
                return self.difference(row, "column \(self.columns[column]) differs")
            }
        }
        guard found.count > expected.count else { return nil }
        return self.difference(found[expected.count], "only the copy has it")
    }

    private func difference(_ row: [SQLValue], _ problem: String) -> StoreCopy.Difference {
        StoreCopy.Difference(table: self.name, key: Self.words(self.key(of: row)), problem: problem)
    }

    /// A key for people: bytes are counted, not shown.
    private static func words(_ key: [SQLValue]) -> String {
        var words: [String] = []
        for value: SQLValue in key {
            switch value {
            case .null: words.append("NULL")
            case .int(let number): words.append("\(number)")
            case .double(let number): words.append("\(number)")
            case .text(let text): words.append("'\(text)'")
            case .bytes(let bytes): words.append("\(bytes.count) bytes")
            }
        }
        return "(\(words.joined(separator: ", ")))"
    }
}

extension SQLValue {
    /// Bytes of text or bytes.
    var byteCount: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        default: 8
        }
    }
}
