import Store
import Synchronization
import TestKit
import Testing
import Time

@testable import EventLog

/// Several members of one group: two logs on one store stand for two processes on one database.
@Suite struct GroupTests {
    private static func partitions(_ count: Int) -> [TopicPartition] {
        (0..<count).map { TopicPartition(topic: "t", partition: $0) }
    }

    private static func members(_ names: [String]) -> [GroupMember] {
        names.map { GroupMember(name: $0, topics: ["t"]) }
    }

    @Test(arguments: [(6, 1), (6, 2), (6, 4), (7, 3), (3, 5), (1, 2)])
    func sharesPartitionsEvenly(_ count: Int, _ memberCount: Int) {
        let names: [String] = (0..<memberCount).map { "m\($0)" }
        let assigned: [TopicPartition: String] = GroupRules.assign(
            Self.partitions(count), owners: [:], members: Self.members(names))
        var loads: [String: Int] = [:]
        for (_, name): (TopicPartition, String) in assigned { loads[name, default: 0] += 1 }
        #expect(assigned.count == count)
        let most: Int = loads.values.max() ?? 0
        #expect(most == (count + memberCount - 1) / memberCount)
        #expect(names.allSatisfy { (loads[$0] ?? 0) >= count / memberCount })
    }

    @Test func movesNoMoreThanItMust() {
        let all: [TopicPartition] = Self.partitions(6)
        let before: [TopicPartition: String] = GroupRules.assign(all, owners: [:], members: Self.members(["a", "b"]))
        let joined: [TopicPartition: String] = GroupRules.assign(
            all, owners: before, members: Self.members(["a", "b", "c"]))
        #expect(all.filter { joined[$0] != before[$0] }.count == 2)
        #expect(all.filter { joined[$0] != before[$0] }.allSatisfy { joined[$0] == "c" })
        let left: [TopicPartition: String] = GroupRules.assign(all, owners: joined, members: Self.members(["a", "c"]))
        #expect(all.allSatisfy { joined[$0] == "b" || left[$0] == joined[$0] })
    }

    @Test func givesTopicsOnlyToThoseWhoReadThem() {
        let all: [TopicPartition] = Self.partitions(2) + [TopicPartition(topic: "u", partition: 0)]
        let members: [GroupMember] = [
            GroupMember(name: "a", topics: ["t"]), GroupMember(name: "b", topics: ["t", "u"]),
        ]
        let assigned: [TopicPartition: String] = GroupRules.assign(all, owners: [:], members: members)
        #expect(assigned[all[2]] == "b")
        #expect(GroupRules.assign([all[2]], owners: [:], members: [members[0]]).isEmpty)
    }

    @Test func takesOnlyWhatIsFreeAndGivesBackOnlyWhatItHolds() {
        let all: [TopicPartition] = Self.partitions(4)
        let owners: [PartitionOwner] = [
            PartitionOwner(at: all[0], epoch: 3, member: "a"), PartitionOwner(at: all[1], epoch: 1, member: "a"),
            PartitionOwner(at: all[2], epoch: 1, member: "a"), PartitionOwner(at: all[3], epoch: 2, member: "dead"),
        ]
        let view: GroupView = GroupView(members: Self.members(["a", "b"]), owners: owners)
        let mine: GroupPlan = GroupRules.plan(for: "a", view, partitions: all)
        let others: GroupPlan = GroupRules.plan(for: "b", view, partitions: all)
        #expect(mine.releases.count == 1 && mine.claims.isEmpty && mine.keeps.count == 2)
        #expect(others.claims == [GroupPlan.Claim(at: all[3], epoch: 2)] && others.releases.isEmpty)
    }

    // MARK: - Two processes

    private struct Pair {
        let test: TestLog
        let logs: [EventLog]

        init() async throws {
            let writer: LogWriter = try LogWriter(topics: TestLog.topics)
            let place: StorePlace = StorePlace(.sqlite)
            let store: Store = try Store.open(
                StoreConfiguration(folder: place.folder.file("data")),
                migrations: [TestLog.notes, LogMigrations.service],
                extensions: [writer])
            var logs: [EventLog] = []
            var timing: GroupTiming = GroupTiming()
            timing.heartbeat = .milliseconds(20)
            timing.timeout = .milliseconds(2000)
            for _ in 0..<2 {
                logs.append(try await EventLog.open(store: store, writer: writer, shared: true, timing: timing))
            }
            self.test = TestLog(place: place, store: store, log: logs[0])
            self.logs = logs
        }

        func close() async {
            for log: EventLog in self.logs { await log.stop() }
            await self.test.close()
        }

        func holders() async throws -> [String?] {
            try await self.test.store.read { reader in
                try ConsumerTables.owners(of: "g", in: reader).map(\.member)
            }
        }
    }

    private static let counting: ConsumerHandler = .transactional { transaction, record in
        try transaction.execute(
            """
            INSERT INTO notes (tenant, name) VALUES ('t', $1)
            ON CONFLICT (tenant, name) DO UPDATE SET count = notes.count + 1
            """, .text(record.text))
    }

    private static func countsAreOne(_ test: TestLog, _ expected: Int) async throws -> Bool {
        try await test.store.read { reader in
            let counts: [Int64] = try reader.rows("SELECT count FROM notes") { try $0.int(0) }
            #expect(counts.allSatisfy { $0 == 1 })
            return counts.count == expected
        }
    }

    @Test func sharesAndMovesPartitionsAsMembersComeAndGo() async throws {
        let pair: Pair = try await Pair()
        let first: Consumer = try pair.logs[0].consume(group: "g", topics: ["api-created"], handler: Self.counting)
        try await eventually("one has all") {
            try await pair.holders() == Array(repeating: first.member.name, count: 6)
        }
        for number: Int in 0..<100 { try await pair.test.publish("api-created", key: "k\(number)", "a\(number)") }
        let second: Consumer = try pair.logs[1].consume(group: "g", topics: ["api-created"], handler: Self.counting)
        for number: Int in 0..<100 { try await pair.test.publish("api-created", key: "k\(number)", "b\(number)") }
        try await eventually("they share") {
            let holders: [String?] = try await pair.holders()
            return holders.count { $0 == first.member.name } == 3 && holders.count { $0 == second.member.name } == 3
        }
        for number: Int in 0..<100 { try await pair.test.publish("api-created", key: "k\(number)", "c\(number)") }
        try await eventually("all are handled") { try await Self.countsAreOne(pair.test, 300) }
        await first.stop()
        try await eventually("the other has all") {
            try await pair.holders() == Array(repeating: second.member.name, count: 6)
        }
        for number: Int in 0..<50 { try await pair.test.publish("api-created", key: "k\(number)", "d\(number)") }
        try await eventually("these too") { try await Self.countsAreOne(pair.test, 350) }
        await second.stop()
        #expect(try await pair.holders() == Array(repeating: nil, count: 6))
        await pair.close()
    }

    @Test func takesOverFromADeadMemberAndNoticesASeek() async throws {
        let pair: Pair = try await Pair()
        // A member that is gone without a word: its place runs out in the past.
        try await pair.test.store.write { tx in
            try MemberTable.beat(MemberRow(group: "g", name: "dead", topics: ["single"], until: 1), in: tx)
            _ = try ConsumerTables.claim(
                GroupPartition(group: "g", topic: "single", partition: 0), member: "dead", start: 0, in: tx)
        }
        let seen: Seen = Seen()
        let consumer: Consumer = try pair.logs[1].consume(
            group: "g", topics: ["single"],
            handler: .external { record in
                seen.add(record.text)
                return .done
            })
        try await pair.test.publish("single", key: "k", all: ["a", "b"])
        try await eventually("it took over") { seen.all == ["a", "b"] }
        try await eventually("it is stored") { try await pair.test.log.groups().first?.next == 2 }
        // From another process, so nobody tells the consumer.
        try await pair.logs[0].seek(group: "g", topic: "single", to: .position(LogPosition(offsets: [1])))
        try await eventually("it goes back") { seen.all == ["a", "b", "b"] }
        await consumer.stop()
        await pair.close()
    }

    // MARK: - Leases

    @Test func decidesWhenALeaseIsOver() {
        let row: LeaseRow = LeaseRow(holder: "a", epoch: 4, until: 2000)
        #expect(LeaseRules.acquire(nil, holder: "b", now: 0, term: 500) == LeaseRow(holder: "b", epoch: 1, until: 500))
        #expect(LeaseRules.acquire(row, holder: "b", now: 1999, term: 500) == nil)
        let later: LeaseRow = LeaseRow(holder: "b", epoch: 5, until: 2500)
        #expect(LeaseRules.acquire(row, holder: "b", now: 2000, term: 500) == later)
        // The clock was set back by a day: no honest holder can have written that.
        #expect(LeaseRules.acquire(row, holder: "b", now: -86_400_000, term: 500)?.epoch == 5)
        #expect(LeaseRules.renew(row, epoch: 4, now: 1800, term: 500)?.until == 2300)
        #expect(LeaseRules.renew(row, epoch: 3, now: 1800, term: 500) == nil)
        #expect(LeaseRules.renew(LeaseRow(holder: nil, epoch: 4, until: 2000), epoch: 4, now: 0, term: 500) == nil)
    }

    @Test func takesSilenceForDeathOnlyWhereItCouldHaveBeenBroken() {
        let millisecond: UInt64 = 1_000_000
        var watch: Watch = Watch(every: .milliseconds(100))
        func look(_ time: UInt64, isRenewed: Bool = false) -> Bool {
            watch.look(at: time * millisecond, isRenewed: isRenewed)
        }
        #expect(look(1000), "who looks for the first time knows of no excuse")
        #expect(!look(1100, isRenewed: true))
        #expect(!look(1200))
        #expect(look(1300), "two signs were due")
        // All stood still for two seconds.
        #expect(!look(3300))
        #expect(!look(3400))
        #expect(look(3500))
        // Who is late every time finds the dead at the second look.
        #expect(!look(4500))
        #expect(look(5500))
        #expect(look(6500))
    }

    @Test func holdsALeaseOnceAndHandsItOn() async throws {
        let pair: Pair = try await Pair()
        let events: Seen = Seen()
        let running: Atomic<Int> = Atomic(0)
        let work: @Sendable (LeaseTerm) async -> Void = { term in
            let others: Int = running.add(1, ordering: .sequentiallyConsistent).oldValue
            events.add("\(term.epoch) \(others)")
            let signal: WakeSignal = WakeSignal()
            while !Task.isCancelled { await signal.wait() }
            running.subtract(1, ordering: .sequentiallyConsistent)
        }
        let term: Duration = .milliseconds(400)
        let first: Task<Void, Never> = Task { await pair.logs[0].whileHolding("job", term: term, work) }
        try await eventually("the first has it") { events.count == 1 }
        let second: Task<Void, Never> = Task { await pair.logs[1].whileHolding("job", term: term, work) }
        first.cancel()
        await first.value
        try await eventually("the second has it") { events.count == 2 }
        #expect(events.all == ["1 0", "2 0"])
        // Taken away, as from a process that was stopped for too long: it ends the work, and asks anew.
        try await pair.test.store.write { tx in
            try tx.execute("UPDATE log_leases SET epoch = 7, holder = NULL WHERE name = 'job'")
        }
        await #expect(throws: FencedError.self) {
            try await pair.test.store.write { tx in try LeaseTerm(name: "job", epoch: 2).fence(tx) }
        }
        try await eventually("it has it again") { events.count == 3 }
        #expect(events.all[2] == "8 0")
        try await pair.test.store.write { tx in try LeaseTerm(name: "job", epoch: 8).fence(tx) }
        second.cancel()
        await second.value
        let row: LeaseRow? = try await pair.test.store.read { try LeaseTable.row("job", in: $0) }
        #expect(row?.holder == nil && row?.epoch == 8)
        await pair.close()
    }
}
