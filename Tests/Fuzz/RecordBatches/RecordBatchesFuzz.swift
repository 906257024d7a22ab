import Bytes
import EventLog
import Time

/// What libFuzzer calls with every input: a record batch, and the text of a position.
///
/// Format number, length and checksum are made right first: otherwise no input would come further than those.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzRecordBatches(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    readPosition(String(decoding: input, as: UTF8.self))
    readRecords(input)
    readRecords(repaired(input))
    return 0
}

private func readPosition(_ text: String) {
    guard let position: LogPosition = try? LogPosition(text) else { return }
    precondition((try? LogPosition(position.text)) == position, "a position reads back")
}

private func repaired(_ input: [UInt8]) -> [UInt8] {
    guard input.count >= RecordBatchLayout.headerSize else { return input }
    var writer: ByteWriter = ByteWriter()
    writer.append(input)
    writer.bytes[RecordBatchLayout.magic] = 2
    writer.overwriteInt32(
        Int32(input.count - RecordBatchLayout.lengthPrefix), at: RecordBatchLayout.batchLength)
    let checksum: UInt32 = CRC32C.checksum(Array(writer.bytes[RecordBatchLayout.attributes...]))
    writer.overwriteUInt32(checksum, at: RecordBatchLayout.checksum)
    return writer.bytes
}

private func readRecords(_ bytes: [UInt8]) {
    let salvage: StoredBatch.Salvage = StoredBatch(baseOffset: 0, bytes: bytes).salvage()
    guard let batch: RecordBatch = try? RecordBatch(bytes),
        let records: [Record] = try? batch.records(topic: "t", partition: 0), let first: Record = records.first
    else { return }
    precondition(salvage.isWhole && salvage.values.count == records.count, "what can be read can be salvaged")
    // What is read is written, and read again: the same, with offsets that have no gaps.
    var builder: RecordBatchBuilder = RecordBatchBuilder()
    for record: Record in records {
        builder.append(
            timestamp: record.timestamp.milliseconds, key: record.key, value: record.isTombstone ? nil : record.value,
            headers: HeaderBlock(record.headers))
    }
    let written: [UInt8] = builder.finish(baseOffset: first.offset)
    guard let again: [Record] = try? RecordBatch(written).records(topic: "t", partition: 0) else {
        preconditionFailure("what is written reads back")
    }
    precondition(again.count == records.count, "as many records are read back")
    for (one, other): (Record, Record) in zip(records, again) {
        precondition(
            one.key == other.key && one.value == other.value && one.isTombstone == other.isTombstone
                && one.timestamp == other.timestamp && one.headers == other.headers, "a record reads back")
    }
}
