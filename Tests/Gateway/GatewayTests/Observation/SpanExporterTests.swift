import Bytes
import EventLoops
import Files
import GatewayConfiguration
import Glibc
import HTTP
import Synchronization
import Telemetry
import Testing

@testable import Gateway

struct SpanExporterTests {
    private let live: LiveState = LiveState(subjectsMax: 1024)

    /// What opentelemetry-proto 1.45 for Python makes of the two records below.
    private static let expected: String = """
        0aee060a220a200a0c736572766963652e6e616d6512100a0e6f72646572732d6761746577617912c7060a140a127061\
        73736572656c6c652e67617465776179128b040a100af7651916cd43dd0000000000000001120800f067aa0ba902b722\
        08b7ad6b71692033312a10474554202f6f72646572732f7b69647d30023980a7ff44f2ca861841e08a1645f2ca86184a\
        1c0a13687474702e726571756573742e6d6574686f6412050a034745544a170a0875726c2e70617468120b0a092f6f72\
        646572732f374a200a19687474702e726573706f6e73652e7374617475735f636f6465120318c8014a1d0a0e636c6965\
        6e742e61646472657373120b0a093139322e302e322e374a1c0a16687474702e726571756573742e626f64792e73697a\
        651202180a4a1e0a17687474702e726573706f6e73652e626f64792e73697a65120318c8014a260a1f70617373657265\
        6c6c652e757073747265616d2e6475726174696f6e5f757312031884074a1b0a11706173736572656c6c652e74656e61\
        6e7412060a0461636d654a1a0a0e706173736572656c6c652e61706912080a066f72646572734a260a10706173736572\
        656c6c652e726f75746512120a10474554202f6f72646572732f7b69647d4a2c0a11706173736572656c6c652e746172\
        67657412170a15687474703a2f2f3132372e302e302e313a393730304a200a16706173736572656c6c652e6170706c69\
        636174696f6e12060a0473686f704a280a17706173736572656c6c652e737562736372697074696f6e120d0a0b73686f\
        702f6f726465727385010103000012a0020a1000000000000000000000000000000009120800000000000000032a0448\
        54545030023980a7ff44f2ca86184180a7ff44f2ca86184a1f0a13687474702e726571756573742e6d6574686f641208\
        0a065f4f544845524a200a19687474702e726573706f6e73652e7374617475735f636f6465120318f7034a1f0a0e636c\
        69656e742e61646472657373120d0a0b323030313a6462383a3a374a1c0a16687474702e726571756573742e626f6479\
        2e73697a65120218004a1d0a17687474702e726573706f6e73652e626f64792e73697a65120218004a210a1170617373\
        6572656c6c652e726561736f6e120c0a0a6f7665726c6f616465644a1a0a0a6572726f722e74797065120c0a0a6f7665\
        726c6f616465647a021802850100010000
        """

    private func ordinary() -> RequestRecord {
        var record: RequestRecord = .sample(self.live)
        record.span = 0x00f0_67aa_0ba9_02b7
        record.parentSpan = 0xb7ad_6b71_6920_3331
        record.isSampled = true
        return record
    }

    private func failed() throws -> RequestRecord {
        var record: RequestRecord = RequestRecord()
        record.started = 1_767_323_045_678_000_000
        record.status = 503
        record.reason = .overloaded
        record.client = try #require(IPAddress(text: "2001:db8::7"))
        record.traceLow = 9
        record.span = 3
        return record
    }

    private func identities() -> [Identity] {
        var known: [Identity] = [.none]
        self.live.identities.extend(&known)
        return known
    }

    /// Hardly waits between two tries, and long for an answer.
    private static var hasty: SpanExporter.Times {
        var times: SpanExporter.Times = SpanExporter.Times()
        times.interval = .milliseconds(5)
        times.pause = .milliseconds(2)
        times.timeout = .seconds(600)
        times.farewell = .seconds(600)
        return times
    }

    private func exporter(
        _ port: UInt16, path: String = "", slow: Duration? = nil, addresses: LoggedAddresses = .full
    ) -> SpanExporter {
        SpanExporter(
            SpanExportSettings(endpoint: "http://127.0.0.1:\(port)\(path)", slow: slow, service: "orders-gateway"),
            addresses: addresses, times: Self.hasty)
    }

    @Test(arguments: [(LoggedAddresses.full, "192.0.2.7"), (.truncated, "192.0.2.0"), (.none, "")])
    func saysOfAClientsAddressWhatTheAccessLogSays(_ addresses: LoggedAddresses, shown: String) async throws {
        let collector: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let exporter: SpanExporter = self.exporter(collector.port, addresses: addresses)
        var record: RequestRecord = self.ordinary()
        record.client = try #require(IPAddress(text: "192.0.2.7"))
        exporter.receive(RecordBatch(records: [record], identities: self.identities()))
        try exporter.start(folder: ".")
        await exporter.stop()
        let body: String = String(decoding: try #require(collector.requests.first).body, as: UTF8.self)
        #expect(body.contains("client.address") == !shown.isEmpty)
        #expect(body.contains("192.0.2.") == !shown.isEmpty && body.contains(shown))
        collector.stop()
    }

    @Test func sendsWhatTheReferenceImplementationWouldSend() async throws {
        let collector: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let exporter: SpanExporter = self.exporter(collector.port)
        var batch: RecordBatch = RecordBatch()
        batch.records = [self.ordinary(), try self.failed()]
        batch.identities = self.identities()
        Array("/orders/7".utf8).withUnsafeBytes { batch.append(path: $0) }
        exporter.receive(batch)
        try exporter.start(folder: ".")
        await exporter.stop()
        let request: RawMessage = try #require(collector.requests.first)
        #expect(request.head.hasPrefix("POST /v1/traces HTTP/1.1\r\n"))
        #expect(request.head.lowercased().contains("content-type: application/x-protobuf\r\n"))
        #expect(Hex.encode(request.body) == Self.expected)
        #expect(exporter.sent == 2)
        #expect(collector.requests.count == 1)
        collector.stop()
    }

    /// The head's decision, then the rules that look at the end. A record without a span is none.
    @Test(
        arguments: [
            (true, 200, 10, 1, true), (false, 200, 10, 1, false), (false, 499, 10, 1, false), (false, 500, 10, 1, true),
            (false, 599, 10, 1, true), (false, 200, 2_000, 1, true), (false, 200, 1_999, 1, false),
            (true, 500, 2_000, 0, false),
        ] as [(Bool, UInt16, UInt32, UInt64, Bool)])
    func choosesByHeadAndTail(isSampled: Bool, status: UInt16, microseconds: UInt32, span: UInt64, isKept: Bool)
        async throws
    {
        let collector: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let exporter: SpanExporter = self.exporter(collector.port, slow: .milliseconds(2))
        var record: RequestRecord = self.ordinary()
        record.isSampled = isSampled
        record.status = status
        record.durationMicroseconds = microseconds
        record.span = span
        exporter.receive(RecordBatch(records: [record], identities: self.identities()))
        try exporter.start(folder: ".")
        await exporter.stop()
        #expect(exporter.sent == (isKept ? 1 : 0))
        #expect(collector.requests.count == (isKept ? 1 : 0))
        collector.stop()
    }

    @Test func triesAgainUntilTheCollectorHasTime() async throws {
        let answers: [String] = ["429 Later", "503 Later\r\nRetry-After: 0", "200 OK"]
        let place: Mutex<Int> = Mutex(0)
        let collector: RawUpstream = try RawUpstream { (session: RawUpstream.Session) in
            while session.request() != nil {
                let number: Int = place.withLock {
                    $0 += 1
                    return $0 - 1
                }
                session.send("HTTP/1.1 \(answers[min(number, 2)])\r\nContent-Length: 0\r\n\r\n")
            }
        }
        let exporter: SpanExporter = self.exporter(collector.port, path: "/here")
        exporter.receive(RecordBatch(records: [self.ordinary()], identities: self.identities()))
        try exporter.start(folder: ".")
        #expect(await eventually { exporter.sent == 1 })
        await exporter.stop()
        #expect(collector.requests.count == 3)
        #expect(Set(collector.requests.map(\.body)).count == 1)
        #expect(collector.requests.allSatisfy { $0.head.hasPrefix("POST /here HTTP/1.1\r\n") })
        collector.stop()
    }

    @Test func dropsWhatIsRefusedAndWhatCannotBeDelivered() async throws {
        let collector: RawUpstream = try .answering("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")
        let refused: SpanExporter = self.exporter(collector.port)
        refused.receive(RecordBatch(records: [self.ordinary()], identities: self.identities()))
        try refused.start(folder: ".")
        #expect(await eventually { refused.lost(.refused) == 1 })
        await refused.stop()
        #expect(collector.requests.count == 1)
        collector.stop()
        let nobody: RefusingPort = try RefusingPort()
        let unheard: SpanExporter = self.exporter(nobody.port)
        let metrics: MetricRegistry = MetricRegistry()
        unheard.publish(in: metrics)
        unheard.receive(RecordBatch(records: [self.ordinary()], identities: self.identities()))
        try unheard.start(folder: ".")
        #expect(await eventually { unheard.lost(.undelivered) == 1 })
        await unheard.stop()
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        #expect(text.contains("passerelle_gateway_spans_sent_total 0\n"))
        #expect(text.contains("passerelle_gateway_spans_dropped_total{reason=\"undelivered\"} 1\n"))
    }

    /// Partial success of OTLP: the rest was taken, and what was not is not sent again.
    @Test func whatACollectorRejectsIsCountedAndNotSentAgain() async throws {
        let collector: RawUpstream = try .answering(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 8\r\n\r\n"
                + "\u{0A}\u{06}\u{08}\u{01}\u{12}\u{02}no")
        let exporter: SpanExporter = self.exporter(collector.port)
        let records: [RequestRecord] = [RequestRecord](repeating: self.ordinary(), count: 3)
        exporter.receive(RecordBatch(records: records, identities: self.identities()))
        try exporter.start(folder: ".")
        #expect(await eventually { exporter.sent == 2 })
        await exporter.stop()
        #expect(exporter.lost(.refused) == 1)
        #expect(collector.requests.count == 1)
        collector.stop()
    }

    @Test(
        arguments: [
            ("", 0), ("0a00", 0), ("0a020802", 2), ("0a02080a", 5), ("0a06080112026e6f", 1), ("12020801", 0),
            // A negative count, a count of the wrong kind, and messages that end too early.
            ("0a0b08ffffffffffffffffff01", 0), ("0a040a020801", 0), ("0a", 0), ("0a05", 0), ("0a0508", 0), ("08ff", 0),
            // Fields that are not known are skipped, the last count is the one that is meant.
            ("1001" + "1d01020304" + "210102030405060708" + "0a0208030a020804", 4),
        ] as [(String, Int)])
    func readsWhatACollectorRejects(answer: String, count: Int) throws {
        #expect(SpanAnswer.rejected(try #require(Hex.decode(answer)), of: 5) == count)
    }

    @Test func aFullQueueDropsAndCounts() {
        let exporter: SpanExporter = self.exporter(1)
        let records: [RequestRecord] = [RequestRecord](repeating: self.ordinary(), count: SpanExporter.queueMax + 7)
        exporter.receive(RecordBatch(records: records, identities: self.identities()))
        #expect(exporter.lost(.queueFull) == 7)
    }

    @Test func fieldsOfAFileGoAlongAndBadOnesAreNamedWithoutTheirValue() async throws {
        let path: String = "/tmp/passerelle-span-fields-\(getpid())"
        defer { unlink(path) }
        let collector: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        var settings: SpanExportSettings = SpanExportSettings(endpoint: "http://127.0.0.1:\(collector.port)/")
        settings.headersFile = path
        try Self.write("Authorization: Bearer abc\r\n\nX-Tenant:t1\n", to: path)
        let exporter: SpanExporter = SpanExporter(settings, times: Self.hasty)
        exporter.receive(RecordBatch(records: [self.ordinary()], identities: self.identities()))
        try exporter.start(folder: ".")
        await exporter.stop()
        let head: String = try #require(collector.requests.first).head.lowercased()
        #expect(head.contains("authorization: bearer abc\r\n") && head.contains("x-tenant: t1\r\n"))
        collector.stop()
        for line in ["secret", "Host: secret", "a b: secret", ": secret", "Empty:"] {
            try Self.write("A: b\n\(line)\n", to: path)
            do {
                try SpanExporter(settings).start(folder: ".")
                Issue.record("\(line) was taken")
            } catch {
                #expect("\(error)".contains("\(path):2"))
                #expect(!"\(error)".contains("secret"))
            }
        }
    }

    private static func write(_ text: String, to path: String) throws {
        let file: UnsafeMutablePointer<FILE> = try #require(fopen(path, "w"))
        fputs(text, file)
        fclose(file)
    }

    /// A gateway that samples every request.
    private static func engine(
        _ document: GatewayDocument, tellsSpansTo port: UInt16, _ keeper: KeepingSink
    ) -> GatewayEngine {
        let live: LiveState = LiveState()
        let export: SpanExportSettings = SpanExportSettings(endpoint: "http://127.0.0.1:\(port)")
        return GatewayEngine(
            process: ProcessSettings(
                listen: ListenSettings(http: "127.0.0.1:0"), workers: .fixed(1),
                telemetry: TelemetrySettings(traceSample: 1, export: export)),
            snapshot: Snapshot.compile(document, previous: nil, carrying: live).snapshot, engine: .patient,
            observation: GatewayEngine.Observation(live: live, metrics: nil, sinks: [keeper]))
    }

    /// Through a gateway: what was forwarded, what it answered itself, in the caller's trace and in one of its own.
    @Test func everyRequestHasASpan() async throws {
        let collector: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        var document: GatewayDocument = try GatewayUnderTest.document([upstream.port])
        document.apis[0].routes = [RouteDefinition(id: "all", path: try PathPattern(parsing: "/a/*"))]
        let keeper: KeepingSink = KeepingSink()
        let engine: GatewayEngine = Self.engine(document, tellsSpansTo: collector.port, keeper)
        let port: UInt16 = try #require(try await engine.start().http).port
        let caller: String = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\n"
        for (path, fields) in [("/a/1", ""), ("/a/2", caller), ("/none", ""), ("/none", caller)] {
            let client: RawSocket = try RawSocket(port: port)
            client.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
            _ = client.receiveMessage()
            client.close()
        }
        #expect(await eventually { keeper.count == 4 })
        await engine.drain(deadline: .milliseconds(500))
        let records: [RequestRecord] = keeper.batches.withLock { $0.flatMap(\.records) }
        #expect(records.map(\.isSampled) == [true, false, true, false])
        #expect(records.map { $0.parentSpan == 0 } == [true, false, true, false])
        #expect(Set(records.map(\.span)).count == 4 && !records.contains { $0.span == 0 })
        #expect(records[1].traceHigh == 0x0af7_6519_16cd_43dd && records[3].traceLow == 0x8448_eb21_1c80_319c)
        let forwarded: String = upstream.requests.map(\.head).joined()
        for record in records[0..<2] {
            #expect(forwarded.contains("-\(Self.hex(AttemptRecord.span(1, of: record.span)))-"))
        }
        // The caller said that its trace is not recorded: only two go to the collector.
        let sent: [UInt8] = collector.requests.flatMap(\.body)
        for (index, record) in records.enumerated() {
            let id: [UInt8] = withUnsafeBytes(of: record.span.bigEndian) { Array($0) }
            #expect((sent.firstRange(of: id) != nil) == (index % 2 == 0))
        }
        upstream.stop()
        collector.stop()
    }

    /// A target that refuses, one that is busy, and one that answers: three tries below one request.
    @Test func everyTryIsASpanOfItsOwn() async throws {
        let collector: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        let refusing: RefusingPort = try RefusingPort()
        let busy: RawUpstream = try .answering("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        let upstream: RawUpstream = try .answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        var document: GatewayDocument = try GatewayUnderTest.document([refusing.port, busy.port, upstream.port])
        document.apis[0].upstream.retries = RetryDefinition(attempts: 2, backoff: .milliseconds(1))
        let keeper: KeepingSink = KeepingSink()
        let engine: GatewayEngine = Self.engine(document, tellsSpansTo: collector.port, keeper)
        let port: UInt16 = try #require(try await engine.start().http).port
        let client: RawSocket = try RawSocket(port: port)
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.receiveMessage().status == 200)
        client.close()
        #expect(await eventually { keeper.count == 1 })
        await engine.drain(deadline: .milliseconds(500))
        let record: RequestRecord = try #require(keeper.batches.withLock { $0.flatMap(\.records) }.first)
        #expect(record.attempts == 3)
        let tries: [AttemptRecord] = keeper.batches.withLock { $0.flatMap(\.attempts) }
        #expect(tries.map(\.number) == [1, 2])
        #expect(tries.allSatisfy { $0.span == record.span })
        #expect(tries.map(\.reason) == [.upstreamConnectFailed, .none])
        #expect(tries.map(\.status) == [0, 503])
        // Each target heard of the try that was made at it.
        let spans: [String] = (1...3).map { Self.hex(AttemptRecord.span($0, of: record.span)) }
        #expect(busy.requests.first?.field("traceparent")?.contains("-\(spans[1])-01") == true)
        #expect(upstream.requests.first?.field("traceparent")?.contains("-\(spans[2])-01") == true)
        let sent: [UInt8] = collector.requests.flatMap(\.body)
        for number in 1...3 as ClosedRange<UInt8> {
            let id: UInt64 = AttemptRecord.span(number, of: record.span)
            #expect(sent.firstRange(of: withUnsafeBytes(of: id.bigEndian) { Array($0) }) != nil)
        }
        for peer in [busy, upstream, collector] { peer.stop() }
    }

    private static func hex(_ value: UInt64) -> String {
        Hex.encode(withUnsafeBytes(of: value.bigEndian) { Array($0) })
    }
}
