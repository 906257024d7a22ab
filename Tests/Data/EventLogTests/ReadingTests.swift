import JSON
import Store
import TestKit
import Testing
import Time

@testable import EventLog

@Suite struct ReadingTests {
    /// The same must be read from memory and from the database.
    @Test(arguments: [0, 1 << 20]) func readsFromAnyOffset(_ tailCacheBytes: Int) async throws {
        let test: TestLog = try await TestLog(tailCacheBytes: tailCacheBytes)
        for number: Int in 0..<20 {
            try await test.publish("single", key: "k", all: ["\(number)a", "\(number)b", "\(number)c"])
        }
        for offset: Int64 in 0..<60 {
            let page: FetchedRecords = try await test.log.fetch(
                topic: "single", partition: 0, from: offset, maxRecords: 4)
            #expect(page.records.map(\.offset) == Array(offset..<min(offset + 4, 60)))
            #expect(page.next == min(offset + 4, 60))
        }
        let end: FetchedRecords = try await test.log.fetch(topic: "single", partition: 0, from: 60)
        #expect(end.records.isEmpty && end.next == 60 && end.available == 0..<60)
        for offset: Int64 in [-1, 61, Int64.max] {
            await #expect(throws: LogError.self) {
                try await test.log.fetch(topic: "single", partition: 0, from: offset)
            }
        }
        await #expect(throws: LogError.unknownPartition(topic: "single", partition: 1)) {
            try await test.log.fetch(topic: "single", partition: 1, from: 0)
        }
        await test.close()
    }

    @Test(arguments: [0, 1 << 20]) func keepsToTheBytesAsked(_ tailCacheBytes: Int) async throws {
        let test: TestLog = try await TestLog(tailCacheBytes: tailCacheBytes)
        for _ in 0..<10 { try await test.publish("single", key: "k", String(repeating: "x", count: 900)) }
        let some: [RecordBatch] = try await test.log.batches(topic: "single", partition: 0, from: 2, maxBytes: 3000)
        #expect(some.map(\.baseOffset) == [2, 3, 4])
        let one: [RecordBatch] = try await test.log.batches(topic: "single", partition: 0, from: 2, maxBytes: 1)
        #expect(one.map(\.baseOffset) == [2])
        await test.close()
    }

    @Test func keepsOnlyTheNewestBatchesInMemory() async throws {
        let test: TestLog = try await TestLog(tailCacheBytes: 5000)
        for number: Int in 0..<40 {
            try await test.publish("single", key: "k", String(repeating: "x", count: 500))
            try await test.publish("api-created", key: "\(number)", String(repeating: "y", count: 100))
        }
        let slot: PartitionSlot = try test.log.topics.slot("single", 0)
        #expect(test.log.heads.recent(slot, from: 39, bytesMax: 1) != nil)
        #expect(test.log.heads.recent(slot, from: 20, bytesMax: 1) == nil)
        #expect(try await test.values("single").count == 40)
        await test.close()
    }

    @Test func findsTheFirstRecordAtOrAfterATime() async throws {
        let clock: ManualClock = ManualClock()
        let start: Timestamp = clock.now()
        let test: TestLog = try await TestLog(clock: clock)
        for number: Int in 0..<50 {
            try await test.publish("single", key: "k", all: ["\(number)a", "\(number)b"])
            clock.advance(by: .seconds(10))
        }
        for (seconds, offset): (Int64, Int64) in [
            (-5, 0), (0, 0), (1, 2), (10, 2), (245, 50), (490, 98), (491, 100), (9999, 100),
        ] {
            #expect(
                try await test.log.offset(topic: "single", partition: 0, at: start.adding(.seconds(seconds))) == offset,
                "\(seconds) s")
        }
        let between: Timestamp = start.adding(.nanoseconds(1))
        #expect(try await test.log.offset(topic: "single", partition: 0, at: between) == 2)
        #expect(try await test.log.offset(topic: "api-created", partition: 0, at: start) == 0)
        await test.close()
    }

    @Test func findsTimesAlthoughTheClockWasSetBack() async throws {
        let clock: ManualClock = ManualClock()
        let start: Timestamp = clock.now()
        let test: TestLog = try await TestLog(clock: clock)
        for seconds: Int64 in [0, 100, 200, 50, 60, 210, 5, 220] {
            clock.set(start.adding(.seconds(seconds)))
            try await test.publish("single", key: "k", "\(seconds)")
        }
        for (seconds, offset): (Int64, Int64) in [(0, 0), (55, 1), (150, 2), (201, 5), (211, 7), (221, 8)] {
            #expect(
                try await test.log.offset(topic: "single", partition: 0, at: start.adding(.seconds(seconds))) == offset,
                "\(seconds) s")
        }
        await test.close()
    }

    @Test func tailsATopicAcrossItsPartitions() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        for number: Int in 0..<40 {
            clock.advance(by: .milliseconds(1))
            try await test.write { tx in
                try tx.publish(
                    TestLog.event(
                        key: "k\(number)", tenant: number % 4 == 0 ? "acme" : "other", value: ["n": .int(Int64(number))]
                    ))
            }
        }
        var position: LogPosition = try await test.log.position(of: "api-created", at: .earliest)
        var read: [String] = []
        while true {
            let page: TailPage = try await test.log.tail(
                topic: "api-created", from: position, tenant: "acme", maxRecords: 6)
            if page.records.isEmpty { break }
            #expect(page.records.count <= 6)
            #expect(page.records.map(\.timestamp) == page.records.map(\.timestamp).sorted())
            read += page.records.map(\.text)
            position = try LogPosition(page.position.text)
        }
        #expect(Set(read) == Set((0..<10).map { #"{"n":\#($0 * 4)}"# }) && read.count == 10)
        #expect(try await test.log.position(of: "api-created", at: .latest) == position)
        let all: TailPage = try await test.log.tail(
            topic: "api-created", from: LogPosition(offsets: [0, 0, 0, 0, 0, 0]), tenant: nil, maxRecords: 1000)
        #expect(all.records.map(\.text) == (0..<40).map { #"{"n":\#($0)}"# })
        await test.close()
    }

    @Test func findsRareRecordsOfATenant() async throws {
        let test: TestLog = try await TestLog()
        let filler: JSONValue = .string(String(repeating: "x", count: 500_000))
        for number: Int in 0..<12 {
            try await test.write { tx in
                try tx.publish(
                    TestLog.event("single", key: "k", tenant: number == 11 ? "acme" : "other", value: filler))
            }
        }
        let page: TailPage = try await test.log.tail(
            topic: "single", from: LogPosition(offsets: [0]), tenant: "acme")
        #expect(page.records.map(\.offset) == [11])
        #expect(page.position.offsets == [12] && page.isAtEnd)
        await test.close()
    }

    /// On PostgreSQL the log's own tasks sleep on the clock, too.
    private static let countsSleepers: Bool = TestEngine.chosen == .sqlite

    @Test(.enabled(if: Self.countsSleepers)) func waitsForWhatIsToCome() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        let position: LogPosition = try await test.log.position(of: "api-created", at: .latest)
        async let page: TailPage = test.log.tail(
            topic: "api-created", from: position, tenant: "acme", wait: .seconds(30))
        try await eventually("it waits") { clock.sleeperCount == 1 }
        try await test.write { tx in try tx.publish(TestLog.event(tenant: "other")) }
        try await test.write { tx in try tx.publish(TestLog.event(tenant: "acme", value: "mine")) }
        #expect(try await page.records.map(\.text) == [#""mine""#])
        await test.close()
    }

    @Test(.enabled(if: Self.countsSleepers)) func answersEmptyWhenNothingCame() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        let position: LogPosition = try await test.log.position(of: "single", at: .latest)
        async let page: TailPage = test.log.tail(topic: "single", from: position, tenant: nil, wait: .seconds(30))
        try await eventually("it waits") { clock.sleeperCount == 1 }
        clock.advance(by: .seconds(30))
        #expect(try await page.records.isEmpty)
        async let grown: Bool = test.log.waitForAppend(topic: "single", partition: 0, beyond: 0, wait: .seconds(5))
        try await eventually("it waits") { clock.sleeperCount == 1 }
        try await test.publish("single", key: "k", "x")
        #expect(try await grown)
        async let more: Bool = test.log.waitForAppend(topic: "single", partition: 0, beyond: 1, wait: .seconds(5))
        try await eventually("it waits") { clock.sleeperCount == 1 }
        clock.advance(by: .seconds(5))
        #expect(try await !more)
        await test.close()
    }

    @Test(.enabled(if: Self.countsSleepers)) func endsALongPollWhenItsTaskIsCancelled() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        let position: LogPosition = try await test.log.position(of: "single", at: .latest)
        let task: Task<Int, any Error> = Task {
            try await test.log.tail(topic: "single", from: position, tenant: nil, wait: .seconds(3600)).records.count
        }
        try await eventually("it waits") { clock.sleeperCount == 1 }
        task.cancel()
        #expect(try await task.value == 0)
        await test.close()
    }

    @Test func readsPositionsAsText() throws {
        #expect(try LogPosition("0:12,1:7").offsets == [12, 7])
        #expect(LogPosition(offsets: [12, 7, 0]).text == "0:12,1:7,2:0")
    }

    @Test(arguments: [
        "", "0", "0:", "1:0", "0:1,0:2", "0:-1", "0:1,", "0:1:2", "0:9223372036854775808", "a:b", "0:1,1:x",
    ])
    func refusesOtherTextAsAPosition(_ text: String) {
        #expect(throws: LogError.invalidPosition(text)) { try LogPosition(text) }
    }

    @Test func refusesPositionsThatDoNotFit() async throws {
        let test: TestLog = try await TestLog()
        await #expect(throws: LogError.invalidPosition("0:0")) {
            try await test.log.tail(topic: "api-created", from: LogPosition(offsets: [0]), tenant: nil)
        }
        await #expect(throws: LogError.offsetOutOfRange(topic: "single", partition: 0, offset: 5, earliest: 0, next: 0))
        {
            try await test.log.tail(topic: "single", from: LogPosition(offsets: [5]), tenant: nil)
        }
        await test.close()
    }

    /// A log without the store's commits stands for a process that has not heard of them yet.
    @Test func asksTheDatabaseBeforeAnOffsetIsBeyondTheEnd() async throws {
        let test: TestLog = try await TestLog(place: StorePlace(.sqlite))
        let deaf: EventLog = try await EventLog.open(
            store: test.store, writer: try LogWriter(topics: TestLog.topics), shared: true)
        try await test.publish("single", key: "k", all: ["a", "b", "c"])
        #expect(try deaf.offsets(topic: "single", partition: 0) == 0..<0)
        let page: FetchedRecords = try await deaf.fetch(topic: "single", partition: 0, from: 2)
        #expect(page.records.map(\.text) == ["c"] && page.available == 0..<3)
        try await test.publish("single", key: "k", "d")
        let told: LogPosition = LogPosition(offsets: [4])
        #expect(try await deaf.position(of: "single", at: .position(told)) == told)
        try await test.publish("single", key: "k", "e")
        #expect(try await deaf.tail(topic: "single", from: LogPosition(offsets: [5]), tenant: nil).records.isEmpty)
        await #expect(throws: LogError.offsetOutOfRange(topic: "single", partition: 0, offset: 6, earliest: 0, next: 5))
        {
            try await deaf.fetch(topic: "single", partition: 0, from: 6)
        }
        await deaf.stop()
        await test.close()
    }

    @Test func namesTheDamagedBatch() async throws {
        let test: TestLog = try await TestLog(tailCacheBytes: 0)
        try await test.publish("single", key: "k", "first")
        try await test.publish("single", key: "k", "second")
        try await test.write { tx in
            try tx.execute(
                "UPDATE log_batches SET batch = $1 WHERE topic = $2 AND base_offset = 1", .bytes([1, 2, 3]), "single")
        }
        #expect(
            try await test.log.fetch(topic: "single", partition: 0, from: 0, maxBytes: 1).records.map(\.text) == [
                "first"
            ])
        await #expect(
            throws: LogError.corrupt(
                topic: "single", partition: 0, offset: 1,
                problem: "the batch ends at byte 3, 61 bytes were expected at byte 0")
        ) { try await test.log.fetch(topic: "single", partition: 0, from: 1) }
        await test.close()
    }
}
