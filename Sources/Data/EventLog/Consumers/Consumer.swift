import Identifiers
import Store
import Synchronization
import Time

/// A running member of a consumer group: one task for each partition it reads. Made by `EventLog.consume`.
///
/// Where one process owns the database it reads every partition. Where several share it, `GroupCoordinator` says which.
package final class Consumer: Sendable {
    package let group: String
    package let topics: [String]
    private let log: EventLog
    let member: ConsumerMember
    /// The task of each partition that was ever read, by its place in `member.partitions`.
    private let tasks: Mutex<[Int: Task<Void, Never>]> = Mutex([:])

    init(log: EventLog, group: String, topics: [String], member: ConsumerMember) {
        self.log = log
        self.group = group
        self.topics = topics
        self.member = member
    }

    /// Every partition of the topics, whoever reads it.
    var allPartitions: [TopicPartition] {
        self.member.partitions.map { TopicPartition(topic: $0.at.topic, partition: $0.at.partition) }
    }

    /// Starts a task for every partition, or has them shared out.
    func start() {
        if self.log.isShared { return self.log.groupsChanged() }
        for index: Int in self.member.partitions.indices { self.read(index, expecting: nil) }
    }

    /// Starts the task of a partition unless one runs, or the member stops.
    private func read(_ index: Int, expecting epoch: Int64?) {
        let control: PartitionControl = self.member.partitions[index]
        let (member, log): (ConsumerMember, EventLog) = (self.member, self.log)
        self.tasks.withLock { tasks in
            if member.isStopping.load(ordering: .sequentiallyConsistent) { return }
            if control.isRead.exchange(true, ordering: .sequentiallyConsistent) { return }
            control.isRevoked.store(false, ordering: .sequentiallyConsistent)
            tasks[index] = Task {
                await PartitionRunner(log: log, member: member, control: control, expecting: epoch).run()
                control.isRead.store(false, ordering: .sequentiallyConsistent)
                // Others may be waiting for what was given back.
                if log.isShared { log.groupsChanged() }
            }
        }
    }

    /// Takes, keeps and gives back partitions as planned. Returns at once: what is at work in a partition ends first.
    func perform(_ plan: GroupPlan) {
        for claim: GroupPlan.Claim in plan.releases {
            guard let control: PartitionControl = self.member.control(of: claim.at) else { continue }
            control.isRevoked.store(true, ordering: .sequentiallyConsistent)
            control.signal.wake()
            if !control.isRead.load(ordering: .sequentiallyConsistent) { self.release(control, epoch: claim.epoch) }
        }
        self.endForgotten(plan)
        for claim: GroupPlan.Claim in plan.claims {
            if let index: Int = self.member.index(of: claim.at) { self.read(index, expecting: claim.epoch) }
        }
        for claim: GroupPlan.Claim in plan.keeps {
            guard let index: Int = self.member.index(of: claim.at) else { continue }
            let control: PartitionControl = self.member.partitions[index]
            let known: Int64 = control.epoch.load(ordering: .relaxed)
            if known > 0, claim.epoch > known {
                control.reload()
            } else {
                // Its task ended on trouble: the row still names this member.
                self.read(index, expecting: claim.epoch)
            }
        }
    }

    /// Gives back what nobody reads: a reader could not, because the database was away when it ended.
    private func release(_ control: PartitionControl, epoch: Int64) {
        let log: EventLog = self.log
        Task {
            // If it fails, the next look at the group finds it again.
            try? await log.store.write(isolation: .readCommitted) { transaction in
                try ConsumerTables.release(control.at, Claim(epoch: epoch, next: 0), in: transaction)
            }
            log.groupsChanged()
        }
    }

    /// Wakes readers that lost their partition while they had nothing to do: they would not find out before the next record,
    /// and until then their place could not be taken by a new one.
    private func endForgotten(_ plan: GroupPlan) {
        var held: Set<TopicPartition> = Set(plan.releases.map(\.at))
        for claim: GroupPlan.Claim in plan.keeps { held.insert(claim.at) }
        for control: PartitionControl in self.member.partitions where control.epoch.load(ordering: .relaxed) > 0 {
            let at: TopicPartition = TopicPartition(topic: control.at.topic, partition: control.at.partition)
            if !held.contains(at) { control.reload() }
        }
    }

    /// Stops: records being handled are finished and their offsets stored, no further ones are begun.
    ///
    /// After `limit` the tasks of external handlers are cancelled; what such a handler was at is delivered again to the next
    /// member. Returns when every handler has returned. Later calls wait for the same end.
    package func stop(within limit: Duration = .seconds(10)) async {
        self.member.isStopping.store(true, ordering: .sequentiallyConsistent)
        for control: PartitionControl in self.member.partitions { control.signal.wake() }
        let tasks: [Task<Void, Never>] = self.tasks.withLock { Array($0.values) }
        let clock: any WallClock = self.log.clock
        let deadline: Task<Void, Never> = Task {
            do { try await clock.sleep(for: limit) } catch { return }
            for task: Task<Void, Never> in tasks { task.cancel() }
        }
        for task: Task<Void, Never> in tasks { await task.value }
        deadline.cancel()
        if self.log.isShared { await self.leave() }
        self.log.forget(self)
    }

    /// Leaves the group, so that others need not wait for the time-out.
    private func leave() async {
        let (group, name): (String, String) = (self.group, self.member.name)
        // Without it the place in the group runs out by itself.
        try? await self.log.store.write(isolation: .readCommitted) { transaction in
            try MemberTable.leave(group, name, in: transaction)
        }
        self.log.groupsChanged()
    }

    /// Makes every partition look at the database again before it goes on: offset and retries were changed from outside.
    func reload() {
        for control: PartitionControl in self.member.partitions { control.reload() }
    }
}

/// What the tasks of one member share.
final class ConsumerMember: Sendable {
    let group: String
    /// Names this member in log_offsets, and no other one ever.
    let name: String
    let handler: ConsumerHandler
    let options: ConsumerOptions
    let partitions: [PartitionControl]
    let isStopping: Atomic<Bool> = Atomic(false)

    init(
        group: String, handler: ConsumerHandler, options: ConsumerOptions, partitions: [PartitionControl],
        now: Timestamp
    ) {
        self.group = group
        self.name = Identifier.make("mbr", now: now)
        self.handler = handler
        self.options = options
        self.partitions = partitions
    }

    /// The place of a partition in `partitions`.
    func index(of at: TopicPartition) -> Int? {
        self.partitions.firstIndex { $0.at.topic == at.topic && $0.at.partition == at.partition }
    }

    func control(of at: TopicPartition) -> PartitionControl? { self.index(of: at).map { self.partitions[$0] } }
}

/// How the outside reaches the task of one partition.
final class PartitionControl: Sendable {
    let at: GroupPartition
    let slot: PartitionSlot
    let signal: WakeSignal = WakeSignal()
    let mustReload: Atomic<Bool> = Atomic(false)
    /// A task reads the partition, or is about to.
    let isRead: Atomic<Bool> = Atomic(false)
    /// Another member is to have the partition: give it back.
    let isRevoked: Atomic<Bool> = Atomic(false)
    /// The epoch of the claim; 0 while there is none.
    let epoch: Atomic<Int64> = Atomic(0)
    /// The stored offset; -1 before the partition was claimed. For metrics.
    let stored: Atomic<Int64> = Atomic(-1)
    /// Records in the retry table. For metrics.
    let waiting: Atomic<Int> = Atomic(0)
    /// Dead letters made by this member. For metrics.
    let deadLetters: Atomic<Int> = Atomic(0)

    init(at: GroupPartition, slot: PartitionSlot) {
        self.at = at
        self.slot = slot
    }

    /// Offset or retries were changed from outside: look again.
    func reload() {
        self.mustReload.store(true, ordering: .sequentiallyConsistent)
        self.signal.wake()
    }
}

extension EventLog {
    /// Starts a member of `group` that handles every record of `topics`, each partition in order and at its own pace.
    ///
    /// A group goes on where it was; a new one begins at `options.start`. A partition that is slow, failing or stopped
    /// holds up nothing but itself. Throws `LogError.groupRunning` when the group runs in this process already, and
    /// `LogError.unknownTopic`.
    package func consume(
        group: String, topics: [String], handler: ConsumerHandler, options: ConsumerOptions = ConsumerOptions()
    ) throws(LogError) -> Consumer {
        var partitions: [PartitionControl] = []
        var seen: Set<String> = []
        for topic: String in topics where seen.insert(topic).inserted {
            if topic.hasSuffix(TopicDefinition.deadLetterSuffix) {
                throw .invalidTopic(name: topic, problem: "dead letters are listed, redriven or dropped, not consumed")
            }
            for (partition, slot): (Int, Int) in try self.topics.slots(of: topic).enumerated() {
                partitions.append(
                    PartitionControl(
                        at: GroupPartition(group: group, topic: topic, partition: partition),
                        slot: PartitionSlot(index: slot)))
            }
        }
        let member: ConsumerMember = ConsumerMember(
            group: group, handler: handler, options: options, partitions: partitions, now: self.clock.now())
        let consumer: Consumer = Consumer(log: self, group: group, topics: topics, member: member)
        guard self.remember(consumer) else { throw .groupRunning(group) }
        consumer.start()
        return consumer
    }
}
