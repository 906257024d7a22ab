import JSON
import Store
import Synchronization
import Telemetry
import TestKit
import Testing
import Time

@testable import EventLog

/// The log on PostgreSQL: two stores on one database stand for two processes.
@Suite struct SharedLogTests {
    private struct Process {
        let store: Store
        let log: EventLog

        init(_ place: StorePlace, clock: any WallClock = SystemClock(), timing: GroupTiming = Process.timing)
            async throws
        {
            let writer: LogWriter = try LogWriter(topics: TestLog.topics)
            var configuration: StoreConfiguration = StoreConfiguration(
                folder: place.folder.file("data"), url: place.url, clock: clock)
            configuration.writers = 4
            self.store = try Store.open(
                configuration, migrations: [TestLog.notes, LogMigrations.service], extensions: [writer])
            self.log = try await EventLog.open(store: self.store, writer: writer, clock: clock, timing: timing)
        }

        static let timing: GroupTiming = {
            var timing: GroupTiming = GroupTiming()
            // The machines that tests run on stand still now and then.
            timing.timeout = .seconds(3)
            return timing
        }()

        func close() async {
            await self.log.stop()
            await self.store.close()
        }
    }

    private static func total(_ log: EventLog, _ topic: String) throws -> Int64 {
        var sum: Int64 = 0
        for partition: Int in 0..<6 { sum += try log.offsets(topic: topic, partition: partition).upperBound }
        return sum
    }

    private static func publish(_ store: Store, _ topic: String, key: String?, _ values: [String]) async throws {
        try await store.write { tx in
            for value: String in values {
                try tx.publish(topic: topic, key: key.map { Array($0.utf8) }, value: Array(value.utf8))
            }
        }
    }

    private static func records(_ log: EventLog, _ topic: String, _ partition: Int) async throws -> [Record] {
        var records: [Record] = []
        while true {
            let page: FetchedRecords = try await log.fetch(
                topic: topic, partition: partition, from: Int64(records.count), maxBytes: 4000)
            if page.records.isEmpty { return records }
            records += page.records
        }
    }

    /// Every key has a row with a counter; each change counts on and publishes the number.
    private static func count(_ store: Store, key: String) async throws {
        try await store.write { tx in
            let number: Int64? = try tx.first(
                """
                INSERT INTO notes (tenant, name) VALUES ('t', $1)
                ON CONFLICT (tenant, name) DO UPDATE SET count = notes.count + 1 RETURNING count
                """, .text(key)
            ) { try $0.int(0) }
            try tx.publish(topic: "api-created", key: Array(key.utf8), value: Array("\(number ?? 0)".utf8))
        }
    }

    @Test func numbersWithoutGapsAndInTheOrderOfKeys() async throws {
        let place: StorePlace = try await TestLog.place(.postgresql)
        let processes: [Process] = [try await Process(place), try await Process(place)]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task: Int in 0..<8 {
                group.addTask {
                    for number: Int in 0..<25 {
                        try await Self.count(processes[task % 2].store, key: "k\((task + number) % 5)")
                    }
                }
            }
            try await group.waitForAll()
        }
        for process: Process in processes {
            try await eventually("all are numbered") { try Self.total(process.log, "api-created") == 200 }
            var byKey: [String: [String]] = [:]
            for partition: Int in 0..<6 {
                let records: [Record] = try await Self.records(process.log, "api-created", partition)
                #expect(records.map(\.offset) == (0..<Int64(records.count)).map { $0 })
                for record: Record in records { byKey[record.keyText ?? "", default: []].append(record.text) }
            }
            for (key, values): (String, [String]) in byKey {
                #expect(values == (1...values.count).map { "\($0)" }, "key \(key)")
            }
        }
        for process: Process in processes { await process.close() }
    }

    /// More batches than one statement takes, at ends that are remembered from round to round.
    @Test func numbersAllThatOneChangePublishes() async throws {
        let place: StorePlace = try await TestLog.place(.postgresql)
        let process: Process = try await Process(place)
        for round: Int64 in 1...3 {
            try await process.store.write { tx in
                for number: Int in 0..<60 {
                    for topic: String in ["api-created", "deploy-requests"] {
                        try tx.publish(topic: topic, key: Array("k\(number)".utf8), value: Array("\(round)".utf8))
                    }
                }
            }
            for topic: String in ["api-created", "deploy-requests"] {
                try await eventually("all are numbered") { try Self.total(process.log, topic) == 60 * round }
            }
        }
        for partition: Int in 0..<6 {
            let records: [Record] = try await Self.records(process.log, "deploy-requests", partition)
            #expect(!records.isEmpty && records.map(\.offset) == (0..<Int64(records.count)).map { $0 })
            #expect(records.map(\.text) == records.map(\.text).sorted())
        }
        await process.close()
    }

    @Test func anotherProcessNumbersWhenTheFirstIsGone() async throws {
        let place: StorePlace = try await TestLog.place(.postgresql)
        let first: Process = try await Process(place)
        try await eventually("the first numbers") { first.log.shared.isSequencer.load(ordering: .relaxed) }
        let second: Process = try await Process(place)
        try await Self.publish(second.store, "single", key: "k", ["a"])
        try await eventually("it is seen in both") {
            try first.log.offsets(topic: "single", partition: 0).upperBound == 1
                && second.log.offsets(topic: "single", partition: 0).upperBound == 1
        }
        await first.close()
        try await Self.publish(second.store, "single", key: "k", ["b", "c"])
        try await eventually("the second numbers") {
            try second.log.offsets(topic: "single", partition: 0).upperBound == 3
        }
        #expect(try await Self.records(second.log, "single", 0).map(\.text) == ["a", "b", "c"])
        await second.close()
    }

    @Test func aSequencerThatLostItsLeaseNumbersNothing() async throws {
        let place: StorePlace = try await TestLog.place(.postgresql)
        let process: Process = try await Process(place)
        try await eventually("it numbers") { process.log.shared.isSequencer.load(ordering: .relaxed) }
        place.run("UPDATE log_leases SET epoch = epoch + 1, holder = 'other', until = until + 1000000")
        try await Self.publish(process.store, "single", key: "k", ["a"])
        try await eventually("it has stopped") { !process.log.shared.isSequencer.load(ordering: .relaxed) }
        #expect(place.run("SELECT count(*) FROM log_outbox") == "1")
        // So far in the future that no honest holder can have written it: taken over.
        try await eventually("it takes the lease back") {
            try process.log.offsets(topic: "single", partition: 0).upperBound == 1
        }
        await process.close()
    }

    @Test func waitsForOlderTransactionsAndSaysSo() async throws {
        let place: StorePlace = try await TestLog.place(.postgresql)
        let process: Process = try await Process(place)
        let metrics: MetricRegistry = MetricRegistry()
        process.log.register(in: metrics)
        let gate: WriterGate = WriterGate()
        let held: Task<Void, any Error> = Task {
            try await process.store.write { tx in
                // Takes a transaction number, and then its time.
                try tx.execute("INSERT INTO notes (tenant, name) VALUES ('t', 'old')")
                gate.wait()
            }
        }
        try await gate.untilHeld()
        try await Self.publish(process.store, "single", key: "k", ["a"])
        try await eventually("it is noticed") { process.log.sequencer.heldSince.load(ordering: .relaxed) > 0 }
        #expect(try process.log.offsets(topic: "single", partition: 0).upperBound == 0)
        let text: String = String(decoding: metrics.prometheusText(), as: UTF8.self)
        #expect(text.contains("passerelle_log_sequencer_held_seconds"))
        gate.open()
        try await held.value
        try await eventually("it is numbered") {
            try process.log.offsets(topic: "single", partition: 0).upperBound == 1
        }
        await process.close()
    }

    @Test func leavesOfTheAuditLogAreTheSameBytesOnBothEngines() async throws {
        let clock: ManualClock = ManualClock()
        let entry: AuditEntry = AuditEntry(
            eventType: "api.created", actor: AuditEntry.Actor(userID: "usr_1", ip: "192.0.2.1", tenant: "acme"),
            resource: AuditEntry.Resource(type: "api", id: "api_1", version: 3),
            changes: ["z": 1, "a": ["é", 2.5, .null], "€": .object(["b": true])])
        var leaves: [[UInt8]] = []
        for engine: TestEngine in TestEngine.allCases {
            let place: StorePlace = StorePlace(engine)
            let writer: LogWriter = try LogWriter(topics: TestLog.topics)
            let store: Store = try Store.open(
                StoreConfiguration(folder: place.folder.file("data"), url: place.url, clock: clock),
                migrations: [LogMigrations.service], extensions: [writer])
            let log: EventLog = try await EventLog.open(store: store, writer: writer)
            let id: String = try await store.write { tx in
                try tx.audit(entry)
                return try tx.audit(entry)
            }
            try await eventually("both are there") { try log.offsets(topic: "audit-log", partition: 0) == 0..<2 }
            let records: [Record] = try await Self.records(log, "audit-log", 0)
            #expect(records[1].eventID == id)
            // Only the id differs from entry to entry.
            let text: String = records[1].text
            let parts: [Substring] = text.split(separator: "\"id\":\"\(id)\"", omittingEmptySubsequences: false)
            #expect(parts.count == 2)
            leaves.append(Array(parts.joined(separator: "ID").utf8))
            await log.stop()
            await store.close()
        }
        #expect(leaves[0] == leaves[1])
    }

    @Test func sharesAGroupAmongProcesses() async throws {
        let place: StorePlace = try await TestLog.place(.postgresql)
        let processes: [Process] = [try await Process(place), try await Process(place)]
        let handler: ConsumerHandler = .transactional { transaction, record in
            try transaction.execute(
                """
                INSERT INTO notes (tenant, name) VALUES ('effects', $1)
                ON CONFLICT (tenant, name) DO UPDATE SET count = notes.count + 1
                """, .text(record.text))
        }
        var consumers: [Consumer] = []
        for process: Process in processes {
            consumers.append(try process.log.consume(group: "g", topics: ["api-created"], handler: handler))
        }
        let names: [String] = consumers.map(\.member.name)
        func holders() async throws -> [String] {
            try await processes[0].store.read { try ConsumerTables.owners(of: "g", in: $0) }.compactMap(\.member)
        }
        try await eventually("they share") {
            let holders: [String] = try await holders()
            return holders.count { $0 == names[0] } == 3 && holders.count { $0 == names[1] } == 3
        }
        for number: Int in 0..<60 {
            try await Self.publish(processes[number % 2].store, "api-created", key: "k\(number)", ["\(number)"])
        }
        // The first process dies: its threads are gone with its store, and nobody says good-bye.
        await processes[0].store.close()
        try await eventually("the other takes over") {
            let found: [String] = try await processes[1].store.read { try ConsumerTables.owners(of: "g", in: $0) }
                .compactMap(\.member)
            return found.count == 6 && found.allSatisfy { $0 == names[1] }
        }
        for number: Int in 60..<90 {
            try await Self.publish(processes[1].store, "api-created", key: "k\(number)", ["\(number)"])
        }
        try await eventually("all took effect, once") {
            let counts: [Int64] = try await processes[1].store.read { reader in
                try reader.rows("SELECT count FROM notes WHERE tenant = 'effects'") { try $0.int(0) }
            }
            #expect(counts.allSatisfy { $0 == 1 })
            return counts.count == 90
        }
        await consumers[0].stop()
        await consumers[1].stop()
        for process: Process in processes { await process.close() }
    }

    @Test func joinsSmallBatchesOfOnePartition() throws {
        var batches: [RecordBatch] = []
        for number: Int in 0..<3 {
            var builder: RecordBatchBuilder = RecordBatchBuilder()
            for record: Int in 0...number {
                builder.append(
                    timestamp: 1000 - Int64(number), key: record == 0 ? nil : [UInt8(number)],
                    value: record == 1 ? nil : [7, UInt8(record)],
                    headers: HeaderBlock([RecordHeader("h", "\(number)"), RecordHeader("n", nil)]))
            }
            batches.append(try RecordBatch(builder.finish(baseOffset: 0)))
        }
        let lone: [RecordBatch] = try BatchMerger.number([batches[2]], baseOffset: 1 << 40)
        #expect(try RecordBatch(lone[0].bytes).baseOffset == 1 << 40)
        let joined: [RecordBatch] = try BatchMerger.number(batches, baseOffset: 5)
        #expect(joined.count == 1)
        let read: [Record] = try RecordBatch(joined[0].bytes).records(topic: "t", partition: 0)
        #expect(read.map(\.offset) == [5, 6, 7, 8, 9, 10])
        var expected: [Record] = []
        for batch: RecordBatch in batches { expected += try batch.records(topic: "t", partition: 0) }
        #expect(read.map(\.headers) == expected.map(\.headers))
        #expect(read.map(\.value) == expected.map(\.value) && read.map(\.key) == expected.map(\.key))
        #expect(read.map(\.timestamp) == expected.map(\.timestamp))
        #expect(read.map(\.isTombstone) == expected.map(\.isTombstone))
    }

    @Test func readsWhatProcessesSay() {
        #expect(SharedLog.read("o") == .published)
        #expect(SharedLog.read("g") == .groupsChanged)
        #expect(SharedLog.read("h") == .headsMoved([]))
        #expect(
            SharedLog.read("h api-created:3:17 single:0:1")
                == .headsMoved([
                    SharedLog.Head(topic: "api-created", partition: 3, next: 17),
                    SharedLog.Head(topic: "single", partition: 0, next: 1),
                ]))
        for strange: String in ["h x", "h a:b:c", "h a:1"] { #expect(SharedLog.read(strange) == .headsMoved([])) }
        for strange: String in ["", "z", "später"] { #expect(SharedLog.read(strange) == nil) }
    }
}
