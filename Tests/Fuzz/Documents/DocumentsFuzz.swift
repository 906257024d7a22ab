import Documents
import JSON

/// What libFuzzer calls with every input: reads it as YAML or JSON and checks what must hold for any text.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzDocuments(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes: [UInt8] = Array(UnsafeBufferPointer(start: data, count: count))
    do {
        let node: Node = try DocumentReader.parse(bytes)
        let value: JSONValue = node.json()
        // Deeper than a tree reader goes by default, never deeper than documents may be.
        let again: JSONValue? = try? JSONReader.parse(value.serialized(), limits: JSONLimits(depth: 100))
        precondition(again == value, "a document reads back from its JSON")
        walk(NodeDecoder(node, problems: ProblemList()))
    } catch {
        precondition(error.line >= 1 && error.column >= 1 && !error.message.isEmpty, "an error says where and what")
    }
    return 0
}

/// Asks every node for everything; none of it may trap.
private func walk(_ decoder: NodeDecoder) {
    _ = decoder.string(length: 1...3)
    _ = decoder.integer(in: -1...1)
    _ = decoder.duration(in: .zero ... .seconds(1))
    _ = decoder.byteCount(in: 0...1)
    _ = decoder.choice(["one": 1, "two": 2])
    _ = decoder.fields(["name", "value"])
    for member: NodeDecoder.MemberDecoder in decoder.members { walk(member.value) }
    for element: NodeDecoder in decoder.elements { walk(element) }
}
