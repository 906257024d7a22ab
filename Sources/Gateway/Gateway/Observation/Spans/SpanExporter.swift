import EventLoops
import Files
import GatewayConfiguration
import HTTP
import Synchronization
import TLS
import Telemetry

/// Sends spans of requests to a collector: OTLP over HTTP, in Protocol Buffers.
///
/// Chooses from the records of the collector's thread: what was sampled at its head, and what ended badly or took long if the
/// settings say so. Spans wait in a bounded queue; what does not fit, is refused or cannot be delivered is dropped and counted.
/// Nothing here is done on an event loop of the gateway.
final class SpanExporter: RecordSink {
    /// How long it waits for what. Tests have less patience.
    struct Times: Sendable {
        /// Between looks at an empty queue.
        var interval: Duration = .milliseconds(500)
        /// Before a batch is sent a second time; doubled each time after that, and shortened at random by up to a half.
        var pause: Duration = .milliseconds(500)
        /// Between two tries at most, also when the collector asks for more.
        var pauseMax: Duration = .seconds(30)
        /// For one try.
        var timeout: Duration = .seconds(10)
        /// For what is left when the gateway ends.
        var farewell: Duration = .seconds(2)
    }

    /// Why spans were lost.
    enum Loss: String, CaseIterable {
        case queueFull = "queue-full"
        /// The collector will not have them, now or later.
        case refused
        /// It could not be reached, or was too busy, for too long.
        case undelivered
    }

    private struct Chunk {
        var spans: ProtobufWriter = ProtobufWriter()
        var count: Int = 0
    }

    private struct Queue {
        var chunks: [Chunk] = []
        var count: Int = 0
        var encoder: SpanEncoder
        /// Tries of requests that are not over, by the request's span.
        var attempts: [UInt64: [AttemptRecord]] = [:]
        var isStopping: Bool = false
        var task: Task<Void, Never>?
    }

    private final class LossCount: Sendable {
        let value: Atomic<UInt64> = Atomic(0)

        func add(_ count: Int = 1) { self.value.wrappingAdd(UInt64(count), ordering: .relaxed) }
    }

    private enum Outcome {
        case taken(rejected: Int)
        case refused
        /// Another try may succeed, after this time if one was named.
        case again(Duration?)
    }

    /// Spans of one request at most.
    static let batchMax: Int = 512
    /// Spans that wait at most.
    static let queueMax: Int = 16 * SpanExporter.batchMax
    /// Requests at most whose first tries are kept until they are over.
    static let attemptsMax: Int = 4096
    /// Tries of one batch at most.
    static let triesMax: Int = 6
    private static let headersFileMax: Int = 64 * 1024
    private static let answerMax: Int = 64 * 1024

    private let settings: SpanExportSettings
    private let times: Times
    private let slowMicroseconds: UInt64
    private let queue: Mutex<Queue>
    private let sentCount: Atomic<UInt64> = Atomic(0)
    private let lost: [LossCount] = Loss.allCases.map { _ in LossCount() }

    /// - Parameter addresses: how much of clients' addresses spans say, as lines of the access log do.
    init(_ settings: SpanExportSettings, addresses: LoggedAddresses = .truncated, times: Times = Times()) {
        self.queue = Mutex(Queue(encoder: SpanEncoder(addresses: addresses)))
        self.settings = settings
        self.times = times
        self.slowMicroseconds = settings.slow.map { $0.nanoseconds / 1000 } ?? .max
    }

    /// Spans the collector took.
    var sent: UInt64 { self.sentCount.load(ordering: .relaxed) }

    func lost(_ loss: Loss) -> UInt64 { self.counter(loss).value.load(ordering: .relaxed) }

    private func counter(_ loss: Loss) -> LossCount { self.lost[Loss.allCases.firstIndex(of: loss) ?? 0] }

    /// Shows what was sent and lost where metrics are scraped.
    func publish(in metrics: MetricRegistry) {
        metrics.samples(
            "passerelle_gateway_spans_sent_total", kind: .counter, help: "Spans of requests the collector took."
        ) { [MetricSample(labels: [:], value: Double(self.sent))] }
        metrics.samples(
            "passerelle_gateway_spans_dropped_total", kind: .counter,
            help: "Spans of requests that were lost, by reason."
        ) {
            Loss.allCases.map { MetricSample(labels: ["reason": $0.rawValue], value: Double(self.lost($0))) }
        }
    }

    // MARK: Taking

    func receive(_ batch: RecordBatch) {
        self.queue.withLock { (queue: inout Queue) in
            for attempt in batch.attempts {
                // Records that were dropped leave their tries behind.
                if queue.attempts.count >= Self.attemptsMax { queue.attempts.removeAll() }
                queue.attempts[attempt.span, default: []].append(attempt)
            }
            for index in batch.records.indices { self.take(index, of: batch, &queue) }
        }
    }

    private func take(_ index: Int, of batch: RecordBatch, _ queue: inout Queue) {
        let record: RequestRecord = batch.records[index]
        let earlier: [AttemptRecord] =
            record.attempts > 1 ? queue.attempts.removeValue(forKey: record.span) ?? [] : []
        guard self.isWanted(record) else { return }
        let count: Int = 1 + earlier.count + (record.attempts > 0 ? 1 : 0)
        guard queue.count + count <= Self.queueMax else {
            self.counter(.queueFull).add(count)
            return
        }
        // What belongs together goes together.
        if queue.chunks.last.map({ $0.count + count > Self.batchMax }) ?? true { queue.chunks.append(Chunk()) }
        let last: Int = queue.chunks.count - 1
        queue.encoder.append(index, of: batch, to: &queue.chunks[last].spans)
        for attempt in earlier { queue.encoder.append(attempt, of: record, batch, to: &queue.chunks[last].spans) }
        if record.attempts > 0 { queue.encoder.appendLastAttempt(record, batch, to: &queue.chunks[last].spans) }
        queue.chunks[last].count += count
        queue.count += count
    }

    /// Head sampling first, then the rules that look at how it ended.
    private func isWanted(_ record: RequestRecord) -> Bool {
        guard record.span != 0, record.traceHigh | record.traceLow != 0 else { return false }
        if record.isSampled { return true }
        if self.settings.keepsErrors, record.status >= 500, record.status < 600 { return true }
        return UInt64(record.durationMicroseconds) >= self.slowMicroseconds
    }

    // MARK: Sending

    /// Begins to send; says what of the settings cannot be used. Files are relative to `folder`.
    func start(folder: String) throws(GatewayEngine.StartError) {
        guard var url: URLParts = URLParts(self.settings.endpoint) else {
            throw .telemetry("telemetry.tracing.endpoint: expected a URL such as http://127.0.0.1:4318")
        }
        if url.path.isEmpty || url.path == "/" {
            url = URLParts(scheme: url.scheme, host: url.host, port: url.port, path: "/v1/traces", query: url.query)
        }
        var tls: TLSContext?
        if url.scheme == .https {
            do throws(TLSError) {
                tls = try TLSContext.client(TLSClientConfiguration())
            } catch {
                throw .telemetry("telemetry.tracing.endpoint: \(error)")
            }
        }
        var fields: HTTPFields = try self.headers(folder)
        fields.set("Content-Type", "application/x-protobuf")
        let request: HTTPClientRequest = HTTPClientRequest(method: .post, url: url, fields: fields)
        let group: EventLoopGroup = EventLoopGroup(count: 1, name: "spans")
        // Whoever writes a gateway's configuration decides where it calls: private addresses are allowed.
        let client: HTTPClient = HTTPClient(
            group: group, configuration: HTTPClientConfiguration(tls: tls, egress: { _ in .allow }))
        let task: Task<Void, Never> = Task {
            await self.run(client, request)
            client.shutdown()
            group.shutdown()
        }
        self.queue.withLock { $0.task = task }
    }

    /// Sends what is left, for a short time, and ends. After the collector's thread has ended.
    func stop() async {
        let task: Task<Void, Never>? = self.queue.withLock { (queue: inout Queue) -> Task<Void, Never>? in
            queue.isStopping = true
            return queue.task.take()
        }
        guard let task else { return }
        let farewell: Duration = self.times.farewell
        let limit: Task<Void, Never> = Task {
            try? await Task.sleep(for: farewell)
            if !Task.isCancelled { task.cancel() }
        }
        await task.value
        limit.cancel()
    }

    private var isStopping: Bool { self.queue.withLock { $0.isStopping } }

    /// `Name: value` lines; a problem is told without the value, which may be a secret.
    private func headers(_ folder: String) throws(GatewayEngine.StartError) -> HTTPFields {
        guard let name: String = self.settings.headersFile else { return HTTPFields() }
        let bytes: [UInt8]
        do throws(FileError) {
            let path: String = name.hasPrefix("/") ? name : "\(folder)/\(name)"
            bytes = try Files.read(path, bytesMax: Self.headersFileMax)
        } catch {
            throw .telemetry("telemetry.tracing.headers_file: \(error)")
        }
        var fields: HTTPFields = HTTPFields()
        for (index, line) in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let line: ArraySlice<UInt8> = line.last == 0x0D ? line.dropLast() : line
            if line.allSatisfy({ $0 == 0x20 }) { continue }
            let value: ArraySlice<UInt8> = line.drop { $0 != UInt8(ascii: ":") }.dropFirst().drop { $0 == 0x20 }
            let text: String = String(decoding: value, as: UTF8.self)
            let label: ArraySlice<UInt8> = line.prefix { $0 != UInt8(ascii: ":") }
            guard let header: String = HeaderRules.name(String(decoding: label, as: UTF8.self)), !text.isEmpty,
                !HeaderRules.isReserved(header), HeaderRules.problem(value: text) == nil
            else {
                throw .telemetry(
                    "telemetry.tracing.headers_file: \(name):\(index + 1): expected 'Name: value' of a field that says nothing about framing"
                )
            }
            fields.append(header, text)
        }
        return fields
    }

    private func run(_ client: HTTPClient, _ request: HTTPClientRequest) async {
        while true {
            let (chunk, isStopping): (Chunk?, Bool) = self.queue.withLock { (queue: inout Queue) in
                guard !queue.chunks.isEmpty else { return (nil, queue.isStopping) }
                let first: Chunk = queue.chunks.removeFirst()
                queue.count -= first.count
                return (first, queue.isStopping)
            }
            if let chunk {
                await self.deliver(chunk, client, request)
            } else if isStopping {
                return
            } else {
                await self.rest(self.times.interval)
            }
        }
    }

    private func deliver(_ chunk: Chunk, _ client: HTTPClient, _ request: HTTPClientRequest) async {
        var request: HTTPClientRequest = request
        request.body = SpanEncoder.request(chunk.spans.bytes, service: self.settings.service)
        var pause: Duration = self.times.pause
        for number in 1...Self.triesMax {
            switch await self.send(client, request, count: chunk.count) {
            case .taken(let rejected):
                // Those are not sent again: the collector has the others.
                self.counter(.refused).add(rejected)
                self.sentCount.wrappingAdd(UInt64(chunk.count - rejected), ordering: .relaxed)
                return
            case .refused:
                self.counter(.refused).add(chunk.count)
                return
            case .again(let asked):
                if number == Self.triesMax || self.isStopping { break }
                let own: Duration = pause * Double.random(in: 0.5...1)
                await self.rest(min(max(own, asked ?? .zero), self.times.pauseMax))
                pause = min(pause * 2, self.times.pauseMax)
                continue
            }
            break
        }
        self.counter(.undelivered).add(chunk.count)
    }

    /// The answers that mean "later" are those of OTLP: 429, 502, 503 and 504.
    private func send(_ client: HTTPClient, _ request: HTTPClientRequest, count: Int) async -> Outcome {
        var request: HTTPClientRequest = request
        var timeouts: HTTPClientTimeouts = HTTPClientTimeouts()
        timeouts.total = self.times.timeout
        request.timeouts = timeouts
        do throws(HTTPClientError) {
            let response: HTTPClientResponse = try await client.send(request)
            let answer: [UInt8] = try await response.body.collect(max: Self.answerMax)
            switch response.status {
            case 200..<300:
                let isProtobuf: Bool = response.fields["Content-Type"]?.hasPrefix("application/x-protobuf") ?? false
                return .taken(rejected: isProtobuf ? SpanAnswer.rejected(answer, of: count) : 0)
            case 429, 502, 503, 504:
                return .again(response.fields["Retry-After"].flatMap { Int64($0) }.map { .seconds(max(0, $0)) })
            default: return .refused
            }
        } catch {
            // Cancelled: the time to say farewell is over.
            return error.isTransient || error == .cancelled ? .again(nil) : .refused
        }
    }

    /// Sleeps, but not beyond the moment when the gateway ends.
    private func rest(_ time: Duration) async {
        let end: ContinuousClock.Instant = .now + time
        while !self.isStopping, !Task.isCancelled {
            let left: Duration = ContinuousClock.now.duration(to: end)
            if left <= .zero { return }
            try? await Task.sleep(for: min(left, .milliseconds(100)))
        }
    }
}
