import Identifiers
import Synchronization
import Time

/// A running member of a consumer group: one task for each partition it reads. Made by `EventLog.consume`.
package final class Consumer: Sendable {
    package let group: String
    package let topics: [String]
    private let log: EventLog
    let member: ConsumerMember
    private let tasks: Mutex<[Task<Void, Never>]> = Mutex([])

    init(log: EventLog, group: String, topics: [String], member: ConsumerMember) {
        self.log = log
        self.group = group
        self.topics = topics
        self.member = member
    }

    /// Starts a task for every partition.
    func start() {
        self.tasks.withLock { tasks in
            for control: PartitionControl in self.member.partitions {
                let member: ConsumerMember = self.member
                let log: EventLog = self.log
                tasks.append(Task { await PartitionRunner(log: log, member: member, control: control).run() })
            }
        }
    }

    /// Stops: records being handled are finished and their offsets stored, no further ones are begun.
    ///
    /// After `limit` the tasks of external handlers are cancelled; what such a handler was at is delivered again to the next
    /// member. Returns when every handler has returned. Later calls wait for the same end.
    package func stop(within limit: Duration = .seconds(10)) async {
        self.member.isStopping.store(true, ordering: .sequentiallyConsistent)
        for control: PartitionControl in self.member.partitions { control.signal.wake() }
        let tasks: [Task<Void, Never>] = self.tasks.withLock { $0 }
        let clock: any WallClock = self.log.clock
        let deadline: Task<Void, Never> = Task {
            do { try await clock.sleep(for: limit) } catch { return }
            for task: Task<Void, Never> in tasks { task.cancel() }
        }
        for task: Task<Void, Never> in tasks { await task.value }
        deadline.cancel()
        self.log.forget(self)
    }

    /// Makes every partition look at the database again before it goes on: offset and retries were changed from outside.
    func reload() {
        for control: PartitionControl in self.member.partitions {
            control.mustReload.store(true, ordering: .sequentiallyConsistent)
            control.signal.wake()
        }
    }
}

/// What the tasks of one member share.
final class ConsumerMember: Sendable {
    let group: String
    /// Names this member in log_offsets, and no other one ever.
    let name: String
    let handler: ConsumerHandler
    let options: ConsumerOptions
    let rules: RetryRules
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
        self.rules = RetryRules(options)
        self.partitions = partitions
    }
}

/// How the outside reaches the task of one partition.
final class PartitionControl: Sendable {
    let at: GroupPartition
    let slot: PartitionSlot
    let signal: WakeSignal = WakeSignal()
    let mustReload: Atomic<Bool> = Atomic(false)
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
