package import Time

/// A read and write transaction, handed to a `Store.write` closure. Not for use outside the closure or on another thread.
///
/// The closures of one commit group share one: each has its own savepoint, sees what earlier ones wrote, and undoes
/// only itself by throwing.
package final class Transaction: Queryable {
    /// The time of the commit group; the same for all its closures.
    package let now: Timestamp
    private let connection: Connection
    private let attachments: [any CommitAttachment]
    /// The first failure that is not the closure's own doing (disk, damage): the group cannot commit, even when the
    /// closure swallowed it.
    private(set) var fault: StoreError?
    /// False once the group has ended.
    private var isOpen: Bool = true

    init(_ connection: Connection, now: Timestamp, attachments: [any CommitAttachment]) {
        self.connection = connection
        self.now = now
        self.attachments = attachments
    }

    /// Runs a statement and returns how many rows it inserted, updated or deleted.
    @discardableResult
    package func execute(_ sql: String, _ parameters: SQLValue...) throws(StoreError) -> Int {
        try self.checkOpen()
        do { return try self.connection.execute(sql, parameters) } catch { throw self.noting(error) }
    }

    package func visit(
        _ sql: String, _ parameters: [SQLValue], _ body: (Row) throws(StoreError) -> Bool
    ) throws(StoreError) {
        try self.checkOpen()
        do { try self.connection.visit(sql, parameters, body) } catch { throw self.noting(error) }
    }

    /// The state an extension keeps for this writer; nil when the store was opened without that extension.
    package func attachment<A: CommitAttachment>(_ type: A.Type) -> A? {
        for attachment: any CommitAttachment in self.attachments {
            if let found: A = attachment as? A { return found }
        }
        return nil
    }

    func end() { self.isOpen = false }

    private func checkOpen() throws(StoreError) {
        guard self.isOpen else { throw .misuse("a transaction was used after its closure had ended") }
    }

    private func noting(_ error: StoreError) -> StoreError {
        if error.isEnvironmental, self.fault == nil { self.fault = error }
        return error
    }
}
