import Store
import Time

typealias ExternalHandler = @Sendable (Record) async -> Delivery

extension PartitionRunner {
    /// Delivers the next records one by one and stores the offset every now and then: at least once.
    func advance(_ handler: @escaping ExternalHandler) async throws {
        let records: ArraySlice<Record> = try await self.nextRecords(self.options.uncommittedMax)
        let end: UInt64 =
            self.log.clock.monotonic() &+ UInt64(clamping: self.options.uncommittedTimeMax.nanosecondsClamped)
        for record: Record in records {
            if self.isStopping || self.retries.count >= self.options.retriesMax { break }
            try await self.deliver(record, handler)
            if self.log.clock.monotonic() >= end { break }
        }
        try await self.storePosition()
    }

    private func deliver(_ record: Record, _ handler: ExternalHandler) async throws {
        if self.retries.isBlocked(record.key) { return try await self.queue(record) }
        let delivery: Delivery = await handler(record)
        if delivery == .done {
            self.position = record.offset + 1
            return
        }
        // A handler that was cut short says nothing about its record: it comes again to the next member.
        if Task.isCancelled { return }
        try await self.setAside(record, delivery)
    }

    /// Puts a record behind the others of its key.
    private func queue(_ record: Record) async throws {
        guard let claim: Claim = self.claim else { return }
        let at: GroupPartition = self.at
        let entry: RetryEntry = RetryEntry(
            offset: record.offset, key: record.key, tries: 0, due: self.log.clock.now())
        try await self.log.store.write { transaction in
            try ConsumerTables.advance(at, claim, to: record.offset + 1, in: transaction)
            try ConsumerTables.insertRetry(at, entry, reason: nil, record: record.stored, in: transaction)
        }
        self.retries.insert(entry)
        self.moved(past: record)
    }

    /// Stores what external deliveries have reached; nothing to do for transactional ones.
    func storePosition() async throws {
        guard let claim: Claim = self.claim, claim.next != self.position else { return }
        let at: GroupPartition = self.at
        let position: Int64 = self.position
        try await self.log.store.write { transaction in
            try ConsumerTables.advance(at, claim, to: position, in: transaction)
        }
        self.claim?.next = position
        self.showProgress()
    }

    /// Tries a record again that waited.
    func redeliver(_ entry: RetryEntry, _ record: Record, _ handler: ExternalHandler) async throws {
        let delivery: Delivery = await handler(record)
        if delivery != .done, Task.isCancelled { return }
        try await self.settle(entry, record, delivery)
    }
}
