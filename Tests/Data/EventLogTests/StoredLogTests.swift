import Store
import Testing

@testable import EventLog

@Suite struct StoredLogTests {
    private let values: [[UInt8]] = [[1, 2, 3], [4], [5, 6], [7]]

    private func batch(baseOffset: Int64) -> [UInt8] {
        var builder: RecordBatchBuilder = RecordBatchBuilder()
        for value: [UInt8] in self.values {
            builder.append(timestamp: 5, key: nil, value: value, headers: HeaderBlock())
        }
        return builder.finish(baseOffset: baseOffset)
    }

    @Test func salvagesEveryRecordThoughTheChecksumFails() {
        var bytes: [UInt8] = self.batch(baseOffset: 7)
        bytes[RecordBatchLayout.checksum] ^= 0xFF
        let salvage: StoredBatch.Salvage = StoredBatch(baseOffset: 7, bytes: bytes).salvage()
        #expect(salvage.isWhole)
        #expect(salvage.values.map(\.value) == self.values)
        #expect(salvage.values.map(\.offset) == [7, 8, 9, 10])
    }

    @Test func countsFromTheRowWhateverTheBytesSay() {
        let salvage: StoredBatch.Salvage = StoredBatch(baseOffset: 70, bytes: self.batch(baseOffset: 7)).salvage()
        #expect(salvage.values.map(\.offset) == [70, 71, 72, 73])
    }

    @Test func readsUpToTheFirstUnreadableRecord() {
        var bytes: [UInt8] = self.batch(baseOffset: 0)
        // The second record begins after the first: its length, 9 bytes of fields and values, and no headers.
        bytes[RecordBatchLayout.headerSize + 10] = 0xFF
        let salvage: StoredBatch.Salvage = StoredBatch(baseOffset: 0, bytes: bytes).salvage()
        #expect(!salvage.isWhole)
        #expect(salvage.values.map(\.value) == [[1, 2, 3]])
        let empty: StoredBatch.Salvage = StoredBatch(baseOffset: 0, bytes: Array(bytes.prefix(20))).salvage()
        #expect(!empty.isWhole && empty.values.isEmpty)
    }
}
