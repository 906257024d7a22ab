import Bytes

/// Grows one record batch in place; the header is written last, when offsets are known.
///
/// A mark taken before some appends brings the builder back to where it was: that is how the events of a failed closure
/// disappear from a group commit.
package struct RecordBatchBuilder: Sendable {
    /// A state to return to.
    package struct Mark: Sendable {
        let size: Int
        let recordCount: Int32
        let maxTimestamp: Int64
    }

    private var writer: ByteWriter = ByteWriter()
    package private(set) var recordCount: Int32 = 0
    private var baseTimestamp: Int64 = 0
    package private(set) var maxTimestamp: Int64 = 0

    package init() {}

    /// Bytes of the batch so far, header included.
    package var size: Int { max(self.writer.count, RecordBatchLayout.headerSize) }
    package var isEmpty: Bool { self.recordCount == 0 }

    package var mark: Mark {
        Mark(size: self.writer.count, recordCount: self.recordCount, maxTimestamp: self.maxTimestamp)
    }

    /// Forgets every record appended since `mark` was taken of this builder.
    package mutating func rollBack(to mark: Mark) {
        precondition(mark.size <= self.writer.count, "a mark is only good until the builder goes back behind it")
        self.writer.bytes.removeLast(self.writer.count - mark.size)
        self.recordCount = mark.recordCount
        self.maxTimestamp = mark.maxTimestamp
    }

    /// Appends a record. Sizes are the caller's concern; the batch must stay under 2 GiB.
    ///
    /// - Parameter timestamp: milliseconds since 1970 UTC.
    package mutating func append(
        timestamp: Int64, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headers: HeaderBlock
    ) {
        headers.writer.bytes.withUnsafeBytes { bytes in
            self.append(timestamp: timestamp, key: key, value: value, headerCount: headers.count, headers: bytes)
        }
    }

    /// Appends a record of another batch as it stands there.
    mutating func append(_ view: RecordView, of batch: RecordBatch) {
        batch.bytes.withUnsafeBytes { bytes in
            self.append(
                timestamp: view.timestamp, key: view.key.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) },
                value: view.value.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }, headerCount: view.headerCount,
                headers: UnsafeRawBufferPointer(rebasing: bytes[view.headers]))
        }
    }

    private mutating func append(
        timestamp: Int64, key: UnsafeRawBufferPointer?, value: UnsafeRawBufferPointer?, headerCount: Int,
        headers: UnsafeRawBufferPointer
    ) {
        if self.recordCount == 0 { self.begin(timestamp) }
        let timestampDelta: Int64 = timestamp - self.baseTimestamp
        let length: Int =
            1 + ByteWriter.varintLength(timestampDelta) + ByteWriter.varintLength(Int64(self.recordCount))
            + Self.encodedLength(key) + Self.encodedLength(value) + ByteWriter.varintLength(Int64(headerCount))
            + headers.count
        self.writer.appendVarint(Int64(length))
        self.writer.appendUInt8(0)
        self.writer.appendVarint(timestampDelta)
        self.writer.appendVarint(Int64(self.recordCount))
        self.append(nullable: key)
        self.append(nullable: value)
        self.writer.appendVarint(Int64(headerCount))
        self.writer.append(headers)
        self.recordCount += 1
        self.maxTimestamp = max(self.maxTimestamp, timestamp)
    }

    /// Appends a record from arrays.
    package mutating func append(timestamp: Int64, key: [UInt8]?, value: [UInt8]?, headers: HeaderBlock) {
        Self.withBytes(of: key) { keyBytes in
            Self.withBytes(of: value) { valueBytes in
                self.append(timestamp: timestamp, key: keyBytes, value: valueBytes, headers: headers)
            }
        }
    }

    /// Writes the header and hands the batch over; the builder is empty afterwards.
    ///
    /// - Parameter baseOffset: the offset of the first record.
    package mutating func finish(baseOffset: Int64) -> [UInt8] {
        precondition(self.recordCount > 0, "an empty batch has no offsets")
        self.writer.overwriteInt64(baseOffset, at: 0)
        self.writer.overwriteInt32(
            Int32(self.writer.count - RecordBatchLayout.lengthPrefix), at: RecordBatchLayout.batchLength)
        self.writer.overwriteInt32(-1, at: RecordBatchLayout.leaderEpoch)
        self.writer.overwriteInt32(self.recordCount - 1, at: RecordBatchLayout.lastOffsetDelta)
        self.writer.overwriteInt64(self.baseTimestamp, at: RecordBatchLayout.baseTimestamp)
        self.writer.overwriteInt64(self.maxTimestamp, at: RecordBatchLayout.maxTimestamp)
        self.writer.overwriteInt64(-1, at: RecordBatchLayout.producerID)
        // producerEpoch (two bytes) and baseSequence (four) are -1 as well, which is all ones: two overlapping words do it.
        self.writer.overwriteInt32(-1, at: RecordBatchLayout.producerEpoch)
        self.writer.overwriteInt32(-1, at: RecordBatchLayout.baseSequence)
        self.writer.overwriteInt32(self.recordCount, at: RecordBatchLayout.recordCount)
        self.writer.bytes[RecordBatchLayout.magic] = 2
        self.writer.overwriteUInt32(RecordBatch.checksum(of: self.writer.bytes), at: RecordBatchLayout.checksum)
        let finished: [UInt8] = self.writer.bytes
        self = RecordBatchBuilder()
        return finished
    }

    /// Makes room for `count` more bytes.
    package mutating func reserve(_ count: Int) {
        self.writer.bytes.reserveCapacity(self.writer.count + count)
    }

    private mutating func begin(_ timestamp: Int64) {
        self.writer.bytes.removeAll(keepingCapacity: true)
        self.writer.bytes.append(contentsOf: Self.blankHeader)
        self.baseTimestamp = timestamp
        self.maxTimestamp = timestamp
    }

    private mutating func append(nullable bytes: UnsafeRawBufferPointer?) {
        guard let bytes: UnsafeRawBufferPointer else { return self.writer.appendVarint(-1) }
        self.writer.appendVarint(Int64(bytes.count))
        self.writer.append(bytes)
    }

    private static let blankHeader: [UInt8] = Array(repeating: 0, count: RecordBatchLayout.headerSize)

    private static func encodedLength(_ bytes: UnsafeRawBufferPointer?) -> Int {
        guard let bytes: UnsafeRawBufferPointer else { return 1 }
        return ByteWriter.varintLength(Int64(bytes.count)) + bytes.count
    }

    private static func withBytes(of array: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
        guard let array: [UInt8] else { return body(nil) }
        array.withUnsafeBytes { body($0) }
    }
}
