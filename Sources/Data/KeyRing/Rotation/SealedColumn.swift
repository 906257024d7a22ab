import Store

/// A column whose values are sealed with data keys: what rotation has to seal anew.
///
/// Every table that keeps what `KeyRing.seal` made under a data key is listed with the ring's owner, else its values stop
/// opening when an old key goes. Values under keys with names of their own are not listed: those keys do not rotate.
package struct SealedColumn: Sendable {
    package struct Key: Sendable {
        let name: String
        let isInteger: Bool

        package static func text(_ name: String) -> Key { Key(name: name, isInteger: false) }
        package static func integer(_ name: String) -> Key { Key(name: name, isInteger: true) }
    }

    let table: String
    let column: String
    let keys: [Key]
    /// Which of the keys is the tenant ('': the platform's key seals); nil where the platform's key seals every row.
    let tenantKey: Int?
    /// The name of a value, from its keys as text, in order.
    let name: @Sendable ([String]) -> String

    /// - Parameters:
    ///   - keys: the columns that name a row, in order; a column `tenant` among them says whose key seals.
    ///   - name: the name under which a value is sealed, from its keys.
    package init(
        _ table: String, _ column: String = "sealed", keys: [Key], name: @escaping @Sendable ([String]) -> String
    ) {
        self.table = table
        self.column = column
        self.keys = keys
        self.tenantKey = keys.firstIndex { $0.name == "tenant" }
        self.name = name
    }

    /// The keys of rows that another key sealed than the one that values under `head` belong to.
    func stale(tenant: String, head: [UInt8], in store: any Queryable) throws -> [[String]] {
        try self.rows(tenant: tenant, comparison: "<>", head: head, in: store)
    }

    /// How many values begin with that.
    func count(tenant: String, head: [UInt8], in store: any Queryable) throws -> Int64 {
        guard self.tenantKey != nil || tenant.isEmpty else { return 0 }
        let (condition, parameter): (String, SQLValue?) = self.tenantCondition(tenant, number: 2)
        let sql: String =
            "SELECT count(*) FROM \(self.table) WHERE substr(\(self.column), 1, \(head.count)) = $1\(condition)"
        var count: Int64 = 0
        try store.visit(sql, [.bytes(head)] + (parameter.map { [$0] } ?? [])) { (row: Row) throws(StoreError) -> Bool in
            count = try row.int(0)
            return false
        }
        return count
    }

    private func rows(
        tenant: String, comparison: String, head: [UInt8], in store: any Queryable
    ) throws -> [[String]] {
        guard self.tenantKey != nil || tenant.isEmpty else { return [] }
        let (condition, parameter): (String, SQLValue?) = self.tenantCondition(tenant, number: 2)
        let columns: String = self.keys.map { "CAST(\($0.name) AS text)" }.joined(separator: ", ")
        let sql: String =
            "SELECT \(columns) FROM \(self.table) WHERE substr(\(self.column), 1, \(head.count)) \(comparison) $1\(condition)"
        var found: [[String]] = []
        try store.visit(sql, [.bytes(head)] + (parameter.map { [$0] } ?? [])) { (row: Row) throws(StoreError) -> Bool in
            var values: [String] = []
            for index in self.keys.indices { values.append(try row.text(index)) }
            found.append(values)
            return true
        }
        return found
    }

    private func tenantCondition(_ tenant: String, number: Int) -> (sql: String, value: SQLValue?) {
        self.tenantKey == nil ? ("", nil) : (" AND tenant = $\(number)", .text(tenant))
    }

    /// The sealed value of a row; nil when the row is gone.
    func value(_ row: [String], in store: any Queryable) throws(StoreError) -> [UInt8]? {
        var found: [UInt8]?
        try store.visit(
            "SELECT \(self.column) FROM \(self.table) WHERE \(self.condition(from: 1))", self.parameters(row)
        ) { (row: Row) throws(StoreError) -> Bool in
            found = try row.optionalBytes(0)
            return false
        }
        return found
    }

    func set(_ value: [UInt8], of row: [String], in transaction: Transaction) throws(StoreError) {
        try transaction.visit(
            "UPDATE \(self.table) SET \(self.column) = $1 WHERE \(self.condition(from: 2)) RETURNING 1",
            [.bytes(value)] + self.parameters(row)
        ) { (_: Row) throws(StoreError) -> Bool in true }
    }

    private func condition(from first: Int) -> String {
        self.keys.enumerated().map { "\($0.element.name) = $\($0.offset + first)" }.joined(separator: " AND ")
    }

    private func parameters(_ row: [String]) -> [SQLValue] {
        var values: [SQLValue] = []
        for (index, key) in self.keys.enumerated() {
            values.append(key.isInteger ? .int(Int64(row[index]) ?? 0) : .text(row[index]))
        }
        return values
    }
}
