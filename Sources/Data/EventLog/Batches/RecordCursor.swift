import Bytes

/// Where the parts of one record stand in its batch's bytes: nothing is copied.
package struct RecordView: Sendable, Equatable {
    package let offset: Int64
    /// Milliseconds since 1970 UTC.
    package let timestamp: Int64
    package let key: Range<Int>?
    /// nil is a tombstone.
    package let value: Range<Int>?
    package let headerCount: Int
    /// The encoded headers, without their count.
    package let headers: Range<Int>
    /// The whole record with its length.
    package let extent: Range<Int>
}

/// Walks through the records of a batch, checking every bound and, at the end, that nothing is left over.
package struct RecordCursor {
    private let batch: RecordBatch
    private var fields: RecordFieldReader
    private var recordsLeft: Int32
    private var lastDelta: Int32 = -1

    package init(_ batch: RecordBatch) {
        self.batch = batch
        self.fields = RecordFieldReader(batch.bytes, in: RecordBatchLayout.headerSize..<batch.bytes.count)
        self.recordsLeft = batch.recordCount
    }

    /// The next record, or nil after the last. After an error the cursor must not be used again.
    package mutating func next() throws(RecordBatchError) -> RecordView? {
        guard self.recordsLeft > 0 else {
            guard self.fields.remaining == 0 else {
                throw .recordCount(stated: self.batch.recordCount, offset: self.fields.offset)
            }
            return nil
        }
        self.recordsLeft -= 1
        let start: Int = self.fields.offset
        let length: Int32 = try self.fields.varint()
        guard length >= 0, Int(length) <= self.fields.remaining else {
            throw .invalidLength(offset: start, length: Int64(length))
        }
        return try self.record(start: start, end: self.fields.offset + Int(length))
    }

    /// Reads the fields after the length.
    private mutating func record(start: Int, end: Int) throws(RecordBatchError) -> RecordView {
        try self.fields.skip(1)
        let timestamp: Int64 = try self.timestamp()
        let offsetDelta: Int32 = try self.fields.varint()
        guard offsetDelta > self.lastDelta, offsetDelta <= self.batch.lastOffsetDelta else {
            throw .offsetOutOfOrder(offset: start, delta: offsetDelta)
        }
        self.lastDelta = offsetDelta
        let key: Range<Int>? = try self.fields.nullableExtent()
        let value: Range<Int>? = try self.fields.nullableExtent()
        let headerCount: Int = try self.fields.headerCount()
        let headersStart: Int = self.fields.offset
        for _ in 0..<headerCount { _ = try self.fields.header() }
        guard self.fields.offset == end else { throw .recordLengthMismatch(offset: start) }
        return RecordView(
            offset: self.batch.baseOffset + Int64(offsetDelta), timestamp: timestamp, key: key, value: value,
            headerCount: headerCount, headers: headersStart..<end, extent: start..<end)
    }

    private mutating func timestamp() throws(RecordBatchError) -> Int64 {
        let start: Int = self.fields.offset
        let delta: Int64 = try self.fields.varlong()
        let (timestamp, overflow): (Int64, Bool) = self.batch.baseTimestamp.addingReportingOverflow(delta)
        guard !overflow, abs(clamping: timestamp) <= RecordBatchLayout.timestampMax else {
            throw .timestampOutOfRange(offset: start)
        }
        return self.batch.hasAppendTime ? self.batch.maxTimestamp : timestamp
    }
}

/// Name and value of one header, in place.
struct HeaderView {
    let name: Range<Int>
    let value: Range<Int>?
}

/// Reads record fields and says in this format's words what is wrong with them.
struct RecordFieldReader {
    private var reader: ByteReader

    init(_ bytes: [UInt8], in range: Range<Int>) { self.reader = ByteReader(bytes, in: range) }

    var offset: Int { self.reader.offset }
    var remaining: Int { self.reader.remaining }

    mutating func skip(_ count: Int) throws(RecordBatchError) {
        do throws(ByteReaderError) { try self.reader.skip(count) } catch { throw RecordBatchError(error) }
    }

    mutating func varint() throws(RecordBatchError) -> Int32 {
        do throws(ByteReaderError) { return try self.reader.readVarint() } catch { throw RecordBatchError(error) }
    }

    mutating func varlong() throws(RecordBatchError) -> Int64 {
        do throws(ByteReaderError) { return try self.reader.readVarlong() } catch { throw RecordBatchError(error) }
    }

    /// A length of -1 (nil) or more, and that many bytes.
    mutating func nullableExtent() throws(RecordBatchError) -> Range<Int>? {
        let start: Int = self.reader.offset
        let length: Int32 = try self.varint()
        if length == -1 { return nil }
        guard length >= 0 else { throw .invalidLength(offset: start, length: Int64(length)) }
        let first: Int = self.reader.offset
        try self.skip(Int(length))
        return first..<self.reader.offset
    }

    mutating func headerCount() throws(RecordBatchError) -> Int {
        let start: Int = self.reader.offset
        let count: Int32 = try self.varint()
        // A header has at least two bytes, so a count beyond that is a lie that would only cost time.
        guard count >= 0, Int(count) <= self.reader.remaining / 2 else {
            throw .invalidLength(offset: start, length: Int64(count))
        }
        return Int(count)
    }

    mutating func header() throws(RecordBatchError) -> HeaderView {
        let start: Int = self.reader.offset
        guard let name: Range<Int> = try self.nullableExtent() else { throw .invalidLength(offset: start, length: -1) }
        return HeaderView(name: name, value: try self.nullableExtent())
    }
}
