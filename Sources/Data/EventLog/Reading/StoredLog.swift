package import Store

/// A batch as its row holds it, not believed: for those who verify the log rather than read it.
package struct StoredBatch: Sendable {
    package let baseOffset: Int64
    package let bytes: [UInt8]

    package init(baseOffset: Int64, bytes: [UInt8]) {
        self.baseOffset = baseOffset
        self.bytes = bytes
    }

    /// What can still be read of a batch.
    package struct Salvage: Sendable {
        /// By offset, up to the first record that cannot be read.
        package var values: [(offset: Int64, value: [UInt8])] = []
        /// Whether every record was read and nothing is left over.
        package var isWhole: Bool = false
    }

    /// Every record with what stands beside its value; nil where the checksum, the place or a record is not as it was written.
    package func records(topic: String, partition: Int) -> [Record]? {
        guard let batch: RecordBatch = try? RecordBatch(self.bytes), batch.baseOffset == self.baseOffset else {
            return nil
        }
        return try? batch.records(topic: topic, partition: partition)
    }

    /// Reads the values without looking at the checksum.
    package func salvage() -> Salvage {
        var salvage: Salvage = Salvage()
        do throws(RecordBatchError) {
            let batch: RecordBatch = try RecordBatch(self.bytes, checksummed: false)
            var cursor: RecordCursor = RecordCursor(batch)
            while let view: RecordView = try cursor.next() {
                let value: [UInt8] =
                    view.value.map { (extent: Range<Int>) -> [UInt8] in Array(self.bytes[extent]) } ?? []
                // The offset inside the bytes is not covered by the checksum; that of the row is the key.
                salvage.values.append((self.baseOffset + view.offset - batch.baseOffset, value))
            }
            salvage.isWhole = true
        } catch {
            // What was read so far is all there is; `isWhole` says so.
        }
        return salvage
    }
}

/// The log's rows as they stand in a database, without an open log.
package enum StoredLog {
    /// The oldest offset of a partition up to, not including, that of its next record; empty where nothing was ever appended.
    package static func offsets(
        topic: String, partition: Int, in database: some Queryable
    ) throws(StoreError) -> Range<Int64> {
        guard let row: PartitionRow = try LogTables.partition(topic, partition, in: database) else { return 0..<0 }
        return row.first..<max(row.first, row.next)
    }

    /// The base offset of the first batch behind the one that begins at `baseOffset`; nil when there is none.
    package static func baseOffset(
        after baseOffset: Int64, topic: String, partition: Int, in database: some Queryable
    ) throws(StoreError) -> Int64? {
        var found: Int64?
        try LogTables.visitBatches(from: baseOffset + 1, topic: topic, partition: partition, in: database) {
            (row: Row) throws(StoreError) -> Bool in
            found = try row.int(0)
            return false
        }
        return found
    }

    /// Batches from the one that holds `offset`, or the first after it, at least one, and no more than fit `bytesMax`.
    package static func batches(
        topic: String, partition: Int, from offset: Int64, bytesMax: Int, in database: some Queryable
    ) throws(StoreError) -> [StoredBatch] {
        guard let base: Int64 = try LogTables.batchHolding(offset, topic: topic, partition: partition, in: database)
        else { return [] }
        var found: [StoredBatch] = []
        var bytes: Int = 0
        try LogTables.visitBatches(from: base, topic: topic, partition: partition, in: database) {
            (row: Row) throws(StoreError) -> Bool in
            let batch: StoredBatch = StoredBatch(baseOffset: try row.int(0), bytes: try row.bytes(1))
            bytes += batch.bytes.count
            if !found.isEmpty, bytes > bytesMax { return false }
            found.append(batch)
            return bytes < bytesMax
        }
        return found
    }
}
