import Foundation
import GatewayConfiguration
import HTTP
import Synchronization
import Telemetry
import TestKit
import Testing

@testable import Gateway

/// Keeps what it is given.
final class KeepingSink: RecordSink {
    let batches: Mutex<[RecordBatch]> = Mutex([])

    func receive(_ batch: RecordBatch) {
        self.batches.withLock { $0.append(batch) }
    }

    var count: Int { self.batches.withLock { $0.reduce(0) { $0 + $1.records.count } } }
}

struct CollectorTests {
    private let live: LiveState = LiveState(subjectsMax: 1024)

    private func record(status: UInt16 = 200, reason: RequestReason = .none) -> RequestRecord {
        var record: RequestRecord = .sample(self.live)
        record.status = status
        record.reason = reason
        return record
    }

    @Test func countsRequestsByRouteApplicationTargetAndReason() {
        let metrics: MetricRegistry = MetricRegistry()
        let collector: Collector = Collector(loops: 2, live: self.live, metrics: metrics)
        collector.ring(0).add(self.record())
        collector.ring(1).add(self.record())
        collector.ring(1).add(self.record(status: 429, reason: .rateLimited))
        var unknown: RequestRecord = RequestRecord()
        unknown.status = 404
        unknown.reason = .noRoute
        collector.ring(0).add(unknown)
        collector.collect()
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        let route: String = #"tenant="acme",api="orders",route="GET /orders/{id}""#
        for line in [
            #"passerelle_gateway_requests_total{\#(route),class="2xx"} 2"#,
            #"passerelle_gateway_requests_total{\#(route),class="4xx"} 1"#,
            #"passerelle_gateway_requests_total{tenant="",api="",route="",class="4xx"} 1"#,
            #"passerelle_gateway_request_duration_seconds_count{\#(route)} 3"#,
            #"passerelle_gateway_application_requests_total{tenant="acme",api="orders",application="shop",class="2xx"} 2"#,
            #"passerelle_gateway_upstream_requests_total{tenant="acme",api="orders",target="http://127.0.0.1:9700",class="2xx"} 2"#,
            #"passerelle_gateway_failures_total{tenant="acme",api="orders",reason="rate-limited"} 1"#,
            #"passerelle_gateway_failures_total{tenant="",api="",reason="no-route"} 1"#,
            #"passerelle_gateway_response_bytes_total{tenant="acme",api="orders"} 600"#,
            "passerelle_gateway_records_dropped_total 0",
        ] {
            #expect(text.contains(line + "\n"), "\(line)")
        }
    }

    /// Whether records come one by one or in batches, and in whatever order: the same is counted.
    @Test(arguments: Array(1...8)) func countsABatchAsOneByOne(_ seed: UInt64) {
        var numbers: SeededNumbers = SeededNumbers(seed: seed)
        var identities: [IdentityNumber] = [.none]
        for number in 0..<6 {
            for kind: Identity.Kind in [.route, .subscription, .target] {
                identities.append(
                    self.live.identities.number(
                        Identity(kind: kind, tenant: "acme", api: "a\(number % 2)", detail: "\(number)")))
            }
        }
        var records: [RequestRecord] = []
        for _ in 0..<500 {
            var record: RequestRecord = self.record(
                status: [0, 101, 200, 204, 302, 404, 503, 999][Int.random(in: 0..<8, using: &numbers)])
            record.route = identities.randomElement(using: &numbers) ?? .none
            record.subscription = identities.randomElement(using: &numbers) ?? .none
            record.target = identities.randomElement(using: &numbers) ?? .none
            record.reason = Bool.random(using: &numbers) ? .none : .upstreamReset
            record.durationMicroseconds =
                UInt32.random(in: 0...40_000_000, using: &numbers) >> UInt32.random(in: 0...20, using: &numbers)
            record.upstreamMicroseconds = Bool.random(using: &numbers) ? 0 : record.durationMicroseconds / 2
            record.bytesIn = UInt64.random(in: 0...3, using: &numbers)
            record.isSampled = Int.random(in: 0..<20, using: &numbers) == 0
            records.append(record)
        }
        func text(batches: Int) -> [Substring] {
            let metrics: MetricRegistry = MetricRegistry()
            let collector: Collector = Collector(loops: 2, live: self.live, metrics: metrics, ringCapacity: 512)
            for (index, record) in records.enumerated() {
                collector.ring(index % 2).add(record)
                if index % (500 / batches) == 0 { collector.collect() }
            }
            collector.collect()
            // Sums of seconds depend on the order in their last digits.
            return String(decoding: metrics.prometheusText(), as: UTF8.self).split(separator: "\n")
                .filter { !$0.contains("_sum{") }.sorted()
        }
        #expect(text(batches: 1) == text(batches: 500))
    }

    @Test func aSampledRequestIsTheExampleOfItsBucket() {
        let metrics: MetricRegistry = MetricRegistry()
        let collector: Collector = Collector(loops: 1, live: self.live, metrics: metrics)
        for (number, microseconds) in [(1, 400), (2, 600), (3, 700), (4, 500)] as [(UInt64, UInt32)] {
            var record: RequestRecord = self.record()
            record.durationMicroseconds = microseconds
            record.isSampled = number != 3
            record.traceLow = number
            collector.ring(0).add(record)
        }
        collector.collect()
        let histogram: Histogram = metrics.histogram(
            "passerelle_gateway_request_duration_seconds", help: "",
            labels: ["tenant": "acme", "api": "orders", "route": "GET /orders/{id}"])
        #expect(histogram.exemplars.prefix(3).map { $0?.traceLow } == [4, 2, nil])
        #expect(histogram.bucketCounts.prefix(3) == [2, 2, 0])
        #expect(abs(histogram.sum - 0.0022) < 1e-9)
    }

    @Test func seriesAreBounded() {
        let metrics: MetricRegistry = MetricRegistry(seriesMax: 10)
        let collector: Collector = Collector(loops: 1, live: self.live, metrics: metrics)
        for number in 0..<50 {
            var record: RequestRecord = RequestRecord()
            record.status = 200
            record.route = self.live.identities.number(
                Identity(kind: .route, tenant: "acme", api: "a", detail: "/r\(number)"))
            collector.ring(0).add(record)
        }
        collector.collect()
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        #expect(text.contains(#"route="overflow",class="overflow"} 40"#))
        #expect(!text.contains(#"route="/r20""#))
    }

    @Test func sinksGetNamesAndWhatWasLost() throws {
        let sink: KeepingSink = KeepingSink()
        let collector: Collector = Collector(
            loops: 1, live: self.live, metrics: nil, sinks: [sink], ringCapacity: 4)
        for _ in 0..<6 { collector.ring(0).add(self.record()) }
        collector.collect()
        collector.collect()
        let batches: [RecordBatch] = sink.batches.withLock { $0 }
        #expect(batches.count == 1)
        let batch: RecordBatch = try #require(batches.first)
        #expect(batch.records.count == 4)
        #expect(batch.dropped == 2)
        #expect(batch.identity(batch.records[0].route).detail == "GET /orders/{id}")
        #expect(batch.identity(IdentityNumber(9999)) == .none)
    }

    @Test func theThreadDrainsUnaskedAndLosesNothingAtTheEnd() {
        let sink: KeepingSink = KeepingSink()
        let collector: Collector = Collector(
            loops: 1, live: self.live, metrics: nil, sinks: [sink], ringCapacity: 1024)
        collector.start()
        let deadline: ContinuousClock.Instant = .now.advanced(by: .seconds(20))
        var added: Int = 0
        // More than the ring holds: the bell is rung at the middle, the interval does the rest.
        while added < 10_000 && ContinuousClock.now < deadline {
            if collector.ring(0).add(self.record()) { added += 1 } else { sched_yield() }
        }
        collector.stop()
        #expect(added == 10_000)
        #expect(sink.count == 10_000)
    }

    @Test func writesAJSONLineForEachRequest() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let log: AccessLog = AccessLog(path: folder.file("access.log"))
        #expect(log.start() == nil)
        let collector: Collector = Collector(
            loops: 1, live: self.live, metrics: nil, sinks: [log], keepsPaths: true)
        Array("/orders/7\"\n".utf8).withUnsafeBytes { _ = collector.ring(0).add(self.record(), path: $0) }
        var refused: RequestRecord = RequestRecord()
        refused.started = 1_767_323_045_678_000_000
        refused.status = 404
        refused.reason = .noRoute
        refused.client = try #require(IPAddress(text: "2001:db8::7"))
        Array("/nowhere".utf8).withUnsafeBytes { _ = collector.ring(0).add(refused, path: $0) }
        collector.collect()
        log.stop()
        let text: String = String(decoding: try #require(folder.read("access.log")), as: UTF8.self)
        #expect(
            text == """
                {"time":"2026-01-02T03:04:05.678Z","client":"192.0.2.0","method":"GET","path":"/orders/7\\"\\n","status":200,"duration_us":1500,"upstream_us":900,"bytes_in":10,"bytes_out":200,"tenant":"acme","api":"orders","route":"GET /orders/{id}","target":"http://127.0.0.1:9700","application":"shop","subscription":"shop/orders","trace_id":"0af7651916cd43dd0000000000000001"}
                {"time":"2026-01-02T03:04:05.678Z","client":"2001:db8::","path":"/nowhere","status":404,"duration_us":0,"bytes_in":0,"bytes_out":0,"reason":"no-route"}

                """)
        #expect(log.dropped == 0 && log.failures == 0)
    }

    /// Names and paths that JSON has to escape, names longer than what is written at once, and the same names again.
    @Test func linesOfAnAccessLogAreJSONWhateverTheNames() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let log: AccessLog = AccessLog(path: folder.file("access.log"))
        #expect(log.start() == nil)
        let collector: Collector = Collector(
            loops: 1, live: self.live, metrics: nil, sinks: [log], ringCapacity: 256, keepsPaths: true)
        let names: [String] = [
            "plain", "a \"quoted\" one", "back\\slash", "né\u{1}", String(repeating: "long \" ", count: 40_000), "",
        ]
        let paths: [String] = ["/", "/seven78", "/eight789", "/a\"", "/12345678\\", "/tab\t", "/é", "/\u{7F}", ""]
        var wanted: [(route: String, target: String, path: String)] = []
        for number in 0..<108 {
            let route: String = names[number % names.count]
            let target: String = names[(number / 2) % names.count]
            let path: String = paths[number % paths.count]
            var record: RequestRecord = self.record()
            record.route = self.live.identities.number(
                Identity(kind: .route, tenant: "acme", api: "a", detail: route))
            record.target = self.live.identities.number(
                Identity(kind: .target, tenant: "acme", api: "a", detail: target))
            record.bytesOut = UInt64(number) << 50
            Array(path.utf8).withUnsafeBytes { _ = collector.ring(0).add(record, path: $0) }
            wanted.append((route, target, path))
        }
        collector.collect()
        log.stop()
        let lines: [Data] = Data(try #require(folder.read("access.log"))).split(separator: 0x0A)
        #expect(lines.count == wanted.count)
        for (number, line) in lines.enumerated() {
            let object: [String: Any] = try #require(JSONSerialization.jsonObject(with: line) as? [String: Any])
            #expect(object["route"] as? String ?? "" == wanted[number].route)
            #expect(object["target"] as? String ?? "" == wanted[number].target)
            #expect(object["path"] as? String == wanted[number].path)
            #expect((object["bytes_out"] as? NSNumber)?.uint64Value == UInt64(number) << 50)
            #expect(object["tenant"] as? String == "acme")
        }
        #expect(log.dropped == 0 && log.failures == 0)
    }

    @Test func anAccessLogMaySayNothing() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let log: AccessLog = AccessLog(
            path: folder.file("access.log"), rules: AccessLogRules(fields: [.reason, .route]))
        #expect(log.start() == nil)
        log.receive(RecordBatch(records: [RequestRecord(), self.record(reason: .noRoute)], identities: []))
        log.stop()
        #expect(try #require(folder.read("access.log")) == Array("{}\n{\"reason\":\"no-route\"}\n".utf8))
    }

    @Test func anAccessLogMaySayLessOfFewer() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let log: AccessLog = AccessLog(
            path: folder.file("access.log"), rules: AccessLogRules(sample: 0, fields: [.status, .method, .span]))
        let metrics: MetricRegistry = MetricRegistry()
        log.publish(in: metrics)
        #expect(log.start() == nil)
        var failed: RequestRecord = self.record(status: 502)
        failed.span = 10
        log.receive(RecordBatch(records: [self.record(), failed, self.record(status: 404)], identities: []))
        log.stop()
        let text: String = String(decoding: try #require(folder.read("access.log")), as: UTF8.self)
        #expect(text == #"{"method":"GET","status":502,"span_id":"000000000000000a"}"# + "\n")
        let shown: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        #expect(shown.contains("passerelle_gateway_access_log_dropped_total 0\n"))
    }

    @Test func aSampledAccessLogHasAboutItsShare() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let log: AccessLog = AccessLog(
            path: folder.file("access.log"), rules: AccessLogRules(sample: 0.25, fields: [.status]))
        #expect(log.start() == nil)
        let records: [RequestRecord] = [RequestRecord](repeating: self.record(), count: 40_000)
        log.receive(RecordBatch(records: records, identities: []))
        log.stop()
        let lines: Int = try #require(folder.read("access.log")).count { $0 == 0x0A }
        // Ten thousand are expected; a draw that is off by ten standard deviations does not happen.
        #expect((9_100...10_900).contains(lines))
    }

    @Test func anAccessLogThatIsRotatedGoesOnInTheNewFile() throws {
        let folder: TemporaryFolder = TemporaryFolder()
        let log: AccessLog = AccessLog(path: folder.file("access.log"))
        #expect(log.start() == nil)
        let batch: RecordBatch = RecordBatch(records: [self.record()], identities: [])
        log.receive(batch)
        let deadline: ContinuousClock.Instant = .now.advanced(by: .seconds(20))
        while try #require(folder.read("access.log")).isEmpty && ContinuousClock.now < deadline { usleep(1000) }
        #expect(rename(folder.file("access.log"), folder.file("access.log.1")) == 0)
        log.reopen()
        log.receive(batch)
        log.stop()
        #expect(try #require(folder.read("access.log.1")).count == #require(folder.read("access.log")).count)
        #expect(AccessLog(path: folder.file("no/such")).start() == ENOENT)
    }
}
