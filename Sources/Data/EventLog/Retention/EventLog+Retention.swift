import JSON
package import Store
import Telemetry
import Time

/// What a run of retention removed.
package struct RetentionReport: Sendable, Equatable {
    package internal(set) var batches: Int = 0
    package internal(set) var bytes: Int64 = 0
    /// False when the run ended because it had done enough for once.
    package internal(set) var isComplete: Bool = true
}

/// Asked in the transaction that removes a topic's oldest records, with their offsets, whether they may go now; writes what has to be
/// written about it.
package typealias RemovalWitness = @Sendable (Range<Int64>, Transaction) throws -> Bool

extension EventLog {
    /// Batches one transaction of retention removes: it shares the writer with everybody else.
    private static let retentionStep: Int = 64
    /// Batches one run removes unless told otherwise.
    package static let retentionRunDefault: Int = 100_000
    package static let retentionIntervalDefault: Duration = .seconds(3600)

    /// Removes the oldest batches of every partition that are older than the topic's retention or beyond its size, in small
    /// transactions, `limit` batches at most. Whole batches only, from the front only, so offsets never have holes.
    @discardableResult
    package func removeExpired(limit: Int = EventLog.retentionRunDefault, under term: LeaseTerm? = nil) async throws
        -> RetentionReport
    {
        var report: RetentionReport = RetentionReport()
        for index: Int in 0..<self.topics.slotCount {
            let slot: PartitionSlot = PartitionSlot(index: index)
            if self.heads.range(slot).isEmpty { continue }
            while let cut: RetentionRules.Cut = try await self.removeStep(slot, term) {
                report.batches += cut.batches
                report.bytes += cut.bytes
                if report.batches >= limit {
                    report.isComplete = false
                    return report
                }
            }
        }
        return report
    }

    /// The lease under which one process at a time removes what is too old.
    private static let retentionLease: String = "log-retention"

    /// Runs retention now and then, until the task is cancelled or the store is closed; of several processes one does. Trouble
    /// is logged and tried again at the next turn.
    package func keepRetention(every interval: Duration = EventLog.retentionIntervalDefault) async {
        await self.whileHolding(Self.retentionLease) { term in await self.removeExpired(every: interval, term) }
    }

    private func removeExpired(every interval: Duration, _ term: LeaseTerm) async {
        while !Task.isCancelled {
            do {
                let report: RetentionReport = try await self.removeExpired(under: term)
                if report.batches > 0 {
                    self.logger.info(
                        "retention removed old events",
                        ["batches": .int(Int64(report.batches)), "bytes": .int(report.bytes)])
                }
            } catch is FencedError {
                return
            } catch StoreError.closed {
                return
            } catch {
                self.logger.warning("retention failed", ["error": .string("\(error)")])
            }
            do { try await self.clock.sleep(for: interval) } catch { return }
        }
    }

    /// One transaction of retention in one partition; nil when nothing (more) is to go.
    private func removeStep(_ slot: PartitionSlot, _ term: LeaseTerm?) async throws -> RetentionRules.Cut? {
        let topic: TopicDefinition = self.topics.topic(of: slot)
        let partition: Int = self.topics.partition(of: slot)
        let rules: RetentionRules = RetentionRules(topic, now: self.clock.now())
        let planned: RetentionRules.Cut? = try await self.store.read { reader in
            guard let row: PartitionRow = try LogTables.partition(topic.name, partition, in: reader) else { return nil }
            let oldest: [BatchRow] = try LogTables.oldestBatches(
                topic: topic.name, partition: partition, limit: Self.retentionStep, in: reader)
            return rules.cut(oldest, bytes: row.byteCount)
        }
        guard let cut: RetentionRules.Cut = planned else { return nil }
        let witness: RemovalWitness? = self.removalWitness(of: topic.name)
        let isRemoved: Bool = try await self.store.write { transaction in
            try term?.fence(transaction)
            if let witness: RemovalWitness {
                let row: PartitionRow? = try LogTables.partition(topic.name, partition, in: transaction)
                guard let row: PartitionRow, row.first < cut.first,
                    try witness(row.first..<cut.first, transaction)
                else { return false }
            }
            try LogTables.remove(
                topic: topic.name, partition: partition, before: cut.first, bytes: cut.bytes, in: transaction)
            return true
        }
        guard isRemoved else { return nil }
        self.heads.removed(slot, before: cut.first)
        return cut
    }
}
