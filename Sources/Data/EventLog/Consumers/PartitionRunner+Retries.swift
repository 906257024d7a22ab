import JSON
import Store
import Synchronization
import Telemetry
import Time

extension PartitionRunner {
    /// The stored offset has moved behind `record`.
    func moved(past record: Record) {
        self.position = record.offset + 1
        self.claim?.next = self.position
        self.showProgress()
        self.chunkRecords = self.options.chunkRecordsMax
    }

    /// The record at the reading position failed: it goes to the retry table, or to the dead letters, in the transaction that
    /// moves the offset past it.
    func setAside(_ record: Record, _ delivery: Delivery) async throws {
        guard let claim: Claim = self.claim else { return }
        let at: GroupPartition = self.at
        switch self.member.rules.decide(delivery, tries: 0, waits: 0, now: self.log.clock.now()) {
        case .done: break
        case .again(let due, let tries, let waits, let reason):
            let entry: RetryEntry = RetryEntry(
                offset: record.offset, key: record.key, tries: tries, waits: waits, due: due)
            try await self.log.store.write { transaction in
                try ConsumerTables.advance(at, claim, to: record.offset + 1, in: transaction)
                try ConsumerTables.insertRetry(at, entry, reason: reason, record: record.stored, in: transaction)
            }
            self.moved(past: record)
            self.retries.insert(entry)
            self.showProgress()
        case .dead(let tries, let reason):
            let letter: DeadLetterNote = DeadLetterNote(at: at, tries: tries, reason: reason)
            try await self.log.store.write { transaction in
                try ConsumerTables.advance(at, claim, to: record.offset + 1, in: transaction)
                try letter.publish(record, in: transaction)
            }
            self.moved(past: record)
            self.noteDead(record, tries, reason)
        }
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

    /// Stores what another try of a waiting record came to.
    func settle(_ entry: RetryEntry, _ record: Record, _ delivery: Delivery) async throws {
        guard let claim: Claim = self.claim else { return }
        let at: GroupPartition = self.at
        let now: Timestamp = self.log.clock.now()
        switch self.member.rules.decide(delivery, tries: entry.tries, waits: entry.waits, now: now) {
        case .done:
            try await self.log.store.write { transaction in
                try ConsumerTables.fence(at, claim, in: transaction)
                try ConsumerTables.deleteRetry(at, offset: entry.offset, in: transaction)
            }
            self.retries.remove(entry, now: now)
            self.showProgress()
        case .again(let due, let tries, let waits, let reason):
            try await self.log.store.write { transaction in
                try ConsumerTables.fence(at, claim, in: transaction)
                try ConsumerTables.postponeRetry(
                    at, offset: entry.offset, tries: tries, due: due, reason: reason, in: transaction)
            }
            self.retries.postpone(entry, due: due, tries: tries, waits: waits)
        case .dead(let tries, let reason):
            let letter: DeadLetterNote = DeadLetterNote(at: at, tries: tries, reason: reason)
            try await self.log.store.write { transaction in
                try ConsumerTables.fence(at, claim, in: transaction)
                try ConsumerTables.deleteRetry(at, offset: entry.offset, in: transaction)
                try letter.publish(record, in: transaction)
            }
            self.retries.remove(entry, now: now)
            self.showProgress()
            self.noteDead(record, tries, reason)
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
