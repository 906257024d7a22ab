package import Time

/// A read and write transaction, handed to a `Store.write` closure. Not for use outside the closure or on another thread.
///
/// On SQLite the closures of one commit group share one: each has its own savepoint, sees what earlier ones wrote, and
/// undoes only itself by throwing. On PostgreSQL each closure has its own.
package final class Transaction: Queryable {
    /// The time of the transaction; the same for all closures of a commit group.
    package let now: Timestamp
    private let database: Database
    private let attachments: [any CommitAttachment]
    /// The first failure that is not the closure's own doing (disk, damage): the group cannot commit, even when the
    /// closure swallowed it.
    private(set) var fault: StoreError?
    /// Where the closure that runs notes its statements; nil: nowhere.
    var notes: StatementNotes?
    /// False once the group has ended.
    private var isOpen: Bool = true

    init(_ database: Database, now: Timestamp, attachments: [any CommitAttachment]) {
        self.database = database
        self.now = now
        self.attachments = attachments
    }

    /// Runs a statement and returns how many rows it inserted, updated or deleted.
    @discardableResult
    package func execute(_ sql: String, _ parameters: SQLValue...) throws(StoreError) -> Int {
        try self.checkOpen()
        self.notes?.add(sql)
        do { return try self.database.execute(sql, parameters) } catch { throw self.noting(error) }
    }

    /// The same with values in an array.
    @discardableResult
    package func execute(_ sql: String, values: [SQLValue]) throws(StoreError) -> Int {
        try self.checkOpen()
        self.notes?.add(sql)
        do { return try self.database.execute(sql, values) } catch { throw self.noting(error) }
    }

    package func visit(
        _ sql: String, _ parameters: [SQLValue], _ body: (Row) throws(StoreError) -> Bool
    ) throws(StoreError) {
        try self.checkOpen()
        self.notes?.add(sql)
        do { try self.database.visit(sql, parameters, body) } catch { throw self.noting(error) }
    }

    /// The state an extension keeps for this writer; nil when the store was opened without that extension.
    package func attachment<A: CommitAttachment>(_ type: A.Type) -> A? {
        for attachment: any CommitAttachment in self.attachments {
            if let found: A = attachment as? A { return found }
        }
        return nil
    }

    package var engine: StoreEngineKind { self.database.kind }

    func end() { self.isOpen = false }

    private func checkOpen() throws(StoreError) {
        guard self.isOpen else { throw .misuse("a transaction was used after its closure had ended") }
    }

    private func noting(_ error: StoreError) -> StoreError {
        if error.isEnvironmental, self.fault == nil { self.fault = error }
        return error
    }
}
