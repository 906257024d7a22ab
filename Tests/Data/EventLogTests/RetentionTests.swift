import Store
import TestKit
import Testing
import Time

@testable import EventLog

@Suite struct RetentionTests {
    private static let topics: [TopicDefinition] = [
        TopicDefinition("short", partitions: 1, retention: .seconds(60)),
        TopicDefinition("small", partitions: 1, retention: nil, retentionBytes: 1000),
        TopicDefinition("kept", partitions: 1, retention: .seconds(60), retentionBytes: 1, compacted: true),
        .auditLog,
    ]

    @Test func removesWholeBatchesThatAreTooOld() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(topics: Self.topics, clock: clock)
        for number: Int in 0..<10 {
            try await test.publish("short", key: "k", all: ["\(number)a", "\(number)b"])
            try await test.publish("kept", key: "k", "\(number)")
            clock.advance(by: .seconds(10))
        }
        // 100 s have passed: what was published in the first 40 s is older than a minute.
        let report: RetentionReport = try await test.log.removeExpired()
        #expect(report.batches == 4 && report.isComplete && report.bytes > 0)
        #expect(try test.log.offsets(topic: "short", partition: 0) == 8..<20)
        #expect(try test.log.offsets(topic: "kept", partition: 0) == 0..<10)
        #expect(try await test.values("short", from: 8).first == "4a")
        await #expect(
            throws: LogError.offsetOutOfRange(topic: "short", partition: 0, offset: 7, earliest: 8, next: 20)
        ) { try await test.log.fetch(topic: "short", partition: 0, from: 7) }
        #expect(try await test.log.removeExpired() == RetentionReport())
        await test.close()
    }

    @Test func removesTheOldestBatchesBeyondTheSize() async throws {
        let test: TestLog = try await TestLog(topics: Self.topics)
        for number: Int in 0..<20 {
            try await test.publish("small", key: "k", String(repeating: "x", count: 100 + number))
        }
        try await test.log.removeExpired()
        let kept: [RecordBatch] = try await test.log.batches(
            topic: "small", partition: 0, from: try test.log.offsets(topic: "small", partition: 0).lowerBound)
        var bytes: Int = 0
        for batch: RecordBatch in kept { bytes += batch.bytes.count }
        #expect(bytes <= 1000 && bytes > 700)
        try await test.publish("small", key: "k", String(repeating: "y", count: 5000))
        try await test.log.removeExpired()
        #expect(try test.log.offsets(topic: "small", partition: 0) == 20..<21)
        await test.close()
    }

    @Test func remembersAfterReopeningWhatIsGone() async throws {
        let clock: ManualClock = ManualClock()
        let place: StorePlace = try await TestLog.place()
        let first: TestLog = try await TestLog(place: place, topics: Self.topics, clock: clock)
        try await first.publish("short", key: "k", all: ["a", "b"])
        clock.advance(by: .seconds(100))
        try await first.log.removeExpired()
        #expect(try first.log.offsets(topic: "short", partition: 0) == 2..<2)
        await first.close()
        let second: TestLog = try await TestLog(place: place, topics: Self.topics, clock: clock)
        #expect(try second.log.offsets(topic: "short", partition: 0) == 2..<2)
        try await second.publish("short", key: "k", "c")
        #expect(try await second.values("short", from: 2) == ["c"])
        await second.close()
    }

    @Test func doesALimitedAmountOfWorkInARun() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(topics: Self.topics, clock: clock)
        for number: Int in 0..<100 { try await test.publish("short", key: "k", "\(number)") }
        clock.advance(by: .seconds(100))
        let first: RetentionReport = try await test.log.removeExpired(limit: 50)
        #expect(first.batches == 64 && !first.isComplete)
        let second: RetentionReport = try await test.log.removeExpired(limit: 50)
        #expect(second.batches == 36 && second.isComplete)
        await test.close()
    }

    @Test func aGroupThatFellBehindGoesOnWithWhatIsLeft() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(topics: Self.topics, clock: clock)
        let seen: Seen = Seen()
        let handler: ConsumerHandler = .transactional { _, record in seen.add(record.text) }
        try await test.publish("short", key: "k", "read")
        let first: Consumer = try test.log.consume(group: "g", topics: ["short"], handler: handler)
        try await eventually("the first is handled") { seen.count == 1 }
        await first.stop()
        try await test.publish("short", key: "k", "missed")
        clock.advance(by: .seconds(100))
        try await test.publish("short", key: "k", "left")
        try await test.log.removeExpired()
        let second: Consumer = try test.log.consume(group: "g", topics: ["short"], handler: handler)
        try await eventually("the last is handled") { seen.count == 2 }
        #expect(seen.all == ["read", "left"])
        await second.stop()
        await test.close()
    }

    private static func batch(_ base: Int64, at time: Int64, bytes: Int64 = 10) -> BatchRow {
        BatchRow(baseOffset: base, recordCount: 1, maxTimestamp: time, byteCount: bytes)
    }

    @Test func isNotFooledByAClockThatWasWrong() {
        let rules: RetentionRules = RetentionRules(
            TopicDefinition("t", retention: .seconds(1)), now: Timestamp(milliseconds: 10_000))
        let ahead: Int64 = 999_999
        // Stamped in the future, then old ones: all go. In front of ones to keep: nothing goes.
        #expect(
            rules.cut([Self.batch(0, at: ahead), Self.batch(1, at: 5), Self.batch(2, at: 9_500)], bytes: 30)?.first == 2
        )
        #expect(
            rules.cut([Self.batch(0, at: ahead), Self.batch(1, at: 9_500), Self.batch(2, at: 5)], bytes: 30) == nil)
        // A clock set back far behind all stamps must not empty the log.
        let lost: RetentionRules = RetentionRules(
            TopicDefinition("t", retention: .seconds(1)), now: Timestamp(milliseconds: 0))
        #expect(lost.cut([Self.batch(0, at: 5_000), Self.batch(1, at: 6_000)], bytes: 20) == nil)
    }
}
