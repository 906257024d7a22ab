/// The database a store runs on.
package enum StoreEngineKind: String, Sendable {
    case sqlite, postgresql
}

/// What a write closure relies on. SQLite gives the strictest to all.
package enum WriteIsolation: Sendable {
    /// Nobody else changes anything the closure looked at: as if transactions ran one after the other. The closure runs again
    /// when that could not be had.
    case serializable
    /// Each statement sees what was committed before it. For closures that lock or fence what they rely on themselves, such
    /// as those that move work from one table to another under a lease; they never make others run again.
    case readCommitted
}

/// What a write's return stands for.
package enum WriteDurability: Sendable {
    /// The change is on the disk.
    case synced
    /// The change is made, and on the disk with the next that is synced: a crash of the machine may take it back, but nothing that
    /// was committed before it. For what is derived from what is on the disk already, and would be derived again: nobody is told
    /// of it, and it publishes nothing. It does not ask the disk, and so keeps nobody waiting who does.
    case deferred
}

/// An engine of the store: the queues its threads take closures from, and its end.
protocol StoreEngine: Sendable {
    var kind: StoreEngineKind { get }
    var state: StoreState { get }
    var writes: JobQueue<WriteJob> { get }
    /// What `Store.pulse` is given.
    var pulses: JobQueue<WriteJob> { get }
    var reads: JobQueue<ReadJob> { get }

    /// A way to other processes on the same database; nil where there are none.
    func signals(
        _ channel: String, _ received: @escaping @Sendable (StoreSignal) -> Void
    ) throws(StoreError) -> StoreSignals?

    /// Refuses further closures, finishes those that wait and ends the threads, then calls `done` from a thread of its own.
    func shutDownDetached(_ done: @escaping @Sendable () -> Void)
}

extension StoreEngine {
    /// Where one writer commits for all, there is no other way past it.
    var pulses: JobQueue<WriteJob> { self.writes }

    func signals(
        _ channel: String, _ received: @escaping @Sendable (StoreSignal) -> Void
    ) throws(StoreError) -> StoreSignals? { nil }
}

/// A connection to either engine, as transactions, readers and migrations use it. An enum and not a protocol: SQLite's
/// statements take microseconds, and a switch costs nothing beside them.
enum Database {
    case sqlite(Connection)
    case postgresql(PostgresConnection)

    var kind: StoreEngineKind {
        switch self {
        case .sqlite: .sqlite
        case .postgresql: .postgresql
        }
    }

    /// Runs a statement to its end and returns how many rows it changed.
    func execute(_ sql: String, _ parameters: [SQLValue] = []) throws(StoreError) -> Int {
        switch self {
        case .sqlite(let connection): return try connection.execute(sql, parameters)
        case .postgresql(let connection): return try connection.execute(sql, parameters)
        }
    }

    /// Runs a statement and shows its rows, until `body` returns false.
    func visit(
        _ sql: String, _ parameters: [SQLValue], _ body: (Row) throws(StoreError) -> Bool
    ) throws(StoreError) {
        switch self {
        case .sqlite(let connection): try connection.visit(sql, parameters, body)
        case .postgresql(let connection): try connection.visit(sql, parameters, body)
        }
    }

    /// One integer; nil when the statement yields no row.
    func integer(_ sql: String) throws(StoreError) -> Int64? {
        var found: Int64?
        try self.visit(sql, []) { (row: Row) throws(StoreError) -> Bool in
            found = try row.int(0)
            return false
        }
        return found
    }
}
