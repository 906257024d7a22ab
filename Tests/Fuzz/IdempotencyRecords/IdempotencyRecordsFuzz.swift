import Gateway

/// What libFuzzer calls with every input: reads it as what another gateway wrote of an idempotency key. What is read and written
/// again is read the same.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzIdempotencyRecords(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeRawBufferPointer(start: data, count: count))
    guard let record: IdempotencyRecord = IdempotencyRecord(bytes) else { return 0 }
    let written: [UInt8] = record.bytes
    precondition(IdempotencyRecord(written)?.bytes == written, "a record is read as it was written")
    return 0
}
