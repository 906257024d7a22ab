import Store

/// Finds the first batch that holds a record at or after a time, by bisection over the offsets.
///
/// `seek_timestamp` never falls from batch to batch, whatever the clock did, so "it reached the time" is false up to some batch
/// and true from there on. Each probe is one look-up in the primary key; ten million records take about 24.
struct TimeSeek: Sendable {
    let topic: String
    let partition: Int
    /// Milliseconds since 1970 UTC.
    let time: Int64

    /// What one probe saw.
    private struct Probe {
        let baseOffset: Int64
        let recordCount: Int64
        let seekTimestamp: Int64

        init(_ row: Row) throws(StoreError) {
            self.baseOffset = try row.int(0)
            self.recordCount = try row.int(1)
            self.seekTimestamp = try row.int(2)
        }
    }

    /// The base offset of that batch; nil when every record is earlier.
    func baseOffset(in offsets: Range<Int64>, _ database: some Queryable) throws(StoreError) -> Int64? {
        var low: Int64 = offsets.lowerBound
        var high: Int64 = offsets.upperBound
        var found: Int64?
        while low < high {
            let middle: Int64 = low + (high - low) / 2
            guard let probe: Probe = try self.batchHolding(middle, database) else {
                // Retention has just removed what stood here.
                low = middle + 1
                continue
            }
            if probe.seekTimestamp >= self.time {
                found = probe.baseOffset
                high = probe.baseOffset
            } else {
                low = probe.baseOffset + probe.recordCount
            }
        }
        return found
    }

    private func batchHolding(_ offset: Int64, _ database: some Queryable) throws(StoreError) -> Probe? {
        try database.first(
            """
            SELECT base_offset, record_count, seek_timestamp FROM log_batches
            WHERE topic = $1 AND partition = $2 AND base_offset <= $3 ORDER BY base_offset DESC LIMIT 1
            """, .text(self.topic), .int(Int64(self.partition)), .int(offset), decode: Probe.init)
    }
}
