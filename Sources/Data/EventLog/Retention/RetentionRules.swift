import Time

/// Decides which of a partition's oldest batches go. Pure: rows in, cut out.
struct RetentionRules: Sendable {
    /// What to remove from the front of a partition.
    struct Cut: Sendable, Equatable {
        /// The oldest offset that stays.
        let first: Int64
        let batches: Int
        let bytes: Int64
    }

    /// Milliseconds since 1970 UTC; batches with nothing newer may go. nil keeps by time without end.
    let cutoff: Int64?
    /// Milliseconds since 1970 UTC.
    let now: Int64
    let bytesMax: Int64?

    init(_ topic: TopicDefinition, now: Timestamp) {
        self.now = now.milliseconds
        let isKept: Bool = topic.compacted
        self.cutoff = isKept ? nil : topic.retention.map { now.adding(.zero - $0).milliseconds }
        self.bytesMax = isKept ? nil : topic.retentionBytes
    }

    /// - Parameters:
    ///   - oldest: the oldest batches of the partition, in order, without a gap.
    ///   - bytes: of the whole partition.
    func cut(_ oldest: [BatchRow], bytes: Int64) -> Cut? {
        let count: Int = max(self.countByTime(oldest), self.countBySize(oldest, bytes: bytes))
        if count == 0 { return nil }
        var removed: Int64 = 0
        for batch: BatchRow in oldest[..<count] { removed += batch.byteCount }
        let last: BatchRow = oldest[count - 1]
        return Cut(first: last.baseOffset + last.recordCount, batches: count, bytes: removed)
    }

    /// Up to the last batch that is too old, as long as none before it is to be kept.
    ///
    /// A batch stamped in the future (the clock was wrong for a while) neither goes by itself nor holds back what is behind it;
    /// were it removed for being "in the future", a clock set back to 1970 would empty the log.
    private func countByTime(_ oldest: [BatchRow]) -> Int {
        guard let cutoff: Int64 = self.cutoff else { return 0 }
        var count: Int = 0
        for (index, batch): (Int, BatchRow) in oldest.enumerated() {
            if batch.maxTimestamp < cutoff {
                count = index + 1
            } else if batch.maxTimestamp <= self.now {
                break
            }
        }
        return count
    }

    /// As many as bring the partition down to its size; the newest batch always stays.
    private func countBySize(_ oldest: [BatchRow], bytes: Int64) -> Int {
        guard let bytesMax: Int64 = self.bytesMax else { return 0 }
        var left: Int64 = bytes
        var count: Int = 0
        for batch: BatchRow in oldest {
            if left <= bytesMax || left == batch.byteCount { break }
            left -= batch.byteCount
            count += 1
        }
        return count
    }
}
