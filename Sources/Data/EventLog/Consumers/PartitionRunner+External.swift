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
            if self.isStopping || !self.reader.hasRoom { break }
            try await self.deliver(record, handler)
            if self.log.clock.monotonic() >= end { break }
        }
        try await self.storePosition()
    }

    private func deliver(_ record: Record, _ handler: ExternalHandler) async throws {
        if self.reader.mustWait(record) {
            return try await self.store(self.reader.passing([record], now: self.log.clock.now()))
        }
        let delivery: Delivery = await handler(record)
        if delivery == .done { return self.reader.delivered(record) }
        // A handler that was cut short says nothing about its record: it comes again to the next member.
        if Task.isCancelled { return }
        try await self.store(self.reader.settingAside(record, delivery, now: self.log.clock.now()))
    }

    /// Stores what external deliveries have reached; nothing to do for transactional ones.
    func storePosition() async throws {
        try await self.store(self.reader.storingPosition(now: self.log.clock.now()))
    }

    /// Tries a record again that waited.
    func redeliver(_ entry: RetryEntry, _ record: Record, _ handler: ExternalHandler) async throws {
        let delivery: Delivery = await handler(record)
        if delivery != .done, Task.isCancelled { return }
        try await self.store(self.reader.settling(entry, record, delivery, now: self.log.clock.now()))
    }
}
