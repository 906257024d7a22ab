import Gateway

/// What libFuzzer calls with every input: reads it as a span collector's answer.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzSpanAnswers(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeRawBufferPointer(start: data, count: count))
    for batch: Int in [0, 1, 512] {
        precondition((0...batch).contains(SpanAnswer.rejected(bytes, of: batch)), "no more than were sent are rejected")
    }
    return 0
}
