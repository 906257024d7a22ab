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
        guard let claim: Claim = self.claim else { return }
        let records: [Record] = Array(try await self.nextRecords(self.chunkRecords))
        if records.isEmpty { return }
        let chunk: TransactionalChunk = TransactionalChunk(
            at: self.at, claim: claim, records: records, waits: self.waiters(records), handler: handler,
            clock: self.log.clock, timeMax: self.options.chunkTimeMax)
        do {
            let handled: Int = try await self.log.store.write { transaction in try chunk.run(transaction) }
            self.settle(chunk, handled: handled)
        } catch let failure as HandlerFailure {
            if failure.index > 0 {
                self.chunkRecords = failure.index
            } else {
                try await self.setAside(records[0], failure.delivery)
            }
        }
    }

    /// A retry entry for each record of the chunk that must wait behind an earlier one of its key, nil for the others.
    private func waiters(_ records: [Record]) -> [RetryEntry?] {
        let now: Timestamp = self.log.clock.now()
        return records.map { record in
            self.retries.isBlocked(record.key)
                ? RetryEntry(offset: record.offset, key: record.key, tries: 0, due: now) : nil
        }
    }

    private func settle(_ chunk: TransactionalChunk, handled: Int) {
        for index: Int in 0..<handled {
            if let entry: RetryEntry = chunk.waits[index] { self.retries.insert(entry) }
        }
        self.moved(past: chunk.records[handled - 1])
    }

    /// Tries a record again that waited: effects and the removal of its row in one transaction.
    func redeliver(_ entry: RetryEntry, _ record: Record, _ handler: @escaping TransactionalHandler) async throws {
        guard let claim: Claim = self.claim else { return }
        let at: GroupPartition = self.at
        do {
            try await self.log.store.write { transaction in
                try ConsumerTables.fence(at, claim, in: transaction)
                try TransactionalChunk.handle(record, 0, transaction, handler)
                try ConsumerTables.deleteRetry(at, offset: entry.offset, in: transaction)
            }
            self.retries.remove(entry, now: self.log.clock.now())
            self.showProgress()
        } catch let failure as HandlerFailure {
            try await self.settle(entry, record, failure.delivery)
        }
    }
}

/// What runs on the writer's thread for one chunk of records. May run again, so it changes nothing but the transaction.
private struct TransactionalChunk: Sendable {
    let at: GroupPartition
    let claim: Claim
    let records: [Record]
    let waits: [RetryEntry?]
    let handler: TransactionalHandler
    let clock: any WallClock
    let timeMax: Duration

    /// Returns how many records were handled: at least one, and no more than fit the time.
    func run(_ transaction: Transaction) throws -> Int {
        let end: UInt64 = self.clock.monotonic() &+ UInt64(clamping: self.timeMax.nanosecondsClamped)
        var handled: Int = 0
        while handled < self.records.count {
            let record: Record = self.records[handled]
            if let entry: RetryEntry = self.waits[handled] {
                try ConsumerTables.insertRetry(self.at, entry, reason: nil, record: record.stored, in: transaction)
            } else {
                try Self.handle(record, handled, transaction, self.handler)
            }
            handled += 1
            if self.clock.monotonic() >= end { break }
        }
        try ConsumerTables.advance(self.at, self.claim, to: self.records[handled - 1].offset + 1, in: transaction)
        return handled
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
