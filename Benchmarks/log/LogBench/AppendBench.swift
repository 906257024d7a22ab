import CLinux
import EventLog
import JSON
import Store

/// Durable appends: 500 events of 400 bytes in each transaction, one transaction after the other.
enum AppendBench {
    static let batchEvents: Int = 500
    static let eventBytes: Int = 400

    static func run(_ options: BenchOptions) async throws {
        try await self.measureRaw(options, "raw records, one partition", topic: "single")
        try await self.measureRaw(options, "raw records, six partitions", topic: "events")
        try await self.measure(options, "events with attributes, six partitions", topic: "events", publish: self.event)
        try await self.measure(options, "audit entries", topic: "audit-log", publish: self.audit)
    }

    /// Raw records, and the time until the last of them has its offset.
    static func measureRaw(_ options: BenchOptions, _ what: String, topic: String) async throws {
        let perSecond: Double = try await self.measure(options, what, topic: topic, publish: self.raw)
        if options.storeURL == nil {
            options.verdicts.noteRate(.appends, perSecond, atLeast: 150_000, of: what)
        }
    }

    typealias Publish = @Sendable (Transaction, String, Int) throws -> Void

    /// Returns how many events a second that were.
    @discardableResult
    private static func measure(
        _ options: BenchOptions, _ what: String, topic: String, publish: @escaping Publish
    ) async throws -> Double {
        let bench: BenchLog = try await BenchLog(options, "append")
        // Long enough for prepared statements, the first checkpoint and the clock of the CPU.
        for batch: Int in 0..<20 { try await self.append(bench, topic, batch * self.batchEvents, publish) }
        var latencies: [UInt64] = []
        let batches: Int = options.events / self.batchEvents
        let watch: Stopwatch = Stopwatch()
        for batch: Int in 0..<batches {
            let start: UInt64 = clinux_monotonic_nanoseconds()
            try await self.append(bench, topic, batch * self.batchEvents, publish)
            latencies.append(clinux_monotonic_nanoseconds() - start)
        }
        // On PostgreSQL offsets come after the commit: the sequencer must not be left behind.
        try await bench.untilNumbered(topic, Int64((batches + 20) * self.batchEvents))
        let events: Double = Double(batches * self.batchEvents)
        let perSecond: Double = events / watch.seconds
        Table.line(
            "500 × 400 bytes a commit: \(what)", perSecond: perSecond, latencies: latencies,
            cpuMicroseconds: watch.cpuSeconds * 1e6 / events)
        await bench.remove()
        return perSecond
    }

    static func append(
        _ bench: BenchLog, _ topic: String, _ first: Int, _ publish: @escaping Publish
    ) async throws {
        try await bench.store.write { transaction in
            for number: Int in first..<(first + self.batchEvents) { try publish(transaction, topic, number) }
        }
    }

    private static let payload: [UInt8] = Array(repeating: UInt8(ascii: "x"), count: AppendBench.eventBytes - 16)
    private static let text: String = String(repeating: "x", count: 100)

    /// A key of 16 bytes and a value: 400 bytes together.
    static let raw: Publish = { transaction, topic, number in
        var key: [UInt8] = Array("api_000000000000".utf8)
        key[15] = UInt8(ascii: "a") + UInt8(number % 26)
        key[14] = UInt8(ascii: "a") + UInt8(number / 26 % 26)
        try transaction.publish(topic: topic, key: key, value: AppendBench.payload)
    }

    /// A small payload with everything a platform event carries: about 400 bytes as well.
    private static let event: Publish = { transaction, topic, number in
        try transaction.publish(
            Event(
                topic: topic, key: "api_\(number % 1000)", tenant: "acme", type: "api.updated",
                actor: "usr_0190a1b2-0000-7000-8000-000000000001",
                traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                value: [
                    "api_id": .string("api_\(number)"), "tenant": "acme", "name": "geolocation",
                    "version": .int(Int64(number)),
                    "created_by": "usr_1",
                ]))
    }

    private static let audit: Publish = { transaction, _, number in
        try transaction.audit(
            AuditEntry(
                eventType: "api.updated",
                actor: AuditEntry.Actor(
                    userID: "usr_0190a1b2-0000-7000-8000-000000000001", ip: "192.0.2.7", tenant: "acme"),
                resource: AuditEntry.Resource(type: "api", id: "api_\(number % 1000)", version: Int64(number)),
                changes: ["name": "geolocation", "state": "active", "text": .string(AppendBench.text)],
                traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
    }
}
