import Bytes
import Testing
import Time

@testable import EventLog

@Suite struct RecordBatchTests {
    /// The broker's field (partition leader epoch) is 0 there and -1 here; the checksum does not cover it.
    private static func withUnknownEpoch(_ bytes: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = bytes
        for index: Int in 12..<16 { bytes[index] = 0xFF }
        return bytes
    }

    @Test func writesTheBytesThatKafkaPythonWrites() {
        #expect(GoldenBatches.build(GoldenBatches.one) == Self.withUnknownEpoch(GoldenBatches.oneBytes))
        #expect(GoldenBatches.build(GoldenBatches.many) == Self.withUnknownEpoch(GoldenBatches.manyBytes))
        #expect(
            Array(GoldenBatches.build(GoldenBatches.long).prefix(61)) == Self.withUnknownEpoch(GoldenBatches.longHeader)
        )
    }

    @Test func readsWhatKafkaPythonWrites() throws {
        let batch: RecordBatch = try RecordBatch(GoldenBatches.manyBytes)
        #expect(batch.recordCount == 4)
        #expect(batch.nextOffset == 4)
        #expect(batch.maxTimestamp == GoldenBatches.start + 3_600_000)
        let records: [Record] = try batch.records(topic: "t", partition: 3)
        #expect(records.count == 4)
        for (record, entry): (Record, GoldenBatches.Entry) in zip(records, GoldenBatches.many) {
            #expect(record.timestamp.milliseconds == entry.timestamp)
            #expect(record.key == entry.key)
            #expect(record.value == entry.value ?? [])
            #expect(record.isTombstone == (entry.value == nil))
            #expect(record.headers == entry.headers)
            #expect(record.topic == "t" && record.partition == 3)
        }
        #expect(records.map(\.offset) == [0, 1, 2, 3])
    }

    @Test func numbersRecordsFromTheBaseOffset() throws {
        let batch: RecordBatch = try RecordBatch(GoldenBatches.build(GoldenBatches.long, baseOffset: 1 << 40))
        let records: [Record] = try batch.records(from: (1 << 40) + 198, topic: "t", partition: 0)
        #expect(records.map(\.offset) == [(1 << 40) + 198, (1 << 40) + 199])
        #expect(records[1].keyText == "key-3")
        #expect(batch.nextOffset == (1 << 40) + 200)
    }

    @Test func rollsBackToAMark() throws {
        var builder: RecordBatchBuilder = RecordBatchBuilder()
        builder.append(timestamp: 5, key: [1], value: [2], headers: HeaderBlock())
        let mark: RecordBatchBuilder.Mark = builder.mark
        builder.append(timestamp: 9, key: [3], value: [4], headers: HeaderBlock([RecordHeader("a", "b")]))
        builder.rollBack(to: mark)
        builder.append(timestamp: 7, key: [5], value: [6], headers: HeaderBlock())
        let batch: RecordBatch = try RecordBatch(builder.finish(baseOffset: 10))
        let records: [Record] = try batch.records(topic: "t", partition: 0)
        #expect(records.map(\.value) == [[2], [6]])
        #expect(records.map(\.offset) == [10, 11])
        #expect(batch.maxTimestamp == 7)
    }

    @Test func takesTheFirstTimestampAnewAfterRollingBackToNothing() throws {
        var builder: RecordBatchBuilder = RecordBatchBuilder()
        let mark: RecordBatchBuilder.Mark = builder.mark
        builder.append(timestamp: 500, key: nil, value: [1], headers: HeaderBlock())
        builder.rollBack(to: mark)
        #expect(builder.isEmpty)
        builder.append(timestamp: 7, key: nil, value: [2], headers: HeaderBlock())
        let batch: RecordBatch = try RecordBatch(builder.finish(baseOffset: 0))
        #expect(batch.baseTimestamp == 7)
        #expect(batch.maxTimestamp == 7)
        #expect(batch.recordCount == 1)
    }

    @Test func refusesCompressedBatchesByName() {
        for (bits, codec): (UInt8, String) in [(1, "gzip"), (2, "snappy"), (3, "lz4"), (4, "zstd"), (5, "codec 5")] {
            let bytes: [UInt8] = Self.tampered { $0[22] = bits }
            #expect(throws: RecordBatchError.compressed(codec: codec)) { try RecordBatch(bytes) }
        }
    }

    @Test func refusesTransactionalAndControlBatches() {
        for bits: UInt8 in [0x10, 0x20, 0x40] {
            let bytes: [UInt8] = Self.tampered { $0[22] = bits }
            #expect(throws: RecordBatchError.unsupportedAttributes(UInt16(bits))) { try RecordBatch(bytes) }
        }
    }

    @Test func refusesOtherFormatsAndLengths() {
        #expect(throws: RecordBatchError.unsupportedMagic(1)) { try RecordBatch(Self.tampered { $0[16] = 1 }) }
        #expect(throws: RecordBatchError.truncated(offset: 0, needed: 61, available: 60)) {
            try RecordBatch(Array(GoldenBatches.oneBytes.prefix(60)))
        }
        #expect(throws: RecordBatchError.lengthMismatch(stated: 117, actual: 118)) {
            try RecordBatch(GoldenBatches.oneBytes + [0])
        }
        #expect(throws: RecordBatchError.lengthMismatch(stated: -2_147_483_648 + 12, actual: 117)) {
            try RecordBatch(Self.tampered { $0.replaceSubrange(8..<12, with: [0x80, 0, 0, 0]) })
        }
    }

    @Test func findsEveryFlippedBitBehindTheChecksum() {
        for index: Int in 21..<GoldenBatches.oneBytes.count {
            var bytes: [UInt8] = GoldenBatches.oneBytes
            bytes[index] ^= 0x40
            #expect(throws: RecordBatchError.self, "byte \(index)") { try RecordBatch(bytes) }
        }
    }

    @Test func refusesRecordCountsThatDoNotFit() throws {
        for count: UInt8 in [2, 0] {
            let bytes: [UInt8] = Self.tampered { $0[60] = count }
            #expect(throws: RecordBatchError.self) { try RecordBatch(bytes).records(topic: "t", partition: 0) }
        }
        #expect(throws: RecordBatchError.recordCount(stated: -1, offset: 117)) {
            try RecordBatch(Self.tampered { $0.replaceSubrange(57..<61, with: [0xFF, 0xFF, 0xFF, 0xFF]) })
        }
        #expect(throws: RecordBatchError.recordCount(stated: 0x7FFF_FFFF, offset: 117)) {
            try RecordBatch(Self.tampered { $0.replaceSubrange(57..<61, with: [0x7F, 0xFF, 0xFF, 0xFF]) })
        }
    }

    @Test func refusesTimestampsBeyondTheCalendar() {
        #expect(throws: RecordBatchError.timestampOutOfRange(offset: 27)) {
            try RecordBatch(Self.tampered { $0.replaceSubrange(27..<35, with: [0x80, 0, 0, 0, 0, 0, 0, 0]) })
        }
    }

    /// Every single byte of a batch replaced, with the checksum made right again: the reader must either read it or throw, and
    /// never trap or run on.
    @Test func survivesOddBytesEverywhere() {
        var read: Int = 0
        for index: Int in 0..<GoldenBatches.manyBytes.count {
            for value: UInt8 in [0x00, 0x01, 0x02, 0x7F, 0x80, 0xFE, 0xFF] {
                let bytes: [UInt8] = Self.tampered(GoldenBatches.manyBytes) { $0[index] = value }
                if (try? RecordBatch(bytes).records(topic: "t", partition: 0)) != nil { read += 1 }
            }
        }
        #expect(read > 0)
    }

    @Test func comparesHeadersInPlace() throws {
        let batch: RecordBatch = try RecordBatch(GoldenBatches.oneBytes)
        var cursor: RecordCursor = RecordCursor(batch)
        let view: RecordView = try #require(try cursor.next())
        #expect(try batch.has(header: Array("tenantid".utf8), value: Array("acme".utf8), in: view))
        #expect(try !batch.has(header: Array("tenantid".utf8), value: Array("acm".utf8), in: view))
        #expect(try !batch.has(header: Array("actor".utf8), value: Array("acme".utf8), in: view))
        #expect(try cursor.next() == nil)
    }

    /// Changes bytes of a batch and makes its checksum right again.
    private static func tampered(
        _ bytes: [UInt8] = GoldenBatches.oneBytes, _ change: (inout [UInt8]) -> Void
    ) -> [UInt8] {
        var bytes: [UInt8] = bytes
        change(&bytes)
        let checksum: UInt32 = RecordBatch.checksum(of: bytes)
        withUnsafeBytes(of: checksum.bigEndian) { bytes.replaceSubrange(17..<21, with: $0) }
        return bytes
    }
}
