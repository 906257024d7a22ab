import Bytes
import JSON
import Store
import TestKit
import Testing
import Time

@testable import EventLog

private struct Refusal: Error {}

@Suite struct PublishTests {
    @Test func recordsAnEventWithItsAttributes() async throws {
        let test: TestLog = try await TestLog()
        let event: Event = Event(
            topic: "api-created", key: "api_1", tenant: "acme", type: "api.created", actor: "usr_7", subject: "api_1",
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            value: ["api_id": "api_1", "tenant": "acme", "name": "geo", "version": 1, "created_by": "usr_7"])
        let id: String = try await test.write { tx in try tx.publish(event) }
        let partition: Int = Murmur2.partition(Array("api_1".utf8), of: 6)
        let page: FetchedRecords = try await test.log.fetch(topic: "api-created", partition: partition, from: 0)
        let record: Record = try #require(page.records.first)
        #expect(page.records.count == 1 && page.next == 1 && page.available == 0..<1)
        #expect(id.hasPrefix("evt_"))
        #expect(record.offset == 0)
        #expect(record.keyText == "api_1")
        #expect(record.text == #"{"api_id":"api_1","tenant":"acme","name":"geo","version":1,"created_by":"usr_7"}"#)
        #expect(
            record.headers == [
                RecordHeader("ce_specversion", "1.0"), RecordHeader("content-type", "application/json"),
                RecordHeader("ce_time", "2026-01-01T00:00:00.000Z"), RecordHeader("ce_id", id),
                RecordHeader("ce_source", "/passerelle"), RecordHeader("ce_type", "api.created"),
                RecordHeader("ce_subject", "api_1"), RecordHeader("tenantid", "acme"), RecordHeader("actor", "usr_7"),
                RecordHeader("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ])
        #expect(record.timestamp == Timestamp(milliseconds: 1_767_225_600_000))
        await test.close()
    }

    @Test func putsKeysWhereKafkasJavaClientPutsThem() async throws {
        let test: TestLog = try await TestLog()
        for number: Int in 0..<30 { try await test.publish("api-created", key: "key-\(number)", "\(number)") }
        for partition: Int in 0..<6 {
            let page: FetchedRecords = try await test.log.fetch(topic: "api-created", partition: partition, from: 0)
            for record: Record in page.records {
                #expect(Murmur2.partition(try #require(record.key), of: 6) == partition)
            }
        }
        await test.close()
    }

    @Test func writesStateEventAndAuditTogetherOrNotAtAll() async throws {
        let test: TestLog = try await TestLog()
        for fails: Bool in [true, false, true] {
            let outcome: Result<Void, any Error> = await Self.result {
                try await test.write { tx in
                    try tx.execute("INSERT INTO notes (tenant, name) VALUES ($1, $2)", "acme", "n")
                    try tx.publish(TestLog.event("single"))
                    try tx.audit(AuditLeafTests.entry())
                    if fails { throw Refusal() }
                }
            }
            #expect((try? outcome.get()) == nil ? fails : !fails)
        }
        #expect(try await test.noteNames() == ["n"])
        #expect(try test.log.offsets(topic: "single", partition: 0) == 0..<1)
        #expect(try test.log.offsets(topic: "audit-log", partition: 0) == 0..<1)
        #expect(try await test.values("single") == [#"{"n":1}"#])
        await test.close()
    }

    private static func result(_ body: () async throws -> Void) async -> Result<Void, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }

    @Test func leavesNoGapsWhenClosuresOfAGroupFail() async throws {
        let test: TestLog = try await TestLog()
        let gate: WriterGate = WriterGate()
        // The writer is held in one closure while forty others queue up, so that they share a commit.
        async let held: Void = test.write { _ in gate.wait() }
        try await gate.untilHeld()
        let succeeded: [Int] = await withTaskGroup(of: Int?.self) { group in
            for number: Int in 0..<40 {
                group.addTask {
                    gate.arrive()
                    return try? await test.write { tx in
                        try tx.publish(topic: "single", key: [1], value: Array("\(number)a".utf8))
                        try tx.publish(topic: "api-created", key: Array("\(number)".utf8), value: [1])
                        if number % 3 == 0 { throw Refusal() }
                        try tx.publish(topic: "single", key: [1], value: Array("\(number)b".utf8))
                        return number
                    }
                }
            }
            try? await gate.untilWaiting(40)
            gate.open()
            var succeeded: [Int] = []
            for await number: Int? in group { if let number: Int { succeeded.append(number) } }
            return succeeded
        }
        try await held
        #expect(succeeded.count == 26)
        let page: FetchedRecords = try await test.log.fetch(topic: "single", partition: 0, from: 0)
        #expect(page.records.map(\.offset) == Array(0..<52))
        var expected: Set<String> = []
        for number: Int in succeeded { expected.formUnion(["\(number)a", "\(number)b"]) }
        #expect(Set(page.records.map(\.text)) == expected)
        var spread: Int64 = 0
        for partition: Int in 0..<6 {
            spread += try test.log.offsets(topic: "api-created", partition: partition).upperBound
        }
        #expect(spread == 26)
        await test.close()
    }

    @Test func refusesWhatIsTooLarge() async throws {
        let test: TestLog = try await TestLog()
        let large: [UInt8] = Array(repeating: 0, count: LogLimits.valueBytesMax + 1)
        await #expect(
            throws: LogError.valueTooLarge(topic: "single", bytes: large.count, limit: LogLimits.valueBytesMax)
        ) {
            try await test.write { tx in try tx.publish(topic: "single", key: nil, value: large) }
        }
        let key: [UInt8] = Array(repeating: 0, count: LogLimits.keyBytesMax + 1)
        await #expect(throws: LogError.keyTooLarge(topic: "single", bytes: key.count, limit: LogLimits.keyBytesMax)) {
            try await test.write { tx in try tx.publish(topic: "single", key: key, value: []) }
        }
        let many: [RecordHeader] = Array(repeating: RecordHeader("a", "b"), count: LogLimits.headersMax + 1)
        await #expect(throws: LogError.tooManyHeaders(topic: "single", count: many.count, limit: LogLimits.headersMax))
        {
            try await test.write { tx in
                try tx.publish(topic: "single", key: nil, value: [], headers: HeaderBlock(many))
            }
        }
        await #expect(throws: LogError.self) {
            try await test.write { tx in
                let heavy: RecordHeader = RecordHeader("a", Array(repeating: 0, count: LogLimits.headerBytesMax))
                try tx.publish(topic: "single", key: nil, value: [], headers: HeaderBlock([heavy]))
            }
        }
        await #expect(throws: LogError.unknownTopic("nowhere")) {
            try await test.write { tx in try tx.publish(TestLog.event("nowhere")) }
        }
        let part: [UInt8] = Array(repeating: 0, count: LogLimits.valueBytesMax)
        await #expect(throws: LogError.self) {
            try await test.write { tx in
                for _ in 0...32 { try tx.publish(topic: "single", key: nil, value: part) }
            }
        }
        #expect(try test.log.offsets(topic: "single", partition: 0) == 0..<0)
        await test.close()
    }

    @Test func splitsLargeCommitsIntoSeveralBatches() async throws {
        let test: TestLog = try await TestLog()
        let value: [UInt8] = Array(repeating: 7, count: 300_000)
        try await test.write { tx in
            for _ in 0..<10 { try tx.publish(topic: "single", key: [1], value: value) }
        }
        let batches: [RecordBatch] = try await test.log.batches(
            topic: "single", partition: 0, from: 0, maxBytes: 100 << 20)
        #expect(batches.count == 3)
        #expect(batches.map(\.recordCount) == [4, 4, 2])
        #expect(batches.map(\.baseOffset) == [0, 4, 8])
        #expect(try await test.log.fetch(topic: "single", partition: 0, from: 9).records.map(\.offset) == [9])
        await test.close()
    }

    @Test func rollsBackAcrossBatchesOfALargeCommit() async throws {
        let test: TestLog = try await TestLog()
        let gate: WriterGate = WriterGate()
        async let held: Void = test.write { _ in gate.wait() }
        try await gate.untilHeld()
        let outcomes: [Bool] = await withTaskGroup(of: Bool.self) { group in
            for isLarge: Bool in [false, true, false] {
                group.addTask {
                    gate.arrive()
                    let written: Void? = try? await test.write { tx in
                        let count: Int = isLarge ? 8 : 1
                        for _ in 0..<count {
                            try tx.publish(topic: "single", key: [1], value: Array(repeating: 7, count: 300_000))
                        }
                        if isLarge { throw Refusal() }
                    }
                    return written != nil
                }
            }
            try? await gate.untilWaiting(3)
            gate.open()
            var outcomes: [Bool] = []
            for await outcome: Bool in group { outcomes.append(outcome) }
            return outcomes
        }
        try await held
        #expect(outcomes.count { $0 } == 2)
        try await test.publish("single", key: "k", "after")
        let page: FetchedRecords = try await test.log.fetch(topic: "single", partition: 0, from: 0, maxBytes: 8 << 20)
        #expect(page.records.map(\.offset) == [0, 1, 2])
        #expect(page.records.map(\.value.count) == [300_000, 300_000, 5])
        await test.close()
    }

    @Test func goesOnNumberingAfterReopening() async throws {
        let place: StorePlace = try await TestLog.place()
        for round: Int in 0..<3 {
            let test: TestLog = try await TestLog(place: place)
            try await test.publish("single", key: "k", all: ["\(round)a", "\(round)b"])
            #expect(try test.log.offsets(topic: "single", partition: 0) == 0..<Int64(2 * round + 2))
            await test.close()
        }
        let test: TestLog = try await TestLog(place: place)
        #expect(try await test.values("single") == ["0a", "0b", "1a", "1b", "2a", "2b"])
        await test.close()
    }

    @Test func refusesAnotherNumberOfPartitions() async throws {
        let place: StorePlace = try await TestLog.place()
        await (try TestLog(place: place)).close()
        await #expect(throws: LogError.partitionsChanged(topic: "single", stored: 1, configured: 2)) {
            _ = try await TestLog(place: place, topics: [TopicDefinition("single", partitions: 2)])
        }
    }

    @Test(arguments: [
        TopicDefinition(""), TopicDefinition("a b"), TopicDefinition("x", partitions: 0), TopicDefinition(".."),
        TopicDefinition("x", partitions: 1025), TopicDefinition("x", retention: .zero),
        TopicDefinition("x", retentionBytes: 0), TopicDefinition(String(repeating: "x", count: 246)),
    ])
    func refusesImpossibleTopics(_ topic: TopicDefinition) {
        #expect(throws: LogError.self) { try LogWriter(topics: [topic]) }
    }

    @Test func refusesATopicDefinedTwice() {
        #expect(throws: LogError.invalidTopic(name: "a", problem: "it is defined twice")) {
            try LogWriter(topics: [TopicDefinition("a"), TopicDefinition("a")])
        }
    }

    @Test func refusesToPublishWithoutTheLog() async throws {
        let place: StorePlace = StorePlace()
        let store: Store = try Store.open(
            StoreConfiguration(folder: place.folder.file("data"), url: place.url, clock: ManualClock()))
        await #expect(throws: LogError.notAttached) {
            try await store.write { tx in try tx.publish(TestLog.event()) }
        }
        await store.close()
    }

    @Test(.enabled(if: TestEngine.chosen == .sqlite)) func losesNothingOfEarlierCommitsWhenTheDiskIsFull() async throws
    {
        let test: TestLog = try await TestLog(bytesMax: 400_000)
        var accepted: Int64 = 0
        let value: [UInt8] = Array(repeating: 1, count: 20_000)
        for number: Int in 0..<100 {
            do {
                try await test.write { tx in
                    try tx.publish(topic: "single", key: [1], value: value)
                    try tx.execute("INSERT INTO notes (tenant, name) VALUES ($1, $2)", "t", .text("\(number)"))
                }
                accepted += 1
            } catch { break }
        }
        #expect(accepted > 3 && accepted < 100)
        #expect(try test.log.offsets(topic: "single", partition: 0) == 0..<accepted)
        #expect(try await test.noteNames().count == Int(accepted))
        await test.close()
        let again: TestLog = try await TestLog(place: test.place)
        #expect(try await again.values("single").count == Int(accepted))
        try await again.publish("single", key: "k", "more")
        #expect(try again.log.offsets(topic: "single", partition: 0) == 0..<(accepted + 1))
        await again.close()
    }
}
