import CLinux
import CSQLite
import Telemetry

/// The thread that copies committed pages from the write-ahead log into the database while the writer goes on.
///
/// The log can start over only when every page in it has been copied, and under load the writer adds pages all the time.
/// So this thread makes passes, each over what came during the one before, until little is left; the writer then copies
/// that little itself between two commits, and its next commit starts the log over.
///
/// `@unchecked Sendable`: the queues lock themselves; the connection is touched by the thread only, from `run` on.
final class Checkpointer: @unchecked Sendable {
    /// Passes for one request. Each sync has a price, and with a reader on an old snapshot no pass gets to the end.
    private static let passesMax: Int = 6
    /// Pages that the writer may be asked to copy: some 1 ms.
    private static let restMax: Int32 = 64

    /// How a request ended.
    enum Outcome: Sendable {
        /// Little or nothing is left: the writer finishes.
        case nearlyDone
        /// A reader's snapshot is in the way, or the writer is faster than the copy: try again when the log has grown.
        case behind
        case failed(StoreError)
    }

    let requests: JobQueue<Void> = JobQueue(limit: 1)
    let outcomes: JobQueue<Outcome> = JobQueue(limit: 1)
    private let connection: Connection
    private let seconds: Histogram

    init(path: String, seconds: Histogram) throws(StoreError) {
        self.connection = try Connection(path: path, mode: .readWrite)
        self.seconds = seconds
        try self.connection.configureCheckpointer()
    }

    func run() {
        var batch: [Void] = []
        while self.requests.take(1, into: &batch, wait: nil) == .jobs {
            batch.removeAll(keepingCapacity: true)
            let start: UInt64 = clinux_monotonic_nanoseconds()
            let outcome: Outcome = self.answer()
            self.seconds.observe(Double(clinux_monotonic_nanoseconds() - start) / 1_000_000_000)
            _ = self.outcomes.push(outcome)
        }
        self.connection.close()
    }

    private func answer() -> Outcome {
        var before: Int32 = -1
        for _ in 0..<Self.passesMax {
            var pages: Int32 = 0
            var copied: Int32 = 0
            let result: Int32 = sqlite3_wal_checkpoint_v2(
                self.connection.handle, nil, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied)
            guard result == SQLITE_OK || result == SQLITE_BUSY else {
                return .failed(SQLiteResult.error(result, self.connection.handle))
            }
            if result == SQLITE_OK, pages - copied <= Self.restMax { return .nearlyDone }
            guard copied > before else { return .behind }
            before = copied
        }
        return .behind
    }
}
