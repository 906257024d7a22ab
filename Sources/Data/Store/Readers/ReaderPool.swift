import CLinux
import Telemetry
import Time

/// The reader threads, each with its own read-only connection. A closure sees one snapshot from its first query on.
///
/// A snapshot lives 5 s at most unless the configuration says otherwise: while it does, the WAL cannot start over and grows. Exports page by key instead.
final class ReaderPool: Sendable {
    /// Closures that may wait; the next is refused with `.overloaded`.
    static let queueMax: Int = 4096
    /// The longest a snapshot of a platform may live.
    static let snapshotTimeMax: Duration = .seconds(5)

    let queue: JobQueue<ReadJob> = JobQueue(limit: ReaderPool.queueMax)
    private let threads: [StoreThread]

    /// Opens the connections and starts their threads.
    init(
        path: String, _ configuration: StoreConfiguration, metrics: StoreMetrics, state: StoreState
    ) throws(StoreError) {
        var threads: [StoreThread] = []
        do throws(StoreError) {
            for index: Int in 0..<configuration.readers {
                let worker: ReaderWorker = try ReaderWorker(
                    path: path, configuration, queue: self.queue, metrics: metrics, state: state)
                threads.append(try StoreThread(name: "store-reader-\(index)") { worker.run() })
            }
        } catch {
            // Those that started end by themselves.
            self.queue.close()
            throw error
        }
        self.threads = threads
    }

    func join() {
        for thread: StoreThread in self.threads { thread.join() }
    }
}

/// One reader thread's connection and loop.
///
/// `@unchecked Sendable`: made by `Store.open`, then touched by its own thread only.
final class ReaderWorker: @unchecked Sendable {
    private let queue: JobQueue<ReadJob>
    private let clock: any WallClock
    private let state: StoreState
    private let seconds: Histogram
    private let connection: Connection
    private let deadline: ReadDeadline
    private let begin: Statement
    private let end: Statement

    init(
        path: String, _ configuration: StoreConfiguration, queue: JobQueue<ReadJob>, metrics: StoreMetrics,
        state: StoreState
    ) throws(StoreError) {
        self.queue = queue
        self.clock = configuration.clock
        self.deadline = ReadDeadline(limit: configuration.readTimeMax)
        self.state = state
        self.seconds = metrics.readSeconds
        self.connection = try Connection(path: path, mode: .readOnly)
        try self.connection.configureReader()
        self.begin = try self.connection.prepare("BEGIN")
        self.end = try self.connection.prepare("ROLLBACK")
        self.deadline.watch(self.connection)
    }

    func run() {
        var jobs: [ReadJob] = []
        while self.queue.take(1, into: &jobs, wait: nil) == .jobs {
            for job: ReadJob in jobs {
                self.answer(job)
                job.finish()
            }
            jobs.removeAll(keepingCapacity: true)
        }
        self.begin.finalize()
        self.end.finalize()
        self.connection.close()
    }

    private func answer(_ job: ReadJob) {
        let start: UInt64 = clinux_monotonic_nanoseconds()
        defer { self.seconds.observe(Double(clinux_monotonic_nanoseconds() - start) / 1_000_000_000) }
        self.deadline.start()
        do throws(StoreError) {
            try self.connection.run(self.begin)
            let reader: Reader = Reader(.sqlite(self.connection), deadline: self.deadline)
            job.run(reader)
            reader.end()
            if let fault: StoreError = reader.fault {
                self.state.noteFailure(fault, of: .reads, at: self.clock.now())
            } else if self.state.health != .ok {
                self.state.noteSuccess(of: .reads)
            }
        } catch {
            self.state.noteFailure(error, of: .reads, at: self.clock.now())
            job.fail(error)
        }
        // The end of the snapshot must not be interrupted.
        self.deadline.clear()
        if self.connection.isInTransaction { try? self.connection.run(self.end) }
    }
}

/// A waiting `Store.read`.
///
/// `@unchecked Sendable`: the caller makes it and lets go of it; then only one reader thread touches it.
class ReadJob: @unchecked Sendable {
    func run(_ reader: Reader) {}
    func fail(_ error: any Error) {}
    func finish() {}
}

final class TypedReadJob<T: Sendable>: ReadJob, @unchecked Sendable {
    private let body: @Sendable (Reader) throws -> T
    private let caller: CheckedContinuation<T, any Error>
    private var result: Result<T, any Error> = .failure(StoreError.closed)

    init(_ body: @escaping @Sendable (Reader) throws -> T, caller: CheckedContinuation<T, any Error>) {
        self.body = body
        self.caller = caller
    }

    override func run(_ reader: Reader) {
        do { self.result = .success(try self.body(reader)) } catch { self.result = .failure(error) }
    }

    override func fail(_ error: any Error) { self.result = .failure(error) }

    override func finish() { self.caller.resume(with: self.result) }
}
