import Store
import Synchronization
import TestKit
import Testing
import Time

@testable import EventLog

/// Readers that get records in the commit that writes them: the engine has to be one process's own.
@Suite(.enabled(if: TestEngine.chosen == .sqlite)) struct EarlyReaderTests {
    private struct HandlerRefusal: Error {}
    private struct WriterRefusal: Error {}

    private static var early: ConsumerOptions {
        var options: ConsumerOptions = ConsumerOptions()
        options.earlyTopics = ["single"]
        options.backoff = .milliseconds(1)
        return options
    }

    private static func note(_ name: String, in transaction: Transaction) throws {
        try transaction.execute(
            """
            INSERT INTO notes (tenant, name) VALUES ('t', $1)
            ON CONFLICT (tenant, name) DO UPDATE SET count = notes.count + 1
            """, .text(name))
    }

    private static func count(_ name: String, _ test: TestLog) async throws -> Int64 {
        try await test.store.read { reader in
            try reader.first("SELECT count FROM notes WHERE name = $1", .text(name)) { try $0.int(0) }
        } ?? 0
    }

    private static func stored(_ test: TestLog) async throws -> Int64 {
        try await test.log.groups().filter { $0.group == "g" }.map(\.next).reduce(0, +)
    }

    /// Starts an early reader of `single`, and waits until it sits at the end.
    private static func reader(
        _ test: TestLog, options: ConsumerOptions = early,
        _ handler: @escaping @Sendable (Transaction, Record) throws -> Void
    ) async throws -> Consumer {
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"], handler: .transactional(handler), options: options)
        try await Self.untilSeated(test)
        return consumer
    }

    private static func untilSeated(_ test: TestLog) async throws {
        let slot: PartitionSlot = try test.log.topics.slot("single", 0)
        try await eventually("the reader sits at the end") {
            test.log.heads.seats(at: [slot.index]).contains {
                $0.seat.isWaiting(at: test.log.heads.next(slot))
            }
        }
    }

    @Test func theEffectsAreInTheCommitThatWritesTheRecord() async throws {
        let test: TestLog = try await TestLog()
        let consumer: Consumer = try await Self.reader(test) { try Self.note($1.text, in: $0) }
        for number: Int64 in 1...20 {
            try await Self.untilSeated(test)
            try await test.store.write { try $0.publish(topic: "single", key: [1], value: Array("\(number)".utf8)) }
            // At once: what was written is there, and so is what came of it, with the offset.
            #expect(try await Self.count("\(number)", test) == 1)
            #expect(try await Self.stored(test) == number)
        }
        await consumer.stop()
        await test.close()
    }

    @Test func whatTheHandlerPublishesIsInTheCommitToo() async throws {
        let test: TestLog = try await TestLog()
        let consumer: Consumer = try await Self.reader(test) { transaction, record in
            try transaction.publish(topic: "deploy-requests", key: [1], value: record.value)
        }
        try await test.store.write { try $0.publish(topic: "single", key: [1], value: Array("a".utf8)) }
        let slot: PartitionSlot = try test.log.topics.slot(
            topicIndex: test.log.topics.index("deploy-requests"), key: [1])
        #expect(test.log.heads.next(slot) == 1)
        await consumer.stop()
        await test.close()
    }

    /// A handler that fails undoes what it did, not what was published; then it gets the record as always, in its order.
    @Test func aHandlerThatFailsDoesNotFailWhoPublishes() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        let tries: Atomic<Int> = Atomic(0)
        let consumer: Consumer = try await Self.reader(test) { transaction, record in
            try Self.note(record.text, in: transaction)
            try transaction.publish(topic: "deploy-requests", key: [1], value: record.value)
            if record.text == "bad", tries.wrappingAdd(1, ordering: .relaxed).newValue < 4 { throw HandlerRefusal() }
        }
        try await test.store.write { transaction in
            try Self.note("published", in: transaction)
            try transaction.publish(topic: "single", key: [1], value: Array("bad".utf8))
        }
        #expect(try await Self.count("published", test) == 1)
        #expect(try await Self.count("bad", test) == 0)
        try await test.publish("single", key: "other", "good")
        try await eventually("both are handled") {
            clock.advance(by: .milliseconds(100))
            let (bad, good): (Int64, Int64) = (try await Self.count("bad", test), try await Self.count("good", test))
            return bad == 1 && good == 1
        }
        #expect(tries.load(ordering: .relaxed) == 4)
        #expect(try await test.log.groups().filter { $0.group == "g" }.map(\.next) == [2])
        let slot: PartitionSlot = try test.log.topics.slot(
            topicIndex: test.log.topics.index("deploy-requests"), key: [1])
        #expect(test.log.heads.next(slot) == 2)
        await consumer.stop()
        await test.close()
    }

    /// A closure that fails takes its record along, and the reader is handed nothing of it.
    @Test func aClosureThatFailsLeavesNothing() async throws {
        let test: TestLog = try await TestLog()
        let seen: Seen = Seen()
        let consumer: Consumer = try await Self.reader(test) { transaction, record in
            try Self.note(record.text, in: transaction)
            seen.add(record.text)
        }
        await #expect(throws: WriterRefusal.self) {
            try await test.store.write { transaction in
                try transaction.publish(topic: "single", key: [1], value: Array("never".utf8))
                throw WriterRefusal()
            }
        }
        try await Self.untilSeated(test)
        try await test.store.write { try $0.publish(topic: "single", key: [1], value: Array("a".utf8)) }
        #expect(seen.all == ["a"])
        #expect(try await Self.count("a", test) == 1)
        await consumer.stop()
        await test.close()
    }

    /// Somebody moved the group's offset: the reader's claim holds no more, and it looks again.
    @Test func aClaimThatDoesNotHoldHandlesNothing() async throws {
        let test: TestLog = try await TestLog()
        let consumer: Consumer = try await Self.reader(test) { try Self.note($1.text, in: $0) }
        try await test.store.write { try $0.publish(topic: "single", key: [1], value: Array("a".utf8)) }
        try await Self.untilSeated(test)
        let at: GroupPartition = GroupPartition(group: "g", topic: "single", partition: 0)
        #expect(try await test.store.write { try ConsumerTables.seek(at, to: 0, in: $0) })
        try await test.store.write { try $0.publish(topic: "single", key: [1], value: Array("b".utf8)) }
        try await eventually("it reads again from where it was set") {
            let (a, b): (Int64, Int64) = (try await Self.count("a", test), try await Self.count("b", test))
            return a == 2 && b == 1
        }
        await consumer.stop()
        await test.close()
    }

    /// A commit does not wait for many records to be handled.
    @Test func manyRecordsAreLeftToTheReader() async throws {
        let test: TestLog = try await TestLog()
        let seen: Seen = Seen()
        let consumer: Consumer = try await Self.reader(test) { transaction, record in
            try Self.note(record.text, in: transaction)
            seen.add(record.text)
        }
        try await test.publish("single", key: "k", all: (0...EarlySeat.recordsMax).map { "\($0)" })
        try await eventually("all are handled") { try await Self.stored(test) == Int64(EarlySeat.recordsMax) + 1 }
        #expect(seen.all == (0...EarlySeat.recordsMax).map { "\($0)" })
        await consumer.stop()
        await test.close()
    }

    /// Stopping and starting while records come: each takes effect once.
    @Test func membersThatComeAndGoHandleEachRecordOnce() async throws {
        let test: TestLog = try await TestLog()
        let writing: Task<Void, any Error> = Task {
            for number: Int in 0..<200 {
                try await test.store.write { try $0.publish(topic: "single", key: [1], value: Array("\(number)".utf8)) }
            }
        }
        for _: Int in 0..<10 {
            let before: Int64 = try await Self.stored(test)
            let consumer: Consumer = try test.log.consume(
                group: "g", topics: ["single"], handler: .transactional { try Self.note($1.text, in: $0) },
                options: Self.early)
            try await eventually("it handles some") {
                let now: Int64 = try await Self.stored(test)
                return now >= min(before + 10, 200)
            }
            await consumer.stop()
        }
        try await writing.value
        let last: Consumer = try test.log.consume(
            group: "g", topics: ["single"], handler: .transactional { try Self.note($1.text, in: $0) },
            options: Self.early)
        try await eventually("all are handled") { try await Self.stored(test) == 200 }
        await last.stop()
        for number: Int in 0..<200 { #expect(try await Self.count("\(number)", test) == 1) }
        await test.close()
    }
}
