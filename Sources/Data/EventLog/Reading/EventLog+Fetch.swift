import Store
package import Time

/// What a fetch found.
package struct FetchedRecords: Sendable {
    package let records: [Record]
    /// The offset to read on from.
    package let next: Int64
    /// What the partition holds: the oldest offset up to, not including, that of the next record.
    package let available: Range<Int64>
}

extension EventLog {
    /// Bytes a fetch reads unless told otherwise.
    package static let fetchBytesDefault: Int = 1 << 20
    /// Records a fetch returns unless told otherwise.
    package static let fetchRecordsDefault: Int = 1000

    /// The offsets a partition holds: the oldest up to, not including, that of the next record.
    package func offsets(topic: String, partition: Int) throws(LogError) -> Range<Int64> {
        self.heads.range(try self.topics.slot(topic, partition))
    }

    /// Records from `offset` on, oldest first; none when `offset` is the end. At least one batch is read, whatever its size.
    ///
    /// Throws `LogError.offsetOutOfRange` for an offset beyond the end or removed by retention.
    package func fetch(
        topic: String, partition: Int, from offset: Int64, maxBytes: Int = EventLog.fetchBytesDefault,
        maxRecords: Int = EventLog.fetchRecordsDefault
    ) async throws -> FetchedRecords {
        let slot: PartitionSlot = try self.topics.slot(topic, partition)
        var records: [Record] = []
        var next: Int64 = offset
        reading: for batch: RecordBatch in try await self.batches(
            topic: topic, partition: partition, from: offset, maxBytes: maxBytes)
        {
            var cursor: RecordCursor = RecordCursor(batch)
            while let view: RecordView = try self.checked(
                batch, slot, { () throws(RecordBatchError) in try cursor.next() })
            {
                if view.offset < offset { continue }
                if records.count >= maxRecords { break reading }
                records.append(try self.record(view, of: batch, slot))
                next = view.offset + 1
            }
            next = batch.nextOffset
        }
        return FetchedRecords(records: records, next: next, available: self.heads.range(slot))
    }

    /// Whole batches from the one that holds `offset` on, as they are stored: what a Kafka fetch answers with.
    package func batches(
        topic: String, partition: Int, from offset: Int64, maxBytes: Int = EventLog.fetchBytesDefault
    ) async throws -> [RecordBatch] {
        let slot: PartitionSlot = try self.topics.slot(topic, partition)
        let available: Range<Int64> = try await self.range(slot, knowing: offset)
        if offset == available.upperBound { return [] }
        guard available.contains(offset) else {
            throw LogError.offsetOutOfRange(
                topic: topic, partition: partition, offset: offset, earliest: available.lowerBound,
                next: available.upperBound)
        }
        if let recent: [RecordBatch] = self.heads.recent(slot, from: offset, bytesMax: maxBytes) { return recent }
        let stored: [StoredBatch] = try await self.store.read { reader in
            try StoredLog.batches(topic: topic, partition: partition, from: offset, bytesMax: maxBytes, in: reader)
        }
        var batches: [RecordBatch] = []
        for batch: StoredBatch in stored {
            batches.append(
                try self.checked(topic, partition, batch.baseOffset) { () throws(RecordBatchError) in
                    try RecordBatch(batch.bytes)
                })
        }
        return batches
    }

    /// Copies a record out of its batch.
    func record(_ view: RecordView, of batch: RecordBatch, _ slot: PartitionSlot) throws(LogError) -> Record {
        try self.checked(batch, slot) { () throws(RecordBatchError) in
            try batch.record(view, topic: self.topics.topic(of: slot).name, partition: self.topics.partition(of: slot))
        }
    }

    /// Turns "these bytes are no batch" into "the log is damaged, here".
    func checked<T>(
        _ batch: RecordBatch, _ slot: PartitionSlot, _ body: () throws(RecordBatchError) -> T
    ) throws(LogError) -> T {
        try self.checked(self.topics.topic(of: slot).name, self.topics.partition(of: slot), batch.baseOffset, body)
    }

    private func checked<T>(
        _ topic: String, _ partition: Int, _ offset: Int64, _ body: () throws(RecordBatchError) -> T
    ) throws(LogError) -> T {
        do throws(RecordBatchError) {
            return try body()
        } catch {
            throw .corrupt(topic: topic, partition: partition, offset: offset, problem: error.explanation)
        }
    }

    /// The offset of the first record at or after `time`; the end when there is none. A few dozen index look-ups.
    ///
    /// Where the clock was set back, records with earlier times may follow: reading starts early rather than late.
    package func offset(topic: String, partition: Int, at time: Timestamp) async throws -> Int64 {
        let available: Range<Int64> = try self.offsets(topic: topic, partition: partition)
        let milliseconds: Int64 = Self.millisecondsRoundedUp(time)
        let base: Int64? = try await self.store.read { reader in
            try TimeSeek(topic: topic, partition: partition, time: milliseconds).baseOffset(in: available, reader)
        }
        guard let base: Int64 else { return available.upperBound }
        let slot: PartitionSlot = try self.topics.slot(topic, partition)
        for batch: RecordBatch in try await self.batches(topic: topic, partition: partition, from: base, maxBytes: 1) {
            var cursor: RecordCursor = RecordCursor(batch)
            while let view: RecordView = try self.checked(
                batch, slot, { () throws(RecordBatchError) in try cursor.next() })
            {
                if view.timestamp >= milliseconds { return view.offset }
            }
        }
        return base
    }

    /// Records carry milliseconds, so a moment between two of them means the later.
    private static func millisecondsRoundedUp(_ time: Timestamp) -> Int64 {
        let milliseconds: Int64 = time.milliseconds
        return Timestamp(milliseconds: milliseconds) < time ? milliseconds + 1 : milliseconds
    }
}
