import Bytes
package import JSON
package import Store
import Time

/// A table that holds rows of tenants: what an export of a tenant has of it, and how its end empties it.
///
/// Every table with a column `tenant` is described by the service that owns it; a test holds the descriptions against the schema.
package struct TenantRows: Sendable {
    /// How a value of a column is shown.
    private enum Kind: String {
        case plain
        /// Milliseconds since 1970, shown as RFC 3339.
        case time
        /// 0 or 1, shown as a truth value.
        case flag
        /// JSON in a text, shown as what it says.
        case json
    }

    /// Rows removed in one transaction where the table does not say otherwise.
    private static let rowsRemovedMax: Int = 500

    package let name: String
    /// What, beside the tenant, tells its rows apart.
    private let keys: [String]
    private let columns: [(name: String, kind: Kind)]
    /// Columns that an export leaves out: they are secret, or sealed with keys that stay here.
    package let withheld: [String]
    private let pageRows: Int
    private let removedRows: Int
    /// Why its rows stay when a tenant ends; nil: they go.
    package let keptBecause: String?

    /// - Parameters:
    ///   - keys: names parted by spaces.
    ///   - columns: names parted by spaces, each with `:time`, `:flag` or `:json` behind it where it is one; none: not exported.
    ///   - pageRows: rows read at once: fewer where they are large.
    package init(
        _ name: String, keys: String, columns: String = "", withheld: String = "", pageRows: Int = 200,
        keptBecause: String? = nil
    ) {
        self.name = name
        self.keys = keys.split(separator: " ").map(String.init)
        self.columns = columns.split(separator: " ").map { (word: Substring) -> (name: String, kind: Kind) in
            let parts: [Substring] = word.split(separator: ":")
            return (String(parts[0]), parts.count > 1 ? Kind(rawValue: String(parts[1])) ?? .plain : .plain)
        }
        self.withheld = withheld.split(separator: " ").map(String.init)
        self.pageRows = pageRows
        self.removedRows = pageRows < 200 ? pageRows : Self.rowsRemovedMax
        self.keptBecause = keptBecause
    }

    package var isExported: Bool { !self.columns.isEmpty }

    /// The rows of a tenant that follow a position, as objects of their columns.
    ///
    /// - Parameter after: the `next` of the page before; nil for the first.
    package func page(of tenant: String, after: String?, in store: any Queryable) throws -> TenantPage {
        let rows: [(key: String, object: JSONObject)] = try self.select(self.columns, of: tenant, after, in: store) {
            row in
            var object: JSONObject = [:]
            for (index, key) in self.keys.enumerated() { object[key] = Self.json(try row.value(index), .plain) }
            for (index, column) in self.columns.enumerated() {
                object[column.name] = Self.json(try row.value(self.keys.count + index), column.kind)
            }
            return object
        }
        return TenantPage(
            .lines(rows.map { .object($0.object) }), next: rows.count == self.pageRows ? rows.last?.key : nil)
    }

    /// The same where one column holds files.
    ///
    /// - Parameter name: what a file is called, from its key and its bytes.
    package func files(
        _ column: String, of tenant: String, after: String?, in store: any Queryable,
        name: ([String], [UInt8]) -> String
    ) throws -> TenantPage {
        let rows: [(key: String, object: (name: String, bytes: [UInt8]))] = try self.select(
            [(column, .plain)], of: tenant, after, in: store
        ) { row in
            var keys: [String] = []
            for index in self.keys.indices { keys.append(try row.text(index)) }
            let bytes: [UInt8] = try row.bytes(self.keys.count)
            return (name(keys, bytes), bytes)
        }
        return TenantPage(.files(rows.map(\.object)), next: rows.count == self.pageRows ? rows.last?.key : nil)
    }

    /// Removes some of a tenant's rows. - Returns: how many; 0 when none are left.
    package func remove(of tenant: String, in transaction: Transaction) throws -> Int {
        let keys: String = self.keys.joined(separator: ", ")
        return try transaction.execute(
            """
            DELETE FROM \(self.name) WHERE tenant = $1 AND (\(keys)) IN
                (SELECT \(keys) FROM \(self.name) WHERE tenant = $1 LIMIT $2)
            """, .text(tenant), .int(Int64(self.removedRows)))
    }

    private func select<Item>(
        _ columns: [(name: String, kind: Kind)], of tenant: String, _ after: String?, in store: any Queryable,
        _ decode: (Row) throws -> Item
    ) throws -> [(key: String, object: Item)] {
        let keys: String = self.keys.joined(separator: ", ")
        var values: [SQLValue] = [.text(tenant)]
        var place: String = ""
        if let after: String {
            let parts: [JSONValue] = try JSONReader.parse(after).elements ?? []
            values += parts.map { (part: JSONValue) -> SQLValue in
                part.integer.map { .int($0) } ?? .text(part.text ?? "")
            }
            place = "AND (\(keys)) > (\(parts.indices.map { "$\($0 + 2)" }.joined(separator: ", ")))"
        }
        values.append(.int(Int64(self.pageRows)))
        let sql: String = """
            SELECT \((self.keys + columns.map(\.name)).joined(separator: ", ")) FROM \(self.name)
            WHERE tenant = $1 \(place) ORDER BY \(keys) LIMIT $\(values.count)
            """
        var found: [(key: String, object: Item)] = []
        var failure: (any Error)?
        try store.visit(sql, values) { (row: Row) throws(StoreError) -> Bool in
            do {
                var key: [JSONValue] = []
                for index in self.keys.indices { key.append(Self.json(try row.value(index), .plain)) }
                found.append((JSONValue.array(key).jsonText, try decode(row)))
                return true
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
        return found
    }

    private static func json(_ value: SQLValue, _ kind: Kind) -> JSONValue {
        switch (value, kind) {
        case (.null, _): .null
        case (.int(let number), .time): .string(Timestamp(milliseconds: number).rfc3339)
        case (.int(let number), .flag): .bool(number != 0)
        case (.int(let number), _): .int(number)
        case (.double(let number), _): .double(number)
        case (.text(let text), .json): (try? JSONReader.parse(text)) ?? .string(text)
        case (.text(let text), _): .string(text)
        case (.bytes(let bytes), _): .string(Base64.encode(bytes))
        }
    }
}

/// Some of what an export has, and where it goes on.
package struct TenantPage: Sendable {
    package enum Items: Sendable {
        /// One object a line.
        case lines([JSONValue])
        /// Files, byte for byte.
        case files([(name: String, bytes: [UInt8])])
    }

    package let items: Items
    /// Where the next page begins; nil: this was the last.
    package let next: String?

    package init(_ items: Items, next: String?) {
        self.items = items
        self.next = next
    }
}
