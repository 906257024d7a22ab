import CLinux
import Crypto
import Gateway
import GatewayConfiguration
import Glibc
import HTTP

/// Measures what the gateway's rules cost alone, without sockets: matching a route among ten and among a hundred thousand,
/// deciding with API key and plan limit, adding a record, compiling a snapshot, and the memory of one.
///
/// `policy-benchmark [ITERATIONS] [memory|matching|deciding|records|compiling]`; each figure is the best of five rounds, in nanoseconds of CPU time of one thread.
@main
struct PolicyBenchmark {
    private static let rounds: Int = 5

    static func main() throws {
        let iterations: Int = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 1_000_000
        let only: String? = CommandLine.arguments.dropFirst(2).first
        // First, while nothing else has grown the process.
        if only ?? "memory" == "memory" { try self.measureMemory() }
        if only ?? "matching" == "matching" {
            for routes in [10, 10_000, 100_000] { try self.measureMatching(routes: routes, iterations: iterations) }
        }
        if only ?? "deciding" == "deciding" { try self.measureDeciding(iterations: iterations) }
        if only ?? "records" == "records" { self.measureRecords(iterations: iterations) }
        if only ?? "compiling" == "compiling" { try self.measureCompiling() }
    }

    /// The best of some rounds; `body` runs `count` operations.
    private static func report(_ name: String, count: Int, _ body: () -> Void) {
        var best: UInt64 = .max
        for _ in 0..<self.rounds {
            let start: UInt64 = clinux_thread_cpu_nanoseconds()
            body()
            best = min(best, clinux_thread_cpu_nanoseconds() - start)
        }
        let picoseconds: UInt64 = best * 1000 / UInt64(max(count, 1))
        print("\(name): \(picoseconds / 1000).\(picoseconds % 1000 / 100) ns")
    }

    // MARK: Documents

    private static func api(_ number: Int, routes: Range<Int>, policies: [PolicyDefinition] = []) throws
        -> APIDefinition
    {
        var definitions: [RouteDefinition] = []
        for route in routes {
            let text: String
            switch route % 3 {
            case 0: text = "/service-\(route)/status"
            case 1: text = "/service-\(route)/items/{id}"
            default: text = "/service-\(route)/*"
            }
            definitions.append(RouteDefinition(path: try PathPattern(parsing: text), methods: ["GET", "POST"]))
        }
        return APIDefinition(
            id: "api-\(number)", routes: definitions,
            upstream: UpstreamDefinition(targets: [
                TargetDefinition(url: try TargetURL(parsing: "http://127.0.0.1:9700"))
            ]),
            policies: policies)
    }

    private static func document(routes count: Int, policies: [PolicyDefinition] = []) throws -> GatewayDocument {
        var document: GatewayDocument = GatewayDocument()
        for first in stride(from: 0, to: count, by: 10) {
            document.apis.append(try self.api(first / 10, routes: first..<min(first + 10, count), policies: policies))
        }
        return document
    }

    private static func path(_ route: Int) -> [UInt8] {
        switch route % 3 {
        case 0: return Array("/service-\(route)/status".utf8)
        case 1: return Array("/service-\(route)/items/0190f3a2".utf8)
        default: return Array("/service-\(route)/some/where".utf8)
        }
    }

    // MARK: Measures

    /// Resident memory with a document of 5,000 routes and its snapshot, beyond that of the process before.
    private static func measureMemory() throws {
        let before: Int = self.residentKilobytes()
        let live: LiveState = LiveState()
        let document: GatewayDocument = try self.document(routes: 5000)
        let snapshot: Snapshot = Snapshot.compile(document, previous: nil, carrying: live).snapshot
        print("memory of 5000 routes, document and snapshot: \(self.residentKilobytes() - before) KiB")
        precondition(snapshot.routes.count == 5000 && document.apis.count == 500)
    }

    private static func residentKilobytes() -> Int {
        guard let file: UnsafeMutablePointer<FILE> = fopen("/proc/self/statm", "r") else { return 0 }
        defer { fclose(file) }
        var text: [CChar] = [CChar](repeating: 0, count: 128)
        guard fgets(&text, 128, file) != nil else { return 0 }
        let line: String = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let fields: [Substring] = line.split(separator: " ")
        return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * 4
    }

    private static func measureMatching(routes: Int, iterations: Int) throws {
        let snapshot: Snapshot = Snapshot.compile(
            try self.document(routes: routes), previous: nil, carrying: LiveState()
        ).snapshot
        // 4096 paths over all routes, in an order the processor cannot foresee.
        var paths: [[UInt8]] = []
        var state: UInt64 = 42
        for _ in 0..<4096 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            paths.append(self.path(Int(state >> 33) % routes))
        }
        var storage: [UInt8] = []
        var ranges: [Range<Int>] = []
        for path in paths {
            ranges.append(storage.count..<(storage.count + path.count))
            storage.append(contentsOf: path)
        }
        let scratch: UnsafeMutableRawBufferPointer = .allocate(byteCount: 4096, alignment: 16)
        defer { scratch.deallocate() }
        var found: Int = 0
        storage.withUnsafeBytes { bytes in
            let none: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
            self.report("match among \(routes) routes, with screening of the path", count: iterations) {
                for iteration in 0..<iterations {
                    let path: UnsafeRawBufferPointer = UnsafeRawBufferPointer(rebasing: bytes[ranges[iteration & 4095]])
                    if PathScreen.screen(path, scratch: scratch).verdict == .refused { continue }
                    let view: RequestView = RequestView(method: .get, host: none, path: path)
                    if case .route = snapshot.match(view) { found += 1 }
                }
            }
        }
        precondition(found == iterations * self.rounds, "every path has a route")
    }

    private static func measureDeciding(iterations: Int) throws {
        var document: GatewayDocument = try self.document(
            routes: 1000, policies: [.apiKey(APIKeyPolicy(header: "x-api-key"))])
        var subscriptions: [SubscriptionDefinition] = []
        for api in document.apis { subscriptions.append(SubscriptionDefinition(api: api.id, plan: "gold")) }
        for number in 0..<1000 {
            guard let digest = KeyDigest(bytes: SHA256.hash("pk_\(number)_0123456789abcdef0123456789abcdef")) else {
                continue
            }
            document.applications.append(
                ApplicationDefinition(
                    id: "application-\(number)", keys: [KeyDefinition(digest: digest)], subscriptions: subscriptions))
        }
        document.plans = [PlanDefinition(id: "gold", rateLimit: PlanRateLimit(limit: 100_000_000, window: .seconds(1)))]
        let snapshot: Snapshot = Snapshot.compile(document, previous: nil, carrying: LiveState()).snapshot
        for count in [1, 1000] { self.measureDeciding(snapshot, applications: count, iterations: iterations) }
    }

    /// Head, key and path as they stand in a receive buffer.
    private static func measureDeciding(_ snapshot: Snapshot, applications: Int, iterations: Int) {
        let names: [String] = ["Host", "User-Agent", "Accept", "Accept-Encoding", "X-Request-Id", "X-API-Key"]
        var heads: [[UInt8]] = []
        var keyCounts: [UInt16] = []
        var fields: [HTTPField] = []
        for number in 0..<applications {
            var head: [UInt8] = []
            fields = []
            for name in names {
                let value: String =
                    name == "X-API-Key"
                    ? "pk_\(number + 1000)_0123456789abcdef0123456789abcdef" : "some value of a field"
                var field: HTTPField = HTTPField()
                field.nameStart = UInt16(head.count)
                field.nameCount = UInt16(name.utf8.count)
                head.append(contentsOf: "\(name): ".utf8)
                field.valueStart = UInt16(head.count)
                field.valueCount = UInt16(value.utf8.count)
                head.append(contentsOf: "\(value)\r\n".utf8)
                fields.append(field)
            }
            // Numbers of one length, so that all heads share a table of fields.
            let key: [UInt8] = Array("pk_\(number)_0123456789abcdef0123456789abcdef".utf8)
            let start: Int = Int(fields[5].valueStart)
            head.replaceSubrange(start..<(start + key.count), with: key)
            heads.append(head)
            keyCounts.append(UInt16(key.count))
        }
        let path: [UInt8] = self.path(501)
        var decision: Decision = Decision()
        var admitted: Int = 0
        var now: UInt64 = clinux_monotonic_nanoseconds()
        self.report("decide with API key and plan limit, \(applications) applications", count: iterations) {
            for iteration in 0..<iterations {
                let number: Int = iteration % applications
                fields[5].valueCount = keyCounts[number]
                now &+= 1000
                heads[number].withUnsafeBytes { head in
                    fields.withUnsafeBufferPointer { table in
                        path.withUnsafeBytes { path in
                            let view: RequestView = RequestView(
                                method: .get, host: UnsafeRawBufferPointer(start: nil, count: 0), path: path,
                                fields: FieldTable(base: head.baseAddress, fields: table))
                            snapshot.decide(
                                view, route: RouteIndex(501), hasEncodedSlash: false,
                                at: DecisionTime(monotonic: now, wallSeconds: 1_800_000_000), into: &decision)
                            if decision.isForwarded { admitted += 1 }
                        }
                    }
                }
            }
        }
        precondition(admitted == iterations * self.rounds, "every request is admitted: \(decision.reason.slug)")
    }

    private static func measureRecords(iterations: Int) {
        let live: LiveState = LiveState()
        let collector: Collector = Collector(loops: 1, live: live, metrics: nil, ringCapacity: 1 << 20)
        let ring: RecordRing = collector.ring(0)
        var record: RequestRecord = RequestRecord()
        record.status = 200
        self.report("add a record", count: iterations) {
            for number in 0..<iterations {
                record.bytesOut = UInt64(truncatingIfNeeded: number)
                ring.add(record)
                if number & 0x7ffff == 0x7ffff { collector.collect() }
            }
        }
    }

    private static func measureCompiling() throws {
        for routes in [1000, 10_000, 100_000] {
            let live: LiveState = LiveState()
            var document: GatewayDocument = try self.document(routes: routes)
            var snapshot: Snapshot = Snapshot.empty(live)
            self.report("compile \(routes) routes from nothing, for each route", count: routes) {
                snapshot = Snapshot.compile(document, previous: nil, carrying: live).snapshot
            }
            let count: Int = document.apis.count
            var version: Int = 0
            self.report("compile \(routes) routes after a change of one API, in all", count: 1) {
                version += 1
                document.apis[count / 2].name = "changed \(version)"
                snapshot = Snapshot.compile(document, previous: snapshot, carrying: live).snapshot
            }
            precondition(snapshot.routes.count == routes, "every route is served")
        }
    }
}
