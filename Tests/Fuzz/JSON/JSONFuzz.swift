import JSON

/// What libFuzzer calls with every input: reads it as JSON and checks what must hold for any text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzJSON(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: data, count: count)
    let tree: JSONValue?
    do {
        tree = try JSONReader.parse(bytes)
    } catch {
        precondition(error.offset >= 0 && error.offset <= count, "an error has a place in the text")
        tree = nil
    }
    let isAccepted: Bool = acceptsEvents(bytes)
    if let tree: JSONValue {
        precondition(isAccepted, "the event reader accepts what the tree reader accepts")
        checkTexts(of: tree)
    }
    checkPointer(bytes, in: tree ?? .null)
    return 0
}

private func acceptsEvents(_ bytes: UnsafeRawBufferPointer) -> Bool {
    do {
        var reader: JSONEventReader = try JSONEventReader(bytes)
        while try reader.next() != .end {}
        return true
    } catch {
        return false
    }
}

/// What is written reads back as the same value, and the canonical text is a fixed point.
private func checkTexts(of tree: JSONValue) {
    let again: JSONValue? = try? JSONReader.parse(tree.serialized())
    precondition(again == tree, "what is written reads back")
    precondition((try? JSONReader.parse(tree.pretty())) == tree, "what is written for people reads back")
    let canonical: [UInt8] = tree.canonical()
    let fromCanonical: JSONValue? = try? JSONReader.parse(canonical)
    precondition(fromCanonical?.canonical() == canonical, "the canonical text is a fixed point")
}

private func checkPointer(_ bytes: UnsafeRawBufferPointer, in tree: JSONValue) {
    let text: String = String(decoding: bytes, as: UTF8.self)
    if let pointer: JSONPointer = JSONPointer(parsing: text) {
        precondition(pointer.text == text, "a pointer is written as it was read")
        _ = pointer.resolve(in: tree)
    }
    _ = JSONPointer(fragment: text)
}
