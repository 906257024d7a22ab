import Audit
import BenchServices
import CLinux
import Contracts
import EventLog
import Glibc
import HTTP
import Identifiers
import JSON
import Observability
import REST
import Store
import Telemetry
import Time

/// What proving costs: taking entries into the tree, verifying them, and the way of an event from its commit to a reader.
///
///     Benchmarks/audit/run [--entries N] [--folder PATH]
///
/// Everything is durable (synchronous=FULL) and through the REST layer where there is a route.
@main
struct AuditBench {
    static func main() async {
        var entries: Int = 100_000
        var folder: String = "/tmp"
        var rest: ArraySlice<String> = CommandLine.arguments.dropFirst()
        while let name: String = rest.popFirst() {
            switch (name, rest.popFirst()) {
            case ("--entries", let value?): entries = max(1_000, Int(value) ?? entries)
            case ("--folder", let value?): folder = value
            default:
                print("usage: AuditBench [--entries N] [--folder PATH]")
                exit(2)
            }
        }
        let count: Int = entries
        let path: String = "\(folder)/passerelle-auditbench-\(getpid())"
        do {
            // Off the main actor, so that no hop to its thread is measured.
            try await Task.detached {
                let platform: BenchPlatform = try await BenchPlatform(path: path)
                try await platform.measureTree(count)
                try await platform.measureVerification(count)
                try await platform.measureProofs(count)
                try await platform.measureTail()
                try await platform.close()
            }.value
        } catch {
            print("failed: \(error)")
            exit(1)
        }
    }
}

/// One caller, who may do everything.
private struct Everybody: Authenticator {
    func authenticate(bearer token: String, ip: String) async -> Caller? {
        Caller(kind: .user, id: "usr_bench", grants: [Grant(role: .platformAdmin, tenant: nil)], ip: ip)
    }
}

/// The audit and observability services on a store in a folder of their own.
private struct BenchPlatform {
    private let path: String
    private let services: ServiceEnvironment
    private let telemetry: Store
    private let audit: AuditService
    private let handler: RESTHandler

    init(path: String) async throws {
        self.path = path
        self.services = try await BenchServices.open(
            path: path, migrations: [AuditService.migrations, ObservabilityService.migrations])
        self.telemetry = try Store.open(
            StoreConfiguration(folder: "\(path)/telemetry"), migrations: [ObservabilityService.telemetryMigrations])
        self.audit = try await AuditService.open(services: self.services, sealer: OpenSealer())
        let observability: ObservabilityService = try await ObservabilityService.open(
            services: self.services, telemetry: self.telemetry, readiness: Readiness(clock: SystemClock()),
            sealer: OpenSealer())
        self.handler = RESTHandler(
            routes: self.audit.routes + observability.routes, authenticator: Everybody(), services: self.services,
            version: "0")
    }

    /// Fills the log: durable, each entry by one of many users whose address is sealed under a key of their own.
    private func append(_ count: Int) async throws {
        var authors: [Author] = []
        for number in 0..<200 {
            let caller: Caller = Caller(
                kind: .user, id: "usr_bench-\(number)", grants: [], ip: "198.51.100.\(number)")
            authors.append(Author(caller: caller, trace: TraceContext.make()))
        }
        let users: [Author] = authors
        let begun: UInt64 = clinux_monotonic_nanoseconds()
        for start in stride(from: 0, to: count, by: 500) {
            try await self.services.store.write { transaction in
                for number in start..<min(start + 500, count) {
                    try Self.audit(users[number % users.count], number, in: transaction)
                }
            }
        }
        Self.report("entries appended, addresses sealed, 500 a transaction", count, since: begun)
    }

    /// Entries as callers make them: 64 at once, each in a transaction of its own.
    private func appendSingly(_ count: Int) async throws {
        let services: ServiceEnvironment = self.services
        let begun: UInt64 = clinux_monotonic_nanoseconds()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<64 {
                group.addTask {
                    let author: Author = Author(
                        caller: Caller(kind: .user, id: "usr_one-\(caller)", grants: [], ip: "203.0.113.\(caller)"),
                        trace: TraceContext.make())
                    for number in stride(from: caller, to: count, by: 64) {
                        try await services.store.write { try Self.audit(author, number, in: $0) }
                    }
                }
            }
            try await group.waitForAll()
        }
        Self.report("entries appended, addresses sealed, each by itself, 64 callers", count, since: begun)
    }

    /// Fills the log first, then lets the builder run: what is measured is the tree alone.
    func measureTree(_ total: Int) async throws {
        try await self.append(total)
        try await self.appendSingly(total / 4)
        let count: Int = total + total / 4
        let begun: UInt64 = clinux_monotonic_nanoseconds()
        try await self.audit.start()
        while try await self.audit.head().size < Int64(count) { try await Task.sleep(for: .milliseconds(2)) }
        Self.report("entries taken into the tree", count, since: begun)
    }

    func measureVerification(_ count: Int) async throws {
        let begun: UInt64 = clinux_monotonic_nanoseconds()
        let verdict: AuditVerdict = try await AuditVerification.run(on: self.services.store, checkpoint: nil)
        guard verdict.isSound, verdict.head.size >= Int64(count) else { throw BenchFailure("the log does not verify") }
        Self.report("entries verified", count, since: begun)
    }

    func measureProofs(_ count: Int) async throws {
        let rounds: Int = 2_000
        let begun: UInt64 = clinux_monotonic_nanoseconds()
        for round in 0..<rounds {
            let answer: HTTPResponse = await self.get("/v1/audit/proofs?leaf=\(round * 7_919 % count)")
            guard answer.status == 200 else { throw BenchFailure("no proof: \(answer.status)") }
        }
        Self.report("inclusion proofs", rounds, since: begun)
    }

    /// From the end of a commit to the bytes at a reader of server-sent events.
    func measureTail() async throws {
        let response: HTTPResponse = await self.get("/v1/events/deploy-results", accept: ServerSentEvent.mediaType)
        guard case .stream(let produce) = response.body else { throw BenchFailure("no stream: \(response.status)") }
        let recorder: ResponseRecorder = ResponseRecorder()
        let producer: Task<Void, any Error> = Task { try await produce(recorder.writer) }
        while recorder.received.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
        var latencies: [UInt64] = []
        for number in 0..<500 {
            let before: Int = recorder.received.count
            try await self.services.store.write { transaction in
                try transaction.publish(
                    Event(
                        topic: Topics.deployResults, key: "api_\(number)", tenant: "acme", type: "bench",
                        actor: "bench",
                        value: .object(["n": .int(Int64(number))])))
            }
            // The write returns after the commit is durable.
            let committed: UInt64 = clinux_monotonic_nanoseconds()
            while recorder.received.count == before { await Task.yield() }
            latencies.append(clinux_monotonic_nanoseconds() - committed)
        }
        producer.cancel()
        latencies.sort()
        let median: Double = Double(latencies[latencies.count / 2]) / 1_000
        let high: Double = Double(latencies[latencies.count * 99 / 100]) / 1_000
        print("commit to first byte of an event stream: p50 \(Int(median)) µs, p99 \(Int(high)) µs")
    }

    func close() async throws {
        await self.audit.stop()
        await self.telemetry.close()
        await BenchServices.close(self.services, path: self.path)
    }

    private func get(_ target: String, accept: String = "application/json") async -> HTTPResponse {
        await self.handler.respond(
            to: HTTPRequest(method: .get, target: target, fields: ["authorization": "Bearer x", "accept": accept]))
    }

    private static func audit(_ author: Author, _ number: Int, in transaction: Transaction) throws {
        try author.audit(
            "api.updated", tenant: "tenant-\(number % 50)",
            resource: AuditEntry.Resource(type: "api", id: "api_\(number % 1_000)", version: Int64(number)),
            changes: [
                "name": .string("orders-\(number)"), "title": "Orders of the shop", "state": "published",
                "document_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            ], in: transaction)
    }

    private static func report(_ what: String, _ count: Int, since begun: UInt64) {
        let seconds: Double = Double(clinux_monotonic_nanoseconds() - begun) / 1e9
        print("\(what): \(Int(Double(count) / seconds)) a second (\(count) in \(Int(seconds * 1_000)) ms)")
    }
}

private struct BenchFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
