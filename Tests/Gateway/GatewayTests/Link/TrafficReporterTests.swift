import GatewayConfiguration
import Synchronization
import Telemetry
import TestKit
import Testing
import Time

@testable import Gateway

/// A control plane that writes down what it is told; refuses the first batch.
private final class ListeningLink: GatewayLink {
    let batches: Mutex<[TrafficBatch]> = Mutex([])
    private let refusals: Mutex<Int> = Mutex(1)

    struct Refused: Error {}

    func pull(since version: Int64, hash: String, wait: Duration) async throws -> LinkPull { throw Refused() }
    func acknowledge(_ acknowledgement: LinkAcknowledgement) async throws {}
    func purges(since number: Int64?, wait: Duration) async throws -> PurgeFeed { throw Refused() }
    func add(_ changes: [CounterChange]) async throws -> [Int64] { changes.map { $0.amount } }

    func report(_ batch: TrafficBatch) async throws {
        try Task.checkCancellation()
        let isRefused: Bool = self.refusals.withLock { (left: inout Int) -> Bool in
            left -= 1
            return left >= 0
        }
        if isRefused { throw Refused() }
        self.batches.withLock { $0.append(batch) }
    }

    var lines: [(line: TrafficBatch.Line, sums: TrafficBatch.Sums)] { self.batches.withLock { $0.flatMap(\.lines) } }
}

struct TrafficReporterTests {
    private static let identities: [Identity] = [
        .none, Identity(kind: .route, tenant: "acme", api: "orders", detail: "all"),
        Identity(kind: .application, tenant: "acme", api: "", detail: "shop"),
        // Another number for the same names, as after a change of the configuration.
        Identity(kind: .route, tenant: "acme", api: "orders", detail: "all"),
    ]

    private static func record(
        route: UInt32 = 1, application: UInt32 = 0, status: UInt16 = 200, second: Int64 = 0, took: UInt32 = 10
    ) -> RequestRecord {
        var record: RequestRecord = RequestRecord()
        record.route = IdentityNumber(route)
        record.application = IdentityNumber(application)
        record.status = status
        record.started = 1_767_323_040_000_000_000 + second * 1_000_000_000
        record.durationMicroseconds = took
        record.bytesIn = 1
        record.bytesOut = 100
        return record
    }

    @Test func sumsByLineAndReportsOnce() async throws {
        let link: ListeningLink = ListeningLink()
        let reporter: TrafficReporter = TrafficReporter(link: link, clock: SystemClock(), logger: .silent)
        let records: [RequestRecord] = [
            Self.record(took: 10), Self.record(took: 30), Self.record(status: 503), Self.record(application: 2),
            Self.record(second: 60), Self.record(route: 0), Self.record(route: 3, took: 20),
        ]
        // Two batches of the same lines: they are one sum as long as they wait.
        for _ in 0..<2 { reporter.receive(RecordBatch(records: records, identities: Self.identities)) }
        let running: Task<Void, Never> = Task { await reporter.run() }
        #expect(await eventually { link.lines.count == 4 })
        running.cancel()
        await running.value
        #expect(link.batches.withLock { $0.count } == 1)
        let first: Int64 = 1_767_323_040_000
        let sums: (String, Int64, Int) -> TrafficBatch.Sums? = {
            (application: String, minute: Int64, statusClass: Int) in
            link.lines.first {
                $0.line.application == application && $0.line.minute == minute && $0.line.statusClass == statusClass
            }?.sums
        }
        let plain: TrafficBatch.Sums = try #require(sums("", first, 2))
        #expect(plain.requests == 6)
        #expect(plain.durationMicroseconds == 120)
        #expect(plain.durationMicrosecondsMax == 30)
        #expect(plain.bytesIn == 6 && plain.bytesOut == 600)
        #expect(sums("", first, 5)?.requests == 2)
        #expect(sums("shop", first, 2)?.requests == 2)
        #expect(sums("", first + 60_000, 2)?.requests == 2)
        #expect(link.lines.allSatisfy { $0.line.tenant == "acme" && $0.line.api == "orders" && $0.line.route == "all" })
        #expect(reporter.dropped == 0)
    }

    /// What came since the last report is told before the end, by calls that the end does not cancel.
    @Test func tellsWhatIsLeftWhenItEnds() async throws {
        let link: ListeningLink = ListeningLink()
        // Nobody moves the clock: nothing is told before the end.
        let reporter: TrafficReporter = TrafficReporter(link: link, clock: ManualClock(), logger: .silent)
        reporter.receive(RecordBatch(records: [Self.record()], identities: Self.identities))
        for _ in 0..<2 {
            // The link refuses the first.
            let running: Task<Void, Never> = Task { await reporter.run() }
            running.cancel()
            await running.value
            reporter.receive(RecordBatch(records: [Self.record()], identities: Self.identities))
        }
        #expect(link.lines.map(\.sums.requests) == [1])
    }

    /// Many more lines than places: what two lines share a place, they do not share sums.
    @Test(arguments: Array(1...6)) func sumsEachLineByItself(_ seed: UInt64) {
        var numbers: SeededNumbers = SeededNumbers(seed: seed)
        var records: [RequestRecord] = []
        for _ in 0..<3000 {
            records.append(
                Self.record(
                    route: UInt32.random(in: 0...200, using: &numbers),
                    application: UInt32.random(in: 0...3, using: &numbers),
                    status: UInt16.random(in: 0...600, using: &numbers),
                    second: Int64.random(in: -100...100, using: &numbers),
                    took: UInt32.random(in: 0...1000, using: &numbers)))
        }
        var wanted: [TrafficSums.Key: TrafficBatch.Sums] = [:]
        for record in records where record.route != .none {
            let started: Int64 = record.started / 1_000_000
            let key: TrafficSums.Key = TrafficSums.Key(
                route: record.route.value, application: record.application.value, minute: started - started % 60_000,
                statusClass: UInt8(min(max(record.status / 100, 1), 5)))
            wanted[key, default: TrafficBatch.Sums()].add(record)
        }
        var sums: TrafficSums = TrafficSums()
        for part in [records[..<1000], records[1000...]] {
            var got: [TrafficSums.Key: TrafficBatch.Sums] = [:]
            sums.add(Array(part))
            sums.takeEach { got[$0, default: TrafficBatch.Sums()].add($1) }
            for (key, sum) in got {
                wanted[key]?.requests -= sum.requests
                wanted[key]?.durationMicroseconds -= sum.durationMicroseconds
                wanted[key]?.bytesOut -= sum.bytesOut
            }
        }
        #expect(wanted.values.allSatisfy { $0.requests == 0 && $0.durationMicroseconds == 0 && $0.bytesOut == 0 })
        var isLeft: Bool = false
        sums.takeEach { _, _ in isLeft = true }
        #expect(!isLeft)
    }

    @Test func dropsAndCountsWhatIsTooMuch() {
        let reporter: TrafficReporter = TrafficReporter(link: ListeningLink(), clock: SystemClock(), logger: .silent)
        var records: [RequestRecord] = []
        for minute in 0..<Int64(TrafficReporter.linesMax + 5) { records.append(Self.record(second: minute * 60)) }
        reporter.receive(RecordBatch(records: records + records, identities: Self.identities))
        #expect(reporter.dropped == 10)
    }
}
