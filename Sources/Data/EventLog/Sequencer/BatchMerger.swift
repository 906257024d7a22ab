/// Makes numbered batches of unnumbered ones: a lone one gets its first offset written in place (the checksum leaves it out), several
/// are joined, record by record, as they stand.
enum BatchMerger {
    /// - Parameters:
    ///   - batches: of one partition, in order.
    ///   - baseOffset: of the first record.
    static func number(_ batches: [RecordBatch], baseOffset: Int64) throws(RecordBatchError) -> [RecordBatch] {
        var numbered: [RecordBatch] = []
        var next: Int64 = baseOffset
        var pending: [RecordBatch] = []
        var bytes: Int = 0
        for batch: RecordBatch in batches {
            if !pending.isEmpty, bytes + batch.bytes.count > LogLimits.batchBytesTarget {
                numbered.append(try self.join(pending, baseOffset: next))
                next = numbered[numbered.count - 1].nextOffset
                pending = []
                bytes = 0
            }
            pending.append(batch)
            bytes += batch.bytes.count
        }
        if !pending.isEmpty { numbered.append(try self.join(pending, baseOffset: next)) }
        return numbered
    }

    private static func join(_ batches: [RecordBatch], baseOffset: Int64) throws(RecordBatchError) -> RecordBatch {
        if batches.count == 1 { return try batches[0].renumbered(baseOffset) }
        var builder: RecordBatchBuilder = RecordBatchBuilder()
        builder.reserve(batches.reduce(0) { $0 + $1.bytes.count })
        for batch: RecordBatch in batches {
            var cursor: RecordCursor = RecordCursor(batch)
            while let view: RecordView = try cursor.next() { builder.append(view, of: batch) }
        }
        return try RecordBatch(builder.finish(baseOffset: baseOffset), checksummed: false)
    }
}

extension RecordBatch {
    /// The same batch from another offset on.
    func renumbered(_ baseOffset: Int64) throws(RecordBatchError) -> RecordBatch {
        var bytes: [UInt8] = self.bytes
        for index: Int in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: baseOffset >> Int64(56 - 8 * index)) }
        return try RecordBatch(bytes, checksummed: false)
    }
}
