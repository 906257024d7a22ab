import JSON
import Store
import Synchronization
import Telemetry
import Time

extension PartitionRunner {
    /// Makes a change durable, then takes it over.
    func store(_ change: PartitionChange?) async throws {
        guard let change: PartitionChange else { return }
        let at: GroupPartition = self.at
        // The row that is moved or fenced first keeps all others out of the partition's rows.
        try await self.log.store.write(isolation: .readCommitted) { transaction in
            try ConsumerTables.apply(change, at, in: transaction)
        }
        self.applied(change)
    }

    /// Takes over a change that is durable.
    func applied(_ change: PartitionChange) {
        self.reader.applied(change)
        for case .bury(let record, let tries, let reason) in change.steps { self.noteDead(record, tries, reason) }
        self.showProgress()
    }

    /// Reads a waiting record and hands it to the handler again.
    func redeliver(_ entry: RetryEntry) async throws {
        let at: GroupPartition = self.at
        let stored: [UInt8]? = try await self.log.store.read { reader in
            try ConsumerTables.retryRecord(at, offset: entry.offset, in: reader)
        }
        // Somebody removed the row: look again.
        guard let stored: [UInt8] else { throw FencedError() }
        let record: Record = try Self.record(stored, at)
        switch self.member.handler {
        case .transactional(let handler): try await self.redeliver(entry, record, handler)
        case .external(let handler): try await self.redeliver(entry, record, handler)
        }
    }

    private func noteDead(_ record: Record, _ tries: Int, _ reason: String) {
        self.control.deadLetters.add(1, ordering: .relaxed)
        self.log.logger.error(
            "an event became a dead letter",
            self.fields([
                "record": .int(record.offset), "tries": .int(Int64(tries)), "reason": .string(reason),
                "event": .string(record.eventID ?? ""),
            ]))
    }

    private static func record(_ stored: [UInt8], _ at: GroupPartition) throws(LogError) -> Record {
        do throws(RecordBatchError) {
            let batch: RecordBatch = try RecordBatch(stored)
            let records: [Record] = try batch.records(topic: at.topic, partition: at.partition)
            if let record: Record = records.first { return record }
        } catch {
            throw .corrupt(topic: at.topic, partition: at.partition, offset: 0, problem: error.explanation)
        }
        throw .corrupt(topic: at.topic, partition: at.partition, offset: 0, problem: "a stored retry holds no record")
    }
}

extension Record {
    /// The record as a batch of one, with its own offset: how retries keep it.
    var stored: [UInt8] {
        var builder: RecordBatchBuilder = RecordBatchBuilder()
        builder.append(
            timestamp: self.timestamp.milliseconds, key: self.key, value: self.isTombstone ? nil : self.value,
            headers: HeaderBlock(self.headers))
        return builder.finish(baseOffset: self.offset)
    }
}
