/// What answers SQL questions: a `Transaction` or a `Reader`. SQL helpers take `some Queryable` so that they serve both.
///
/// Parameters are written `$1`, `$2` … in the text and given in that order; each number up to the highest must appear.
/// Everything runs on the store's own thread of the closure, synchronously.
package protocol Queryable: AnyObject {
    /// Which engine answers, for the few who cannot say what they want in the SQL both share.
    var engine: StoreEngineKind { get }

    /// Runs a statement and shows its rows one at a time, until there are none or `body` returns false.
    ///
    /// A row is valid only while `body` runs.
    func visit(_ sql: String, _ parameters: [SQLValue], _ body: (Row) throws(StoreError) -> Bool) throws(StoreError)
}

extension Queryable {
    /// Runs a statement and decodes every row.
    package func rows<T>(
        _ sql: String, _ parameters: SQLValue..., decode: (Row) throws(StoreError) -> T
    ) throws(StoreError) -> [T] {
        var found: [T] = []
        try self.visit(sql, parameters) { (row: Row) throws(StoreError) -> Bool in
            found.append(try decode(row))
            return true
        }
        return found
    }

    /// Runs a statement and decodes its first row; nil when there is none.
    package func first<T>(
        _ sql: String, _ parameters: SQLValue..., decode: (Row) throws(StoreError) -> T
    ) throws(StoreError) -> T? {
        var found: T?
        try self.visit(sql, parameters) { (row: Row) throws(StoreError) -> Bool in
            found = try decode(row)
            return false
        }
        return found
    }

    // The same for closures that throw anything: the compiler gives a closure literal `throws(StoreError)` only when that is
    // written out, and `{ try $0.text(0) }` should do.

    /// Runs a statement and decodes every row; throws what `decode` throws.
    @_disfavoredOverload
    package func rows<T>(_ sql: String, _ parameters: SQLValue..., decode: (Row) throws -> T) throws -> [T] {
        var found: [T] = []
        try self.visitAny(sql, parameters) { (row: Row) throws -> Bool in
            found.append(try decode(row))
            return true
        }
        return found
    }

    /// Runs a statement and decodes its first row, nil when there is none; throws what `decode` throws.
    @_disfavoredOverload
    package func first<T>(_ sql: String, _ parameters: SQLValue..., decode: (Row) throws -> T) throws -> T? {
        var found: T?
        try self.visitAny(sql, parameters) { (row: Row) throws -> Bool in
            found = try decode(row)
            return false
        }
        return found
    }

    private func visitAny(_ sql: String, _ parameters: [SQLValue], _ body: (Row) throws -> Bool) throws {
        var failure: (any Error)?
        try self.visit(sql, parameters) { (row: Row) throws(StoreError) -> Bool in
            do {
                return try body(row)
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
    }
}
