import CLinux
import CSQLite
import Time

/// A read-only snapshot, handed to a `Store.read` closure. Not for use outside the closure or on another thread.
package final class Reader: Queryable {
    private let database: Database
    private let deadline: ReadDeadline
    /// The first failure of disk or file, for the store's health.
    private(set) var fault: StoreError?
    /// Where the closure notes its statements; nil: nowhere.
    var notes: StatementNotes?
    /// False once the snapshot has ended.
    private var isOpen: Bool = true

    init(_ database: Database, deadline: ReadDeadline) {
        self.database = database
        self.deadline = deadline
    }

    package func visit(
        _ sql: String, _ parameters: [SQLValue], _ body: (Row) throws(StoreError) -> Bool
    ) throws(StoreError) {
        guard self.isOpen else { throw .misuse("a reader was used after its closure had ended") }
        guard !self.deadline.isOver else { throw .timedOut(after: self.deadline.limit) }
        self.notes?.add(sql)
        do {
            try self.database.visit(sql, parameters, body)
        } catch {
            if error.isEnvironmental, self.fault == nil { self.fault = error }
            throw self.deadline.isOver && error != .closed ? .timedOut(after: self.deadline.limit) : error
        }
    }

    package var engine: StoreEngineKind { self.database.kind }

    func end() { self.isOpen = false }
}

/// The end of a snapshot's time, watched by SQLite's progress callback on the same thread.
final class ReadDeadline {
    /// Virtual machine steps between two looks at the clock: some 10 µs.
    private static let stepsPerLook: Int32 = 1000
    /// Monotonic nanoseconds; 0 while no snapshot is open, when the thread waits for work.
    private var end: UInt64 = 0
    let limit: Duration

    init(limit: Duration) { self.limit = limit }

    var isOver: Bool { self.end != 0 && clinux_monotonic_nanoseconds() > self.end }

    func start() { self.end = clinux_monotonic_nanoseconds() + UInt64(self.limit.nanosecondsClamped) }

    func clear() { self.end = 0 }

    /// Interrupts statements of `connection` that run beyond the deadline. The deadline must outlive the connection.
    func watch(_ connection: Connection) {
        let context: UnsafeMutableRawPointer = Unmanaged.passUnretained(self).toOpaque()
        sqlite3_progress_handler(
            connection.handle, Self.stepsPerLook,
            { context in
                guard let context else { return 0 }
                return Unmanaged<ReadDeadline>.fromOpaque(context).takeUnretainedValue().isOver ? 1 : 0
            }, context)
    }
}
