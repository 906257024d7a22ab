/// What the running commit group has published to one partition so far: usually one batch, several when it is large.
struct StagedPartition {
    /// A state to return to when a closure fails.
    struct Mark {
        let pieces: Int
        let last: RecordBatchBuilder.Mark
    }

    /// Never empty; only the last piece grows.
    private(set) var pieces: [RecordBatchBuilder] = [RecordBatchBuilder()]

    var isEmpty: Bool { self.pieces[0].isEmpty }

    var recordCount: Int {
        var count: Int = 0
        for piece: RecordBatchBuilder in self.pieces { count += Int(piece.recordCount) }
        return count
    }

    var mark: Mark { Mark(pieces: self.pieces.count, last: self.pieces[self.pieces.count - 1].mark) }

    mutating func rollBack(to mark: Mark) {
        self.pieces.removeLast(self.pieces.count - mark.pieces)
        self.pieces[self.pieces.count - 1].rollBack(to: mark.last)
    }

    mutating func append(
        timestamp: Int64, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: HeaderBlock
    ) {
        if self.pieces[self.pieces.count - 1].size >= LogLimits.batchBytesTarget {
            self.pieces.append(RecordBatchBuilder())
        }
        self.pieces[self.pieces.count - 1].append(timestamp: timestamp, key: key, value: value, headers: headers)
    }

    /// Hands over the batches, numbered from `baseOffset` on, and is empty afterwards.
    mutating func finish(baseOffset: Int64) -> [RecordBatch] {
        var batches: [RecordBatch] = []
        var next: Int64 = baseOffset
        for index: Int in self.pieces.indices where !self.pieces[index].isEmpty {
            let bytes: [UInt8] = self.pieces[index].finish(baseOffset: next)
            // Our own bytes a moment ago: only a bug in the builder can make them unreadable, and then nothing is committed.
            guard let batch: RecordBatch = try? RecordBatch(bytes, checksummed: false) else {
                preconditionFailure("the batch builder wrote what the batch reader refuses")
            }
            next = batch.nextOffset
            batches.append(batch)
        }
        self.removeAll()
        return batches
    }

    mutating func removeAll() {
        self.pieces = [RecordBatchBuilder()]
    }
}
