package import GatewayConfiguration
import Glibc
import HTTP
import JSON
import Synchronization
import Telemetry
import Time

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
        var lines: [UInt8] = []
        lines.reserveCapacity(Self.bufferBytes + 4096)
        for index in batch.records.indices where self.isWanted(batch.records[index], &random) {
            line.append(index, of: batch, to: &lines)
            if lines.count >= Self.bufferBytes {
                self.write(lines, to: fd)
                lines.removeAll(keepingCapacity: true)
            }
        }
        self.write(lines, to: fd)
    }

    /// Errors of servers are never left out.
    private func isWanted(_ record: RequestRecord, _ random: inout LoopRandom) -> Bool {
        if self.rules.sample >= 1 || (record.status >= 500 && record.status < 600) { return true }
        return Double.random(in: 0..<1, using: &random) < self.rules.sample
    }

    private func write(_ bytes: [UInt8], to fd: Int32) {
        if bytes.isEmpty { return }
        let isWritten: Bool = bytes.withUnsafeBytes { raw in
            var rest: UnsafeRawBufferPointer = raw
            while !rest.isEmpty {
                let count: Int = Glibc.write(fd, rest.baseAddress, rest.count)
                if count > 0 {
                    rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                } else if errno != EINTR {
                    return false
                }
            }
            return true
        }
        if !isWritten { self.failedCount.wrappingAdd(1, ordering: .relaxed) }
    }
}

/// Writes a record as one line of JSON. Fields without a value are left out.
///
/// Under load many records begin in the same millisecond and come from the same few clients: the texts of the last of each are kept.
struct AccessLogLine {
    private let fields: [AccessLogField]
    private let addresses: LoggedAddresses
    private var millisecond: Int64 = .min
    private var time: String = ""
    private var address: IPAddress?
    private var client: String = ""

    init(_ rules: AccessLogRules) {
        self.fields = AccessLogField.allCases.filter { rules.fields.contains($0) }
        self.addresses = rules.addresses
    }

    mutating func append(_ index: Int, of batch: RecordBatch, to lines: inout [UInt8]) {
        let record: RequestRecord = batch.records[index]
        let route: Identity = batch.identity(record.route)
        var writer: JSONWriter = JSONWriter(appendingTo: lines)
        // The writer owns the bytes while it writes: no copy.
        lines = []
        writer.beginObject()
        for field in self.fields {
            self.append(field, record, route, batch, path: batch.path(at: index), &writer)
        }
        writer.endObject()
        lines = writer.bytes
        lines.append(UInt8(ascii: "\n"))
    }

    private mutating func append(
        _ field: AccessLogField, _ record: RequestRecord, _ route: Identity, _ batch: RecordBatch,
        path: ArraySlice<UInt8>?, _ writer: inout JSONWriter
    ) {
        switch field {
        case .time: Self.field("time", self.text(ofTime: record.started), &writer)
        case .client: Self.field("client", self.text(of: record.client), &writer)
        case .method: Self.field("method", "\(record.method.name)", &writer)
        case .path:
            guard let path else { return }
            writer.field("path")
            path.withUnsafeBytes { writer.string(utf8: $0) }
        case .status: Self.field("status", Int64(record.status), &writer)
        case .duration: Self.field("duration_us", Int64(record.durationMicroseconds), &writer)
        case .upstream:
            if record.upstreamMicroseconds > 0 {
                Self.field("upstream_us", Int64(record.upstreamMicroseconds), &writer)
            }
        case .bytesIn: Self.field("bytes_in", Int64(clamping: record.bytesIn), &writer)
        case .bytesOut: Self.field("bytes_out", Int64(clamping: record.bytesOut), &writer)
        case .tenant: Self.field("tenant", route.tenant, &writer)
        case .api: Self.field("api", route.api, &writer)
        case .route: Self.field("route", route.detail, &writer)
        case .target: Self.field("target", batch.identity(record.target).detail, &writer)
        case .application: Self.field("application", batch.identity(record.application).detail, &writer)
        case .subscription: Self.field("subscription", batch.identity(record.subscription).detail, &writer)
        case .reason: if record.reason != .none { Self.field("reason", record.reason.slug, &writer) }
        case .trace:
            if record.traceHigh | record.traceLow != 0 {
                Self.field("trace_id", [record.traceHigh, record.traceLow], count: 2, &writer)
            }
        case .span: if record.span != 0 { Self.field("span_id", [record.span, 0], count: 1, &writer) }
        }
    }

    private mutating func text(ofTime nanoseconds: Int64) -> String {
        let millisecond: Int64 = nanoseconds / 1_000_000
        if millisecond != self.millisecond {
            self.millisecond = millisecond
            self.time = Timestamp(nanoseconds: nanoseconds).rfc3339
        }
        return self.time
    }

    private mutating func text(of address: IPAddress) -> String {
        if address != self.address {
            self.address = address
            self.client = self.addresses.shown(address)?.text ?? ""
        }
        return self.client
    }

    private static func field(_ name: StaticString, _ value: String, _ writer: inout JSONWriter) {
        if value.isEmpty { return }
        writer.field(name)
        writer.string(value)
    }

    private static func field(_ name: StaticString, _ value: Int64, _ writer: inout JSONWriter) {
        writer.field(name)
        writer.int(value)
    }

    /// One or two words as hexadecimal digits, the most significant first.
    private static func field(
        _ name: StaticString, _ words: InlineArray<2, UInt64>, count: Int, _ writer: inout JSONWriter
    ) {
        writer.field(name)
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { (digits: UnsafeMutableRawBufferPointer) in
            for place in 0..<count * 16 {
                let digit: UInt8 = UInt8(truncatingIfNeeded: words[place / 16] >> UInt64(60 - 4 * (place % 16))) & 15
                digits[place] = digit < 10 ? 0x30 + digit : 0x57 + digit
            }
            writer.string(utf8: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(digits)[..<(count * 16)]))
        }
    }
}
