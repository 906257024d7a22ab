import Store
import Synchronization
import Telemetry
import TestKit
import Testing
import Time

@testable import EventLog

/// What handlers have seen, from any thread.
final class Seen: Sendable {
    private let state: Mutex<[String]> = Mutex([])

    func add(_ text: String) { self.state.withLock { $0.append(text) } }
    var all: [String] { self.state.withLock { $0 } }
    var count: Int { self.state.withLock { $0.count } }
    func count(of text: String) -> Int { self.all.count { $0 == text } }
}

private struct HandlerRefusal: Error {}

@Suite struct ConsumerTests {
    /// Counts each value in the table `notes`, so that a second effect would show.
    private static func count(_ transaction: Transaction, _ record: Record) throws {
        try transaction.execute(
            """
            INSERT INTO notes (tenant, name) VALUES ('t', $1)
            ON CONFLICT (tenant, name) DO UPDATE SET count = notes.count + 1
            """, .text(record.text))
    }

    private static func counts(_ test: TestLog) async throws -> [String: Int64] {
        let rows: [(String, Int64)] = try await test.store.read { reader in
            try reader.rows("SELECT name, count FROM notes") { (try $0.text(0), try $0.int(1)) }
        }
        var counts: [String: Int64] = [:]
        for (name, count): (String, Int64) in rows { counts[name] = count }
        return counts
    }

    private static func stored(_ test: TestLog, _ group: String) async throws -> Int64 {
        var sum: Int64 = 0
        for lag: GroupLag in try await test.log.groups() where lag.group == group { sum += lag.next }
        return sum
    }

    @Test(arguments: [false, true]) func handlesEveryRecordOnceAndInOrderOfItsKey(isEarly: Bool) async throws {
        let test: TestLog = try await TestLog()
        var options: ConsumerOptions = ConsumerOptions()
        if isEarly { options.earlyTopics = ["api-created"] }
        for number: Int in 0..<100 {
            try await test.publish("api-created", key: "k\(number % 10)", all: (0..<5).map { "\(number)-\($0)" })
        }
        let seen: Seen = Seen()
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["api-created", "api-created"],
            handler: .transactional { transaction, record in
                try Self.count(transaction, record)
                seen.add("\(record.keyText ?? "") \(record.text)")
            }, options: options)
        try await eventually("all are handled") { try await Self.stored(test, "g") == 500 }
        try await test.publish("api-created", key: "k3", "last")
        try await eventually("the wake-up works") { try await Self.stored(test, "g") == 501 }
        await consumer.stop()
        let counts: [String: Int64] = try await Self.counts(test)
        #expect(counts.count == 501 && counts.values.allSatisfy { $0 == 1 })
        var expected: [String] = []
        for number: Int in stride(from: 3, to: 100, by: 10) { expected += (0..<5).map { "k3 \(number)-\($0)" } }
        #expect(seen.all.filter { $0.hasPrefix("k3 ") } == expected + ["k3 last"])
        await test.close()
    }

    @Test(arguments: [false, true]) func takesEffectExactlyOnceThroughFailuresAndRestarts(isEarly: Bool) async throws {
        let place: StorePlace = try await TestLog.place()
        let clock: ManualClock = ManualClock()
        let failures: Mutex<SplitMix> = Mutex(SplitMix(seed: 7))
        var options: ConsumerOptions = ConsumerOptions()
        options.triesMax = 1000
        options.backoff = .milliseconds(1)
        options.chunkRecordsMax = 16
        if isEarly { options.earlyTopics = ["api-created"] }
        for round: Int in 0..<6 {
            let test: TestLog = try await TestLog(place: place, clock: clock)
            for number: Int in 0..<50 {
                try await test.publish("api-created", key: "k\(number % 7)", "\(round)-\(number)")
            }
            let consumer: Consumer = try test.log.consume(
                group: "g", topics: ["api-created"],
                handler: .transactional { transaction, record in
                    try Self.count(transaction, record)
                    if failures.withLock({ $0.next() % 5 == 0 }) { throw HandlerRefusal() }
                }, options: options)
            // Cut off in the middle in most rounds; in the last one everything must come to its end.
            let enough: Int = round == 5 ? 300 : round * 50 + 20
            try await eventually("enough is handled") {
                clock.advance(by: .milliseconds(100))
                return try await Self.counts(test).count >= enough
            }
            if round % 2 == 0 { await consumer.stop() }
            await test.close()
            await consumer.stop()
        }
        let test: TestLog = try await TestLog(place: place, clock: clock)
        let counts: [String: Int64] = try await Self.counts(test)
        #expect(counts.count == 300)
        #expect(counts.values.allSatisfy { $0 == 1 })
        await test.close()
    }

    @Test func aMemberThatLostItsPartitionChangesNothing() async throws {
        let test: TestLog = try await TestLog()
        let gate: HandlerGate = HandlerGate()
        let former: Seen = Seen()
        let first: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .external { record in
                former.add(record.text)
                if record.text == "a" { await gate.wait() }
                return .done
            })
        try await test.publish("single", key: "k", "a")
        try await gate.untilHeld()
        // Another process would do just this: claim the partition while the former member is still at work.
        let at: GroupPartition = GroupPartition(group: "g", topic: "single", partition: 0)
        let claim: Claim? = try await test.store.write { tx in
            try ConsumerTables.claim(at, member: "mbr_other", start: 0, in: tx)
        }
        #expect(claim == Claim(epoch: 2, next: 0))
        try await test.publish("single", key: "k", "b")
        // The former member stops at its next step: where several processes share the log, it would rightly take a
        // partition again whose new owner shows no life.
        async let end: Void = first.stop()
        try await eventually("it is told to stop") { first.member.isStopping.load(ordering: .sequentiallyConsistent) }
        gate.open()
        await end
        #expect(try await Self.stored(test, "g") == 0)
        #expect(former.all == ["a"])
        let stale: Claim = Claim(epoch: 1, next: 0)
        await #expect(throws: FencedError.self) {
            try await test.store.write { tx in
                try Self.count(tx, Self.record("zombie"))
                try ConsumerTables.advance(at, stale, to: 1, in: tx)
            }
        }
        #expect(try await Self.counts(test).isEmpty)
        await test.close()
    }

    private static func record(_ text: String) -> Record {
        Record(
            topic: "single", partition: 0, offset: 0, timestamp: Timestamp(milliseconds: 0), key: nil,
            value: Array(text.utf8), isTombstone: false, headers: [])
    }

    @Test func keepsTheOrderOfAKeyThroughRetriesWhileOthersGoOn() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        let seen: Seen = Seen()
        let isDown: Atomic<Bool> = Atomic(true)
        var options: ConsumerOptions = ConsumerOptions()
        options.triesMax = 2
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .external { record in
                if record.keyText == "sick", isDown.load(ordering: .sequentiallyConsistent) {
                    return .unavailable(reason: "down")
                }
                seen.add(record.text)
                return .done
            }, options: options)
        for number: Int in 0..<5 {
            try await test.publish("single", key: "sick", "s\(number)")
            try await test.publish("single", key: "well", "w\(number)")
        }
        try await eventually("other keys go on") { seen.count == 5 }
        #expect(seen.all == ["w0", "w1", "w2", "w3", "w4"])
        try await eventually("all wait") { try await test.log.groups().first?.waiting == 5 }
        // Many more tries than triesMax.
        for _ in 0..<20 {
            clock.advance(by: .seconds(31))
            try await eventually("the timer is set again") { clock.sleeperCount > 0 }
        }
        #expect(try await test.log.deadLetters(of: "single").letters.isEmpty)
        isDown.store(false, ordering: .sequentiallyConsistent)
        try await eventually("the backlog is carried out") {
            clock.advance(by: .seconds(31))
            return seen.count == 10
        }
        #expect(seen.all.suffix(5) == ["s0", "s1", "s2", "s3", "s4"])
        try await eventually("nothing waits") { try await test.log.groups().first?.waiting == 0 }
        await consumer.stop()
        await test.close()
    }

    @Test func waitingRecordsSurviveARestart() async throws {
        let place: StorePlace = try await TestLog.place()
        let clock: ManualClock = ManualClock()
        let first: TestLog = try await TestLog(place: place, clock: clock)
        let failing: Consumer = try first.log.consume(
            group: "g", topics: ["single"], handler: .external { _ in .unavailable(reason: "down") })
        try await first.publish("single", key: "k", all: ["a", "b", "c"])
        try await eventually("all wait") { try await first.log.groups().first?.waiting == 3 }
        await failing.stop()
        await first.close()
        let second: TestLog = try await TestLog(place: place, clock: clock)
        let seen: Seen = Seen()
        let consumer: Consumer = try second.log.consume(
            group: "g", topics: ["single"],
            handler: .transactional { transaction, record in
                try Self.count(transaction, record)
                seen.add(record.text)
            })
        try await second.publish("single", key: "k", "d")
        try await eventually("all are handled") {
            clock.advance(by: .seconds(1))
            return try await Self.counts(second).count == 4
        }
        #expect(seen.all == ["a", "b", "c", "d"])
        #expect(try await Self.counts(second).values.allSatisfy { $0 == 1 })
        await consumer.stop()
        await second.close()
    }

    @Test(arguments: [true, false]) func makesDeadLettersOfWhatFailsForGood(_ isTransactional: Bool) async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        let tries: Seen = Seen()
        let seen: Seen = Seen()
        var options: ConsumerOptions = ConsumerOptions()
        options.triesMax = 3
        let transactional: ConsumerHandler = .transactional { transaction, record in
            tries.add(record.text)
            try Self.count(transaction, record)
            if record.text == "bad" { throw HandlerRefusal() }
            if record.text == "poison" { throw DeliveryError.poison(reason: "not an event") }
            seen.add(record.text)
        }
        let external: ConsumerHandler = .external { record in
            tries.add(record.text)
            if record.text == "bad" { return .retry(after: nil, reason: "HandlerRefusal()") }
            if record.text == "poison" { return .poison(reason: "not an event") }
            seen.add(record.text)
            return .done
        }
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"], handler: isTransactional ? transactional : external, options: options)
        try await test.store.write { tx in
            for value: String in ["one", "poison", "bad", "two", "three"] {
                try tx.publish(
                    topic: "single", key: Array("k".utf8), value: Array(value.utf8),
                    headers: HeaderBlock([RecordHeader("ce_id", "evt_\(value)")]))
            }
        }
        try await eventually("what follows a dead letter is handled") {
            clock.advance(by: .seconds(10))
            let waiting: Int? = try await test.log.groups().first?.waiting
            return seen.all.contains("three") && waiting == 0
        }
        await consumer.stop()
        try await test.numbered()
        #expect(tries.count(of: "bad") >= 3)
        let letters: [DeadLetter] = try await test.log.deadLetters(of: "single").letters
        #expect(letters.map(\.record.text) == ["poison", "bad"])
        #expect(letters.map(\.reason) == ["not an event", "HandlerRefusal()"])
        #expect(letters.map(\.tries) == [1, 3])
        #expect(letters.map(\.recordOffset) == [1, 2])
        #expect(letters.allSatisfy { $0.group == "g" && $0.topic == "single" && $0.partition == 0 })
        #expect(letters[1].record.eventID == "evt_bad" && letters[1].record.headers.count == 1)
        if isTransactional {
            let counts: [String: Int64] = try await Self.counts(test)
            #expect(counts == ["one": 1, "two": 1, "three": 1])
        }
        await test.close()
    }

    @Test func redrivesAndDropsDeadLetters() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        let isRepaired: Atomic<Bool> = Atomic(false)
        let seen: Seen = Seen()
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .external { record in
                guard isRepaired.load(ordering: .sequentiallyConsistent) else { return .poison(reason: "broken") }
                seen.add(record.text)
                return .done
            })
        try await test.publish("single", key: "k", all: ["a", "b"])
        try await eventually("both are dead") { try await test.log.deadLetters(of: "single").letters.count == 2 }
        isRepaired.store(true, ordering: .sequentiallyConsistent)
        try await test.log.redrive(topic: "single", at: 1)
        try await eventually("it is handled after all") { seen.all == ["b"] }
        try await test.log.drop(topic: "single", at: 0)
        #expect(try await test.log.deadLetters(of: "single").letters.isEmpty)
        let all: [DeadLetter] = try await test.log.deadLetters(of: "single", includingSettled: true).letters
        #expect(all.map(\.outcome) == [.dropped, .redriven])
        for offset: Int64 in [0, 1, 2, -1] {
            await #expect(throws: LogError.unknownDeadLetter(topic: "single.dlq", offset: offset)) {
                try await test.log.redrive(topic: "single", at: offset)
            }
        }
        #expect(try await test.log.deadLetter(of: "single", at: 0).record.text == "a")
        await consumer.stop()
        await test.close()
    }

    @Test func readsAgainFromAnOffsetOrATime() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        let seen: Seen = Seen()
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .transactional { _, record in seen.add(record.text) })
        for number: Int in 0..<5 {
            try await test.publish("single", key: "k", "\(number)")
            // A transaction has the time its group of transactions began: none may be open while the clock moves.
            try await eventually("it is handled") { try await Self.stored(test, "g") == number + 1 }
            clock.advance(by: .seconds(10))
        }
        try await test.log.seek(group: "g", topic: "single", to: .position(LogPosition(offsets: [3])))
        try await eventually("the end is handled again") { seen.count == 7 }
        #expect(seen.all.suffix(2) == ["3", "4"])
        let time: Timestamp = clock.now().adding(.seconds(-30))
        try await test.log.seek(group: "g", topic: "single", to: .time(time))
        try await eventually("the last thirty seconds are handled again") { seen.count == 10 }
        #expect(seen.all.suffix(3) == ["2", "3", "4"])
        await consumer.stop()
        await #expect(throws: LogError.unknownGroup("h")) {
            try await test.log.seek(group: "h", topic: "single", to: .earliest)
        }
        await test.close()
    }

    @Test func aSlowGroupDelaysOnlyItself() async throws {
        let test: TestLog = try await TestLog()
        let gate: HandlerGate = HandlerGate()
        let slow: Consumer = try test.log.consume(
            group: "slow", topics: ["api-created"],
            handler: .external { _ in
                await gate.wait()
                return .done
            })
        let quick: Consumer = try test.log.consume(
            group: "quick", topics: ["api-created"], handler: .transactional { _, _ in })
        try await test.publish("api-created", key: "k", all: (0..<50).map { "\($0)" })
        try await gate.untilHeld()
        try await eventually("the quick group is done") { try await Self.stored(test, "quick") == 50 }
        #expect(try await Self.stored(test, "slow") == 0)
        gate.open()
        await slow.stop()
        await quick.stop()
        await test.close()
    }

    @Test func finishesWhatItHasBegunWhenStopped() async throws {
        let test: TestLog = try await TestLog()
        let gate: HandlerGate = HandlerGate()
        let seen: Seen = Seen()
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .external { record in
                if record.text == "2" { await gate.wait() }
                seen.add(record.text)
                return .done
            })
        try await test.publish("single", key: "k", all: (0..<9).map { "\($0)" })
        try await gate.untilHeld()
        async let stopped: Void = consumer.stop()
        try await eventually("it stops") { consumer.member.isStopping.load(ordering: .sequentiallyConsistent) }
        gate.open()
        await stopped
        #expect(seen.all == ["0", "1", "2"])
        #expect(try await Self.stored(test, "g") == 3)
        #expect(try await test.log.groups().map(\.isRead) == [false])
        let next: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .external { record in
                seen.add(record.text)
                return .done
            })
        try await eventually("the next member goes on") { seen.count == 9 }
        #expect(seen.all == (0..<9).map { "\($0)" })
        await next.stop()
        await test.close()
    }

    @Test func standsStillWithTooManyWaiting() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock)
        let isDown: Atomic<Bool> = Atomic(true)
        let seen: Seen = Seen()
        var options: ConsumerOptions = ConsumerOptions()
        options.retriesMax = 4
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .external { record in
                if isDown.load(ordering: .sequentiallyConsistent) { return .unavailable(reason: "down") }
                seen.add(record.text)
                return .done
            }, options: options)
        for number: Int in 0..<10 { try await test.publish("single", key: "k\(number)", "\(number)") }
        try await eventually("four wait") { try await test.log.groups().first?.waiting == 4 }
        #expect(try await Self.stored(test, "g") == 4)
        isDown.store(false, ordering: .sequentiallyConsistent)
        try await eventually("all are handled") {
            clock.advance(by: .seconds(31))
            return seen.count == 10
        }
        await consumer.stop()
        await test.close()
    }

    @Test func beginsAtTheEndWhenAskedTo() async throws {
        let test: TestLog = try await TestLog()
        try await test.publish("single", key: "k", "before")
        var options: ConsumerOptions = ConsumerOptions()
        options.start = .latest
        let seen: Seen = Seen()
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"], handler: .transactional { _, record in seen.add(record.text) },
            options: options)
        try await eventually("it is claimed") { try await test.log.groups().count == 1 }
        try await test.publish("single", key: "k", "after")
        try await eventually("it is handled") { seen.count == 1 }
        #expect(seen.all == ["after"])
        await consumer.stop()
        await test.close()
    }

    @Test func refusesASecondMemberAndDeadLettersAsATopic() async throws {
        let test: TestLog = try await TestLog()
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"], handler: .transactional { _, _ in })
        #expect(throws: LogError.groupRunning("g")) {
            try test.log.consume(group: "g", topics: ["api-created"], handler: .transactional { _, _ in })
        }
        await #expect(throws: LogError.groupRunning("g")) { try await test.log.deleteGroup("g") }
        #expect(throws: LogError.unknownTopic("nowhere")) {
            try test.log.consume(group: "h", topics: ["nowhere"], handler: .transactional { _, _ in })
        }
        #expect(throws: LogError.self) {
            try test.log.consume(group: "h", topics: ["single.dlq"], handler: .transactional { _, _ in })
        }
        try await eventually("it is claimed") { try await test.log.groups().count == 1 }
        await consumer.stop()
        try await test.log.deleteGroup("g")
        #expect(try await test.log.groups().isEmpty)
        await #expect(throws: LogError.unknownGroup("g")) { try await test.log.deleteGroup("g") }
        await test.close()
    }

    // A size limit is SQLite's.
    @Test(.enabled(if: TestEngine.chosen == .sqlite)) func waitsForTheStoreAndCountsNoTries() async throws {
        let clock: ManualClock = ManualClock()
        let test: TestLog = try await TestLog(clock: clock, bytesMax: 1_000_000)
        let seen: Seen = Seen()
        var options: ConsumerOptions = ConsumerOptions()
        options.triesMax = 1
        let isFilling: Atomic<Bool> = Atomic(true)
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .transactional { transaction, record in
                seen.add(record.text)
                if isFilling.load(ordering: .sequentiallyConsistent) {
                    let large: [UInt8] = Array(repeating: 7, count: 900_000)
                    for _ in 0..<3 { try transaction.publish(topic: "api-created", key: nil, value: large) }
                }
            }, options: options)
        try await test.publish("single", key: "k", "x")
        try await eventually("it was tried several times") {
            clock.advance(by: .seconds(1))
            return seen.count >= 3
        }
        #expect(try await Self.stored(test, "g") == 0)
        isFilling.store(false, ordering: .sequentiallyConsistent)
        try await eventually("it is handled") {
            clock.advance(by: .seconds(5))
            return try await Self.stored(test, "g") == 1
        }
        #expect(try await test.log.deadLetters(of: "single").letters.isEmpty)
        #expect(try await test.log.groups().first?.waiting == 0)
        await consumer.stop()
        await test.close()
    }

    @Test func showsLagAndWhatWaitsAsMetrics() async throws {
        let test: TestLog = try await TestLog()
        let metrics: MetricRegistry = MetricRegistry()
        test.log.register(in: metrics)
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .external { record in
                record.text == "bad" ? .poison(reason: "bad") : .unavailable(reason: "down")
            })
        try await test.publish("single", key: "a", "bad")
        try await test.publish("single", key: "b", "later")
        try await eventually("both are set aside") { try await test.log.groups().first?.next == 2 }
        let labels: String = #"{group="g",topic="single",partition="0"}"#
        try await eventually("the metrics say so") {
            let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
            return text.contains("passerelle_log_consumer_lag\(labels) 0")
                && text.contains("passerelle_log_consumer_waiting\(labels) 1")
                && text.contains("passerelle_log_dead_letters_total\(labels) 1")
                && text.contains(#"passerelle_log_records_total{topic="single"} 2"#)
        }
        await consumer.stop()
        await test.close()
    }

    @Test func aConsumersOwnEventsAreInItsTransaction() async throws {
        let test: TestLog = try await TestLog()
        let fails: Atomic<Int> = Atomic(2)
        var options: ConsumerOptions = ConsumerOptions()
        options.backoff = .zero
        let consumer: Consumer = try test.log.consume(
            group: "g", topics: ["single"],
            handler: .transactional { transaction, record in
                try transaction.publish(topic: "deploy-requests", key: record.key, value: record.value)
                if fails.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue >= 0 { throw HandlerRefusal() }
            }, options: options)
        try await test.publish("single", key: "k", "x")
        var found: Int64 = 0
        try await eventually("it is published") {
            found = 0
            for partition: Int in 0..<6 {
                found += try test.log.offsets(topic: "deploy-requests", partition: partition).upperBound
            }
            return found > 0
        }
        try await eventually("nothing waits") { try await test.log.groups().first?.waiting == 0 }
        #expect(found == 1)
        await consumer.stop()
        await test.close()
    }
}
