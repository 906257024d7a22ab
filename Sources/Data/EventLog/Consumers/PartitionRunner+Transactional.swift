import Store
import Time

typealias TransactionalHandler = @Sendable (Transaction, Record) throws -> Void

/// A transactional handler threw at one record of a chunk; everything the chunk did was undone.
private struct HandlerFailure: Error {
    /// Which record of the chunk.
    let index: Int
    let delivery: Delivery
}

extension PartitionRunner {
    /// Handles the next chunk: effects, offset, and records that must wait behind their key, in one transaction.
    ///
    /// When a record fails, the chunk is undone and tried again with only those before it; a record that fails as the first
    /// of a chunk is set aside for another try.
    func advance(_ handler: @escaping TransactionalHandler) async throws {
        let records: ArraySlice<Record> = try await self.nextRecords(self.reader.chunkRecords)
        guard let first: Record = records.first else { return }
        let now: Timestamp = self.log.clock.now()
        let chunk: TransactionalChunk = TransactionalChunk(
            at: self.at, reader: self.reader, records: records, handler: handler, clock: self.log.clock, now: now,
            timeMax: self.options.chunkTimeMax)
        do {
            let change: PartitionChange? = try await self.log.store.write { transaction in try chunk.run(transaction) }
            if let change: PartitionChange { self.applied(change) }
        } catch let failure as HandlerFailure {
            if failure.index > 0 {
                self.reader.chunkFailed(at: failure.index)
            } else {
                try await self.store(self.reader.settingAside(first, failure.delivery, now: now))
            }
        }
    }

    /// Tries a record again that waited: effects and the removal of its row in one transaction.
    func redeliver(_ entry: RetryEntry, _ record: Record, _ handler: @escaping TransactionalHandler) async throws {
        let now: Timestamp = self.log.clock.now()
        guard let change: PartitionChange = self.reader.settling(entry, record, .done, now: now) else { return }
        let at: GroupPartition = self.at
        do {
            try await self.log.store.write { transaction in
                try TransactionalChunk.handle(record, 0, transaction, handler)
                try ConsumerTables.apply(change, at, in: transaction)
            }
            self.applied(change)
        } catch let failure as HandlerFailure {
            try await self.store(self.reader.settling(entry, record, failure.delivery, now: self.log.clock.now()))
        }
    }
}

/// What runs on the writer's thread for one chunk of records. May run again, so it changes nothing but the transaction.
private struct TransactionalChunk: Sendable {
    let at: GroupPartition
    let reader: PartitionReader
    let records: ArraySlice<Record>
    let handler: TransactionalHandler
    let clock: any WallClock
    let now: Timestamp
    let timeMax: Duration

    /// Handles at least one record, and no more than fit the time. Returns what it stored.
    func run(_ transaction: Transaction) throws -> PartitionChange? {
        let end: UInt64 = self.clock.monotonic() &+ UInt64(clamping: self.timeMax.nanosecondsClamped)
        var handled: ArraySlice<Record> = self.records.prefix(0)
        for (index, record): (Int, Record) in self.records.enumerated() {
            if !self.reader.mustWait(record) { try Self.handle(record, index, transaction, self.handler) }
            handled = self.records.prefix(index + 1)
            if self.clock.monotonic() >= end { break }
        }
        guard let change: PartitionChange = self.reader.passing(handled, now: self.now) else { return nil }
        try ConsumerTables.apply(change, self.at, in: transaction)
        return change
    }

    /// Calls the handler and tells its failures from the store's.
    static func handle(
        _ record: Record, _ index: Int, _ transaction: Transaction, _ handler: TransactionalHandler
    ) throws {
        do {
            try handler(transaction, record)
        } catch {
            guard let delivery: Delivery = RetryRules.delivery(of: error) else { throw error }
            throw HandlerFailure(index: index, delivery: delivery)
        }
    }
}
