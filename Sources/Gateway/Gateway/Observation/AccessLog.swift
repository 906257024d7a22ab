package import GatewayConfiguration
import Glibc
import Synchronization
import Telemetry

/// Writes one JSON line a request, on a thread of its own.
///
/// Takes batches from the collector into a bounded queue; when the file is slower than the traffic, whole batches are dropped
/// and counted. Lines are gathered and written some tens of kilobytes at a time. Never holds credentials: paths are kept without
/// query.
package final class AccessLog: RecordSink {
    private struct Queue {
        var batches: [RecordBatch] = []
        var isStopping: Bool = false
        var isReopening: Bool = false
    }

    /// Batches that wait at most; each holds what came in a tenth of a second.
    package static let batchesMax: Int = 32
    /// Lines are written when so many bytes have gathered, and at the end of each batch.
    private static let bufferBytes: Int = 64 * 1024

    private let path: String
    private let rules: AccessLogRules
    private let queue: Mutex<Queue> = Mutex(Queue())
    private let bell: CollectorBell = CollectorBell()
    private let thread: Mutex<pthread_t?> = Mutex(nil)
    private let droppedCount: Atomic<UInt64> = Atomic(0)
    private let failedCount: Atomic<UInt64> = Atomic(0)

    /// `path` is a file, appended to and made with mode 0640, or `-` for standard output. Opened by `start`.
    package init(path: String, rules: AccessLogRules = AccessLogRules()) {
        self.path = path
        self.rules = rules
    }

    /// Shows what was lost where metrics are scraped.
    func publish(in metrics: MetricRegistry) {
        metrics.samples(
            "passerelle_gateway_access_log_dropped_total", kind: .counter,
            help: "Lines of the access log lost because its file was slower than the traffic."
        ) { [MetricSample(labels: [:], value: Double(self.dropped))] }
        metrics.samples(
            "passerelle_gateway_access_log_failures_total", kind: .counter,
            help: "Writes to the access log that failed, with the lines in them."
        ) { [MetricSample(labels: [:], value: Double(self.failures))] }
    }

    /// Records not written because the file was too slow.
    package var dropped: UInt64 { self.droppedCount.load(ordering: .relaxed) }
    /// Writes that failed: disk full, file gone read-only. The lines of such a write are lost.
    package var failures: UInt64 { self.failedCount.load(ordering: .relaxed) }

    package func receive(_ batch: RecordBatch) {
        let isTaken: Bool = self.queue.withLock { queue in
            guard queue.batches.count < Self.batchesMax else { return false }
            queue.batches.append(batch)
            return true
        }
        if isTaken {
            self.bell.ring()
        } else {
            self.droppedCount.wrappingAdd(UInt64(batch.records.count), ordering: .relaxed)
        }
    }

    /// Opens the file and starts the thread; returns the errno when it cannot be opened.
    package func start() -> Int32? {
        let fd: Int32 = self.open()
        if fd < 0 { return errno }
        self.thread.withLock { thread in
            precondition(thread == nil, "an access log is started once")
            var handle: pthread_t = pthread_t()
            let start: WriterStart = WriterStart(log: self, fd: fd)
            let result: Int32 = pthread_create(&handle, nil, Self.entry, Unmanaged.passRetained(start).toOpaque())
            precondition(result == 0, "pthread_create: errno \(result)")
            thread = handle
        }
        return nil
    }

    /// Opens the file anew before the next line: for log rotation.
    package func reopen() {
        self.queue.withLock { $0.isReopening = true }
        self.bell.ring()
    }

    /// Writes what waits and ends the thread.
    package func stop() {
        let handle: pthread_t? = self.thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        guard let handle else { return }
        self.queue.withLock { $0.isStopping = true }
        self.bell.ring()
        pthread_join(handle, nil)
    }

    // MARK: The thread

    private final class WriterStart {
        let log: AccessLog
        let fd: Int32

        init(log: AccessLog, fd: Int32) {
            self.log = log
            self.fd = fd
        }
    }

    private static let entry: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
        guard let context else { return nil }
        let start: WriterStart = Unmanaged<WriterStart>.fromOpaque(context).takeRetainedValue()
        start.log.run(start.fd)
        return nil
    }

    private func open() -> Int32 {
        if self.path == "-" { return dup(1) }
        return Glibc.open(self.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
    }

    private func run(_ first: Int32) {
        var fd: Int32 = first
        var random: LoopRandom = LoopRandom()
        var line: AccessLogLine = AccessLogLine(self.rules)
        var isStopping: Bool = false
        while !isStopping {
            self.bell.wait(milliseconds: 1000)
            let (batches, isReopening, stops): ([RecordBatch], Bool, Bool) = self.queue.withLock { queue in
                defer {
                    queue.batches.removeAll(keepingCapacity: true)
                    queue.isReopening = false
                }
                return (queue.batches, queue.isReopening, queue.isStopping)
            }
            isStopping = stops
            if isReopening {
                let next: Int32 = self.open()
                // The old file goes on when the new one cannot be opened.
                if next >= 0 {
                    Glibc.close(fd)
                    fd = next
                } else {
                    self.failedCount.wrappingAdd(1, ordering: .relaxed)
                }
            }
            for batch in batches { self.write(batch, to: fd, &random, &line) }
        }
        Glibc.close(fd)
    }

    private func write(_ batch: RecordBatch, to fd: Int32, _ random: inout LoopRandom, _ line: inout AccessLogLine) {
        var lines: ScratchWriter = ScratchWriter(capacity: Self.bufferBytes)
        defer { lines.base.deallocate() }
        for index in batch.records.indices where self.isWanted(batch.records[index], &random) {
            let most: Int = line.bytesMost(index, of: batch)
            if most > lines.space {
                self.write(lines, to: fd)
                lines.clear()
            }
            if most > lines.capacity {
                lines.base.deallocate()
                lines = ScratchWriter(capacity: most)
            }
            line.append(index, of: batch, to: &lines)
        }
        self.write(lines, to: fd)
    }

    /// Errors of servers are never left out.
    private func isWanted(_ record: RequestRecord, _ random: inout LoopRandom) -> Bool {
        if self.rules.sample >= 1 || (record.status >= 500 && record.status < 600) { return true }
        return Double.random(in: 0..<1, using: &random) < self.rules.sample
    }

    private func write(_ lines: ScratchWriter, to fd: Int32) {
        var written: Int = 0
        while written < lines.count {
            let count: Int = Glibc.write(fd, lines.base + written, lines.count - written)
            if count > 0 {
                written += count
            } else if errno != EINTR {
                self.failedCount.wrappingAdd(1, ordering: .relaxed)
                return
            }
        }
    }
}
