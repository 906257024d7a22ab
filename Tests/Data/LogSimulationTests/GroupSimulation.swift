import Time

@testable import EventLog

/// One group on one topic: many members, each with a runner for every partition it holds, over made-up tables and time.
///
/// Members join, leave, die, and stand still for longer than their time-out; handlers fail, are slow, meet poison and outages;
/// clocks are set forward and back; commits fail, or succeed without the member hearing of it. Then the trouble ends, and what
/// was promised must hold.
final class GroupSimulation {
    static let heartbeat: Int64 = 250
    static let timeout: Int64 = 1000
    /// Trouble happens for so long.
    static let troubleTime: Int64 = 20_000
    /// After the trouble everything must be done within so much time.
    static let calmTime: Int64 = 60_000
    /// A member's death must be mended within so much.
    static let takeoverTime: Int64 = 5_000
    static let base: Int64 = 1_700_000_000_000

    let schedule: Schedule = Schedule()
    var random: SeededRandom
    var world: GroupWorld = GroupWorld()
    var history: History = History()
    let isTransactional: Bool
    let partitions: [TopicPartition]
    var options: ConsumerOptions = ConsumerOptions()
    private(set) var members: [SimulatedMember] = []
    private var memberNumber: Int = 0
    private let size: Int
    var isCalm: Bool = false
    private(set) var violation: Violation?

    /// Steps of the clock that everybody's leases are measured by.
    var databaseSkew: Int64 = 0
    /// How each record fares.
    var fates: [RecordID: Fate] = [:]
    var outageUntil: Int64 = 0
    /// Committed effects of transactional handlers, by record; first successful deliveries of external ones.
    var effects: [RecordID: Int] = [:]
    /// The offset of the last effect of each key.
    var lastOfKey: [String: Int64] = [:]
    /// The epoch under which a partition was changed last.
    private var epochs: [TopicPartition: Int64] = [:]

    struct RecordID: Hashable {
        let at: TopicPartition
        let offset: Int64
    }

    struct Fate {
        /// Tries that fail before one succeeds.
        var failures: Int
        var isPoison: Bool
        var isHopeless: Bool
    }

    init(seed: UInt64, size: Int) {
        self.random = SeededRandom(seed: seed, stream: 1)
        self.size = size
        self.isTransactional = self.random.oneIn(2)
        self.partitions = (0..<(1 + self.random.below(6))).map { TopicPartition(topic: "t", partition: $0) }
        self.options.triesMax = 4
        self.options.backoff = .milliseconds(50)
        self.options.backoffMax = .milliseconds(800)
        self.options.unavailableBackoffMax = .milliseconds(1500)
        self.options.pauseMax = .seconds(5)
        self.options.retriesMax = self.random.oneIn(3) ? 6 : 1000
        self.options.chunkRecordsMax = 1 + self.random.below(16)
        for at: TopicPartition in self.partitions { self.world.log[at] = [] }
    }

    var databaseNow: Int64 { self.schedule.now + self.databaseSkew }

    func fail(_ what: String) {
        if self.violation != nil { return }
        self.violation = Violation(what: what, history: self.history.text)
    }

    func note(_ line: @autoclosure () -> String) { self.history.add(self.schedule.now, line()) }

    // MARK: - The run

    func run() -> Violation? {
        for _ in 0..<(1 + self.random.below(4)) { self.join() }
        for number: Int in 0..<self.size {
            self.schedule.at(self.random.below(Self.troubleTime)) { self.publish(number) }
            if number.isMultiple(of: 3) {
                self.schedule.at(self.random.below(Self.troubleTime)) { self.makeTrouble() }
            }
        }
        while self.violation == nil, self.schedule.step(until: Self.troubleTime) {}
        self.calm()
        while self.violation == nil, self.schedule.step(until: Self.troubleTime + Self.takeoverTime) {}
        self.checkOwners()
        while self.violation == nil, self.schedule.step(until: Self.troubleTime + Self.calmTime) {}
        self.checkOutcome()
        return self.violation
    }

    private func publish(_ number: Int) {
        let at: TopicPartition = self.partitions[self.random.below(self.partitions.count)]
        let count: Int = 1 + self.random.below(4)
        for _ in 0..<count {
            let offset: Int64 = Int64(self.world.log[at]?.count ?? 0)
            let key: String? = self.random.oneIn(6) ? nil : "k\(at.partition)-\(self.random.below(4))"
            let record: Record = Record(
                topic: at.topic, partition: at.partition, offset: offset, timestamp: Timestamp(milliseconds: Self.base),
                key: key.map { Array($0.utf8) }, value: [], isTombstone: false, headers: [])
            self.world.log[at]?.append(record)
            self.fates[RecordID(at: at, offset: offset)] = Fate(
                failures: self.random.oneIn(5) ? 1 + self.random.below(3) : 0, isPoison: self.random.oneIn(40),
                isHopeless: self.random.oneIn(40))
        }
        self.note("\(count) records published to \(at.partition)")
        for member: SimulatedMember in self.members { member.wake(at) }
    }

    private func join() {
        self.memberNumber += 1
        let member: SimulatedMember = SimulatedMember(self, name: "m\(self.memberNumber)")
        self.members.append(member)
        self.note("\(member.name) joins")
        member.start()
    }

    private func makeTrouble() {
        guard !self.isCalm else { return }
        let living: [SimulatedMember] = self.members.filter { $0.isAlive && !$0.isStopping }
        let member: SimulatedMember? = living.isEmpty ? nil : living[self.random.below(living.count)]
        switch self.random.below(8) {
        case 0: if living.count < 6 { self.join() }
        case 1: if living.count > 1 { member?.stop() }
        case 2, 3: if living.count > 1 { member?.die() }
        case 4: member?.pause(self.random.within(100...6000))
        case 5: self.stepClocks(member)
        case 6:
            self.outageUntil = self.schedule.now + self.random.within(100...4000)
            self.note("the other side is down until \(self.outageUntil)")
        default: member?.cutOff(self.random.within(50...3000))
        }
    }

    private func stepClocks(_ member: SimulatedMember?) {
        let step: Int64 = self.random.within(-600_000...600_000)
        if self.random.oneIn(2) {
            self.databaseSkew += step
            self.note("the database's clock steps by \(step) ms")
        } else {
            member?.skew += step
            self.note("the clock of \(member?.name ?? "nobody") steps by \(step) ms")
        }
    }

    private func calm() {
        self.note("calm")
        self.isCalm = true
        self.outageUntil = 0
        if !self.members.contains(where: { $0.isAlive && !$0.isStopping }) { self.join() }
        for member: SimulatedMember in self.members { member.mend() }
    }

    // MARK: - What was promised

    /// A change is about to be committed: of one partition the epochs never fall, so that one owner at a time is effective.
    func checkEpoch(_ at: TopicPartition, _ claim: Claim) {
        let last: Int64 = self.epochs[at] ?? 0
        if claim.epoch < last { self.fail("partition \(at.partition): epoch \(claim.epoch) changed it after \(last)") }
        self.epochs[at] = claim.epoch
    }

    /// The record took effect (transactional), or was delivered (external).
    func tookEffect(_ record: Record) {
        let at: TopicPartition = TopicPartition(topic: record.topic, partition: record.partition)
        let id: RecordID = RecordID(at: at, offset: record.offset)
        let before: Int = self.effects[id] ?? 0
        self.effects[id] = before + 1
        if before > 0 {
            if self.isTransactional { self.fail("record \(at.partition)/\(record.offset) took effect twice") }
            return
        }
        guard let key: String = record.keyText else { return }
        if let last: Int64 = self.lastOfKey[key], last > record.offset {
            self.fail("key \(key): record \(record.offset) took effect after \(last)")
        }
        self.lastOfKey[key] = record.offset
    }

    /// Soon after the trouble has ended every partition has a living reader, and the shares are even.
    private func checkOwners() {
        var loads: [String: Int] = [:]
        for member: SimulatedMember in self.members where member.isAlive && !member.isStopping {
            loads[member.name] = 0
        }
        for at: TopicPartition in self.partitions {
            guard let owner: String = self.world.offsets[at]?.member, let load: Int = loads[owner] else {
                return self.fail(
                    "partition \(at.partition) has no living reader \(Self.takeoverTime) ms after the trouble")
            }
            loads[owner] = load + 1
        }
        let (least, most): (Int, Int) = (loads.values.min() ?? 0, loads.values.max() ?? 0)
        if most - least > 1 { self.fail("partitions are shared unevenly: \(loads)") }
    }

    private func checkOutcome() {
        let dead: [RecordID] = self.world.deadLetters.map {
            RecordID(at: TopicPartition(topic: $0.topic, partition: $0.partition), offset: $0.offset)
        }
        if Set(dead).count != dead.count { self.fail("a record became a dead letter twice") }
        for at: TopicPartition in self.partitions {
            let records: [Record] = self.world.log[at] ?? []
            let stored: Int64 = self.world.offsets[at]?.next ?? 0
            if stored != Int64(records.count) {
                self.fail("partition \(at.partition): the offset is \(stored) of \(records.count)")
            }
            if let waiting: Int = self.world.retries[at]?.count, waiting > 0 {
                self.fail("partition \(at.partition): \(waiting) records still wait")
            }
            for record: Record in records {
                let id: RecordID = RecordID(at: at, offset: record.offset)
                let count: Int = self.effects[id] ?? 0
                if dead.contains(id) {
                    if count > 0, self.isTransactional {
                        self.fail("dead letter \(at.partition)/\(record.offset) took effect")
                    }
                } else if self.isTransactional ? count != 1 : count < 1 {
                    self.fail("record \(at.partition)/\(record.offset) took effect \(count) times")
                }
            }
        }
    }
}
