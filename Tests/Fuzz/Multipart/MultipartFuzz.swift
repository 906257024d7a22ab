import Gateway

/// What libFuzzer calls with every input: splits it as the body of a form, and reads it as a field's parameters.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzMultipart(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeRawBufferPointer(start: data, count: count))
    let text: String = String(decoding: bytes, as: UTF8.self)
    _ = MultipartReader(contentType: text)
    guard let reader: MultipartReader = MultipartReader(contentType: "multipart/form-data; boundary=b"),
        let parts: [MultipartReader.Part] = try? reader.parts(of: bytes)
    else { return 0 }
    precondition(parts.count <= MultipartReader.partsMax, "parts are bounded")
    var end: Int = 0
    for part in parts {
        precondition(
            part.body.startIndex >= end && part.body.endIndex <= bytes.count, "parts stand one behind the other")
        end = part.body.endIndex
    }
    return 0
}
