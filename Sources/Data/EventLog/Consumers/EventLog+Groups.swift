package import Store
import Synchronization
package import Telemetry
import Time

/// How far a group has come in one partition.
package struct GroupLag: Sendable, Equatable {
    package let group: String
    package let topic: String
    package let partition: Int
    /// The stored offset: the next record to be handled.
    package let next: Int64
    /// The offset of the next record to be published.
    package let end: Int64
    /// Records that wait for another try, or behind one of their key.
    package let waiting: Int
    /// Whether a member reads the partition now.
    package let isRead: Bool

    /// Records not handled yet, those that wait apart.
    package var lag: Int64 { max(0, self.end - self.next) }
}

extension EventLog {
    /// Every group and partition that has an offset, running or not, in order of group, topic, partition.
    package func groups() async throws -> [GroupLag] {
        let rows: [GroupRow] = try await self.store.read { reader in try ConsumerTables.groups(in: reader) }
        var groups: [GroupLag] = []
        for row: GroupRow in rows {
            guard let slot: PartitionSlot = self.topics.knownSlot(row.topic, row.partition) else { continue }
            groups.append(
                GroupLag(
                    group: row.group, topic: row.topic, partition: Int(row.partition), next: row.next,
                    end: self.heads.next(slot), waiting: Int(row.waiting), isRead: row.isRead))
        }
        return groups
    }

    /// Makes a group read `topic` again from `start`, or skip to it, whether it runs or not. What waits for another try stays.
    ///
    /// Throws `LogError.unknownGroup` when the group has never read the topic.
    ///
    /// - Parameter also: what is to happen in the same transaction, such as an audit entry.
    package func seek(
        group: String, topic: String, to start: LogStart,
        also: @escaping @Sendable (Transaction) throws -> Void = { _ in }
    ) async throws {
        let position: LogPosition = try await self.position(of: topic, at: start)
        try await self.store.write { transaction in
            for (partition, offset): (Int, Int64) in position.offsets.enumerated() {
                let at: GroupPartition = GroupPartition(group: group, topic: topic, partition: partition)
                guard try ConsumerTables.seek(at, to: offset, in: transaction) else {
                    throw LogError.unknownGroup(group)
                }
            }
            try also(transaction)
        }
        self.running(group)?.reload()
    }

    /// Makes a group read one partition from `offset` on, whether it runs or not. What waits for another try stays.
    ///
    /// Throws `LogError.offsetOutOfRange` for an offset that is not there.
    package func seek(
        group: String, topic: String, partition: Int, to offset: Int64,
        also: @escaping @Sendable (Transaction) throws -> Void = { _ in }
    ) async throws {
        let available: Range<Int64> = try await self.range(try self.topics.slot(topic, partition), knowing: offset)
        guard offset == available.upperBound || available.contains(offset) else {
            throw LogError.offsetOutOfRange(
                topic: topic, partition: partition, offset: offset, earliest: available.lowerBound,
                next: available.upperBound)
        }
        let at: GroupPartition = GroupPartition(group: group, topic: topic, partition: partition)
        try await self.store.write { transaction in
            guard try ConsumerTables.seek(at, to: offset, in: transaction) else { throw LogError.unknownGroup(group) }
            try also(transaction)
        }
        self.running(group)?.reload()
    }

    /// Forgets a group that runs in no process: its offsets and what waits for another try.
    ///
    /// - Parameter also: what is to happen in the same transaction, such as an audit entry.
    package func deleteGroup(
        _ group: String, also: @escaping @Sendable (Transaction) throws -> Void = { _ in }
    ) async throws {
        if self.running(group) != nil { throw LogError.groupRunning(group) }
        let isKnown: Bool = try await self.store.write { transaction in
            if try ConsumerTables.isRunning(group, in: transaction) { throw LogError.groupRunning(group) }
            guard try ConsumerTables.delete(group, in: transaction) else { return false }
            try also(transaction)
            return true
        }
        if !isKnown { throw LogError.unknownGroup(group) }
    }

    /// Shows lag, waiting records and dead letters of the groups that run here, and the size of the log.
    package func register(in metrics: MetricRegistry) {
        metrics.samples(
            "passerelle_log_consumer_lag", kind: .gauge, help: "Records a consumer group has not handled yet."
        ) { [weak self] in
            self?.samples { control, log in
                let stored: Int64 = control.stored.load(ordering: .relaxed)
                return stored < 0 ? 0 : Double(max(0, log.heads.next(control.slot) - stored))
            } ?? []
        }
        metrics.samples(
            "passerelle_log_consumer_waiting", kind: .gauge,
            help: "Records of a consumer group that wait for another try."
        ) { [weak self] in
            self?.samples { control, _ in Double(control.waiting.load(ordering: .relaxed)) } ?? []
        }
        metrics.samples(
            "passerelle_log_dead_letters_total", kind: .counter,
            help: "Records a consumer group gave up since it was started."
        ) { [weak self] in
            self?.samples { control, _ in Double(control.deadLetters.load(ordering: .relaxed)) } ?? []
        }
        metrics.samples(
            "passerelle_log_records_total", kind: .counter, help: "Records ever published to a topic."
        ) { [weak self] in self?.topicSamples() ?? [] }
        self.registerSharing(in: metrics)
    }

    private func samples(_ value: (PartitionControl, EventLog) -> Double) -> [MetricSample] {
        var samples: [MetricSample] = []
        for consumer: Consumer in self.runningConsumers {
            for control: PartitionControl in consumer.member.partitions {
                let labels: MetricLabels = [
                    "group": control.at.group, "topic": control.at.topic, "partition": String(control.at.partition),
                ]
                samples.append(MetricSample(labels: labels, value: value(control, self)))
            }
        }
        return samples
    }

    private func topicSamples() -> [MetricSample] {
        var samples: [MetricSample] = []
        for topic: TopicDefinition in self.topicDefinitions {
            guard let slots: Range<Int> = try? self.topics.slots(of: topic.name) else { continue }
            var count: Int64 = 0
            for slot: Int in slots { count += self.heads.next(PartitionSlot(index: slot)) }
            if count > 0 { samples.append(MetricSample(labels: ["topic": topic.name], value: Double(count))) }
        }
        return samples
    }
}
