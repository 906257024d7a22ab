import Time

@testable import EventLog

/// A member of the simulated group: what `GroupCoordinator` and `Consumer` do, with made-up time.
final class SimulatedMember {
    let run: GroupSimulation
    let name: String
    /// How far its clock is from the true time, milliseconds.
    var skew: Int64 = 0
    private(set) var isAlive: Bool = true
    private(set) var isStopping: Bool = false
    /// It stands still up to this moment.
    private var pausedUntil: Int64 = 0
    /// It reaches no database up to this moment.
    private var cutOffUntil: Int64 = 0
    private var runners: [TopicPartition: SimulatedRunner] = [:]

    init(_ run: GroupSimulation, name: String) {
        self.run = run
        self.name = name
    }

    var now: Timestamp {
        Timestamp(milliseconds: GroupSimulation.base + self.run.schedule.now + self.skew)
    }

    var isCutOff: Bool { self.run.schedule.now < self.cutOffUntil }

    // MARK: - Fortune

    func start() { self.after(self.run.random.below(50)) { self.tick() } }

    func die() {
        self.run.note("\(self.name) dies")
        self.isAlive = false
        self.runners = [:]
    }

    func stop() {
        self.run.note("\(self.name) stops")
        self.isStopping = true
        for (_, runner): (TopicPartition, SimulatedRunner) in self.runners.sorted(by: { $0.key < $1.key }) {
            runner.wake()
        }
        self.leaveIfDone()
    }

    func pause(_ time: Int64) {
        self.pausedUntil = self.run.schedule.now + time
        self.run.note("\(self.name) stands still until \(self.pausedUntil)")
    }

    func cutOff(_ time: Int64) {
        self.cutOffUntil = self.run.schedule.now + time
        self.run.note("\(self.name) reaches no database until \(self.cutOffUntil)")
    }

    func mend() {
        self.pausedUntil = 0
        self.cutOffUntil = 0
    }

    func wake(_ at: TopicPartition) { self.runners[at]?.wake() }

    /// What this member does later: not before it moves again, and never once it is dead.
    func after(_ delay: Int64, _ body: @escaping () -> Void) {
        self.run.schedule.after(delay) { [self] in
            guard self.isAlive else { return }
            let rest: Int64 = self.pausedUntil - self.run.schedule.now
            // In small steps, since it may move again earlier than was planned.
            if rest > 0 { return self.after(min(rest, 100), body) }
            body()
        }
    }

    // MARK: - The group

    private func tick() {
        if self.isStopping { return }
        if !self.isCutOff {
            let view: GroupView = self.run.world.beat(
                self.name, now: self.run.databaseNow, timeout: GroupSimulation.timeout, topics: ["t"])
            let plan: GroupPlan = GroupRules.plan(for: self.name, view, partitions: self.run.partitions)
            self.after(self.run.random.below(30)) { self.perform(plan) }
        }
        self.after(GroupSimulation.heartbeat) { self.tick() }
    }

    private func perform(_ plan: GroupPlan) {
        if self.isStopping { return }
        for claim: GroupPlan.Claim in plan.releases {
            if let runner: SimulatedRunner = self.runners[claim.at] {
                runner.revoke()
            } else if !self.isCutOff {
                self.run.world.release(claim.at, Claim(epoch: claim.epoch, next: 0))
            }
        }
        let held: Set<TopicPartition> = Set((plan.releases + plan.keeps).map(\.at))
        for (at, runner): (TopicPartition, SimulatedRunner) in self.runners.sorted(by: { $0.key < $1.key })
        where runner.epoch > 0 && !held.contains(at) { runner.reload() }
        for claim: GroupPlan.Claim in plan.claims { self.read(claim) }
        for claim: GroupPlan.Claim in plan.keeps {
            if let runner: SimulatedRunner = self.runners[claim.at], runner.epoch > 0, claim.epoch > runner.epoch {
                runner.reload()
            } else {
                self.read(claim)
            }
        }
    }

    private func read(_ claim: GroupPlan.Claim) {
        guard self.runners[claim.at] == nil else { return }
        let runner: SimulatedRunner = SimulatedRunner(self, at: claim.at, expecting: claim.epoch)
        self.runners[claim.at] = runner
        runner.begin()
    }

    func ended(_ runner: SimulatedRunner) {
        self.runners[runner.at] = nil
        self.leaveIfDone()
    }

    private func leaveIfDone() {
        guard self.isStopping, self.runners.isEmpty else { return }
        self.run.world.leave(self.name)
        self.isAlive = false
        self.run.note("\(self.name) has left")
    }
}

/// The reader of one partition in a simulated member: what `PartitionRunner` does, with made-up time.
final class SimulatedRunner {
    let member: SimulatedMember
    let at: TopicPartition
    private let expectedEpoch: Int64
    private var reader: PartitionReader
    private var isRevoked: Bool = false
    private var mustReload: Bool = false
    private var isWaiting: Bool = false
    /// Counts its waits, so that the timer of an earlier one is ignored.
    private var waitNumber: Int = 0

    init(_ member: SimulatedMember, at: TopicPartition, expecting epoch: Int64) {
        self.member = member
        self.at = at
        self.expectedEpoch = epoch
        self.reader = PartitionReader(member.run.options)
    }

    var epoch: Int64 { self.reader.claim?.epoch ?? 0 }
    private var run: GroupSimulation { self.member.run }

    func begin() { self.next(2) }

    func revoke() {
        self.isRevoked = true
        self.wake()
    }

    func reload() {
        self.mustReload = true
        self.wake()
    }

    func wake() {
        guard self.isWaiting else { return }
        self.isWaiting = false
        self.next(0)
    }

    // MARK: - The loop

    private func next(_ delay: Int64) { self.member.after(delay) { self.loop() } }

    private func loop() {
        if self.isRevoked || self.member.isStopping { return self.release() }
        if self.reader.claim == nil || self.mustReload { return self.take() }
        let end: Int64 = Int64(self.run.world.log[self.at]?.count ?? 0)
        switch self.reader.step(now: self.member.now, end: end) {
        case .storePosition: self.store(self.reader.storingPosition(now: self.member.now))
        case .retry(let entry): self.retry(entry)
        case .read: if self.run.isTransactional { self.readChunk() } else { self.deliver(64) }
        case .wait(let due): self.wait(until: due)
        }
    }

    private func wait(until due: Timestamp?) {
        self.isWaiting = true
        self.waitNumber += 1
        guard let due: Timestamp else { return }
        let number: Int = self.waitNumber
        // A timer runs on the monotonic clock, so a step of the other one does not move it.
        let delay: Int64 = min(
            (due - self.member.now).millisecondsClamped, self.run.options.pauseMax.millisecondsClamped)
        self.member.after(max(1, delay)) { if self.waitNumber == number { self.wake() } }
    }

    private func take() {
        guard !self.member.isCutOff else { return self.next(100) }
        self.mustReload = false
        let taken: Claim?
        if self.reader.claim == nil {
            taken = self.run.world.claim(self.at, member: self.member.name, expecting: self.expectedEpoch)
        } else {
            taken = self.run.world.claim(self.at, heldBy: self.member.name)
        }
        guard let taken: Claim else {
            self.reader.lose()
            return self.member.ended(self)
        }
        self.run.note("\(self.member.name) holds \(self.at.partition) from \(taken.next) on, epoch \(taken.epoch)")
        // The rows are read after the claim, in a transaction of their own.
        self.member.after(self.run.random.below(3)) {
            self.reader.begin(taken, waiting: self.run.world.waiting(self.at))
            self.next(0)
        }
    }

    private func release() {
        if let claim: Claim = self.reader.claim, !self.member.isCutOff {
            self.run.world.release(self.at, claim)
            self.run.note("\(self.member.name) gives \(self.at.partition) back")
        }
        self.reader.lose()
        self.member.ended(self)
    }

    // MARK: - Transactions

    private enum Outcome { case done, fenced, trouble }

    /// One transaction. Now and then it fails, or commits without anybody hearing of it.
    private func commit(_ change: PartitionChange, effects: [Record] = []) -> Outcome {
        if self.member.isCutOff { return .trouble }
        let isLost: Bool = !self.run.isCalm && self.run.random.oneIn(40)
        if isLost, self.run.random.oneIn(2) { return .trouble }
        guard self.run.world.apply(change, self.at) else {
            self.run.note("\(self.member.name) is fenced at \(self.at.partition), epoch \(change.claim.epoch)")
            return .fenced
        }
        self.run.checkEpoch(self.at, change.claim)
        self.run.note(
            "\(self.member.name) commits \(self.at.partition): \(change.claim.next) to \(change.next ?? change.claim.next), "
                + "\(effects.map(\.offset)) \(change.steps.count) steps\(isLost ? ", unheard" : "")")
        for record: Record in effects { self.run.tookEffect(record) }
        return isLost ? .trouble : .done
    }

    private func store(_ change: PartitionChange?, effects: [Record] = []) {
        guard let change: PartitionChange else { return self.next(0) }
        switch self.commit(change, effects: effects) {
        case .done:
            self.reader.applied(change)
            self.next(0)
        case .fenced:
            self.mustReload = true
            self.next(0)
        case .trouble: self.next(100)
        }
    }

    // MARK: - Handling

    /// What the handler makes of a record now; nil when it works.
    private func trouble(with record: Record) -> Delivery? {
        let id: GroupSimulation.RecordID = GroupSimulation.RecordID(at: self.at, offset: record.offset)
        if self.run.schedule.now < self.run.outageUntil { return .unavailable(reason: "down") }
        guard var fate: GroupSimulation.Fate = self.run.fates[id] else { return nil }
        if fate.isPoison { return .poison(reason: "poison") }
        if fate.isHopeless { return .retry(after: nil, reason: "hopeless") }
        guard fate.failures > 0 else { return nil }
        fate.failures -= 1
        self.run.fates[id] = fate
        return .retry(after: nil, reason: "not yet")
    }

    /// Now and then a handler takes longer than the group's time-out.
    private var handlingTime: Int64 {
        if !self.run.isCalm, self.run.random.oneIn(50) { return self.run.random.within(500...4000) }
        return self.run.random.below(4)
    }

    private func records(_ limit: Int) -> ArraySlice<Record> {
        let all: [Record] = self.run.world.log[self.at] ?? []
        return all[Int(self.reader.position)...].prefix(limit)
    }

    private func readChunk() {
        let chunk: ArraySlice<Record> = self.records(self.reader.chunkRecords)
        self.member.after(self.handlingTime) {
            for (index, record): (Int, Record) in chunk.enumerated() where !self.reader.mustWait(record) {
                guard let delivery: Delivery = self.trouble(with: record) else { continue }
                if index > 0 {
                    self.reader.chunkFailed(at: index)
                    return self.next(0)
                }
                return self.store(self.reader.settingAside(record, delivery, now: self.member.now))
            }
            let effects: [Record] = chunk.filter { !self.reader.mustWait($0) }
            self.store(self.reader.passing(chunk, now: self.member.now), effects: effects)
        }
    }

    /// Delivers one after the other; stores the offset at the end or when something goes wrong.
    private func deliver(_ left: Int) {
        guard left > 0, self.reader.hasRoom, !self.isRevoked, !self.member.isStopping,
            let record: Record = self.records(1).first
        else { return self.store(self.reader.storingPosition(now: self.member.now)) }
        if self.reader.mustWait(record) { return self.store(self.reader.passing([record], now: self.member.now)) }
        self.member.after(self.handlingTime) {
            if let delivery: Delivery = self.trouble(with: record) {
                return self.store(self.reader.settingAside(record, delivery, now: self.member.now))
            }
            self.run.tookEffect(record)
            self.reader.delivered(record)
            self.deliver(left - 1)
        }
    }

    private func retry(_ entry: RetryEntry) {
        guard let waiting: GroupWorld.Waiting = self.run.world.retries[self.at]?[entry.offset] else {
            self.mustReload = true
            return self.next(0)
        }
        let record: Record = waiting.record
        self.member.after(self.handlingTime) {
            let delivery: Delivery = self.trouble(with: record) ?? .done
            let isTransactional: Bool = self.run.isTransactional
            if delivery == .done, !isTransactional { self.run.tookEffect(record) }
            self.store(
                self.reader.settling(entry, record, delivery, now: self.member.now),
                effects: delivery == .done && isTransactional ? [record] : [])
        }
    }
}
